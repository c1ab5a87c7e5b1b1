//! One operation at a time for a sandbox, and a way for a delete to end a create that is still pulling.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use openshell_driver_api::SandboxId;
use tokio::sync::{OwnedMutexGuard, watch};

/// The turns of all sandboxes. A sandbox takes memory here only while somebody works on it.
#[derive(Debug, Clone, Default)]
pub struct Locks {
    slots: Arc<Mutex<HashMap<SandboxId, Slot>>>,
}

#[derive(Debug, Clone)]
struct Slot {
    turn: Arc<tokio::sync::Mutex<()>>,
    hurry: watch::Sender<()>,
    /// How many hold the turn or wait for it.
    users: usize,
}

/// The right to work on a sandbox; given back on drop.
#[derive(Debug)]
pub struct Turn {
    // Before `_user`: the turn is free when the slot may go.
    _guard: OwnedMutexGuard<()>,
    _user: User,
    hurry: watch::Receiver<()>,
}

/// Counts as a user of a slot until dropped, also when waiting for the turn was given up.
#[derive(Debug)]
struct User {
    locks: Locks,
    id: SandboxId,
}

impl Locks {
    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<SandboxId, Slot>> {
        // Nothing that could panic runs under this lock, and the map is whole after every statement.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else works on the sandbox.
    pub async fn turn(&self, id: &SandboxId) -> Turn {
        // Subscribed to now and not once it is this one's turn: a delete that comes while it waits is meant for it, too.
        let (turn, hurry) = {
            let mut slots = self.slots();
            let slot = slots.entry(id.clone()).or_insert_with(|| Slot {
                turn: Arc::default(),
                hurry: watch::Sender::new(()),
                users: 0,
            });
            slot.users += 1;
            (Arc::clone(&slot.turn), slot.hurry.subscribe())
        };
        let user = User { locks: self.clone(), id: id.clone() };
        let guard = turn.lock_owned().await;
        Turn { _guard: guard, _user: user, hurry }
    }

    /// The right to work on the sandbox when nobody has it or waits for it.
    #[must_use]
    pub fn try_turn(&self, id: &SandboxId) -> Option<Turn> {
        let mut slots = self.slots();
        if slots.contains_key(id) {
            return None;
        }
        let (turn, hurry) = (Arc::<tokio::sync::Mutex<()>>::default(), watch::Sender::new(()));
        let guard = Arc::clone(&turn).try_lock_owned().ok()?;
        let listen = hurry.subscribe();
        slots.insert(id.clone(), Slot { turn, hurry, users: 1 });
        Some(Turn { _guard: guard, _user: User { locks: self.clone(), id: id.clone() }, hurry: listen })
    }

    /// Tells whoever works on the sandbox, or waits to, that its work is for nothing.
    pub fn hurry(&self, id: &SandboxId) {
        if let Some(slot) = self.slots().get(id) {
            slot.hurry.send_replace(());
        }
    }
}

impl Turn {
    /// Returns once somebody has called [`Locks::hurry`] since the turn was asked for.
    pub async fn hurried(&self) {
        let mut hurry = self.hurry.clone();
        if hurry.changed().await.is_err() {
            // The sender lives in the slot, which outlives every turn; were it gone, nobody could call any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let mut slots = self.locks.slots();
        if let Some(slot) = slots.get_mut(&self.id) {
            slot.users -= 1;
            if slot.users == 0 {
                slots.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    fn id(text: &str) -> SandboxId {
        SandboxId::new(text).expect("an id")
    }

    #[tokio::test]
    async fn one_at_a_time_for_one_id_and_no_memory_after() {
        let locks = Locks::default();
        let first = locks.turn(&id("a")).await;
        let other = locks.turn(&id("b")).await;
        let waiting = tokio::time::timeout(Duration::from_millis(20), locks.turn(&id("a"))).await;
        assert!(waiting.is_err());
        drop(first);
        drop(locks.turn(&id("a")).await);
        drop(other);
        assert!(locks.slots().is_empty());
    }

    #[tokio::test]
    async fn a_turn_without_waiting_is_one_nobody_else_has() {
        let locks = Locks::default();
        let a = id("a");
        let first = locks.try_turn(&a).expect("free");
        assert!(locks.try_turn(&a).is_none() && locks.try_turn(&id("b")).is_some());
        let mut second = std::pin::pin!(locks.turn(&a));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(locks.try_turn(&id("a")).is_none(), "somebody waits for it");
        drop(second.await);
        assert!(locks.try_turn(&id("a")).is_some());
        assert!(locks.slots().is_empty());
    }

    #[tokio::test]
    async fn hurry_reaches_whoever_has_the_turn() {
        let locks = Locks::default();
        locks.hurry(&id("a"));
        let turn = locks.turn(&id("a")).await;
        assert!(tokio::time::timeout(Duration::from_millis(20), turn.hurried()).await.is_err());
        locks.hurry(&id("a"));
        tokio::time::timeout(Duration::from_millis(200), turn.hurried()).await.expect("hurried");
    }

    #[tokio::test]
    async fn hurry_reaches_whoever_waits_for_the_turn_and_nobody_after() {
        let locks = Locks::default();
        let a = id("a");
        let first = locks.turn(&a).await;
        let mut second = std::pin::pin!(locks.turn(&a));
        assert!(second.as_mut().now_or_never().is_none());
        locks.hurry(&a);
        let mut third = std::pin::pin!(locks.turn(&a));
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        let second = second.await;
        assert!(second.hurried().now_or_never().is_some());
        drop(second);
        assert!(third.await.hurried().now_or_never().is_none());
    }
}
