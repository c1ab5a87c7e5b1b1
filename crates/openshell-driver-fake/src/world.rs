//! What the driver keeps: sandboxes, workspaces, who watches. Every change and its event are one step under one lock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use openshell_proto::compute::v1::{
    self as wire, DriverSandbox, WatchSandboxesEvent, watch_sandboxes_event::Payload,
};
use tokio::sync::mpsc;
use tonic::Status;

use crate::tokens::Tokens;
use crate::{Fault, Scenario, view};

/// Events that wait for a reader before it is cut.
const QUEUE: usize = 1024;
/// The same for the fault that loses them instead.
const SHORT_QUEUE: usize = 2;

/// How a sandbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Ready,
    Stopped,
    /// Its image does not exist.
    Failed,
    /// Its main process has ended.
    Exited,
    Deleting,
}

/// A sandbox.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// As it was asked for, with its token.
    pub(crate) asked: DriverSandbox,
    pub(crate) phase: Phase,
    /// Counts its runs.
    pub(crate) run: u64,
    pub(crate) born: Instant,
    pub(crate) since: SystemTime,
}

/// One who watches.
struct Watcher {
    queue: mpsc::Sender<WatchSandboxesEvent>,
    verdict: Arc<OnceLock<Status>>,
}

/// A reader's end of a watch.
pub(crate) struct Subscription {
    pub(crate) snapshot: Vec<WatchSandboxesEvent>,
    pub(crate) queue: mpsc::Receiver<WatchSandboxesEvent>,
    /// Why the queue ended, if it did.
    pub(crate) verdict: Arc<OnceLock<Status>>,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) sandboxes: BTreeMap<String, Kept>,
    pub(crate) workspaces: BTreeSet<String>,
    /// Ids that were used once, for the fault that remembers them.
    pub(crate) spent: BTreeSet<String>,
    /// Ids being deleted, for the fault that makes a conflict of it.
    pub(crate) deleting: BTreeSet<String>,
    /// Ids that were in a snapshot, for the fault that shows each only once.
    told: BTreeSet<String>,
    /// Counts questions, for the faults that change their answers.
    pub(crate) asked: u64,
    watchers: Vec<Watcher>,
}

/// The driver's memory; outlives what serves it.
pub(crate) struct Driver {
    pub(crate) scenario: Scenario,
    /// Where the tokens of its sandboxes are kept, if anywhere.
    tokens: Option<Tokens>,
    world: Mutex<World>,
    /// Held by the create that is under way, for the fault that allows one.
    pub(crate) creating: tokio::sync::Mutex<()>,
    /// Tells calls how many watches are open, for the fault that blocks them.
    pub(crate) open_watches: tokio::sync::watch::Sender<usize>,
}

