//! What came of a call that failed, and what that is in the terms of the contract: the one place where both meet.

use std::path::Path;
use std::time::Duration;

use openshell_driver_api::probe::Ping;
use openshell_driver_api::{DriverError, ErrorKind};
use serde::Deserialize;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A call's failure.
#[derive(Debug)]
pub(crate) struct Failure {
    operation: &'static str,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    /// The service says no.
    Refused { status: u16, said: Said },
    /// Nobody is there, or the connection broke.
    Away(Source),
    /// The time was up.
    Late(Duration),
    /// There was an answer, and it makes no sense.
    Nonsense { problem: String, source: Option<Source> },
    /// The call cannot be written down.
    Unsendable(String),
}

/// A refusal's words.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// The error that all others were wrapped around.
    cause: String,
    /// The whole of it, for people.
    message: String,
}

/// How much of what is no proper refusal goes into an error.
const MAX_WORDS: usize = 500;

impl Said {
    /// Reads a refusal: a service's own is JSON, and whoever stands before it may answer in anything.
    fn read(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            cause: Option<String>,
            #[serde(default)]
            message: Option<String>,
        }
        if let Ok(body) = serde_json::from_slice::<Body>(body) {
            let (cause, message) = (body.cause.unwrap_or_default(), body.message.unwrap_or_default());
            let message = if message.is_empty() { cause.clone() } else { message };
            return Self { cause, message: message.trim().to_owned() };
        }
        let text = String::from_utf8_lossy(body);
        let text: String = text.trim().chars().take(MAX_WORDS).flat_map(char::escape_debug).collect();
        Self { cause: String::new(), message: text }
    }
}

/// Errors of libpod and what they mean, whatever the status: services of 4.x answer most of them with 500.
///
/// Source of the words: `libpod/define/errors.go`, `containers/common/libnetwork/types` and `containers/common/pkg/secrets`.
const CAUSES: &[(&str, ErrorKind)] = &[
    ("no such container", ErrorKind::NotFound),
    ("no such volume", ErrorKind::NotFound),
    ("no such secret", ErrorKind::NotFound),
    ("no such image", ErrorKind::NotFound),
    ("image not known", ErrorKind::NotFound),
    ("network not found", ErrorKind::NotFound),
    ("container has already been removed", ErrorKind::NotFound),
    ("that name is already in use", ErrorKind::Aborted),
    ("container already exists", ErrorKind::Aborted),
    ("volume already exists", ErrorKind::Aborted),
    ("secret name in use", ErrorKind::Aborted),
    ("network already exists", ErrorKind::Aborted),
    ("volume is being used", ErrorKind::Aborted),
    ("network is being used", ErrorKind::Aborted),
    ("container state improper", ErrorKind::FailedPrecondition),
    ("no space left on device", ErrorKind::ResourceExhausted),
    ("disk quota exceeded", ErrorKind::ResourceExhausted),
];

impl Failure {
    fn new(operation: &'static str, cause: Cause) -> Self {
        Self { operation, cause }
    }

    /// The service said no, with these bytes.
    pub(crate) fn refused(operation: &'static str, status: u16, body: &[u8]) -> Self {
        Self::new(operation, Cause::Refused { status, said: Said::read(body) })
    }

    /// The service said no inside of an answer whose status said yes.
    pub(crate) fn told(operation: &'static str, message: String) -> Self {
        let said = Said { cause: message.clone(), message };
        Self::new(operation, Cause::Refused { status: 500, said })
    }

    /// The socket cannot be used.
    pub(crate) fn away(operation: &'static str, source: Source) -> Self {
        Self::new(operation, Cause::Away(source))
    }

    /// It took too long.
    pub(crate) fn late(operation: &'static str, patience: Duration) -> Self {
        Self::new(operation, Cause::Late(patience))
    }

    /// The answer makes no sense.
    pub(crate) fn nonsense(operation: &'static str, problem: String) -> Self {
        Self::new(operation, Cause::Nonsense { problem, source: None })
    }

