//! Second looks. A sandbox that is on its way to another state is asked for by its id, at growing intervals, until it is
//! there: a watch that is silent, or tells of it by another name, then holds up nothing but its own news.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openshell_driver_api::SandboxId;
use tokio::sync::Notify;

use super::Engine;
use crate::lifecycle::Phase;
use crate::store::Record;

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
