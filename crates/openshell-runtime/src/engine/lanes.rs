//! One lane a sandbox: at most one call of the driver at a time, and a way to hurry the one under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedMutexGuard, watch};

/// The lanes of the sandboxes that something is being done for.
#[derive(Default)]
pub(super) struct Lanes {
    open: Mutex<HashMap<String, Arc<Lane>>>,
}

struct Lane {
    turn: Arc<tokio::sync::Mutex<()>>,
    hurry: watch::Sender<()>,
}

/// The right to call the driver for one sandbox, until it is dropped.
pub(super) struct Pass<'a> {
    /// Changes when what is under way should end soon.
    pub(super) hurry: watch::Receiver<()>,
    _turn: OwnedMutexGuard<()>,
    _entry: Entry<'a>,
}

/// Keeps a lane open.
struct Entry<'a> {
    lanes: &'a Lanes,
    id: String,
    lane: Option<Arc<Lane>>,
}

impl Lanes {
    /// Waits for the sandbox's turn.
    pub(super) async fn enter(&self, id: &str) -> Pass<'_> {
        let lane = {
            let new = || Arc::new(Lane { turn: Arc::default(), hurry: watch::Sender::new(()) });
            Arc::clone(self.open().entry(id.to_owned()).or_insert_with(new))
        };
        let (turn, hurry) = (Arc::clone(&lane.turn), lane.hurry.subscribe());
        // Before the wait: whoever gives up waiting leaves as orderly as everybody else.
        let entry = Entry { lanes: self, id: id.to_owned(), lane: Some(lane) };
        Pass { _turn: turn.lock_owned().await, hurry, _entry: entry }
    }

    /// Asks what is under way for the sandbox, if anything is, to end soon or to look again.
    pub(super) fn hurry(&self, id: &str) {
        if let Some(lane) = self.open().get(id) {
            lane.hurry.send_replace(());
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Lane>>> {
        // No code that may panic runs under this lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut open = self.lanes.open();
        drop(self.lane.take());
        // Only the map has it left: handles are made and dropped under the map's lock.
        if open.get(&self.id).is_some_and(|lane| Arc::strong_count(lane) == 1) {
            open.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn lanes_close_when_nobody_is_in_them() {
        let lanes = Lanes::default();
        let first = lanes.enter("a").await;
        assert!(tokio::time::timeout(Duration::from_millis(10), lanes.enter("a")).await.is_err());
        let other = lanes.enter("b").await;
        assert_eq!(lanes.open().len(), 2);
        lanes.hurry("a");
        assert!(first.hurry.has_changed().unwrap());
        drop((first, other));
        assert_eq!(lanes.open().len(), 0);
        lanes.hurry("a");
    }
}
