//! The calls that are owed: one after the other for a sandbox, until nothing is owed.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openshell_driver_api::{DriverError, ErrorKind, SandboxId};
use tokio::sync::{oneshot, watch};
use tracing::{Instrument as _, Span};

use super::{Changed, Engine, Fate};
use crate::clock::millis;
use crate::driver::Removal;
use crate::lifecycle::{Answer, Failed, Patience, Refusal, Request, Step, Turn};
use crate::spec;
use crate::store::{Db, Record, StoreError};
use crate::usage::{UsageAction, UsageEvent, UsageOutcome};

/// What a client's request came to.
#[derive(Debug)]
pub(crate) enum Settled {
    /// There is no such sandbox, or no more.
    Absent,
    /// It was accepted; this is the sandbox now.
    Accepted(Box<Record>),
    /// Its phase does not allow it.
    Refused(Refusal),
    /// It belongs to a driver that this gateway does not run.
    Foreign(Box<Record>),
    /// The driver said no; the sandbox is as it was, or going if a delete was asked for.
    Failed(Failed),
    /// The driver has not answered in time; the gateway goes on with it.
    Waiting,
    /// The gateway stops.
    Stopping,
    /// The store failed.
    Store(StoreError),
}

/// A request that is stored.
struct Taken {
    /// The sandbox now.
    record: Record,
    /// Whether its deletion had been asked for before.
    was_going: bool,
    /// What was owed before.
    was_owed: Option<Step>,
}

/// Whoever waits for the first answer.
type Reply = Option<oneshot::Sender<Settled>>;

/// When the calls for a sandbox are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// At once: somebody has asked.
    Now,
    /// A few sandboxes at a time: many are owed at once, and a backend that came back is not to be run over.
    InTurn,
}

impl Engine {
    /// Takes a client's request for a sandbox, and waits for the driver's answer where there is one to wait for.
    pub(crate) async fn request(self: &Arc<Self>, id: &str, request: Request) -> Settled {
        let begun = Instant::now();
        let settled = self.settle(id, request).await;
        if let Some((action, outcome)) = usage_of(request, &settled) {
            self.settings.usage.record(UsageEvent { action, outcome, took: begun.elapsed() });
        }
        settled
    }

    async fn settle(self: &Arc<Self>, id: &str, request: Request) -> Settled {
        let Taken { record, was_going, was_owed } = match self.take(id, request).await {
            Ok(taken) => taken,
            Err(settled) => return settled,
        };
        if request == Request::Delete || was_owed == Some(Step::CleanUp) {
            // A create under way ends soon, and a delete or a clean-up that pauses looks again at once.
            self.lanes.hurry(id);
        }
        if was_going {
            return Settled::Accepted(Box::new(record));
        }
        let (reply, answer) = oneshot::channel();
        let (engine, key) = (Arc::clone(self), id.to_owned());
        let task = async move {
            engine.drive(&key, Some(request), Patience::Client, Pace::Now, Some(reply)).await;
        };
        if !self.spawn(task.instrument(work_span(id))) {
            return Settled::Stopping;
        }
        let deadlines = self.driver.deadlines();
        let longest = match request {
            Request::Delete => deadlines.delete.saturating_add(deadlines.create_after_delete),
            // The driver's own deadline comes first, unless another call for this sandbox is in the way.
            Request::Stop => deadlines.stop.saturating_mul(2),
            Request::Start => deadlines.start.saturating_mul(2),
        };
        match tokio::time::timeout(longest, answer).await {
            Ok(Ok(settled)) => settled,
            Ok(Err(_)) => Settled::Stopping,
            Err(_) => Settled::Waiting,
        }
    }

    /// Stores a request.
    async fn take(self: &Arc<Self>, id: &str, request: Request) -> Result<Taken, Settled> {
        let change = move |record: &mut Record, now| {
            let (was_going, was_owed) = (record.deleted_at_ms.is_some(), record.life.owed);
            let asked = record.life.request(request, now);
            (Fate::Stay, asked.map(|()| (was_going, was_owed)))
        };
        match self.change(id, change).await {
            Ok(Changed::Done(record, Ok((was_going, was_owed)))) => Ok(Taken { record, was_going, was_owed }),
            Ok(Changed::Done(_, Err(refusal))) => Err(Settled::Refused(refusal)),
            Ok(Changed::Absent) => Err(Settled::Absent),
            Ok(Changed::Foreign(record)) => Err(Settled::Foreign(Box::new(record))),
            Err(error) => Err(Settled::Store(error)),
        }
    }

