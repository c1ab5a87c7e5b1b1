//! A failed pull, told to everybody who waited for it, with what to do about it.

use std::time::Duration;

use openshell_driver_api::conditions::reason;
use openshell_driver_api::{DriverError, ErrorKind};

use super::cause::{Cause, classify};

/// A pull's failure, which everybody who waited for that pull is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What it is in the terms of the contract.
    pub kind: ErrorKind,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// What people on an engine's host have in their hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// The engine's own client: `docker`.
    pub name: &'static str,
    /// The directory in which the engine looks for the certificates of registries.
    pub certificates: &'static str,
}

/// An engine's answer to a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The HTTP status, where the words came with one.
    pub status: Option<u16>,
    /// What the engine says, or what is wrong with it.
    pub words: &'a str,
    /// Set when it is the engine itself that does not answer.
    pub engine: Option<ErrorKind>,
}

impl Fault {
    /// A failure in plain words.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Nothing came from a registry for so long that the pull was given up.
    #[must_use]
    pub fn stalled(reference: &str, registry: &str, patience: Duration) -> Self {
        let seconds = patience.as_secs();
        let message =
            format!("cannot pull `{reference}`: nothing came from `{registry}` for {seconds} seconds");
        Self::new(ErrorKind::DeadlineExceeded, message)
            .hint(format!("ask it from the engine's host: curl -sSI https://{registry}/v2/"))
    }

    /// The failure of a sandbox whose image this was.
    #[must_use]
    pub fn error(self) -> DriverError {
        let error = DriverError::new(self.kind, "pull image", self.message);
        let error = error.with_reason(reason::IMAGE_PULL_FAILED);
        match self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    /// What an engine's answer to a pull of `reference` from `registry` means. `access` says which credentials were sent
    /// and where they came from.
    #[must_use]
    pub fn of(program: Program, reference: &str, registry: &str, access: &str, refusal: Refusal<'_>) -> Self {
        let Program { name, certificates } = program;
        let words = refusal.words;
        let cause = match refusal.engine {
            Some(_) => Cause::Engine,
            None => classify(refusal.status, words, reference),
        };
        let message = |why: &str| format!("cannot pull `{reference}`: {why}; {words}");
        match cause {
            Cause::Absent => {
                Self::new(ErrorKind::FailedPrecondition, message("the registry has no such image"))
                    .hint(format!("look at the name and the tag: {name} manifest inspect {reference}"))
            }
            Cause::Denied => Self::new(
                ErrorKind::PermissionDenied,
                message(&format!("`{registry}` gives no access, or there is no such image; {access}")),
            )
            .hint(format!("log in as the user that runs the gateway: {name} login {registry}")),
            Cause::Away => {
                // No trying again by itself: most often the name, or the host's way to the world, is what is wrong.
                Self::new(ErrorKind::FailedPrecondition, message(&format!("`{registry}` does not answer")))
                    .hint(format!("ask it from the engine's host: curl -sSI https://{registry}/v2/"))
            }
            Cause::Busy => Self::new(
                ErrorKind::Unavailable,
                message(&format!("`{registry}` has been asked too often; {access}")),
            )
            .hint(format!("log in for a higher limit: {name} login {registry}")),
            Cause::Untrusted => Self::new(
                ErrorKind::FailedPrecondition,
                message(&format!("the engine does not trust `{registry}`")),
            )
            .hint(format!("give the engine its CA: {certificates}/{registry}/ca.crt on the engine's host")),
            Cause::NoSpace => Self::new(ErrorKind::ResourceExhausted, message("the engine's disk is full"))
                .hint(format!(
                    "see what takes it, and remove what nobody uses: {name} system df; {name} image prune"
                )),
            Cause::BadReference => {
                Self::new(ErrorKind::InvalidArgument, message("that is no image reference"))
            }
            Cause::Platform => Self::new(
                ErrorKind::FailedPrecondition,
                message("the registry has it, but not for the engine's platform"),
            )
            .hint(format!("see for which it is: {name} manifest inspect {reference}")),
            Cause::Engine => {
                let kind = refusal.engine.unwrap_or(ErrorKind::Unavailable);
                Self::new(kind, format!("cannot pull `{reference}`: {words}"))
                    .hint(format!("ask it: {name} version"))
            }
            Cause::Other => {
                Self::new(ErrorKind::FailedPrecondition, format!("cannot pull `{reference}`: {words}"))
            }
        }
    }
}
