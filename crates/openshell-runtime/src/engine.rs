//! What makes the state machine move: stored changes, the calls that are owed, and the tasks that do both.
//!
//! ```text
//!   client ──request──▶ ┌────────┐ ──commit──▶ hub ──▶ client watches
//!   driver ──report───▶ │ change │
//!   clock  ──expire───▶ └────────┘ ──owed────▶ drive (one call at a time for a sandbox) ──answer──▶ change
//! ```
//!
//! Every change is one transaction on the store's thread, so that there is no other lock on a sandbox's state.

mod drive;
mod follow;
mod lanes;
mod looks;
mod timer;
mod workspaces;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openshell_driver_api::{Capabilities, ComputeDriver, SandboxId};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tonic::Status;

use crate::clock::{between, now_ms};
use crate::driver::Driver;
use crate::hub::Hub;
use crate::lifecycle::{Desired, Supervisor};
use crate::settings::Settings;
use crate::stats::{Counters, Stats};
use crate::store::{Db, Record, Store, StoreError};
use crate::supervisor::Supervisors;
use crate::usage::{self, UsageAction, UsageEvent, UsageOutcome};
pub(crate) use drive::{Pace, Settled};
use lanes::Lanes;
use looks::Looks;
pub(crate) use workspaces::WorkspaceSettled;

/// How many sandboxes are worked on at once when nobody waits for them: after a start, or a loss of the backend.
const BACKGROUND_CALLS: usize = 16;

/// The runtime's one instance of everything.
pub(crate) struct Engine {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) driver: Driver,
    pub(crate) hub: Hub,
    pub(crate) supervisors: Supervisors,
    lanes: Lanes,
    looks: Looks,
    link: watch::Sender<Link>,
    timer: Notify,
    stopping: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
    background: Semaphore,
    /// The workspaces that the driver was asked to prepare since its watch came up.
    prepared: Mutex<HashSet<String>>,
    /// The sandboxes that the driver is about to be asked for, because they seem to be gone.
    doubted: Mutex<HashSet<SandboxId>>,
}

/// How the gateway stands with its driver.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// Whether the watch is up, and the state that clients see is the backend's.
    pub(crate) up: bool,
    /// The driver's latest word on itself.
    pub(crate) capabilities: Capabilities,
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays.
    Stay,
    /// It goes.
    Go,
}

/// What came of a change.
#[derive(Debug)]
pub(crate) enum Changed<T> {
    /// There is no such row.
    Absent,
    /// The row belongs to a driver that this gateway does not run, and was left alone.
    Foreign(Record),
    /// The row as it is now, or was last, and what the change gave.
    Done(Record, T),
}

impl Engine {
    pub(crate) fn new(
        settings: Settings,
        store: Store,
        driver: Arc<dyn ComputeDriver>,
        capabilities: Capabilities,
    ) -> Arc<Self> {
        let driver = Driver::new(driver, settings.deadlines);
        Arc::new(Self {
            hub: Hub::new(settings.watch_buffer),
            supervisors: Supervisors::new(),
            settings,
            store,
            driver,
            lanes: Lanes::default(),
            looks: Looks::default(),
            link: watch::Sender::new(Link { up: false, capabilities }),
            timer: Notify::new(),
            stopping: watch::Sender::new(false),
            tasks: Mutex::default(),
            background: Semaphore::new(BACKGROUND_CALLS),
            prepared: Mutex::default(),
            doubted: Mutex::default(),
        })
    }

