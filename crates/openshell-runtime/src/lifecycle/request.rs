//! What clients may ask of a sandbox, in which phase.

use super::model::{Begun, Desired, Life, Phase, Step};

/// What a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Request {
    /// Stop it.
    Stop,
    /// Start it.
    Start,
    /// Remove it.
    Delete,
}

/// The phase in which it cannot be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What was asked.
    pub(crate) request: Request,
    /// The phase it is in.
    pub(crate) phase: Phase,
}

impl Life {
    /// Takes a client's request: what it changes is to be stored before the driver is asked for what is owed then.
    ///
    /// # Errors
    /// The phase that does not allow it; nothing is changed.
    pub(crate) fn request(&mut self, request: Request, now_ms: i64) -> Result<(), Refusal> {
        match (request, self.phase) {
            (Request::Delete, _) => self.ask_delete(),
            (Request::Stop, Phase::Ready | Phase::Stopping) => {
                self.desired = Desired::Stopped;
                self.reached = false;
                self.owed = Some(Step::Stop);
            }
            // Already there; if it got there without us, it is what is wanted from now on.
            (Request::Stop, Phase::Stopped) => self.desired = Desired::Stopped,
            (Request::Start, Phase::Ready) => self.desired = Desired::Running,
            (Request::Start, Phase::Stopped) => self.ask_start(Begun::Start),
            (Request::Start, Phase::Error) => self.ask_start(Begun::Retry),
            // What is owed already will do; what was accepted and has not happened is asked for again.
            (Request::Start, Phase::Starting) => self.owed = self.owed.or(Some(Step::Start)),
            (request, phase) => return Err(Refusal { request, phase }),
        }
        self.settle(now_ms);
        Ok(())
    }

    fn ask_delete(&mut self) {
        if self.desired != Desired::Deleted {
            self.desired = Desired::Deleted;
            self.reached = false;
            self.own = None;
        }
        self.owed = Some(Step::Delete);
    }

    fn ask_start(&mut self, begun: Begun) {
        self.desired = Desired::Running;
        self.begun = begun;
        self.reached = false;
        self.own = None;
        // The last report was of the run before.
        self.observed = None;
        self.await_supervisor();
        self.owed = Some(if self.made { Step::Start } else { Step::Create });
        self.waiting_since_ms = None;
    }
}
