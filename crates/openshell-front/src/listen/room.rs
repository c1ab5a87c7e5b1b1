//! How many connections there may be at a time, and which goes when there is no room for another.
//!
//! First goes who has not said who they are, and of these one of the origin that has most of them, be it the newcomer's
//! own: so a user who fills the room makes room for another user, and never the other way round. Of one origin that one
//! goes which has been idle for longest, then, when all such have requests under way, the one of these without a change for
//! longest; for what a stranger asks is refused, at leisure. Then goes the longest idle one of those that are known. A
//! known one with a request under way stays.
//!
//! Whoever goes has a moment to hear of it, and is no longer of the room. As many as the room holds may be leaving at a time;
//! beyond that, the one that has been for longest is cut.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::Peer;

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Room {
    /// It may change; whoever is inside by then stays until there is somebody else for their place.
    limit: Arc<AtomicUsize>,
    /// How many may be known.
    known: usize,
    began: Instant,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    connections: HashMap<u64, Arc<State>>,
    /// Those that have lost their place and are there still, by age.
    leaving: BTreeMap<u64, Arc<State>>,
    /// Idle strangers in the order in which they go, the first at the end: to look through all connections for each
    /// that comes would make a flood dear.
    going: Vec<(Order, u64)>,
}

/// How many of those that go next are noted at once, for one that goes while it is not full. While they go, others may come
/// to have most; so a small room notes none.
const NOTED: usize = 64;
/// The share of the room that may be noted.
const NOTED_SHARE: usize = 16;

/// Where a connection comes from, as far as that can be told without trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Origin {
    /// A user of this host, by the kernel's word.
    Uid(u32),
    /// An address.
    Address(IpAddr),
}

impl Origin {
    pub(super) fn of(peer: &Peer) -> Self {
        match peer {
            Peer::Unix(peer) => Self::Uid(peer.uid),
            Peer::Tcp { address } | Peer::Tls { address, .. } => Self::Address(address.ip().to_canonical()),
        }
    }
}

/// Who goes before whom within an origin: known or not, busy or not, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    welcome: bool,
    busy: bool,
    since_ms: u64,
}

impl Inside {
    /// Whose place somebody from `newcomer` gets.
    fn first_to_go(&mut self, newcomer: Origin) -> Option<u64> {
        // Nobody can have come before an idle stranger who is noted and has not moved since.
        while let Some((noted, id)) = self.going.pop() {
            if self.connections.get(&id).is_some_and(|state| state.order() == noted) {
                return Some(id);
            }
        }
        let mut strangers = HashMap::from([(newcomer, 1_usize)]);
        for state in self.connections.values().filter(|state| !state.order().welcome) {
            *strangers.entry(state.origin).or_default() += 1;
        }
        let all = self.connections.iter().map(|(id, state)| {
            let order = state.order();
            // How many there are of an origin says nothing of those that are known.
            let most = if order.welcome { 0 } else { strangers.get(&state.origin).copied().unwrap_or(0) };
            (order.welcome, Reverse(most), order, *id)
        });
        let mut all: Vec<_> = all.filter(|(_, _, order, _)| !(order.welcome && order.busy)).collect();
        let noted = NOTED.min(all.len() / NOTED_SHARE);
        if all.len() > noted + 1 {
            all.select_nth_unstable(noted);
            all.truncate(noted + 1);
        }
        all.sort_unstable();
        let (_, _, _, first) = *all.first()?;
        let strangers = all.into_iter().skip(1).map(|(_, _, order, id)| (order, id));
        let strangers = strangers.filter(|(order, _)| !(order.welcome || order.busy));
        self.going.extend(strangers.rev());
        Some(first)
    }

    /// Takes a connection's place from it and tells it so; it has a moment to hear of it, unless too many have.
    fn show_out(&mut self, id: u64, at_most: usize) {
        let Some(state) = self.connections.remove(&id) else { return };
        state.leave.notify_one();
        self.leaving.insert(id, state);
        if self.leaving.len() > at_most {
            // Who is known may have a request on its way.
            let mut leaving = self.leaving.iter();
            let stranger = leaving.find(|(_, state)| !state.order().welcome).map(|(id, _)| *id);
            let goes = stranger.or_else(|| self.leaving.keys().next().copied());
            if let Some(state) = goes.and_then(|id| self.leaving.remove(&id)) {
                state.cut.notify_one();
            }
        }
    }
}

impl State {
    fn new(origin: Origin, since_ms: u64) -> Self {
        Self {
            origin,
            busy: AtomicU32::new(0),
            since_ms: AtomicU64::new(since_ms),
            welcome: AtomicBool::new(false),
            sandbox: OnceLock::new(),
            leave: Notify::new(),
            cut: Notify::new(),
        }
    }

