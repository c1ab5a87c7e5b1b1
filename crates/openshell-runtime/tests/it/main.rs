//! The runtime as a whole, on a driver in memory.

mod api;
mod client;
mod codes;
mod contract;
mod fake;
mod follow;
mod migration;
mod probes;
mod races;
mod reflection;
mod requests;
mod restart;
mod status;
mod store;
mod supervised;
mod workspaces;
