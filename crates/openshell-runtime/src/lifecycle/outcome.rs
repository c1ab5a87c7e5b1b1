//! What the driver's answers change.

use openshell_driver_api::{DriverError, ErrorKind};

use super::model::{Begun, Desired, Life, Step, reason};

/// What the driver did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What was asked, or at least it has taken it.
    Done,
    /// A delete: nothing is there any more.
    Gone,
}

/// Why it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    /// The kind, which goes to the client as a code.
    pub(crate) kind: ErrorKind,
    /// The driver's words.
    pub(crate) message: String,
    /// The reason that it gives for a sandbox that this ends, where it has a better one than the gateway.
    pub(crate) reason: Option<&'static str>,
}

impl Failed {
    /// Says that the sandbox is in ERROR for this: with the driver's reason, or the gateway's for such a call.
    fn tell(&self, life: &mut Life, otherwise: &'static str, now_ms: i64) {
        life.fail(self.reason.unwrap_or(otherwise), self.message.clone(), now_ms);
    }
}

impl From<DriverError> for Failed {
    fn from(error: DriverError) -> Self {
        Self { kind: error.kind(), message: error.message().to_owned(), reason: error.reason() }
    }
}

/// Whether somebody waits for the answer and can ask again, or the gateway itself has to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// A client gets the error; the sandbox stays as it was.
    Client,
    /// Nobody else will ask again.
    Gateway,
}

/// What is to be done after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Go on with what is owed, if anything is.
    Next,
    /// The same call again after a pause.
    Again,
    /// The row may go.
    Remove,
}

impl Life {
    /// The driver has answered the call `step`. An answer to what is no longer owed only tells what is there.
    #[must_use]
    pub(crate) fn answered(
        &mut self,
        step: Step,
        answer: &Result<Answer, Failed>,
        patience: Patience,
        timeout_ms: i64,
        now_ms: i64,
    ) -> Turn {
        if self.owed != Some(step) {
            // A create that ended while something else was asked for has made it all the same.
            self.made |= step == Step::Create && answer.is_ok();
            return Turn::Next;
        }
        let in_time = self.waiting_since_ms.is_none_or(|since| now_ms.saturating_sub(since) < timeout_ms);
        let turn = match (step, answer) {
            (Step::Delete, Ok(Answer::Gone)) => return Turn::Remove,
            (Step::Delete | Step::CleanUp, Ok(Answer::Done)) => Turn::Again,
            (Step::CleanUp, Ok(Answer::Gone)) => self.cleaned(),
            (Step::Create, Ok(_)) => {
                self.made = true;
                self.own = None;
                self.pay()
            }
            (Step::Adopt | Step::Start | Step::Stop, Ok(_)) => self.pay(),
            (Step::Create, Err(failed)) => self.create_failed(failed, in_time, now_ms),
            (Step::Adopt, Err(failed)) => self.adopt_failed(failed, in_time, now_ms),
            (Step::Start, Err(failed)) => self.start_failed(failed, patience, in_time, now_ms),
            (Step::Stop, Err(failed)) => self.stop_failed(failed, patience, now_ms),
            (Step::Delete, Err(failed)) => {
                self.explain(reason::DELETE_FAILED, format!("{}; trying again", failed.message), now_ms);
                Turn::Again
            }
            // A driver that cannot delete has nothing to clean up with.
            (Step::CleanUp, Err(failed)) if failed.kind == ErrorKind::Unimplemented => self.cleaned(),
            (Step::CleanUp, Err(_)) => Turn::Again,
        };
        self.settle(now_ms);
        turn
    }

    fn pay(&mut self) -> Turn {
        self.owed = None;
        // The explanation of a wait for the driver ends with the wait.
        self.own.take_if(|own| !own.terminal);
        Turn::Next
    }

    fn cleaned(&mut self) -> Turn {
        self.made = false;
        self.pay()
    }

    fn create_failed(&mut self, failed: &Failed, in_time: bool, now_ms: i64) -> Turn {
        if failed.kind == ErrorKind::AlreadyExists {
            self.made = true;
            self.owed = Some(Step::Adopt);
            return Turn::Next;
        }
        if failed.kind.is_retryable() && in_time {
            self.explain(reason::PROVISIONING, format!("{}; trying again", failed.message), now_ms);
            return Turn::Again;
        }
        failed.tell(self, reason::PROVISIONING_FAILED, now_ms);
        // A driver that says no has left nothing; one that was cut off may have.
        let open = failed.kind.is_retryable() || failed.kind == ErrorKind::Internal;
        self.owed = open.then_some(Step::CleanUp);
        Turn::Next
    }

    fn adopt_failed(&mut self, failed: &Failed, in_time: bool, now_ms: i64) -> Turn {
        match failed.kind {
            ErrorKind::Unimplemented => return self.pay(),
            ErrorKind::NotFound => {
                // The id is taken and yet not there: asking for ever would not change it.
                self.made = false;
                let message = "the driver says both that the id is taken and that it has no such sandbox";
                self.fail(reason::PROVISIONING_FAILED, message, now_ms);
            }
            kind if kind.is_retryable() && in_time => {
                self.explain(reason::PROVISIONING, format!("{}; trying again", failed.message), now_ms);
                return Turn::Again;
            }
            _ => failed.tell(self, reason::START_FAILED, now_ms),
        }
        self.pay()
    }

    fn start_failed(&mut self, failed: &Failed, patience: Patience, in_time: bool, now_ms: i64) -> Turn {
        if failed.kind == ErrorKind::NotFound {
            self.made = false;
            if self.begun == Begun::Start {
                self.begun = Begun::Retry;
            }
            self.owed = Some(Step::Create);
            return Turn::Next;
        }
        if patience == Patience::Gateway && failed.kind.is_retryable() && in_time {
            self.explain(reason::PROVISIONING, format!("{}; trying again", failed.message), now_ms);
            return Turn::Again;
        }
        if self.begun == Begun::Start {
            // As it was: standing still.
            self.desired = Desired::Stopped;
            self.reached = true;
            self.own = None;
        } else {
            failed.tell(self, reason::START_FAILED, now_ms);
        }
        self.pay()
    }

    fn stop_failed(&mut self, failed: &Failed, patience: Patience, now_ms: i64) -> Turn {
        if failed.kind == ErrorKind::NotFound {
            self.owed = None;
            let _still_wanted = self.gone(now_ms);
            return Turn::Next;
        }
        if patience == Patience::Gateway && failed.kind.is_retryable() {
            return Turn::Again;
        }
        // As it was: running, or whatever the backend reports.
        self.desired = Desired::Running;
        self.reached = true;
        self.pay()
    }
}
