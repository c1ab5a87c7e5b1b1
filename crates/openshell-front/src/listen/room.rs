//! How many connections there may be at a time, and which goes when there is no room for another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Room {
    limit: usize,
    began: Instant,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    connections: HashMap<u64, Arc<State>>,
}

/// What is known of a connection while it lasts.
#[derive(Debug, Default)]
struct State {
    /// Requests whose answers are not out.
    busy: AtomicU32,
    /// Milliseconds, counted from the room's beginning, at the last change of `busy`.
    since_ms: AtomicU64,
    /// It has asked something that was not refused.
    welcome: AtomicBool,
    leave: Notify,
}

/// A connection's place, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    id: u64,
    state: Arc<State>,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Visit {
    room: Arc<Room>,
    state: Arc<State>,
}

impl Room {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), began: Instant::now(), inside: Mutex::default() }
    }

    /// A place for one more; when there is none, the connection that has been idle for longest is told to leave, and
    /// one that never asked for anything before one that did. `None` when all of them are busy.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Arc<Place>> {
        let state = Arc::new(State { since_ms: AtomicU64::new(self.now_ms()), ..State::default() });
        let mut inside = self.inside();
        if inside.connections.len() >= self.limit {
            let idle = inside.connections.iter().filter(|(_, state)| state.busy.load(Ordering::Relaxed) == 0);
            let order = |state: &State| {
                (state.welcome.load(Ordering::Relaxed), state.since_ms.load(Ordering::Relaxed))
            };
            let (id, _) = idle.min_by_key(|(_, state)| order(state))?;
            let id = *id;
            // Its place is taken at once; the connection itself is closed in a moment.
            let leaving = inside.connections.remove(&id)?;
            leaving.leave.notify_one();
        }
        let id = inside.next;
        inside.next += 1;
        inside.connections.insert(id, Arc::clone(&state));
        drop(inside);
        Some(Arc::new(Place { room: Arc::clone(self), id, state }))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Place {
    /// Ready when there is no room any more for this connection.
    pub(super) async fn displaced(&self) {
        self.state.leave.notified().await;
    }

    /// A request begins.
    pub(super) fn visit(&self) -> Visit {
        self.state.busy.fetch_add(1, Ordering::Relaxed);
        Visit { room: Arc::clone(&self.room), state: Arc::clone(&self.state) }
    }

    /// How long there has been no request; `None` while there is one.
    pub(super) fn idle(&self) -> Option<Duration> {
        let since = self.state.since_ms.load(Ordering::Relaxed);
        (self.state.busy.load(Ordering::Relaxed) == 0)
            .then(|| Duration::from_millis(self.room.now_ms().saturating_sub(since)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.inside().connections.remove(&self.id);
    }
}

impl Visit {
    /// The request was not refused: its connection is worth more than one of which nothing is known.
    pub(super) fn welcome(&self) {
        self.state.welcome.store(true, Ordering::Relaxed);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.state.since_ms.store(self.room.now_ms(), Ordering::Relaxed);
        self.state.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn is_displaced(place: &Place) -> bool {
        place.displaced().now_or_never().is_some()
    }

    #[test]
    fn a_full_room_shows_the_longest_idle_one_out() {
        let room = Arc::new(Room::new(2));
        let first = room.enter().expect("a place");
        std::thread::sleep(Duration::from_millis(5));
        let second = room.enter().expect("a place");
        let third = room.enter().expect("the first one's place");
        assert!(is_displaced(&first) && !is_displaced(&second) && !is_displaced(&third));
        // That the first one ends now frees nothing more.
        drop(first);
        assert_eq!(room.inside().connections.len(), 2);
        drop((second, third));
        assert_eq!(room.inside().connections.len(), 0);
    }

    #[test]
    fn who_has_got_an_answer_stays_before_who_has_not_and_who_is_busy_stays() {
        let room = Arc::new(Room::new(2));
        let client = room.enter().expect("a place");
        client.visit().welcome();
        std::thread::sleep(Duration::from_millis(5));
        let stranger = room.enter().expect("a place");
        let busy = stranger.visit();
        assert!(client.idle().is_some() && stranger.idle().is_none());
        drop(busy);
        let next = room.enter().expect("a place");
        assert!(is_displaced(&stranger) && !is_displaced(&client), "although the client was idle for longer");
        let _requests = (client.visit(), next.visit());
        assert!(room.enter().is_none(), "all are busy");
    }
}
