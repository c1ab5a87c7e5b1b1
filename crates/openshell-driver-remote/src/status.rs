//! Between a driver's error and gRPC's status. The kind is the code; the message goes over as it is.

use openshell_driver_api::{DriverError, ErrorKind, conditions};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// The trailer that holds the reason for the sandbox's `Ready`, where the driver gives one. A driver that does not know
/// it is understood all the same.
const REASON: &str = "openshell-reason";

/// An error as it goes over the wire: its code, message and reason. Causes stay in the log of the side that has them.
#[must_use]
pub fn status_of(error: &DriverError) -> Status {
    let mut status = Status::new(Code::from_i32(error.kind().code()), error.message());
    if let Some(reason) = error.reason() {
        status.metadata_mut().insert(REASON, MetadataValue::from_static(reason));
    }
    status
}

/// An answer that is an error, from whichever program. A code that [`ErrorKind`] has no word for is named in the
/// message, so that it is not lost.
#[must_use]
pub fn error_of(operation: &'static str, status: &Status) -> DriverError {
    let (kind, exact) = kind_of(status.code());
    let said = if status.message().is_empty() { "the driver gave no reason" } else { status.message() };
    let error = match exact {
        true => DriverError::new(kind, operation, said),
        false => DriverError::new(kind, operation, format!("{said} (code `{:?}`)", status.code())),
    };
    let reason = status.metadata().get(REASON).and_then(|reason| reason.to_str().ok());
    match reason.and_then(conditions::terminal) {
        Some(reason) => error.with_reason(reason),
        None => error,
    }
}

/// The kind of a code, and whether it says all that the code does.
fn kind_of(code: Code) -> (ErrorKind, bool) {
    if let Some(kind) = ErrorKind::from_code(code.into()) {
        return (kind, true);
    }
    let kind = match code {
        Code::Unauthenticated => ErrorKind::PermissionDenied,
        Code::OutOfRange => ErrorKind::InvalidArgument,
        Code::Cancelled => ErrorKind::Unavailable,
        // An error that says `Ok` is a driver's fault.
        _ => ErrorKind::Internal,
    };
    (kind, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_way_over() {
        for kind in ErrorKind::ALL {
            let there = status_of(&DriverError::new(kind, "make a fuss", "`x` is wrong"));
            let back = error_of("make a fuss", &there);
            assert_eq!((back.kind(), back.message()), (kind, "`x` is wrong"));
            assert_eq!(format!("{:?}", there.code()), format!("{kind:?}"), "the same word on both sides");
        }
    }

    #[test]
    fn a_reason_goes_over_when_it_is_a_terminal_one() {
        let there =
            |reason| status_of(&DriverError::new(ErrorKind::Unavailable, "x", "y").with_reason(reason));
        let back = |status| error_of("x", &status).reason();
        assert_eq!(back(there("ImagePullFailed")), Some(conditions::reason::IMAGE_PULL_FAILED));
        assert_eq!(back(there("Starting")), None);
        assert_eq!(back(Status::unavailable("y")), None);
    }

    #[test]
    fn a_code_without_a_kind_is_named() {
        let error = error_of("get sandbox", &Status::unauthenticated("who are you"));
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(error.to_string(), "get sandbox: who are you (code `Unauthenticated`)");
        let error = error_of("get sandbox", &Status::unknown(""));
        assert_eq!(error.to_string(), "get sandbox: the driver gave no reason (code `Unknown`)");
    }
}
