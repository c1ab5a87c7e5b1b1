//! What the API server, or the way to it, answered, as errors of a driver.

use std::fmt;
use std::time::Duration;

use kube::Error;
use kube::client::AuthError;
use kube::config::KubeconfigError;
use openshell_driver_api::{DriverError, ErrorKind};

/// How much of a credential program's words is passed on, in characters.
const MOST_SAID: usize = 500;

/// A call that had no answer in the time it was given.
#[derive(Debug)]
struct NoAnswer(Duration);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {} s", self.0.as_secs())
    }
}

impl std::error::Error for NoAnswer {}

/// An error that says so.
pub(crate) fn no_answer(after: Duration) -> Error {
    Error::Service(Box::new(NoAnswer(after)))
}

/// The HTTP status with which the API server refused, when it was the API server.
pub(crate) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// Whether a failed call may have been carried out all the same: nobody heard the answer.
pub(crate) fn unheard(error: &Error) -> bool {
    match error {
        Error::Api(status) => matches!(status.code, 500 | 502..=504),
        _ => true,
    }
}

/// Whether a pod was refused for want of a service account, which the cluster makes a moment after a namespace.
pub(crate) fn lacks_account(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 403 && status.message.contains("error looking up service account"))
}

/// Nothing of that name, as a value.
pub(crate) fn absent<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// An error of the cluster in the terms of the contract. What the API server says is for people and goes on as it is:
/// where it forbids something, it names the verb, the resource and the namespace.
pub(crate) fn cluster(operation: &'static str, error: Error) -> DriverError {
    let new = |kind, message: String| DriverError::new(kind, operation, message);
    // One that is had anew while a client is in use fails inside of a call.
    if let Some(cause) = refused_credential(&error) {
        let message = format!("no credential for the API server could be had: {}", credential(cause));
        return new(ErrorKind::Unavailable, message)
            .with_hint("ask with the same credential: kubectl auth whoami");
    }
    match &error {
        Error::Api(status) => {
            let said = match (status.message.trim(), status.reason.trim()) {
                ("", "") => format!("status {}", status.code),
                ("", reason) => reason.to_owned(),
                (message, _) => message.to_owned(),
            };
            let answer = new(kind_of(status.code, &said), format!("the API server says: {said}"));
            match (status.code, kind_of(status.code, &said) == ErrorKind::PermissionDenied) {
                (401, _) => answer.with_hint("see which credential it is: kubectl auth whoami"),
                (403, true) => {
                    answer.with_hint("grant what it names: kubectl apply -f deploy/kubernetes/role.yaml")
                }
                _ => answer,
            }
        }
        Error::SerdeError(_) | Error::FromUtf8(_) | Error::BuildRequest(_) | Error::HttpError(_) => {
            // The cause may quote what was read, which may be anybody's secret.
            new(ErrorKind::Internal, "the API server's answer makes no sense".to_owned())
        }
        Error::Service(cause) if cause.is::<NoAnswer>() => {
            new(ErrorKind::DeadlineExceeded, format!("the API server gave {cause}"))
        }
        _ => new(ErrorKind::Unavailable, format!("the API server does not answer: {}", innermost(&error)))
            .with_hint("ask it: kubectl get --raw /readyz"),
    }
}

/// Whether a refusal is one for want of room and not of a right: both are 403.
fn is_quota(said: &str) -> bool {
    said.contains("exceeded quota")
}

