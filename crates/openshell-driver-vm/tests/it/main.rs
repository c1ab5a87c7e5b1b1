//! The VM driver with real QEMUs. Every test has a gateway id and a state directory of its own and takes back what it made.

mod bench;
mod conformance;
mod create;
mod faults;
mod full;
mod inputs;
mod killed;
mod lifecycle;
mod many;
mod restart;
mod supervised;
#[path = "../../src/testbed.rs"]
mod testbed;
