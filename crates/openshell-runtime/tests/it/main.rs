//! The runtime as a whole, on a driver in memory.

mod api;
mod client;
mod codes;
mod fake;
mod follow;
mod requests;
mod restart;
mod store;