fn kind_of(status: u16, said: &str) -> ErrorKind {
    match status {
        400 | 422 => ErrorKind::InvalidArgument,
        403 if is_quota(said) => ErrorKind::ResourceExhausted,
        // A namespace that goes takes nothing new; it may come again.
        403 if said.contains("is being terminated") => ErrorKind::Aborted,
        401 | 403 => ErrorKind::PermissionDenied,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Aborted,
        // The version that was asked for is gone: whoever reads on from there has lost something.
        410 => ErrorKind::DataLoss,
        413 | 429 | 507 => ErrorKind::ResourceExhausted,
        405 | 501 => ErrorKind::Unimplemented,
        408 | 504 => ErrorKind::DeadlineExceeded,
        500 | 502 | 503 => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

/// The failure to have a credential, somewhere among the causes.
fn refused_credential<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a AuthError> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

/// Why a credential could not be had. A program's call and its output are left out: the one holds its environment, the
/// other may be a credential. What it says on standard error is for people.
pub(crate) fn credential(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => {
            let said = String::from_utf8_lossy(&out.stderr);
            let said: String = said.trim().chars().take(MOST_SAID).collect();
            format!("the kubeconfig's credential program ended with {}: {}", out.status, said.escape_debug())
        }
        AuthError::AuthExecParse(_) | AuthError::ParseTokenKey(_) => {
            "the credential that was given makes no sense".to_owned()
        }
        other => innermost(other),
    }
}

/// What is wrong with a kubeconfig. Of one that cannot be read only the place is told: the text around it may be a
/// credential.
pub(crate) fn kubeconfig(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(cause) => match cause.location() {
            Some(at) => format!("it is no kubeconfig: line {}, column {}", at.line(), at.column()),
            None => "it is no kubeconfig".to_owned(),
        },
        other => other.to_string(),
    }
}

/// The cause of all causes, in words: the layers above it say only that a connection failed.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn api(code: u16, message: &str) -> Error {
        let status = Status { code, message: message.to_owned(), ..Status::default() };
        Error::Api(Box::new(status))
    }

    #[test]
    fn statuses() {
        for (code, kind) in [
            (400, ErrorKind::InvalidArgument),
            (401, ErrorKind::PermissionDenied),
            (403, ErrorKind::PermissionDenied),
            (404, ErrorKind::NotFound),
            (409, ErrorKind::Aborted),
            (410, ErrorKind::DataLoss),
            (422, ErrorKind::InvalidArgument),
            (429, ErrorKind::ResourceExhausted),
            (500, ErrorKind::Unavailable),
            (503, ErrorKind::Unavailable),
            (504, ErrorKind::DeadlineExceeded),
        ] {
            let error = cluster("do", api(code, "why"));
            assert_eq!((error.kind(), error.message()), (kind, "the API server says: why"), "{code}");
        }
        assert_eq!(cluster("do", api(503, "")).message(), "the API server says: status 503");
    }

    #[test]
    fn a_quota_is_no_want_of_a_right() {
        let error = cluster("create pod", api(403, "pods \"x\" is forbidden: exceeded quota: small"));
        assert_eq!((error.kind(), error.hint()), (ErrorKind::ResourceExhausted, None));
        let error =
            cluster("create pod", api(403, "pods is forbidden: User \"u\" cannot create resource \"pods\""));
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.message().contains("cannot create resource \"pods\"") && error.hint().is_some());
    }

    #[test]
    fn what_was_read_is_not_quoted() {
        let cause = serde_json::from_str::<bool>("\"s3cret\"").expect_err("no bool");
        let error = cluster("get", Error::SerdeError(cause));
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }

    #[test]
    fn a_credential_program_s_output_is_not_quoted() {
        let out = || std::process::Output {
            status: std::process::ExitStatus::default(),
            stdout: b"s3cret".to_vec(),
            stderr: b"no luck\n".to_vec(),
        };
        let cause = || AuthError::AuthExecRun { cmd: "KEY=s3cret sh".to_owned(), out: Box::new(out()) };
        for error in [Error::Auth(cause()), Error::Service(Box::new(cause()))] {
            let error = cluster("get", error);
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.message().ends_with("no luck"), "{error}");
            assert!(!format!("{error:?} {error}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn no_answer_is_a_deadline_and_may_have_been_done() {
        let error = no_answer(Duration::from_secs(30));
        assert!(unheard(&error) && !unheard(&api(409, "")) && unheard(&api(500, "")));
        let error = cluster("create pod", error);
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
        assert_eq!(error.message(), "the API server gave no answer within 30 s");
    }

    #[test]
    fn what_is_absent_is_a_value() {
        assert!(matches!(absent::<()>(Err(api(404, ""))), Ok(None)));
        assert!(matches!(absent(Ok(1)), Ok(Some(1))));
        assert!(absent::<()>(Err(api(403, ""))).is_err());
    }
}
