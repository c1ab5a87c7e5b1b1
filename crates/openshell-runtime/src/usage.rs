//! What the runtime tells of its use: what was asked for, what it came to and how long that took, never whose it was.

use std::time::Duration;

use openshell_driver_api::ErrorKind;

use crate::clock::between;
use crate::lifecycle::{Begun, Phase};
use crate::store::Record;

/// Something that was asked for and came to an end. Holds no name, no id and no text of a user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageEvent {
    /// What was asked for.
    pub action: UsageAction,
    /// What it came to.
    pub outcome: UsageOutcome,
    /// From the request until then; of a delete, from the sandbox's creation until it is gone.
    pub took: Duration,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageAction {
    /// A sandbox that runs.
    Create,
    /// One that runs again.
    Start,
    /// One that stands still.
    Stop,
    /// One that is gone.
    Delete,
}

/// What it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageOutcome {
    /// That.
    Ok,
    /// It cannot be had: the request is wrong, or not for this phase or this driver.
    Refused,
    /// The driver or its backend failed.
    Failed,
}

impl UsageOutcome {
    /// What a driver's error amounts to.
    pub(crate) fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidArgument | ErrorKind::FailedPrecondition | ErrorKind::Unimplemented => {
                Self::Refused
            }
            _ => Self::Failed,
        }
    }
}

/// What a change of a row says of the create that it ends. A sandbox that fails later, or once it was told to start
/// again, was created all the same.
pub(crate) fn of_create(before: &Record, after: &Record, now_ms: i64) -> Option<UsageEvent> {
    let creating = before.life.begun == Begun::Create && !before.life.reached;
    let outcome = match after.life.phase {
        Phase::Ready => UsageOutcome::Ok,
        Phase::Error => UsageOutcome::Failed,
        _ => return None,
    };
    let took = between(before.created_at_ms, now_ms);
    (creating && before.life.phase != after.life.phase).then_some(UsageEvent {
        action: UsageAction::Create,
        outcome,
        took,
    })
}

/// Takes usage events. Called on the path of requests: it must not block.
pub trait UsageSink: Send + Sync + 'static {
    /// Takes one event, or drops it.
    fn record(&self, event: UsageEvent);
}

/// A sink that drops everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoUsage;

impl UsageSink for NoUsage {
    fn record(&self, _event: UsageEvent) {}
}