    /// Works off what a sandbox owes, in a task of its own.
    pub(crate) fn drive_in_background(self: &Arc<Self>, id: &str, pace: Pace) {
        let (engine, span, id) = (Arc::clone(self), work_span(id), id.to_owned());
        let task = async move { engine.drive(&id, None, Patience::Gateway, pace, None).await };
        // Once the gateway stops it stays owed, and is asked for when it comes up again.
        let _stopping = self.spawn(task.instrument(span));
    }

    /// Calls the driver for a sandbox until nothing is owed. `request` is what a client asked for: when another call
    /// was under way, what that has made of it counts, and the request is taken once more.
    async fn drive(
        self: &Arc<Self>,
        id: &str,
        request: Option<Request>,
        mut patience: Patience,
        pace: Pace,
        mut reply: Reply,
    ) {
        let mut lane = tokio::select! {
            lane = self.lanes.enter(id) => lane,
            () = self.stopped() => return,
        };
        if let Some(request) = request
            && let Err(settled) = self.take(id, request).await
            && !matches!(settled, Settled::Refused(_))
        {
            return answer(&mut reply, settled);
        }
        let mut attempt = 0;
        // Never marked as seen: once somebody is in a hurry, nothing of this waits for its turn any more.
        let rush = lane.hurry.clone();
        loop {
            if *self.stopping.borrow() {
                return;
            }
            // For one call, not for the pauses between them: what fails for ever is in nobody's way.
            let permit = if pace == Pace::InTurn && !rush.has_changed().unwrap_or(true) {
                tokio::select! {
                    permit = self.background.acquire() => permit.ok(),
                    _ = lane.hurry.changed() => None,
                    () = self.stopped() => return,
                }
            } else {
                None
            };
            // Before the row is read: whatever is asked for after that is seen.
            lane.hurry.mark_unchanged();
            let turn = match self.call_owed(id, &mut lane.hurry, patience, &mut reply).await {
                Ok(None) => return,
                Ok(Some(turn)) => turn,
                Err(error) => {
                    tracing::error!(
                        sandbox = id,
                        error = &error as &dyn Error,
                        "the store failed; trying again"
                    );
                    answer(&mut reply, Settled::Store(error));
                    Turn::Again
                }
            };
            drop(permit);
            if reply.is_none() {
                // The client has its answer; whatever comes now is for the gateway to see through.
                patience = Patience::Gateway;
            }
            if turn == Turn::Next {
                attempt = 0;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(self.settings.backoff.pause(attempt)) => attempt += 1,
                _ = lane.hurry.changed() => {}
                () = self.stopped() => return,
            }
        }
    }

    /// Makes the call that is owed; `None` when none is, or the row is gone.
    async fn call_owed(
        self: &Arc<Self>,
        id: &str,
        hurry: &mut watch::Receiver<()>,
        patience: Patience,
        reply: &mut Reply,
    ) -> Result<Option<Turn>, StoreError> {
        let Some(record) =
            self.store.get(id).await?.filter(|record| record.driver == self.settings.driver_name)
        else {
            answer(reply, Settled::Absent);
            return Ok(None);
        };
        let Some(step) = record.life.owed else {
            answer(reply, Settled::Accepted(Box::new(record)));
            return Ok(None);
        };
        if step == Step::Create {
            // Nobody waits for a create.
            answer(reply, Settled::Accepted(Box::new(record.clone())));
        }
        let given = self.ask(&record, step, hurry).await;
        self.store_answer(id, step, given, patience, reply).await
    }

    /// Stores the driver's answer, and gives it to the client who waits for it. `None` when the row is gone.
    async fn store_answer(
        self: &Arc<Self>,
        id: &str,
        step: Step,
        given: Result<Answer, Failed>,
        patience: Patience,
        reply: &mut Reply,
    ) -> Result<Option<Turn>, StoreError> {
        if let Err(Failed { kind, message, reason }) = &given {
            tracing::warn!(
                sandbox = id,
                step = step.as_str(),
                ?kind,
                reason,
                message,
                "the driver did not do it"
            );
        }
        let timeout_ms = millis(self.settings.provisioning_timeout);
        let stored = given.clone();
        let change = move |record: &mut Record, now| {
            let turn = record.life.answered(step, &stored, patience, timeout_ms, now);
            (if turn == Turn::Remove { Fate::Go } else { Fate::Stay }, turn)
        };
        let Changed::Done(record, turn) = self.change(id, change).await? else {
            answer(reply, Settled::Absent);
            return Ok(None);
        };
        match (turn, given) {
            (Turn::Remove, _) => {
                answer(reply, Settled::Accepted(Box::new(record)));
                return Ok(None);
            }
            (Turn::Again, Ok(_)) => answer(reply, Settled::Accepted(Box::new(record))),
            (Turn::Again, Err(failed)) => answer(reply, Settled::Failed(failed)),
            (Turn::Next, given) if record.life.owed.is_none() => {
                answer(reply, given.map_or_else(Settled::Failed, |_| Settled::Accepted(Box::new(record))));
                // What is asked for from here on is its own asker's: that one is told of a failure, and this lane would try
                // again behind its back.
                return Ok(None);
            }
            (Turn::Next, _) => {}
        }
        Ok(Some(turn))
    }

