//! The Kubernetes driver on a real cluster. Every test has a namespace and a gateway id of its own and takes back what it
//! made. Where a real API server cannot be made to do something, one that is made up does it, and the test says so.

mod agent;
mod bench;
mod conformance;
mod create;
mod fake;
mod faults;
mod lifecycle;
mod linger;
mod posture;
mod rbac;
mod shell;
mod states;
mod supervised;
mod watch;
