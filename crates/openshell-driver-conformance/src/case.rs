//! What a case is: its name, how much it counts, what it says, what it does.

use std::fmt;
use std::pin::Pin;

use crate::context::Ctx;

/// A part of the contract that is tested by itself.
pub struct Case {
    /// `group.name`, stable: scripts name it.
    pub id: &'static str,
    /// How much it counts.
    pub level: Level,
    /// What it checks, as a sentence about the driver.
    pub checks: &'static str,
    /// What goes wrong otherwise.
    pub why: &'static str,
    /// What the driver's author can do.
    pub mend: &'static str,
    pub(crate) run: Run,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

/// How a case is run.
pub(crate) type Run = for<'a> fn(&'a Ctx) -> Pin<Box<dyn Future<Output = Checked> + Send + 'a>>;

/// What came of a check.
pub(crate) type Checked<T = ()> = Result<T, Unmet>;

/// Why a case did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unmet {
    /// The driver did something else.
    Failed(String),
    /// It could not be looked at, or need not be.
    Skipped(String),
}

/// A failure with its text.
pub(crate) fn failed<T>(text: impl Into<String>) -> Checked<T> {
    Err(Unmet::Failed(text.into()))
}

/// A skip with its reason.
pub(crate) fn skipped<T>(text: impl Into<String>) -> Checked<T> {
    Err(Unmet::Skipped(text.into()))
}

/// Fails with `text` unless `holds`.
pub(crate) fn expect(holds: bool, text: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { failed(text()) }
}

/// A subject of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Who the driver is, and how it speaks gRPC.
    Handshake,
    /// What the key of a sandbox is.
    Identity,
    /// What may be asked for.
    Validation,
    /// From create to delete.
    Lifecycle,
    /// What may be asked twice.
    Idempotency,
    /// The stream of changes.
    Watch,
    /// Errors, conditions, sizes.
    Errors,
    /// What nobody may read.
    Secrets,
    /// Who may connect.
    Socket,
    /// SIGTERM, and the life after it.
    Restart,
    /// That nothing is left.
    Cleanup,
}

impl Group {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 11] = [
        Self::Handshake,
        Self::Identity,
        Self::Validation,
        Self::Lifecycle,
        Self::Idempotency,
        Self::Watch,
        Self::Errors,
        Self::Secrets,
        Self::Socket,
        Self::Restart,
        Self::Cleanup,
    ];

    /// The first part of its cases' ids.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Identity => "identity",
            Self::Validation => "validation",
            Self::Lifecycle => "lifecycle",
            Self::Idempotency => "idempotency",
            Self::Watch => "watch",
            Self::Errors => "errors",
            Self::Secrets => "secrets",
            Self::Socket => "socket",
            Self::Restart => "restart",
            Self::Cleanup => "cleanup",
        }
    }

    /// What it is about, as a heading's sentence.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Handshake => "Who the driver is, and how it speaks gRPC.",
            Self::Identity => "The id is the key; a name informs.",
            Self::Validation => "What cannot be honoured is refused by name, before anything is made.",
            Self::Lifecycle => "From a create to a delete, and nothing left in between.",
            Self::Idempotency => "Every call may come twice: a gateway that was killed asks again.",
            Self::Watch => "The snapshot, then every change, or an error.",
            Self::Errors => "What a status says, and how large an answer may be.",
            Self::Secrets => "A sandbox's token is for the sandbox alone.",
            Self::Socket => "Who can connect can do what the driver can.",
            Self::Restart => "SIGTERM, and the life after it.",
            Self::Cleanup => "What a run of these cases leaves behind.",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much a case counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A driver that fails it breaks the contract.
    Required,
    /// A gateway copes; people are better off with it.
    Recommended,
    /// A driver may go without.
    Optional,
}

impl Level {
    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Recommended => "recommended",
            Self::Optional => "optional",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Case {
    /// The subject that its id begins with.
    #[must_use]
    pub fn group(&self) -> Group {
        let first = self.id.split('.').next().unwrap_or_default();
        // A test looks that every id has one.
        Group::ALL.into_iter().find(|group| group.name() == first).unwrap_or(Group::Cleanup)
    }
}
