//! Where things are: the paths of this workspace that the generator knows, relative to its root, and the header
//! that every generated file carries.

/// The command that writes, as a person types it.
pub const COMMAND: &str = "cargo xtask gen";

/// What a file's head says when this command made it; a file that says so and is in no set is an orphan.
pub const MARK: &str = "by `cargo xtask gen`";

/// The one list of drivers.
pub const MANIFEST: &str = "drivers.toml";

/// The freshness lock.
pub const LOCK: &str = "generated/gen.lock";

/// The directory of the proto bindings.
pub const BINDINGS: &str = "crates/openshell-proto/src/generated";

/// The gateway's package.
pub(crate) const SERVER: &str = "crates/openshell-server";

/// The package of the driver programs.
pub(crate) const PROGRAMS: &str = "crates/openshell-drivers";

/// Where the crates of `in-tree` and `process` drivers are: a directory is named after its crate.
pub(crate) const CRATES: &str = "crates";

/// The crate with both halves of a driver's socket.
pub(crate) const REMOTE: &str = "openshell-driver-remote";

/// The first line of a generated Rust file.
pub(crate) fn rust_header() -> String {
    format!("//! @generated {MARK} from {MANIFEST}. Do not edit.\n")
}

/// The `$comment` of a generated JSON file.
pub(crate) fn json_comment() -> String {
    format!("@generated {MARK} from {MANIFEST}. Do not edit.")
}

/// The program of a driver.
pub(crate) fn program(driver: &str) -> String {
    format!("openshell-driver-{driver}")
}
