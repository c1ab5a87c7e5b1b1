//! What can go wrong, the exit code of each kind of it, and what to do about it.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use openshell_core::paths::PathError;
use openshell_core::shell;
use openshell_uds::ConnectError;
use tonic::{Code, Status};

use crate::{output, text};

/// The kinds of outcome that a script can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Failure,
    Usage,
    NotFound,
    AlreadyExists,
    Unavailable,
    Precondition,
    Invalid,
    Deadline,
    Unimplemented,
    Denied,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Failure,
        Self::Usage,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Unavailable,
        Self::Precondition,
        Self::Invalid,
        Self::Deadline,
        Self::Unimplemented,
        Self::Denied,
    ];

    fn of(code: Code) -> Self {
        match code {
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists => Self::AlreadyExists,
            Code::Unavailable => Self::Unavailable,
            Code::FailedPrecondition | Code::ResourceExhausted | Code::Aborted => Self::Precondition,
            Code::InvalidArgument | Code::OutOfRange => Self::Invalid,
            Code::DeadlineExceeded => Self::Deadline,
            Code::Unimplemented => Self::Unimplemented,
            Code::PermissionDenied | Code::Unauthenticated => Self::Denied,
            _ => Self::Failure,
        }
    }

    /// The exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::AlreadyExists => 4,
            Self::Unavailable => 5,
            Self::Precondition => 6,
            Self::Invalid => 7,
            Self::Deadline => 8,
            Self::Unimplemented => 9,
            Self::Denied => 10,
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Failure => "it failed, or the sandbox did while --wait waited",
            Self::Usage => "the command line is wrong",
            Self::NotFound => "there is no such sandbox or workspace",
            Self::AlreadyExists => "the name is taken",
            Self::Unavailable => "the gateway, or the driver behind it, does not answer",
            Self::Precondition => "not in this phase, or not now",
            Self::Invalid => "the gateway or its driver refused the request as wrong",
            Self::Deadline => "it took longer than --timeout or --wait allows",
            Self::Unimplemented => "the gateway or its driver cannot do this",
            Self::Denied => "not allowed",
        }
    }

    /// The exit codes as `--help` prints them.
    pub(crate) fn table() -> String {
        let mut out = "Exit codes:\n   0  done".to_owned();
        for kind in Self::ALL {
            out += &format!("\n  {:>2}  {}", kind.code(), kind.meaning());
        }
        out
    }
}