    /// Asks the driver for what is owed.
    async fn ask(
        &self,
        record: &Record,
        step: Step,
        hurry: &mut watch::Receiver<()>,
    ) -> Result<Answer, Failed> {
        let id = SandboxId::new(record.id.as_str())?;
        match step {
            Step::Create => {
                tokio::select! {
                    answer = self.create(record) => answer?,
                    () = hurried(hurry, self.driver.deadlines().create_after_delete) => {
                        let message = "given up, for the sandbox shall be deleted".to_owned();
                        return Err(Failed { kind: ErrorKind::Aborted, message, reason: None });
                    }
                }
            }
            Step::Adopt | Step::Start => {
                self.open_door(&record.id).await?;
                self.driver.start(id).await?;
            }
            Step::Stop => self.driver.stop(id).await?,
            Step::Delete | Step::CleanUp => {
                return Ok(match self.driver.delete(id, &record.name).await? {
                    Removal::Gone => Answer::Gone,
                    Removal::Taken => Answer::Done,
                });
            }
        }
        Ok(Answer::Done)
    }

    async fn create(&self, record: &Record) -> Result<(), DriverError> {
        let mut request = spec::driver_request(record, &self.settings.config_key)?;
        request.spec.token = self.boot_token(&record.id);
        self.open_door(&record.id).await?;
        self.prepare_workspace(&record.workspace).await?;
        self.driver.create(request).await
    }

    /// Takes up what was owed when the gateway went away.
    pub(super) async fn resume(self: &Arc<Self>) -> Result<(), StoreError> {
        let (engine, driver) = (Arc::clone(self), self.settings.driver_name.clone());
        let restart = move |db: &Db<'_>| {
            let records = db.unsettled(&driver)?;
            for record in records.iter().filter(|record| record.life.waiting_since_ms.is_some()) {
                engine.change_in(db, &record.id, |record, now| {
                    record.life.restarted(now);
                    (Fate::Stay, ())
                })?;
            }
            Ok(records)
        };
        let records = self.store.write(restart, |_| ()).await?;
        for record in records.iter().filter(|record| record.life.owed.is_some()) {
            self.resume_one(record);
        }
        Ok(())
    }

    pub(super) fn resume_one(self: &Arc<Self>, record: &Record) {
        let step = record.life.owed.map(Step::as_str);
        tracing::info!(sandbox = record.id, name = record.name, step, "owed from before; asking the driver");
        self.drive_in_background(&record.id, Pace::InTurn);
    }
}

/// The span of work that a request sets off and that may outlive it: linked to it, and no part of it.
fn work_span(id: &str) -> Span {
    let span = tracing::debug_span!(parent: None, "work", sandbox = id);
    span.follows_from(Span::current());
    span
}

/// What a client's request says of the use; a delete counts when the sandbox is gone, and what the gateway itself is
/// in the way of does not.
fn usage_of(request: Request, settled: &Settled) -> Option<(UsageAction, UsageOutcome)> {
    let action = match request {
        Request::Start => UsageAction::Start,
        Request::Stop => UsageAction::Stop,
        Request::Delete => return None,
    };
    let outcome = match settled {
        Settled::Accepted(_) => UsageOutcome::Ok,
        Settled::Refused(_) => UsageOutcome::Refused,
        Settled::Failed(failed) => UsageOutcome::of(failed.kind),
        Settled::Waiting => UsageOutcome::Failed,
        Settled::Absent | Settled::Foreign(_) | Settled::Stopping | Settled::Store(_) => return None,
    };
    Some((action, outcome))
}

/// Ready some time after somebody is in a hurry.
async fn hurried(hurry: &mut watch::Receiver<()>, grace: Duration) {
    if hurry.changed().await.is_err() {
        // Nobody is left who could be in one.
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(grace).await;
}

/// Answers the client, once.
fn answer(reply: &mut Reply, settled: Settled) {
    if let Some(reply) = reply.take() {
        // A client that went away does not stop what it asked for.
        let _gone = reply.send(settled);
    }
}
