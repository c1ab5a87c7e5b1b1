//! Errors of the engine as errors of a driver.

use std::path::Path;

use bollard::errors::Error;
use openshell_driver_api::probe::Ping;
use openshell_driver_api::{DriverError, ErrorKind};

use crate::engine::Tcp;

/// The HTTP status with which the engine refused, when it was the engine.
pub(crate) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// The engine's error in the terms of the contract. What the engine says is for people and goes on as it is.
pub(crate) fn engine(operation: &'static str, error: Error) -> DriverError {
    mapped(operation, error, |kind| kind)
}

/// The same where a status means something else than usual: `map` has the last word on the kind.
pub(crate) fn mapped(
    operation: &'static str,
    error: Error,
    map: impl FnOnce(ErrorKind) -> ErrorKind,
) -> DriverError {
    let new = |kind, message: String| DriverError::new(map(kind), operation, message);
    match error {
        Error::DockerResponseServerError { status_code, message } => {
            new(kind_of(status_code), format!("the engine says: {}", message.trim()))
        }
        Error::DockerStreamError { error } => {
            new(ErrorKind::FailedPrecondition, format!("the engine says: {}", error.trim()))
        }
        Error::RequestTimeoutError => {
            new(ErrorKind::DeadlineExceeded, "the engine did not answer in time".to_owned())
        }
        Error::HyperResponseError { .. } | Error::IOError { .. } | Error::SocketNotFoundError(_) => {
            new(ErrorKind::Unavailable, "the engine does not answer".to_owned())
                .with_hint(format!("see whether it runs: docker version; start it: {START}"))
                .with_source(error)
        }
        other => new(ErrorKind::Internal, "the engine's answer makes no sense".to_owned()).with_source(other),
    }
}

fn kind_of(status: u16) -> ErrorKind {
    match status {
        400 => ErrorKind::InvalidArgument,
        401 | 403 => ErrorKind::PermissionDenied,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Aborted,
        429 | 507 => ErrorKind::ResourceExhausted,
        501 => ErrorKind::Unimplemented,
        502..=504 => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
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

/// What starts an engine.
const START: &str = if cfg!(target_os = "macos") { "open -a Docker" } else { "systemctl start docker" };

/// What to do where no Docker engine answers: a command, which depends on what is there instead, or the key that names
/// another socket.
pub(crate) fn remedy(there: Option<(&Path, &Ping)>) -> String {
    let command = match there {
        Some((path, Ping::PermissionDenied | Ping::NotASocket)) => {
            format!("see what it is and who may use it: ls -lL {}", path.display())
        }
        None | Some((_, Ping::Absent | Ping::Refused)) => format!("start the engine: {START}"),
        Some((_, Ping::Answered(reply))) if reply.status == 200 => format!("start the engine: {START}"),
        Some((path, _)) => format!("ask it: docker -H unix://{} version", path.display()),
    };
    format!(
        "{command}, or name its socket: socket_path = \"/path/to/docker.sock\" in [openshell.drivers.docker]"
    )
}

/// What to do where no Docker engine answers at a port.
pub(crate) fn remedy_tcp(tcp: &Tcp) -> String {
    let tls = if tcp.tls.is_some() { "--tlsverify " } else { "" };
    let ask = format!("ask it: docker {tls}-H tcp://{} version", tcp.authority());
    format!("{ask}, or name another: host = \"tcp://HOST:2376\" in [openshell.drivers.docker]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        for (status_code, kind) in [
            (400, ErrorKind::InvalidArgument),
            (404, ErrorKind::NotFound),
            (409, ErrorKind::Aborted),
            (500, ErrorKind::Internal),
            (503, ErrorKind::Unavailable),
        ] {
            let error =
                engine("do", Error::DockerResponseServerError { status_code, message: "why\n".into() });
            assert_eq!((error.kind(), error.message()), (kind, "the engine says: why"));
        }
    }

    #[test]
    fn a_kind_may_be_another_s() {
        let error = Error::DockerResponseServerError { status_code: 404, message: "no network".into() };
        let error = mapped("start", error, |kind| {
            assert_eq!(kind, ErrorKind::NotFound);
            ErrorKind::FailedPrecondition
        });
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::FailedPrecondition, "the engine says: no network")
        );
        assert!(std::error::Error::source(&error).is_none(), "all that is known has been said");
    }

    #[test]
    fn a_remedy_fits_what_is_there() {
        let path = Path::new("/run/d.sock");
        for (ping, command) in [
            (None, START),
            (Some(Ping::Absent), START),
            (Some(Ping::Refused), START),
            (Some(Ping::PermissionDenied), "ls -lL /run/d.sock"),
            (Some(Ping::NotASocket), "ls -lL /run/d.sock"),
            (Some(Ping::TimedOut), "docker -H unix:///run/d.sock version"),
            (Some(Ping::NotHttp), "docker -H unix:///run/d.sock version"),
        ] {
            let hint = remedy(ping.as_ref().map(|ping| (path, ping)));
            let key =
                ", or name its socket: socket_path = \"/path/to/docker.sock\" in [openshell.drivers.docker]";
            assert!(hint.ends_with(&format!(": {command}{key}")), "{hint}");
        }
    }

    #[test]
    fn an_engine_that_is_away() {
        let error = engine("do", Error::IOError { err: std::io::ErrorKind::ConnectionRefused.into() });
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(std::error::Error::source(&error).is_some());
    }
}