    /// What was to be sent cannot be written.
    pub(crate) fn unsendable(operation: &'static str, error: &dyn std::error::Error) -> Self {
        Self::new(operation, Cause::Unsendable(error.to_string()))
    }

    /// Something about the connection, or about what came through it.
    pub(crate) fn http(operation: &'static str, error: hyper::Error) -> Self {
        if error.is_parse() || error.is_parse_status() {
            let (problem, source) = ("it is not HTTP".to_owned(), Some(Source::from(error)));
            return Self::new(operation, Cause::Nonsense { problem, source });
        }
        Self::away(operation, error.into())
    }

    /// The HTTP status with which the service refused, when it was the service.
    pub(crate) fn status(&self) -> Option<u16> {
        match &self.cause {
            Cause::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The service's words, or what went wrong.
    pub(crate) fn message(&self) -> String {
        match &self.cause {
            Cause::Refused { status, said } if said.message.is_empty() => {
                format!("the engine refuses with HTTP status {status} and no word")
            }
            Cause::Refused { said, .. } => format!("the engine says: {}", said.message),
            Cause::Away(_) => "the engine does not answer".to_owned(),
            Cause::Late(patience) => {
                format!("the engine did not answer within {} seconds", patience.as_secs())
            }
            Cause::Nonsense { problem, .. } => format!("the engine's answer makes no sense: {problem}"),
            Cause::Unsendable(problem) => format!("the request cannot be written: {problem}"),
        }
    }

    /// What it is in the terms of the contract.
    pub(crate) fn kind(&self) -> ErrorKind {
        match &self.cause {
            Cause::Refused { status, said } => {
                let known = CAUSES.iter().find(|(words, _)| said.cause == *words);
                // A disk that is full is deep in the words, behind whatever could not be written.
                let known = known.or_else(|| {
                    let full = |entry: &&(&str, ErrorKind)| {
                        entry.1 == ErrorKind::ResourceExhausted && said.message.contains(entry.0)
                    };
                    CAUSES.iter().find(full)
                });
                known.map_or_else(|| kind_of(*status), |(_, kind)| *kind)
            }
            Cause::Away(_) => ErrorKind::Unavailable,
            Cause::Late(_) => ErrorKind::DeadlineExceeded,
            Cause::Nonsense { .. } | Cause::Unsendable(_) => ErrorKind::Internal,
        }
    }

    /// Whether there is no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status().is_some() && self.kind() == ErrorKind::NotFound
    }

    /// Whether it is a container of which the service has lost the layers: a crash of the service can leave such a one. It is
    /// listed and can be removed, and nothing else.
    pub(crate) fn is_lost(&self) -> bool {
        // `ErrContainerUnknown` of containers/storage, which libpod hands on.
        matches!(&self.cause, Cause::Refused { said, .. } if said.message.contains("container not known"))
    }

    /// Whether a name is taken, or something is in use.
    pub(crate) fn is_conflict(&self) -> bool {
        self.status().is_some() && self.kind() == ErrorKind::Aborted
    }

    /// The same where it means something else than usual: `map` has the last word on the kind.
    pub(crate) fn mapped(self, map: impl FnOnce(ErrorKind) -> ErrorKind) -> DriverError {
        let error = DriverError::new(map(self.kind()), self.operation, self.message());
        match self.cause {
            Cause::Away(source) => error
                .with_hint(format!("see whether it runs: podman --remote version; start it: {START}"))
                .with_source(source),
            Cause::Nonsense { source: Some(source), .. } => error.with_source(source),
            _ => error,
        }
    }
}

impl From<Failure> for DriverError {
    fn from(failure: Failure) -> Self {
        failure.mapped(|kind| kind)
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

/// What starts a service.
const START: &str = if cfg!(target_os = "macos") {
    "podman machine start"
} else {
    "systemctl --user start podman.socket (or, for root's: systemctl start podman.socket)"
};

/// What to do where no Podman service answers: a command, which depends on what is there instead, or the key that names
/// another socket.
pub(crate) fn remedy(there: Option<(&Path, &Ping)>) -> String {
    let command = match there {
        Some((path, Ping::PermissionDenied | Ping::NotASocket)) => {
            format!("see what it is and who may use it: ls -lL {}", path.display())
        }
        None | Some((_, Ping::Absent | Ping::Refused)) => format!("start the service: {START}"),
        Some((_, Ping::Answered(reply))) if reply.status == 200 => format!("start the service: {START}"),
        Some((path, _)) => format!("ask it: podman --url unix://{} version", path.display()),
    };
    format!(
        "{command}, or name its socket: socket_path = \"/path/to/podman.sock\" in [openshell.drivers.podman]"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> Failure {
        Failure::refused("do", status, body.as_bytes())
    }

    /// Replies of a service of 4.3.1, and of what may stand before one.
    #[test]
    fn refusals() {
        for (status, body, kind, message) in [
            (
                404,
                r#"{"cause":"no such container","message":"no container with name or ID \"a\" found: no such container","response":404}"#,
                ErrorKind::NotFound,
                "the engine says: no container with name or ID \"a\" found: no such container",
            ),
            (
                500,
                r#"{"cause":"that name is already in use","message":"creating container storage: taken","response":500}"#,
                ErrorKind::Aborted,
                "the engine says: creating container storage: taken",
            ),
            (
                500,
                r#"{"cause":"container state improper","message":"m","response":500}"#,
                ErrorKind::FailedPrecondition,
                "the engine says: m",
            ),
            (500, r#"{"message":" m\n"}"#, ErrorKind::Internal, "the engine says: m"),
            (
                500,
                r#"{"cause":"no space left on device","message":"write /x: no space left on device"}"#,
                ErrorKind::ResourceExhausted,
                "the engine says: write /x: no space left on device",
            ),
            (
                500,
                r#"{"cause":"x","message":"write /x: no space left on device: x"}"#,
                ErrorKind::ResourceExhausted,
                "the engine says: write /x: no space left on device: x",
            ),
            (404, "404 page not found\n", ErrorKind::NotFound, "the engine says: 404 page not found"),
            (503, "", ErrorKind::Unavailable, "the engine refuses with HTTP status 503 and no word"),
            (400, "\u{1b}[31m\n", ErrorKind::InvalidArgument, "the engine says: \\u{1b}[31m"),
            (500, "[1, 2]", ErrorKind::Internal, "the engine says: [1, 2]"),
        ] {
            let failure = refused(status, body);
            assert_eq!((failure.kind(), failure.message().as_str()), (kind, message), "{body}");
            assert_eq!(failure.status(), Some(status));
        }
        let long = refused(500, &"x".repeat(MAX_REFUSAL_OF_THE_TEST)).message();
        assert_eq!(long.len(), "the engine says: ".len() + MAX_WORDS);
    }

    const MAX_REFUSAL_OF_THE_TEST: usize = 10_000;

    #[test]
    fn what_is_not_there_is_told_from_what_is_taken() {
        let gone = refused(404, "{}");
        assert!(gone.is_not_found() && !gone.is_conflict());
        let taken = refused(500, r#"{"cause":"secret name in use","message":"a: secret name in use"}"#);
        assert!(taken.is_conflict() && !taken.is_not_found());
    }

    #[test]
    fn a_service_that_is_away() {
        let error: DriverError =
            Failure::away("do", Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))).into();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "the engine does not answer"));
        assert!(std::error::Error::source(&error).is_some() && error.hint().is_some());
    }

    #[test]
    fn what_to_do_depends_on_what_is_there() {
        let path = Path::new("/run/p.sock");
        let start = format!("start the service: {START}");
        for (ping, command) in [
            (None, start.as_str()),
            (Some(Ping::Refused), start.as_str()),
            (Some(Ping::PermissionDenied), "see what it is and who may use it: ls -lL /run/p.sock"),
            (Some(Ping::NotHttp), "ask it: podman --url unix:///run/p.sock version"),
        ] {
            let hint = remedy(ping.as_ref().map(|ping| (path, ping)));
            let key =
                ", or name its socket: socket_path = \"/path/to/podman.sock\" in [openshell.drivers.podman]";
            assert_eq!(hint, format!("{command}{key}"));
        }
    }
}
