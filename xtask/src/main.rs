//! The menu of this repository.
fn main() {}
