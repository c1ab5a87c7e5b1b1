//! Second looks. A sandbox that is on its way to another state is asked for by its id, at growing intervals, until it is
//! there: a watch that is silent, or tells of it by another name, then holds up nothing but its own news. So is one that
//! seems to be gone.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openshell_driver_api::{ErrorKind, SandboxId};
use tokio::sync::Notify;

use super::{Engine, Fate};
use crate::lifecycle::{Phase, Step};
use crate::store::{Record, StoreError};

/// How long the watch has until the first look, and the longest pause between two.
const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(30);
/// How long to sleep while nothing is on its way; whatever is then wakes the sleeper.
const IDLE: Duration = Duration::from_secs(3600);

/// The sandboxes that are on their way.
#[derive(Default)]
pub(super) struct Looks {
    due: Mutex<HashMap<String, Due>>,
    more: Notify,
}

/// When a sandbox is looked at next, and how long after the last time that is.
#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    pause: Duration,
}

impl Looks {
    /// A sandbox is in this phase; `owes`, when a call is under way that will say more.
    pub(super) fn follow(&self, id: &str, phase: Phase, owes: bool) {
        let on_its_way = matches!(phase, Phase::Provisioning | Phase::Starting | Phase::Stopping) && !owes;
        let mut due = self.due();
        if !on_its_way {
            due.remove(id);
        } else if !due.contains_key(id) {
            due.insert(id.to_owned(), Due { at: Instant::now() + FIRST, pause: FIRST });
            self.more.notify_one();
        }
    }

    /// There is no such sandbox any more.
    pub(super) fn forget(&self, id: &str) {
        self.due().remove(id);
    }

    /// The sandboxes to look at now, and how long until the next ones.
    fn take(&self, now: Instant) -> (Vec<String>, Duration) {
        let mut ids = Vec::new();
        let mut due = self.due();
        for (id, due) in due.iter_mut().filter(|(_, due)| due.at <= now) {
            ids.push(id.clone());
            due.pause = (due.pause * 2).min(LONGEST);
            due.at = now + due.pause;
        }
        let next = due.values().map(|due| due.at.saturating_duration_since(now)).min();
        (ids, next.unwrap_or(IDLE))
    }

    fn due(&self) -> MutexGuard<'_, HashMap<String, Due>> {
        // No code that may panic runs under this lock.
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    pub(super) async fn look_again(self: Arc<Self>) {
        loop {
            let (ids, sleep) = self.looks.take(Instant::now());
            // Also while the watch is down: there are drivers that answer and whose watches do not hold.
            for id in ids.into_iter().filter_map(|id| SandboxId::new(id).ok()) {
                self.doubt(id, false);
            }
            tokio::select! {
                () = self.stopped() => return,
                () = self.looks.more.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// The backend seems not to have a sandbox any more.
    pub(super) async fn missing(self: &Arc<Self>, id: SandboxId) -> Result<(), StoreError> {
        let Some(record) = self.store.get(id.as_str()).await? else { return Ok(()) };
        match record.life.owed {
            // Whoever deletes it asks again and is told.
            Some(Step::Delete | Step::CleanUp) => self.lanes.hurry(id.as_str()),
            owed => {
                // A call that is under way may have been answered before the sandbox went.
                self.doubt(id, owed.is_some());
            }
        }
        Ok(())
    }

    /// Looks at a sandbox in a task of its own, after the calls that are under way for it where there are any.
    fn doubt(self: &Arc<Self>, id: SandboxId, under_way: bool) {
        // Somebody is about to ask already.
        if !self.doubted().insert(id.clone()) {
            return;
        }
        let engine = Arc::clone(self);
        // A gateway that stops looks again when it comes up.
        let _stopping = self.spawn(async move {
            if under_way {
                engine.wait_for_turn(&id).await;
            }
            engine.look_at(id).await;
        });
    }

    fn doubted(&self) -> MutexGuard<'_, HashSet<SandboxId>> {
        // No code that may panic runs under this lock.
        self.doubted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready once nothing is done for a sandbox, or the gateway stops.
    async fn wait_for_turn(&self, id: &SandboxId) {
        tokio::select! {
            _lane = self.lanes.enter(id.as_str()) => {}
            () = self.stopped() => {}
        }
    }

    /// Asks for one sandbox by its id, while no other call for it is under way, and stores how it is, or that it is gone.
    async fn look_at(self: &Arc<Self>, id: SandboxId) {
        let Ok(_permit) = self.background.acquire().await else { return };
        let mut lane = tokio::select! {
            lane = self.lanes.enter(id.as_str()) => lane,
            () = self.stopped() => return,
        };
        // Before the question: what is said from here on is a question of its own.
        self.doubted().remove(&id);
        let record = match self.store.get(id.as_str()).await {
            Ok(Some(record)) if record.life.made && record.life.owed.is_none() => record,
            _ => return,
        };
        let asked = tokio::select! {
            asked = self.driver.find(id.clone(), &record.name) => asked,
            // Somebody wants it gone, or the gateway to end, and a driver that hangs is not to keep them from that.
            _ = lane.hurry.changed() => return,
            () = self.stopped() => return,
        };
        let found = match asked {
            Ok(found) => found,
            Err(error) => {
                let away = error.kind() == ErrorKind::Unavailable;
                let error = &error as &dyn Error;
                match away {
                    // The watch says so, once and not for each sandbox.
                    true => tracing::debug!(sandbox = %id, error, "the driver does not say how it is"),
                    false => tracing::warn!(sandbox = %id, error, "the driver does not say how it is"),
                }
                return;
            }
        };
        let seen = move |stored: &mut Record, now| match found {
            // What the watch has told in the meantime may be newer.
            Some(status) if stored.resource_version == record.resource_version => {
                stored.life.observe(status, now);
                (Fate::Stay, ())
            }
            // What was asked for in the meantime goes first.
            None if stored.life.owed.is_none() && stored.life.gone(now) => (Fate::Go, ()),
            _ => (Fate::Stay, ()),
        };
        if let Err(error) = self.change(id.as_str(), seen).await {
            tracing::error!(sandbox = %id, error = &error as &dyn Error, "what was seen of it could not be stored");
        }
    }

    /// Follows a sandbox as it is after a change.
    pub(super) fn follow_state(&self, record: &Record) {
        self.looks.follow(&record.id, record.life.phase, record.life.owed.is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_its_way_is_looked_at_ever_more_seldom_until_it_is_there() {
        let looks = Looks::default();
        let begun = Instant::now();
        looks.follow("a", Phase::Provisioning, true);
        assert_eq!(looks.take(begun + LONGEST), (vec![], IDLE), "a call is under way");
        looks.follow("a", Phase::Provisioning, false);
        assert!(looks.take(begun).0.is_empty(), "the watch has some time");
        let mut at = begun + FIRST + Duration::from_secs(1);
        for pause in [4, 8, 16, 30, 30] {
            let (ids, next) = looks.take(at);
            assert_eq!((ids, next), (vec!["a".to_owned()], Duration::from_secs(pause)));
            assert!(looks.take(at + next / 2).0.is_empty(), "between two looks");
            at += next;
            looks.follow("a", Phase::Starting, false);
        }
        looks.follow("a", Phase::Ready, false);
        assert_eq!(looks.take(at + LONGEST), (vec![], IDLE));
        looks.follow("a", Phase::Stopping, false);
        looks.forget("a");
        assert_eq!(looks.take(at + LONGEST), (vec![], IDLE));
    }
}
