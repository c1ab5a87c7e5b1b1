//! What can go wrong, the exit code of each kind of it, and what to do about it.

mod kind;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::transfer::Quiet;
use openshell_core::shell;
use tonic::{Code, Status};

pub(crate) use self::kind::Kind;
use crate::connect::DialError;
use crate::contexts::StoreError;
use crate::target::TargetError;
use crate::{output, text};

/// What the gateway answered instead of what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    message: String,
    /// What the gateway itself says to do, taken out of its message: it goes where hints are printed.
    hint: Option<String>,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let code = status.code();
        // The message is somebody else's: it may hold what a terminal obeys.
        let said = text::clean(status.message());
        let (message, hint) = match said.split_once(" hint: ") {
            Some((message, hint)) => (message.trim_end_matches(';').to_owned(), Some(hint.to_owned())),
            None if said.is_empty() => (code.description().to_lowercase(), None),
            None => (said, None),
        };
        Self { code, message, hint }
    }
}

impl Refusal {
    /// The gateway's hint and then ours. Of credentials ours alone: the gateway cannot know where they came from.
    fn hints(&self, ours: Option<&String>) -> Vec<String> {
        let theirs = self.hint.as_ref().filter(|_| self.code != Code::Unauthenticated || ours.is_none());
        theirs.into_iter().chain(ours).cloned().collect()
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// No gateway can be told.
    #[error(transparent)]
    Target(TargetError),
    /// Nobody to talk to.
    #[error("cannot reach the gateway")]
    Dial(#[source] DialError),
    /// What is kept of gateways cannot be read or written.
    #[error(transparent)]
    Store(StoreError),
    /// What `gateway add` is given cannot be kept.
    #[error("cannot add the gateway")]
    Add(#[source] DialError),
    /// The connection ended in the middle of a call.
    #[error("cannot {what}: the connection to the gateway broke")]
    Lost {
        what: String,
        hint: String,
        #[source]
        source: Refusal,
    },
    /// An id's beginning that several have.
    #[error("`{given}` begins the ids of several sandboxes: {candidates}")]
    Ambiguous { given: String, candidates: String },
    /// What ends with a command's code otherwise could not get that far.
    #[error(transparent)]
    Inside(Box<Self>),
    /// The way into a sandbox ended before what went on there did.
    #[error("cannot {what}: the connection to the sandbox broke")]
    Cut { what: String, hint: String },
    /// The sandbox has tried, and says why not.
    #[error("cannot {what}: {said}")]
    Said { what: String, said: String, hints: Vec<String> },
    /// Files could not be read or written at this end.
    #[error("cannot {what}")]
    Files {
        what: String,
        hints: Vec<String>,
        #[source]
        source: Quiet,
    },
    /// A signal came while files were on their way.
    #[error("stopped: {left}")]
    Stopped { left: &'static str, hint: String },
    /// The terminal cannot be given to somebody else.
    #[error("cannot take the terminal")]
    Terminal(#[source] io::Error),
    /// A port cannot be listened at.
    #[error("cannot listen at {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// Several were named, and not all of it was done. Each error has been told.
    #[error("{failed} of {all} failed")]
    Some { failed: usize, all: usize, kind: Kind },
    /// Somebody does not want it after all.
    #[error("nothing was done")]
    Declined,
    /// Ctrl-C while it waited.
    #[error("no longer waiting: sandbox `{name}` is left as it is, {phase}")]
    Interrupted { name: String, phase: &'static str, hints: Vec<String> },
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
    /// Something is asked for that needs an option.
    #[error("{what}")]
    Needs { what: String, hint: String },
    /// A file cannot be read or written.
    #[error("cannot {doing} `{path}`", path = path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
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
            Self::Target(error) => match error {
                TargetError::NoDefault(_) | TargetError::Given(_) | TargetError::Endpoint { .. } => {
                    Kind::Usage
                }
                TargetError::Unknown { .. } => Kind::NotFound,
                TargetError::Several { .. } => Kind::Ambiguous,
                TargetError::Exposed { .. } => Kind::Untrusted,
                TargetError::Store(error) => of_store(error),
            },
            Self::Store(error) => of_store(error),
            Self::Dial(error) | Self::Add(error) => error.kind(),
            Self::Lost { .. } => Kind::Unavailable,
            Self::Ambiguous { .. } => Kind::Ambiguous,
            Self::Some { kind, .. } => *kind,
            Self::Interrupted { .. } | Self::Stopped { .. } => Kind::Interrupted,
            Self::Inside(_) => Kind::Inside,
            Self::Cut { .. } => Kind::Unavailable,
            Self::Usage(_) | Self::Needs { .. } => Kind::Usage,
            Self::Refused { source, .. } => Kind::of(source.code),
            Self::Silent { .. } | Self::TooLate { .. } => Kind::Deadline,
            Self::Empty { .. }
            | Self::Missed { .. }
            | Self::Unwell { .. }
            | Self::Declined
            | Self::Said { .. }
            | Self::Files { .. }
            | Self::Listen { .. }
            | Self::File { .. }
            | Self::Output(_)
            | Self::Terminal(_)
            | Self::Runtime(_) => Kind::Failure,
        }
    }

    /// Whether no other request would fare better: then the rest of several is not tried.
    pub(crate) fn is_everybodys(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Silent { .. } | Self::Interrupted { .. } | Self::Output(_))
            || matches!(self.refusal(), Some(Code::Unauthenticated))
    }

    /// The same refusal with the name that was meant, most likely.
    pub(crate) fn did_you_mean(self, near: &str) -> Self {
        match self {
            Self::Refused { what, source, .. } => {
                Self::Refused { what, hint: Some(format!("did you mean `{near}`?")), source }
            }
            other => other,
        }
    }

    /// The same from a command that ends with the code of what it runs. A wrong command line stays one, and so does a reader
    /// that went away.
    pub(crate) fn inside(self) -> Self {
        match self.kind() {
            Kind::Usage => self,
            _ if matches!(self, Self::Output(_)) => self,
            _ => Self::Inside(Box::new(self)),
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
            Self::Target(TargetError::Store(error)) => store_hints(error),
            Self::Target(error) => error.hints(),
            Self::Store(error) => store_hints(error),
            Self::Dial(error) | Self::Add(error) => error.hints(),
            Self::Lost { hint, .. } | Self::Cut { hint, .. } | Self::Stopped { hint, .. } => {
                vec![hint.clone()]
            }
            Self::Inside(error) => error.hints(),
            Self::Said { hints, .. } | Self::Files { hints, .. } => hints.clone(),
            Self::Listen { .. } => vec!["take another port, or 0 for any that is free".to_owned()],
            Self::Ambiguous { .. } => vec!["give more of the id, or the name".to_owned()],
            Self::Interrupted { hints, .. } => hints.clone(),
            Self::Needs { hint, .. } => vec![hint.clone()],
            Self::Refused { hint, source, .. } => source.hints(hint.as_ref()),
            Self::Silent { limit, .. } => {
                vec![format!("give it longer with --timeout {}s", limit.as_secs().max(1).saturating_mul(4))]
            }
            Self::Missed { hint, .. } | Self::TooLate { hint, .. } => vec![hint.clone()],
            Self::Unwell { .. } => {
                vec!["the gateway's log says what it lacks; most often its driver does not answer".to_owned()]
            }
            Self::Empty { .. }
            | Self::Some { .. }
            | Self::Declined
            | Self::Usage(_)
            | Self::File { .. }
            | Self::Output(_)
            | Self::Terminal(_)
            | Self::Runtime(_) => Vec::new(),
        }
    }

    /// Prints it with its causes and hints, and gives the exit code. A reader that closed the pipe has what it wanted.
    pub(crate) fn report(&self) -> ExitCode {
        if let Self::Output(error) = self
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            return ExitCode::SUCCESS;
        }
        self.tell();
        ExitCode::from(self.kind().code())
    }

    /// Prints it with its causes and hints.
    pub(crate) fn tell(&self) {
        output::complain(&shell::render(self, &self.hints()));
    }
}

fn of_store(error: &StoreError) -> Kind {
    match error {
        StoreError::NoDirectory | StoreError::BadName { .. } => Kind::Usage,
        StoreError::Absent { .. } => Kind::NotFound,
        StoreError::Present { .. } => Kind::AlreadyExists,
        StoreError::Malformed { .. } | StoreError::Io { .. } => Kind::Failure,
    }
}

fn store_hints(error: &StoreError) -> Vec<String> {
    match error {
        StoreError::NoDirectory => vec!["export XDG_CONFIG_HOME=\"$HOME/.config\"".to_owned()],
        StoreError::Absent { .. } => vec!["see which there are: openshell gateway list".to_owned()],
        StoreError::Present { name } => {
            vec![format!("forget that one first: openshell gateway remove {name}")]
        }
        StoreError::Malformed { path, .. } => {
            let name = path.parent().and_then(Path::file_name).unwrap_or_default();
            vec![format!(
                "mend it, or forget it and add it anew: openshell gateway remove {}",
                text::quoted(Path::new(name))
            )]
        }
        StoreError::BadName { .. } | StoreError::Io { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_of_the_gateway_is_printed_once_where_hints_are() {
        let refused = |status: Status, hint: Option<&str>| {
            let error = CliError::Refused {
                what: "ask".to_owned(),
                hint: hint.map(str::to_owned),
                source: Refusal::from(status),
            };
            shell::render(&error, &error.hints())
        };
        for (status, ours, printed) in [
            (Status::not_found("no `w`; hint: make it"), None, "no `w`\nhint: make it\n"),
            (Status::not_found("no `w`; hint: make it"), Some("list"), "no `w`\nhint: make it\nhint: list\n"),
            (Status::not_found("no `w`"), Some("list"), "no `w`\nhint: list\n"),
            (Status::unauthenticated("who asks? hint: a token"), Some("add it"), "who asks?\nhint: add it\n"),
            (Status::unauthenticated("who asks? hint: a token"), None, "who asks?\nhint: a token\n"),
        ] {
            assert_eq!(refused(status, ours), format!("error: cannot ask\n  caused by: {printed}"));
        }
    }

    #[test]
    fn a_message_from_afar_cannot_steer_the_terminal() {
        let refusal = Refusal::from(Status::not_found("gone \u{1b}[2J\nerror: forged"));
        assert_eq!(refusal.to_string(), "gone \\u{1b}[2J\\nerror: forged");
    }
}
