//! How many connections there may be at a time, and which goes when there is no room for another.
//!
//! First goes who has not said who they are: the one that has been idle for longest, then, when all such have requests
//! under way, the one of these without a change for longest; for what a stranger asks is refused, at leisure. Then goes
//! the longest idle one of those that are known. A known one with a request under way stays.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Room {
    /// It may change; whoever is inside by then stays until there is somebody else for their place.
    limit: Arc<AtomicUsize>,
    began: Instant,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    connections: HashMap<u64, Arc<State>>,
    /// Idle strangers in the order in which they go, the first at the end: to look through all connections for each
    /// that comes would make a flood dear.
    going: Vec<(Order, u64)>,
}

/// How many of those that go next are noted at once.
const NOTED: usize = 64;

/// Who goes before whom: known or not, busy or not, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    welcome: bool,
    busy: bool,
    since_ms: u64,
}

impl Inside {
    fn first_to_go(&mut self) -> Option<u64> {
        // Nobody can have come before an idle stranger who is noted and has not moved since.
        while let Some((noted, id)) = self.going.pop() {
            if self.connections.get(&id).is_some_and(|state| state.order() == noted) {
                return Some(id);
            }
        }
        let all = self.connections.iter().map(|(id, state)| (state.order(), *id));
        let mut all: Vec<_> = all.filter(|(order, _)| !(order.welcome && order.busy)).collect();
        if all.len() > NOTED {
            all.select_nth_unstable(NOTED);
            all.truncate(NOTED);
        }
        all.sort_unstable();
        let (_, first) = *all.first()?;
        let strangers = all.into_iter().skip(1).filter(|(order, _)| !(order.welcome || order.busy));
        self.going.extend(strangers.rev());
        Some(first)
    }
}

impl State {
    fn order(&self) -> Order {
        Order {
            welcome: self.welcome.load(Ordering::Relaxed),
            busy: self.busy.load(Ordering::Relaxed) > 0,
            since_ms: self.since_ms.load(Ordering::Relaxed),
        }
    }
}

/// What is known of a connection while it lasts.
#[derive(Debug, Default)]
struct State {
    /// Requests whose answers are not out.
    busy: AtomicU32,
    /// Milliseconds, counted from the room's beginning, at the last change of `busy`.
    since_ms: AtomicU64,
    /// It is known who they are.
    welcome: AtomicBool,
    /// Which sandbox's supervisor has come, on a listener that is not one sandbox's own.
    sandbox: OnceLock<Arc<str>>,
    leave: Notify,
}

/// A connection's place, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
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

/// The connection of a request. Every request that [`serve`](super::serve) hands on carries it as an extension.
#[derive(Debug, Clone)]
pub struct Guest(Arc<State>);

impl Guest {
    /// Notes that whoever is at the other end has said who they are, and may be here: when all places are taken, they
    /// stay before those of whom nothing is known.
    pub fn welcome(&self) {
        if !self.0.welcome.load(Ordering::Relaxed) {
            self.0.welcome.store(true, Ordering::Relaxed);
        }
    }

    /// Notes whose connection it is, once and for all.
    pub(crate) fn take_for(&self, sandbox: &Arc<str>) -> Taken {
        match self.0.sandbox.set(Arc::clone(sandbox)) {
            Ok(()) => Taken::Now,
            Err(_) if self.0.sandbox.get() == Some(sandbox) => Taken::Before,
            Err(_) => Taken::ByAnother,
        }
    }

    /// It, for somebody who does not keep it.
    pub(crate) fn seat(&self) -> Seat {
        Seat(Arc::downgrade(&self.0))
    }
}

/// What came of [`Guest::take_for`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was nobody's before.
    Now,
    /// It was this sandbox's already.
    Before,
    /// It is another's.
    ByAnother,
}

/// A connection that may have ended.
#[derive(Debug)]
pub(crate) struct Seat(Weak<State>);

