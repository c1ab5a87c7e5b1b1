//! How a sandbox is, as the contract's conditions: pure.
//!
//! ```text
//!   Preparing ──▶ Booting ──▶ Running ──▶ Stopping ──▶ Ended: Stopped │ ContainerExited │ OOMKilled
//!    (create)        ▲           └─────────────────────▶  │            │ ContainerStartFailed │ ContainerDead
//!                    └────────────── start ◀──────────────┘
//! ```

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openshell_driver_api::conditions::{self, not_ready, reason};
use openshell_driver_api::{Condition, ObservedSandbox, SandboxId, SandboxStatus};
use openshell_driver_common::container::names::Scope;

use crate::machine::{Cause, End};
use crate::record::{Ended, How, Record};

/// What a sandbox is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its image becomes a disk; nothing is kept yet.
    Preparing,
    /// Its machine is on, and its main process does not run yet.
    Booting,
    /// Its main process runs.
    Running,
    /// It was asked to end.
    Stopping,
    /// It does not run.
    Ended(Ended),
}

/// What is known of a sandbox.
#[derive(Clone)]
pub(crate) struct Known {
    /// What is kept of it, or will be.
    pub(crate) record: Record,
    /// What it is doing.
    pub(crate) phase: Phase,
    /// Since when, in milliseconds since 1970.
    pub(crate) since_ms: i64,
    /// It is being removed.
    pub(crate) deleting: bool,
}

impl Known {
    /// A sandbox of an earlier driver: whatever ran then has ended with it.
    pub(crate) fn found(record: Record, now_ms: i64) -> Self {
        let ended = record.ended.clone().unwrap_or_else(|| Ended {
            how: How::Stopped,
            message: "stopped: its driver ended".to_owned(),
            at_ms: now_ms,
        });
        Self { record, since_ms: ended.at_ms, phase: Phase::Ended(ended), deleting: false }
    }

    /// The sandbox as the contract tells it.
    pub(crate) fn observe(&self, id: &SandboxId, scope: &Scope) -> ObservedSandbox {
        ObservedSandbox {
            id: id.clone(),
            name: self.record.name.clone(),
            namespace: String::new(),
            workspace: self.record.workspace.clone(),
            status: SandboxStatus {
                sandbox_name: scope.container(id),
                // What tells a sandbox from an earlier one of its id.
                instance_id: self.record.created_ms.to_string(),
                conditions: self.conditions(),
                deleting: self.deleting,
                ..SandboxStatus::default()
            },
        }
    }

    fn conditions(&self) -> Vec<Condition> {
        let conditions = match &self.phase {
            _ if self.deleting => vec![not_ready(reason::TERMINATING, "the machine is being removed")],
            Phase::Preparing => vec![not_ready(reason::PROVISIONING, "the image is being made ready")],
            Phase::Booting => vec![not_ready(reason::CONTAINER_STARTING, "the machine boots")],
            Phase::Running => vec![conditions::ready()],
            Phase::Stopping => vec![not_ready(reason::STOPPING, "the machine is being stopped")],
            Phase::Ended(Ended { how: How::Stopped, message, .. }) => conditions::stopped(message),
            Phase::Ended(Ended { how, message, .. }) => vec![not_ready(how.reason(), message)],
        };
        let since = timestamp(self.since_ms);
        conditions.into_iter().map(|condition| condition.since(since.as_str())).collect()
    }
}

impl How {
    /// The reason of `Ready=False`.
    fn reason(self) -> &'static str {
        match self {
            Self::Stopped => reason::STOPPED,
            Self::Exited => reason::CONTAINER_EXITED,
            Self::OutOfMemory => reason::OOM_KILLED,
            Self::Failed => reason::CONTAINER_START_FAILED,
            Self::Dead => reason::CONTAINER_DEAD,
        }
    }
}

impl Ended {
    /// How a machine's end is told. `asked` says that somebody asked for it, whatever became of the asking.
    pub(crate) fn of(end: &End, asked: bool, at_ms: i64) -> Self {
        let (how, message) = match end.cause {
            Cause::Exited { code, .. } if asked => (How::Stopped, exit_of_stopped(code)),
            _ if asked => (How::Stopped, "stopped".to_owned()),
            // As with any process that nobody sees killed: a main process that outlived it and ended well is no such case.
            Cause::Exited { code, out_of_memory: true } if code != 0 => {
                (How::OutOfMemory, format!("out of memory; exit code {code}"))
            }
            Cause::Exited { code, .. } => {
                (How::Exited, format!("the main process ended with exit code {code}"))
            }
            Cause::Stopped => (How::Stopped, "stopped".to_owned()),
            Cause::Failed => (How::Failed, end.message.clone()),
            Cause::Panicked | Cause::Hung | Cause::Qemu => (How::Dead, end.message.clone()),
        };
        Self { how, message, at_ms }
    }

    /// What a stop makes of a run that had ended before.
    pub(crate) fn stopped(self) -> Self {
        let message = match self.how {
            How::Stopped => return self,
            _ => format!("stopped; {}", self.message),
        };
        Self { how: How::Stopped, message, at_ms: self.at_ms }
    }
}

fn exit_of_stopped(code: i32) -> String {
    format!("stopped; the main process ended with exit code {code}")
}

fn timestamp(ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(ms).unwrap_or_default());
    conditions::timestamp(UNIX_EPOCH.checked_add(since).unwrap_or_else(SystemTime::now))
}

#[cfg(test)]
mod tests;
