//! The little state machine of a workspace.
//!
//! ```text
//!   CreateWorkspace ──▶ ACTIVE ── delete, and it holds nothing ──▶ TERMINATING ──▶ (the driver has nothing of it) gone
//!                        │  ▲                                        │      ▲
//!                        └──┘ delete while it holds sandboxes:       └──────┘ any other answer of the driver: again
//!                             refused, with their number
//! ```
//!
//! TERMINATING is stored before the driver is asked, so that a gateway that was killed in between asks again. It takes
//! no new sandbox; whether a sandbox or the deletion came first is decided by the transaction that stores them.

use openshell_driver_api::DriverError;

use super::Turn;

/// The workspace that is always there, and that an empty name means.
pub(crate) const DEFAULT_WORKSPACE: &str = "default";

/// The phase of a workspace; the word is the wire's without its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkspacePhase {
    /// In use.
    Active,
    /// On its way out.
    Terminating,
}

/// Why a workspace cannot be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkspaceRefusal {
    /// It is the one that is always there.
    Permanent,
    /// It holds so many sandboxes.
    Holds(u64),
}

impl WorkspacePhase {
    /// The phase of one whose deletion was asked for then, or never.
    #[must_use]
    pub fn of(deleted_at_ms: Option<i64>) -> Self {
        if deleted_at_ms.is_some() { Self::Terminating } else { Self::Active }
    }

    /// The word in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Terminating => "TERMINATING",
        }
    }
}

/// Whether a workspace that holds so many sandboxes, whatever their phases, may be deleted.
pub(crate) fn may_go(name: &str, sandboxes: u64) -> Result<(), WorkspaceRefusal> {
    if name == DEFAULT_WORKSPACE {
        Err(WorkspaceRefusal::Permanent)
    } else if sandboxes > 0 {
        Err(WorkspaceRefusal::Holds(sandboxes))
    } else {
        Ok(())
    }
}

/// What is to be done after the driver's answer to the deletion. That it has none, or has no workspaces at all, is no
/// error by then.
pub(crate) fn removed(answer: &Result<(), DriverError>) -> Turn {
    if answer.is_ok() { Turn::Remove } else { Turn::Again }
}

#[cfg(test)]
mod tests {
    use openshell_driver_api::ErrorKind;

    use super::*;

    #[test]
    fn what_may_go() {
        assert_eq!(may_go("default", 0), Err(WorkspaceRefusal::Permanent));
        assert_eq!(may_go("team", 3), Err(WorkspaceRefusal::Holds(3)));
        assert_eq!(may_go("team", 0), Ok(()));
    }

    #[test]
    fn only_the_driver_s_yes_ends_it() {
        assert_eq!(removed(&Ok(())), Turn::Remove);
        for kind in ErrorKind::ALL {
            assert_eq!(removed(&Err(DriverError::new(kind, "delete", "no"))), Turn::Again, "{kind:?}");
        }
    }

    #[test]
    fn the_phase_follows_from_the_row() {
        assert_eq!(WorkspacePhase::of(None).as_str(), "ACTIVE");
        assert_eq!(WorkspacePhase::of(Some(1)).as_str(), "TERMINATING");
    }
}
