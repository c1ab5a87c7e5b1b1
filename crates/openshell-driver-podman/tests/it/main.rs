//! The Podman driver on a real service. Every test has a gateway id of its own and takes back what it made.

mod api;
mod bench;
mod conformance;
mod create;
mod detect;
mod faults;
mod images;
mod lifecycle;
mod limits;
mod many;
mod mounts;
mod posture;
mod proxy;
mod registry;
mod removed;
mod service;
mod supervised;
mod watch;