    /// Starts the tasks: what was owed when the gateway went away, the watch of the driver, the clock.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<(), StoreError> {
        let before = self.phases().await?;
        for (id, phase) in &before {
            self.counters().entered(*phase);
            self.looks.follow(id, *phase, false);
        }
        let all = self.store.count().await?;
        for _ in before.len() as u64..all {
            self.counters().found_foreign();
        }
        self.resume_supervision().await?;
        self.resume().await?;
        self.resume_workspaces().await?;
        let (follower, clock) = (Arc::clone(self), Arc::clone(self));
        let (porter, looker) = (Arc::clone(self), Arc::clone(self));
        self.spawn(async move { porter.close_doors().await });
        self.spawn(async move { follower.follow(before).await });
        self.spawn(async move { clock.keep_time().await });
        self.spawn(async move { looker.look_again().await });
        Ok(())
    }

    /// Ends the tasks, at the latest after `deadline`, and closes the store. What is owed then is owed when the
    /// gateway comes up again.
    pub(crate) async fn stop(&self, deadline: Duration) {
        self.stopping.send_replace(true);
        self.hub.close();
        self.supervisors.close();
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(deadline, all).await.is_err() {
            tracing::warn!(
                left = tasks.len(),
                ?deadline,
                "calls of the driver are still under way and are dropped"
            );
            tasks.shutdown().await;
        }
        self.store.close().await;
    }

    /// Runs a task to its end, whatever becomes of whoever asked for it. `false` once the gateway stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if *self.stopping.borrow() {
            return false;
        }
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
        true
    }

    /// Ready once the gateway stops.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender is in `self`, so that it cannot go away before.
        let _stopping = stopping.wait_for(|stopping| *stopping).await;
    }

    pub(crate) fn counters(&self) -> &Counters {
        self.driver.counters()
    }

    /// What there is to count, now.
    pub(crate) fn stats(&self) -> Stats {
        let (watchers, cut) = self.hub.watchers();
        let supervisors = self.settings.supervision.as_ref().map(|_| self.supervisors.stats());
        Stats { supervisors, ..self.counters().snapshot(self.store.counters(), watchers, cut) }
    }

    pub(crate) fn link(&self) -> Link {
        self.link.borrow().clone()
    }

    pub(crate) fn link_is_up(&self) -> bool {
        self.link.borrow().up
    }

    /// Follows how the gateway stands with its driver.
    pub(crate) fn links(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Ready once the watch of the driver is up.
    pub(crate) async fn linked(&self) {
        let mut link = self.link.subscribe();
        let _up = link.wait_for(|link| link.up).await;
    }

    /// Changes one row, durably, and tells those who watch it.
    pub(crate) async fn change<T, F>(self: &Arc<Self>, id: &str, change: F) -> Result<Changed<T>, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Record, i64) -> (Fate, T) + Send + 'static,
    {
        let (id, engine) = (id.to_owned(), Arc::clone(self));
        let job = {
            let engine = Arc::clone(self);
            move |db: &Db<'_>| engine.change_in(db, &id, change)
        };
        let after = move |(_, trace): &(Changed<T>, Option<Trace>)| engine.announce(trace.as_ref());
        Ok(self.store.write(job, after).await?.0)
    }

    /// Changes rows within a transaction; [`announce`](Self::announce) has to follow once it is committed.
    fn change_in<T, F>(
        &self,
        db: &Db<'_>,
        id: &str,
        change: F,
    ) -> Result<(Changed<T>, Option<Trace>), StoreError>
    where
        F: FnOnce(&mut Record, i64) -> (Fate, T),
    {
        let Some(mut record) = db.get(id)? else { return Ok((Changed::Absent, None)) };
        if record.driver != self.settings.driver_name {
            return Ok((Changed::Foreign(record), None));
        }
        let (before, now) = (record.clone(), now_ms());
        let (fate, value) = change(&mut record, now);
        if record.life.desired == Desired::Deleted && record.deleted_at_ms.is_none() {
            record.deleted_at_ms = Some(now);
        }
        let trace = if fate == Fate::Go {
            db.remove(id)?;
            Some(Trace { before, after: None, now })
        } else if record != before {
            db.save(&mut record)?;
            Some(Trace { before, after: Some(record.clone()), now })
        } else {
            None
        };
        Ok((Changed::Done(record, value), trace))
    }

    /// Tells what has been committed. Runs on the store's thread, so that it is told in the order of the commits.
    fn announce(&self, trace: Option<&Trace>) {
        let Some(Trace { before, after, now }) = trace else { return };
        self.counters().left(before.life.phase);
        let Some(after) = after else {
            tracing::info!(sandbox = before.id, name = before.name, "sandbox is gone");
            self.hub.gone(&before.id);
            self.supervisors.gone(&before.id);
            self.looks.forget(&before.id);
            self.settings.usage.record(UsageEvent {
                action: UsageAction::Delete,
                outcome: UsageOutcome::Ok,
                took: between(before.created_at_ms, *now),
            });
            return;
        };
        self.counters().entered(after.life.phase);
        self.hub.state_of(after);
        let awaited = (before.life.supervisor, after.life.supervisor);
        if awaited == (Some(Supervisor::Connected), Some(Supervisor::Awaited)) && after.life.owed.is_some() {
            // Of the run before. One whose backend ran all the while comes back, and is of the new one.
            self.supervisors.end_session(&after.id, &Status::aborted("the sandbox is started"));
        }
        self.follow_state(after);
        // The clock looks at no others.
        if after.life.waiting_since_ms.is_some() && after.life.owed.is_none() {
            self.timer.notify_one();
        }
        if before.life.phase == after.life.phase {
            return;
        }
        let (from, to) = (before.life.phase.as_str(), after.life.phase.as_str());
        let reason = after.life.own.as_ref().map(|own| own.reason.as_str());
        tracing::info!(sandbox = after.id, name = after.name, from, to, reason, "phase");
        if let Some(event) = usage::of_create(before, after, *now) {
            self.settings.usage.record(event);
        }
    }
}

/// A committed change.
struct Trace {
    before: Record,
    after: Option<Record>,
    now: i64,
}