impl Seat {
    /// Whether it has not.
    pub(crate) fn is_taken(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Shows whoever sits there out.
    pub(crate) fn clear(&self) {
        if let Some(state) = self.0.upgrade() {
            state.leave.notify_one();
        }
    }
}

impl Room {
    /// A room for so many; at least one.
    pub(super) fn new(limit: Arc<AtomicUsize>) -> Self {
        Self { limit, began: Instant::now(), inside: Mutex::default() }
    }

    /// A place for one more; when there is none, a connection is told to leave. `None` when all of them are known and
    /// busy.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Arc<Place>> {
        let state = Arc::new(State { since_ms: AtomicU64::new(self.now_ms()), ..State::default() });
        let mut inside = self.inside();
        if inside.connections.len() >= self.limit.load(Ordering::Relaxed).max(1) {
            let id = inside.first_to_go()?;
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

    /// Whether it is known who they are.
    pub(super) fn is_welcome(&self) -> bool {
        self.state.welcome.load(Ordering::Relaxed)
    }

    /// For the service, to say that it knows them.
    pub(crate) fn guest(&self) -> Guest {
        Guest(Arc::clone(&self.state))
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

impl Drop for Visit {
    fn drop(&mut self) {
        self.state.since_ms.store(self.room.now_ms(), Ordering::Relaxed);
        self.state.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Place {
    /// Whether it was told to leave since this was last asked.
    pub(crate) fn is_displaced(&self) -> bool {
        use futures_util::FutureExt as _;

        self.displaced().now_or_never().is_some()
    }
}

/// Connections of a room that is large enough.
#[cfg(test)]
pub(crate) fn guests_for_tests(count: usize) -> Vec<Arc<Place>> {
    let room = Arc::new(Room::new(Arc::new(AtomicUsize::new(count))));
    (0..count).map(|_| room.enter().expect("a place")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room_of(limit: usize) -> Room {
        Room::new(Arc::new(AtomicUsize::new(limit)))
    }

    fn is_displaced(place: &Place) -> bool {
        place.is_displaced()
    }

    #[test]
    fn a_full_room_shows_the_longest_idle_one_out() {
        let room = Arc::new(room_of(2));
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
    fn strangers_go_before_who_is_known_and_who_is_known_and_busy_stays() {
        let room = Arc::new(room_of(2));
        let known = room.enter().expect("a place");
        known.guest().welcome();
        std::thread::sleep(Duration::from_millis(5));
        let stranger = room.enter().expect("a place");
        let busy = stranger.visit();
        assert!(known.idle().is_some() && stranger.idle().is_none());
        let next = room.enter().expect("a place");
        assert!(
            is_displaced(&stranger) && !is_displaced(&known),
            "although the one is busy, and the other idle"
        );
        drop(busy);
        let idle = room.enter().expect("a place");
        assert!(is_displaced(&next) && !is_displaced(&known));
        idle.guest().welcome();
        let _request = idle.visit();
        let last = room.enter().expect("a place");
        assert!(is_displaced(&known) && !is_displaced(&idle), "both are known, and one is busy");
        last.guest().welcome();
        let _request = last.visit();
        assert!(room.enter().is_none(), "all are known and busy");
    }

    #[test]
    fn what_was_noted_counts_only_while_it_holds() {
        let room = Arc::new(room_of(4));
        let mut inside: Vec<_> = (0..4)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(2));
                room.enter().expect("a place")
            })
            .collect();
        inside.push(room.enter().expect("the place of the first"));
        // Those that were to follow have become known, have begun to ask, and have gone.
        inside[1].guest().welcome();
        let _request = inside[2].visit();
        drop(inside.remove(3));
        inside.push(room.enter().expect("the place of the one that has gone"));
        assert!(inside[1..].iter().all(|place| !is_displaced(place)));
        inside.push(room.enter().expect("the place of a stranger"));
        assert!(!is_displaced(&inside[1]) && !is_displaced(&inside[2]) && is_displaced(&inside[3]));
    }
}
