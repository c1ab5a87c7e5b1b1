//! The command line client of the gateway.
fn main() {}
