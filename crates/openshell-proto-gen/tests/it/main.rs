//! The tests of the generator: the contract's tables against the protos, and the bindings it makes of them.

mod bindings;
mod contract;
mod table;

use std::path::{Path, PathBuf};

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
