//! Between a driver's error and gRPC's status. The kind is the code; the message goes over as it is.

use openshell_driver_api::{DriverError, ErrorKind};
use tonic::{Code, Status};

/// An error as it goes over the wire: its code and message. Causes stay in the log of the side that has them.
#[must_use]
pub fn status_of(error: &DriverError) -> Status {
    Status::new(code_of(error.kind()), error.message())
}

/// An answer that is an error, from whichever program. A code that [`ErrorKind`] has no word for is named in the
/// message, so that it is not lost.
#[must_use]
pub fn error_of(operation: &'static str, status: &Status) -> DriverError {
    let (kind, exact) = kind_of(status.code());
    let said = if status.message().is_empty() { "the driver gave no reason" } else { status.message() };
    if exact {
        return DriverError::new(kind, operation, said);
    }
    DriverError::new(kind, operation, format!("{said} (code `{:?}`)", status.code()))
}

fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::FailedPrecondition => Code::FailedPrecondition,
        ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::Aborted => Code::Aborted,
        ErrorKind::DataLoss => Code::DataLoss,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Unimplemented => Code::Unimplemented,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::Internal => Code::Internal,
    }
}

/// The kind of a code, and whether it says all that the code does.
fn kind_of(code: Code) -> (ErrorKind, bool) {
    match code {
        Code::InvalidArgument => (ErrorKind::InvalidArgument, true),
        Code::NotFound => (ErrorKind::NotFound, true),
        Code::AlreadyExists => (ErrorKind::AlreadyExists, true),
        Code::FailedPrecondition => (ErrorKind::FailedPrecondition, true),
        Code::ResourceExhausted => (ErrorKind::ResourceExhausted, true),
        Code::PermissionDenied => (ErrorKind::PermissionDenied, true),
        Code::Aborted => (ErrorKind::Aborted, true),
        Code::DataLoss => (ErrorKind::DataLoss, true),
        Code::Unavailable => (ErrorKind::Unavailable, true),
        Code::Unimplemented => (ErrorKind::Unimplemented, true),
        Code::DeadlineExceeded => (ErrorKind::DeadlineExceeded, true),
        Code::Internal => (ErrorKind::Internal, true),
        Code::Unauthenticated => (ErrorKind::PermissionDenied, false),
        Code::OutOfRange => (ErrorKind::InvalidArgument, false),
        Code::Cancelled => (ErrorKind::Unavailable, false),
        // An error that says `Ok` is a driver's fault.
        Code::Ok | Code::Unknown => (ErrorKind::Internal, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_way_over() {
        for kind in [
            ErrorKind::InvalidArgument,
            ErrorKind::NotFound,
            ErrorKind::AlreadyExists,
            ErrorKind::FailedPrecondition,
            ErrorKind::ResourceExhausted,
            ErrorKind::PermissionDenied,
            ErrorKind::Aborted,
            ErrorKind::DataLoss,
            ErrorKind::Unavailable,
            ErrorKind::Unimplemented,
            ErrorKind::DeadlineExceeded,
            ErrorKind::Internal,
        ] {
            let there = status_of(&DriverError::new(kind, "make a fuss", "`x` is wrong"));
            let back = error_of("make a fuss", &there);
            assert_eq!((back.kind(), back.message()), (kind, "`x` is wrong"));
        }
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