/// What the gateway answered instead of what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    message: String,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let code = status.code();
        // The message is somebody else's: it may hold what a terminal obeys.
        let message = match status.message() {
            "" => code.description().to_lowercase(),
            message => text::clean(message),
        };
        Self { code, message }
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// There is no default socket here.
    #[error("no gateway socket is given")]
    NoSocket(#[source] PathError),
    /// Nobody to talk to.
    #[error("cannot reach the gateway")]
    Connect(#[source] ConnectError),
    /// Somebody, but no gateway.
    #[error("what listens at `{socket}` does not speak HTTP/2")]
    NotAGateway {
        socket: String,
        #[source]
        source: tonic::transport::Error,
    },
    /// The connection ended in the middle of a call.
    #[error("cannot {what}: the connection to the gateway broke")]
    Lost {
        what: String,
        #[source]
        source: Refusal,
    },
    /// The gateway said no.
    #[error("cannot {what}")]
    Refused {
        what: String,
        /// A command that helps.
        hint: Option<String>,
        #[source]
        source: Refusal,
    },
    /// The gateway said nothing.
    #[error("cannot {what}: no answer within {limit:?}")]
    Silent { what: String, limit: Duration },
    /// The answer lacks what its method promises.
    #[error("cannot {what}: the gateway's answer is empty")]
    Empty { what: String },
    /// The sandbox got somewhere else than it was waited for.
    #[error("sandbox `{name}` {why}")]
    Missed { name: String, why: String, hint: String },
    /// The sandbox did not get there in time.
    #[error("sandbox `{name}` is {phase} after {limit:?}")]
    TooLate { name: String, phase: &'static str, limit: Duration, hint: String },
    /// A gateway that answers, and is not well.
    #[error("the gateway is {status}")]
    Unwell { status: &'static str },
    /// One option contradicts another.
    #[error("{0}")]
    Usage(String),
    /// Standard output is gone.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// The program could not even start.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
}

impl CliError {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::NoSocket(_) | Self::Usage(_) => Kind::Usage,
            Self::Connect(ConnectError::Permission { .. } | ConnectError::WrongOwner { .. }) => Kind::Denied,
            Self::Connect(_) | Self::NotAGateway { .. } | Self::Lost { .. } => Kind::Unavailable,
            Self::Refused { source, .. } => Kind::of(source.code),
            Self::Silent { .. } | Self::TooLate { .. } => Kind::Deadline,
            Self::Empty { .. }
            | Self::Missed { .. }
            | Self::Unwell { .. }
            | Self::Output(_)
            | Self::Runtime(_) => Kind::Failure,
        }
    }

    /// The code of the gateway's refusal, when that is what this is.
    pub(crate) fn refusal(&self) -> Option<Code> {
        match self {
            Self::Refused { source, .. } => Some(source.code),
            _ => None,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoSocket(_) => vec!["openshell --gateway-socket /path/to/gateway.sock status".to_owned()],
            Self::Connect(error) => connect_hints(error),
            Self::NotAGateway { .. } => {
                vec![
                    "name the gateway's socket: openshell --gateway-socket /path/to/gateway.sock status"
                        .to_owned(),
                ]
            }
            Self::Lost { .. } => vec!["see whether it still runs: openshell status".to_owned()],
            Self::Refused { hint, .. } => hint.iter().cloned().collect(),
            Self::Silent { limit, .. } => {
                vec![format!("give it longer with --timeout {}s", limit.as_secs().max(1).saturating_mul(4))]
            }
            Self::Missed { hint, .. } | Self::TooLate { hint, .. } => vec![hint.clone()],
            Self::Unwell { .. } => {
                vec!["the gateway's log says what it lacks; most often its driver does not answer".to_owned()]
            }
            Self::Empty { .. } | Self::Usage(_) | Self::Output(_) | Self::Runtime(_) => Vec::new(),
        }
    }

    /// Prints it with its causes and hints, and gives the exit code. A reader that closed the pipe has what it wanted.
    pub(crate) fn report(&self) -> ExitCode {
        if let Self::Output(error) = self
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            return ExitCode::SUCCESS;
        }
        output::complain(&shell::render(self, &self.hints()));
        ExitCode::from(self.kind().code())
    }
}

/// What to do when the gateway cannot be reached, in the words of this program's own options.
fn connect_hints(error: &ConnectError) -> Vec<String> {
    match error {
        ConnectError::Absent { path } | ConnectError::Refused { path } => vec![
            format!("start a gateway: openshell-gateway --listen-socket {}", text::quoted(path)),
            "or name another gateway's socket with --gateway-socket or OPENSHELL_GATEWAY_SOCKET".to_owned(),
        ],
        ConnectError::Busy { .. } => vec!["try again, or look at the gateway's log".to_owned()],
        ConnectError::WrongOwner { peer, .. } => {
            vec![format!("if you trust that user: openshell --trust-uid {} status", peer.uid)]
        }
        // Somebody else's socket is left alone.
        ConnectError::WritableByOthers { path, .. } => {
            vec![format!("if that is the gateway's socket: chmod 0600 {}", text::quoted(path))]
        }
        other => other.hint().into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own_and_a_line_of_help() {
        let mut codes: Vec<u8> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        codes.dedup();
        assert_eq!(codes, (1..=10).collect::<Vec<u8>>());
        assert_eq!(Kind::table().lines().count(), 12);
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        let docs = include_str!("../../../docs/cli.md");
        for kind in Kind::ALL {
            let row = format!(
                "\n| {} | {} |\n",
                kind.code(),
                kind.meaning().replace("--wait", "`--wait`").replace("--timeout", "`--timeout`")
            );
            assert!(docs.contains(&row), "docs/cli.md lacks {row}");
        }
    }

    #[test]
    fn a_message_from_afar_cannot_steer_the_terminal() {
        let refusal = Refusal::from(Status::not_found("gone \u{1b}[2J\nerror: forged"));
        assert_eq!(refusal.to_string(), "gone \\u{1b}[2J\\nerror: forged");
    }
}
