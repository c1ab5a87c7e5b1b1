//! Faults of the host's files as errors of the driver.

use std::io;
use std::path::Path;

use openshell_driver_api::{DriverError, ErrorKind};

/// The error of something that was to be done with a file: a full disk is told from everything else.
pub(crate) fn file(operation: &'static str, path: &Path, error: io::Error) -> DriverError {
    let shown = path.display();
    let (kind, message) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (ErrorKind::ResourceExhausted, format!("no room for `{shown}`: {error}"))
        }
        io::ErrorKind::PermissionDenied => (ErrorKind::PermissionDenied, format!("`{shown}`: {error}")),
        _ => (ErrorKind::Internal, format!("`{shown}`: {error}")),
    };
    DriverError::new(kind, operation, message).with_source(error)
}

/// Does what waits for a disk where nobody else waits for it.
///
/// # Errors
/// Its own; `Internal` when it panics.
pub(crate) async fn blocking<T, F>(operation: &'static str, work: F) -> Result<T, DriverError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, DriverError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let message = "the work on the disk did not come to its end";
        Err(DriverError::new(ErrorKind::Internal, operation, message).with_source(error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_the_rest() {
        for (code, kind) in [
            (28, ErrorKind::ResourceExhausted),
            (122, ErrorKind::ResourceExhausted),
            (13, ErrorKind::PermissionDenied),
            (5, ErrorKind::Internal),
        ] {
            let error = file("write record", Path::new("/x"), io::Error::from_raw_os_error(code));
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().contains("`/x`"), "{error}");
        }
    }
}
