//! The Docker driver on a real engine. Every test has a gateway id of its own and takes back what it made.

mod bench;
mod conformance;
mod create;
mod engine;
mod fake;
mod faults;
mod gpu;
mod images;
mod isolation;
mod lifecycle;
mod limits;
mod mounts;
mod port;
mod posture;
mod proxy;
mod registry;
mod supervised;
mod watch;
