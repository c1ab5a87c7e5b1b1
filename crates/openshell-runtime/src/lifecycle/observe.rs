//! What the backend reports, what it amounts to, and what time alone brings.

use openshell_driver_api::conditions::{self, READY, ReasonClass, SUSPENDED, Wanted};
use openshell_driver_api::{ConditionStatus, SandboxStatus};

use super::model::{Begun, Desired, Life, Phase, Step, reason};

/// What a backend's report amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Report {
    /// No report yet.
    Nothing,
    /// `Ready=True`, and with its supervisor, where it has one.
    Running,
    /// `Ready=True`, and its supervisor is awaited.
    Unsupervised,
    /// `Ready=False` for a passing reason or one that nobody knows.
    OnTheWay,
    /// `Suspended=True`, or a reason that says stopped.
    Stopped,
    /// A reason that waiting does not mend.
    Failed,
    /// `Ready=Unknown`.
    Unknown,
    /// It is going.
    Deleting,
}

/// Reads a report. Only `ContainerExited` depends on what is wanted.
pub(crate) fn classify(status: Option<&SandboxStatus>, desired: Desired) -> Report {
    let Some(status) = status else { return Report::Nothing };
    if status.deleting {
        return Report::Deleting;
    }
    let suspended = conditions::find(&status.conditions, SUSPENDED);
    if suspended.is_some_and(|condition| condition.status == ConditionStatus::True) {
        return Report::Stopped;
    }
    let Some(ready) = conditions::find(&status.conditions, READY) else { return Report::OnTheWay };
    match ready.status {
        ConditionStatus::True => Report::Running,
        ConditionStatus::Unknown => Report::Unknown,
        ConditionStatus::False => {
            let wanted = if desired == Desired::Stopped { Wanted::Stopped } else { Wanted::Running };
            match conditions::classify(&ready.reason, wanted) {
                ReasonClass::Stopped => Report::Stopped,
                ReasonClass::Terminal => Report::Failed,
                ReasonClass::Transient if ready.reason == conditions::reason::TERMINATING => Report::Deleting,
                ReasonClass::Transient | ReasonClass::Unknown => Report::OnTheWay,
            }
        }
    }
}

/// The reason of the `Ready` condition, empty when there is none.
pub(super) fn ready_reason(status: &SandboxStatus) -> &str {
    conditions::find(&status.conditions, READY).map_or("", |ready| ready.reason.as_str())
}

impl Life {
    /// The backend reported `status`.
    pub(crate) fn observe(&mut self, status: SandboxStatus, now_ms: i64) {
        // What a failed create left is on its way out, and nobody waits for it.
        if self.owed == Some(Step::CleanUp) || self.observed.as_ref() == Some(&status) {
            return;
        }
        self.observed = Some(status);
        // A create under way says itself when it is done; a killed gateway asks again and is told.
        if self.owed != Some(Step::Create) {
            self.made = true;
        }
        self.arrive();
        self.settle(now_ms);
    }

    /// Notes that it is where it should be, if it is.
    pub(super) fn arrive(&mut self) {
        let report = self.report();
        self.reached |= matches!(
            (self.desired, report),
            (Desired::Running, Report::Running) | (Desired::Stopped, Report::Stopped)
        );
        // It runs, or stands still as it should, whatever was said before.
        if self.reached
            && matches!(report, Report::Running | Report::Stopped)
            && self.desired != Desired::Deleted
        {
            self.own = None;
        }
    }

    /// The backend has no such sandbox, and no call is under way that would make it. `true`: the row may go.
    #[must_use]
    pub(crate) fn gone(&mut self, now_ms: i64) -> bool {
        if self.desired == Desired::Deleted {
            return true;
        }
        if matches!(self.owed, Some(Step::Create | Step::CleanUp)) || !self.made {
            return false;
        }
        self.made = false;
        self.observed = None;
        self.owed = None;
        // What never ran has lost nothing, and why it failed says more than that it is gone.
        let never_ran = self.begun == Begun::Create && !self.reached;
        if !(never_ran && self.own.as_ref().is_some_and(|own| own.terminal)) {
            self.fail(
                reason::BACKEND_GONE,
                "the backend no longer has this sandbox: start makes it anew, without its workspace; delete removes it",
                now_ms,
            );
        }
        self.settle(now_ms);
        false
    }

    /// The moment has come at which a wait is over. Does nothing before it, and nothing while a call is owed, whose
    /// answer decides.
    pub(crate) fn expire(&mut self, timeout_ms: i64, now_ms: i64) {
        let due = self.waiting_since_ms.is_some_and(|since| now_ms.saturating_sub(since) >= timeout_ms);
        if !due || self.owed.is_some() {
            return;
        }
        let ready = self.observed.as_ref().and_then(|status| conditions::find(&status.conditions, READY));
        let last = match ready {
            Some(_) if self.report() == Report::Unsupervised => {
                "the backend runs it, and its supervisor is not connected".to_owned()
            }
            Some(ready) => format!("the backend's last word: `{}` {}", ready.reason, ready.message),
            None => "the backend has reported nothing".to_owned(),
        };
        let message = format!("not ready within {} s; {}", timeout_ms / 1000, last.trim_end());
        self.fail(reason::PROVISIONING_FAILED, message, now_ms);
        self.settle(now_ms);
    }

    /// The gateway has come up again: the time that it was away does not count.
    pub(crate) fn restarted(&mut self, now_ms: i64) {
        if self.waiting_since_ms.is_some() {
            self.waiting_since_ms = Some(now_ms);
        }
    }

    /// Owes a start when it should run and its backend was found standing still after the gateway, or the driver, came up;
    /// so, too, when it was on its way then, with a call that had been answered.
    /// `was_live`: its phase was one of a sandbox that runs or is about to before that, so that one which has exited fell
    /// over with its host.
    pub(crate) fn revive(&mut self, was_live: bool, now_ms: i64) {
        let exited = self.observed.as_ref().map_or("", ready_reason) == conditions::reason::CONTAINER_EXITED;
        let fell_over = was_live && self.phase == Phase::Error && exited && self.own.is_none();
        let cut_short = self.phase.is_waiting() && self.report() == Report::Stopped;
        let wanted = self.desired == Desired::Running && self.made && self.owed.is_none();
        if wanted && (self.phase == Phase::Stopped || cut_short || fell_over) {
            if self.begun == Begun::Start || !cut_short {
                // Not `Start`: one that fails would go back to a stop that nobody asked for.
                self.begun = Begun::Retry;
            }
            // It has all of its time again.
            self.waiting_since_ms = None;
            self.reached = false;
            self.observed = None;
            self.await_supervisor();
            self.owed = Some(Step::Start);
            self.settle(now_ms);
        }
    }
}