    fn order(&self) -> Order {
        Order {
            welcome: self.welcome.load(Ordering::Relaxed),
            busy: self.busy.load(Ordering::Relaxed) > 0,
            since_ms: self.since_ms.load(Ordering::Relaxed),
        }
    }
}

/// What is known of a connection while it lasts.
#[derive(Debug)]
struct State {
    origin: Origin,
    /// Requests whose answers are not out.
    busy: AtomicU32,
    /// Milliseconds, counted from the room's beginning, at the last change of `busy`.
    since_ms: AtomicU64,
    /// It is known who they are.
    welcome: AtomicBool,
    /// Which sandbox's supervisor has come, on a listener that is not one sandbox's own.
    sandbox: OnceLock<Arc<str>>,
    leave: Notify,
    /// It goes at once.
    cut: Notify,
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
pub struct Guest {
    room: Arc<Room>,
    state: Arc<State>,
}

impl Guest {
    /// Notes that whoever is at the other end has said who they are, and may be here: when all places are taken, they
    /// stay before those of whom nothing is known.
    pub fn welcome(&self) {
        if !self.state.welcome.swap(true, Ordering::Relaxed) {
            self.room.keep_newest_known();
        }
    }

    /// Notes whose connection it is, once and for all.
    pub(crate) fn take_for(&self, sandbox: &Arc<str>) -> Taken {
        match self.state.sandbox.set(Arc::clone(sandbox)) {
            Ok(()) => Taken::Now,
            Err(_) if self.state.sandbox.get() == Some(sandbox) => Taken::Before,
            Err(_) => Taken::ByAnother,
        }
    }

    /// It, for somebody who does not keep it.
    pub(crate) fn seat(&self) -> Seat {
        Seat(Arc::downgrade(&self.state))
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

    /// Ends it at once: whoever is shown out could stay, with requests of which each is short.
    pub(crate) fn clear(&self) {
        if let Some(state) = self.0.upgrade() {
            state.cut.notify_one();
        }
    }
}

impl Room {
    /// With `limit` places, which may change and are at least one; `known` of them for those that are known: of more, the
    /// newest stay.
    pub(super) fn new(limit: Arc<AtomicUsize>, known: usize) -> Self {
        Self { limit, known: known.max(1), began: Instant::now(), inside: Mutex::default() }
    }

    /// A place for one more; when there is none, a connection is told to leave. `None` when all of them are known and
    /// busy.
    pub(super) fn enter(self: &Arc<Self>, origin: Origin) -> Option<Arc<Place>> {
        let state = Arc::new(State::new(origin, self.now_ms()));
        let mut inside = self.inside();
        let limit = self.limit();
        if inside.connections.len() >= limit {
            let id = inside.first_to_go(origin)?;
            // Its place is taken at once; the connection itself is closed in a moment.
            inside.show_out(id, limit);
        }
        let id = inside.next;
        inside.next += 1;
        inside.connections.insert(id, Arc::clone(&state));
        drop(inside);
        Some(Arc::new(Place { room: Arc::clone(self), id, state }))
    }

    /// The most connections that there are, whether they have a place, are leaving, or are just being cut. Nobody is let in
    /// beyond that.
    pub(super) fn most(&self) -> usize {
        self.limit().saturating_mul(2).saturating_add(1)
    }

    /// Cuts the oldest of those that are known, when there are too many.
    fn keep_newest_known(&self) {
        if self.known >= self.limit() {
            return;
        }
        let mut inside = self.inside();
        // Who became known after the place was lost counts, too.
        let all = inside.connections.iter().chain(inside.leaving.iter());
        let known = all.filter(|(_, state)| state.order().welcome);
        let mut known: Vec<u64> = known.map(|(id, _)| *id).collect();
        if known.len() > self.known {
            known.sort_unstable();
            let surplus = known.len() - self.known;
            for id in known.into_iter().take(surplus) {
                let state = inside.connections.remove(&id);
                if let Some(state) = state.or_else(|| inside.leaving.remove(&id)) {
                    state.cut.notify_one();
                }
            }
        }
    }

    fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed).max(1)
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

    /// Ready when this connection is to end at once.
    pub(super) async fn cut(&self) {
        self.state.cut.notified().await;
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
        Guest { room: Arc::clone(&self.room), state: Arc::clone(&self.state) }
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
        let mut inside = self.room.inside();
        inside.connections.remove(&self.id);
        inside.leaving.remove(&self.id);
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

        self.displaced().now_or_never().is_some() || self.cut().now_or_never().is_some()
    }
}

/// Connections of a room that is large enough.
#[cfg(test)]
pub(crate) fn guests_for_tests(count: usize) -> Vec<Arc<Place>> {
    let room = Arc::new(Room::new(Arc::new(AtomicUsize::new(count)), usize::MAX));
    (0..count).map(|_| room.enter(Origin::Uid(0)).expect("a place")).collect()
}

#[cfg(test)]
mod tests;