impl Driver {
    pub(crate) fn new(scenario: Scenario, state: Option<&Path>) -> Arc<Self> {
        let tokens = state.map(|state| Tokens::new(state, scenario.has(Fault::TokenFileOpen)));
        let world = Mutex::new(World::default());
        let creating = tokio::sync::Mutex::default();
        Arc::new(Self { scenario, tokens, world, creating, open_watches: tokio::sync::watch::Sender::new(0) })
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.scenario.has(fault)
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        // Every change is whole before anything can panic.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a sandbox that starts; after the scenario's time it is ready, unless a fault has it wait for its next run.
    pub(crate) fn add(self: &Arc<Self>, asked: DriverSandbox) {
        let id = asked.id.clone();
        if let (Some(tokens), Some(spec)) = (&self.tokens, &asked.spec) {
            tokens.keep(&id, &spec.sandbox_token);
        }
        let kept =
            Kept { asked, phase: Phase::Starting, run: 1, born: Instant::now(), since: SystemTime::now() };
        {
            let mut world = self.world();
            world.sandboxes.insert(id.clone(), kept);
            self.tell(&mut world, &id);
        }
        if !self.has(Fault::HalfCreate) {
            self.start_later(id, 1);
        }
    }

    /// Sets a phase and tells it; a new run begins where `again`.
    pub(crate) fn turn(self: &Arc<Self>, id: &str, phase: Phase, again: bool) {
        let run = self.set(&mut self.world(), id, phase, again);
        if let Some(run) = run.filter(|_| phase == Phase::Starting) {
            self.start_later(id.to_owned(), run);
        }
    }

    /// Sets a phase and tells it; the number of the run, if there is such a sandbox.
    fn set(&self, world: &mut World, id: &str, phase: Phase, again: bool) -> Option<u64> {
        let kept = world.sandboxes.get_mut(id)?;
        kept.phase = phase;
        kept.since = SystemTime::now();
        kept.run += u64::from(again);
        let run = kept.run;
        self.tell(world, id);
        Some(run)
    }

    /// Makes a sandbox ready after its time, if it is still in the same run.
    fn start_later(self: &Arc<Self>, id: String, run: u64) {
        let driver = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(driver.scenario.start).await;
            let mut world = driver.world();
            let phase = match world.sandboxes.get(&id) {
                Some(kept) if kept.run == run && kept.phase == Phase::Starting => driver.outcome(kept),
                _ => return,
            };
            if phase == Phase::Failed || !driver.has(Fault::NeverReady) {
                driver.set(&mut world, &id, phase, false);
            }
        });
    }

    /// What a start comes to.
    fn outcome(&self, kept: &Kept) -> Phase {
        if view::image_is_missing(&kept.asked) && !self.has(Fault::BadImageReady) {
            return Phase::Failed;
        }
        if view::ends(kept, !self.has(Fault::WorkspaceLost)) { Phase::Exited } else { Phase::Ready }
    }

    /// Removes a sandbox and tells it.
    pub(crate) fn remove(&self, id: &str) {
        let mut world = self.world();
        let Some(kept) = world.sandboxes.remove(id) else { return };
        world.spent.insert(id.to_owned());
        if let Some(tokens) = &self.tokens {
            tokens.forget(id);
        }
        if !self.has(Fault::DeleteUnseen) {
            let gone = wire::WatchSandboxesDeletedEvent { sandbox_id: view::shown_id(&self.scenario, &kept) };
            self.send(&mut world, &WatchSandboxesEvent { payload: Some(Payload::Deleted(gone)) });
        }
        if self.has(Fault::OrderWrong) {
            self.send(&mut world, &view::event(&self.scenario, &kept));
        }
    }

    /// Tells the watchers how a sandbox is.
    fn tell(&self, world: &mut World, id: &str) {
        let event = match world.sandboxes.get(id) {
            Some(kept) if kept.phase == Phase::Ready && self.has(Fault::ReadyUnseen) => return,
            Some(kept) if kept.phase == Phase::Stopped && self.has(Fault::StopUnseen) => return,
            Some(kept) => view::event(&self.scenario, kept),
            None => return,
        };
        self.send(world, &event);
    }

    fn send(&self, world: &mut World, event: &WatchSandboxesEvent) {
        if self.has(Fault::SilentWatch) {
            return;
        }
        let (one, gap) = (self.has(Fault::OneWatcher), self.has(Fault::SlowReaderGap));
        world.watchers.retain(|watcher| !watcher.queue.is_closed());
        let readers = if one { 1 } else { usize::MAX };
        let mut index = 0;
        world.watchers.retain(|watcher| {
            index += 1;
            if index > readers {
                return true;
            }
            match watcher.queue.try_send(event.clone()) {
                Err(mpsc::error::TrySendError::Full(_)) if !gap => {
                    let status =
                        Status::resource_exhausted("the reader of this watch fell behind; watch anew");
                    // Set once: the watcher goes with it.
                    let _ = watcher.verdict.set(status);
                    false
                }
                _ => true,
            }
        });
    }

    /// Subscribes, and takes the snapshot in the same step: nothing is lost or told twice in between.
    pub(crate) fn subscribe(&self) -> Subscription {
        let size = if self.has(Fault::SlowReaderGap) { SHORT_QUEUE } else { QUEUE };
        let (sender, queue) = mpsc::channel(size);
        let verdict = Arc::new(OnceLock::new());
        let mut world = self.world();
        world.watchers.push(Watcher { queue: sender, verdict: Arc::clone(&verdict) });
        let once = self.has(Fault::SnapshotOnce);
        let World { sandboxes, told, .. } = &mut *world;
        let shown = sandboxes.values().filter(|kept| told.insert(kept.asked.id.clone()) || !once);
        let mut snapshot: Vec<_> = shown.map(|kept| view::event(&self.scenario, kept)).collect();
        if self.has(Fault::SnapshotShort) {
            snapshot.pop();
        }
        if self.has(Fault::SnapshotMissing) {
            snapshot.clear();
        }
        Subscription { snapshot, queue, verdict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_of_a_sandbox_after_its_end_whoever_changes_it_meanwhile() {
        for round in 0..2000 {
            let driver = Driver::new(Scenario::with(Fault::HalfCreate), None);
            driver.add(DriverSandbox { id: "a".to_owned(), ..DriverSandbox::default() });
            let mut watch = driver.subscribe();
            std::thread::scope(|scope| {
                scope.spawn(|| driver.turn("a", Phase::Ready, false));
                scope.spawn(|| driver.remove("a"));
            });
            let events: Vec<_> = std::iter::from_fn(|| watch.queue.try_recv().ok()).collect();
            let last = events.last().and_then(|event| event.payload.as_ref());
            assert!(matches!(last, Some(Payload::Deleted(_))), "round {round}: {events:?}");
        }
    }
}
