//! The answer to methods that this gateway does not have: `UNIMPLEMENTED`, naming the method.

use tonic::Status;

/// The service that this gateway serves.
pub(super) const SERVICE: &str = "openshell.v1.OpenShell";

/// The answer of a method of [`SERVICE`].
pub(super) fn unserved(method: &str) -> Status {
    Status::unimplemented(format!("this gateway does not have the method `{SERVICE}/{method}`"))
}

/// The answer of whatever else is asked for; `path` is a request's, without its first slash.
pub(super) fn unserved_path(path: &str) -> Status {
    Status::unimplemented(format!("this gateway does not have the method `{}`", path.escape_debug()))
}
