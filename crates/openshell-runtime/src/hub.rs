//! Client watches: who follows which sandbox, and what each is still to be sent.
//!
//! A watcher has a bounded queue. One that lets it fill up is cut: it gets what is queued, which is without a gap, and
//! then an error, never a stream with something missing in the middle.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use openshell_driver_api::PlatformEvent;
use tokio::sync::{mpsc, watch};

use crate::store::Record;

/// How many of a sandbox's latest platform events are kept for watches that begin later.
const RECENT_EVENTS: usize = 64;
/// How many bytes the kept events of all sandboxes may have together; beyond it the oldest of all go.
const RECENT_BYTES: usize = 4 * 1024 * 1024;

/// About what an entry of a map takes on top of its texts.
const ENTRY: usize = 64;

/// One thing to tell.
#[derive(Debug, Clone)]
pub(crate) enum Notice {
    /// Its state, new or changed.
    State(Arc<Record>),
    /// A message of its backend.
    Event(Arc<PlatformEvent>),
}

/// Why a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The sandbox is gone.
    Gone,
    /// The reader was too slow.
    Slow,
    /// The gateway stops.
    Closing,
}

/// Everybody who watches.
pub(crate) struct Hub {
    state: Mutex<State>,
    buffer: usize,
    cut: AtomicU64,
    closed: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    topics: HashMap<String, Topic>,
    /// Whose each kept event is, by its number, which is also its age.
    ages: BTreeMap<u64, Arc<str>>,
    /// The number of the next event.
    next: u64,
    /// The bytes of the kept events.
    bytes: usize,
}

#[derive(Default)]
struct Topic {
    watchers: Vec<Watcher>,
    recent: VecDeque<Kept>,
}

/// An event that is kept.
struct Kept {
    number: u64,
    event: Arc<PlatformEvent>,
}

struct Watcher {
    queue: mpsc::Sender<Notice>,
    end: Arc<OnceLock<End>>,
}

/// One watcher's end of its queue.
pub(crate) struct Subscription {
    queue: mpsc::Receiver<Notice>,
    end: Arc<OnceLock<End>>,
    /// The latest platform events before the watch began, oldest first.
    pub(crate) recent: Vec<Arc<PlatformEvent>>,
}

impl Subscription {
    /// The next notice, or why there is none any more.
    pub(crate) async fn next(&mut self) -> Result<Notice, End> {
        self.queue.recv().await.ok_or_else(|| self.end.get().copied().unwrap_or(End::Closing))
    }
}

impl Hub {
    pub(crate) fn new(buffer: usize) -> Self {
        Self {
            state: Mutex::default(),
            buffer: buffer.max(1),
            cut: AtomicU64::new(0),
            closed: watch::Sender::new(false),
        }
    }

    /// Begins a watch. Whoever begins one has to look at the sandbox afterwards, so that no change falls in between.
    pub(crate) fn subscribe(&self, id: &str) -> Subscription {
        let (sender, queue) = mpsc::channel(self.buffer);
        let end = Arc::new(OnceLock::new());
        let mut state = self.state();
        if self.is_closed() {
            return Subscription { queue, end, recent: Vec::new() };
        }
        let topic = state.topics.entry(id.to_owned()).or_default();
        topic.watchers.retain(|watcher| !watcher.queue.is_closed());
        topic.watchers.push(Watcher { queue: sender, end: Arc::clone(&end) });
        Subscription { queue, end, recent: topic.recent.iter().map(|kept| Arc::clone(&kept.event)).collect() }
    }

    /// Tells the state of a sandbox.
    pub(crate) fn state_of(&self, record: &Record) {
        if let Some(topic) = self.state().topics.get_mut(&record.id)
            && !topic.watchers.is_empty()
        {
            topic.tell(&Notice::State(Arc::new(record.clone())), &self.cut);
        }
    }

    /// Tells what the backend says of a sandbox that there is, and keeps it for later.
    pub(crate) fn event_of(&self, id: &str, event: PlatformEvent) {
        let event = Arc::new(event);
        let mut state = self.state();
        if self.is_closed() {
            return;
        }
        let topic = state.topics.entry(id.to_owned()).or_default();
        topic.tell(&Notice::Event(Arc::clone(&event)), &self.cut);
        state.keep(id, event);
    }

    /// Ends the watches of a sandbox that is gone.
    pub(crate) fn gone(&self, id: &str) {
        if let Some(topic) = self.state().remove(id) {
            topic.end(End::Gone);
        }
    }

    /// Ends every watch, and those to come.
    pub(crate) fn close(&self) {
        let state = {
            let mut state = self.state();
            self.closed.send_replace(true);
            std::mem::take(&mut *state)
        };
        state.topics.into_values().for_each(|topic| topic.end(End::Closing));
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Ready once the watches are ended.
    pub(crate) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // The sender is in `self`, so that it cannot go away before.
        let _closed = closed.wait_for(|closed| *closed).await;
    }

    /// How many watches are open, and how many were cut since the start.
    pub(crate) fn watchers(&self) -> (u64, u64) {
        let open = |topic: &Topic| topic.watchers.iter().filter(|watcher| !watcher.queue.is_closed()).count();
        let open: usize = self.state().topics.values().map(open).sum();
        (open as u64, self.cut.load(Ordering::Relaxed))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that may panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Keeps an event of a topic that there is, at the cost of older ones.
    fn keep(&mut self, id: &str, event: Arc<PlatformEvent>) {
        let number = self.next;
        self.next += 1;
        self.bytes += size(&event);
        self.ages.insert(number, Arc::from(id));
        if let Some(topic) = self.topics.get_mut(id) {
            topic.recent.push_back(Kept { number, event });
            if topic.recent.len() > RECENT_EVENTS
                && let Some(oldest) = topic.recent.pop_front()
            {
                self.ages.remove(&oldest.number);
                self.bytes -= size(&oldest.event);
            }
        }
        while self.bytes > RECENT_BYTES {
            // The oldest of all is the first of its own sandbox, too.
            let Some((_, id)) = self.ages.pop_first() else { break };
            let oldest = self.topics.get_mut(&*id).and_then(|topic| topic.recent.pop_front());
            self.bytes -= oldest.map_or(0, |oldest| size(&oldest.event));
        }
    }

    fn remove(&mut self, id: &str) -> Option<Topic> {
        let topic = self.topics.remove(id)?;
        for kept in &topic.recent {
            self.ages.remove(&kept.number);
            self.bytes -= size(&kept.event);
        }
        Some(topic)
    }
}

impl Topic {
    fn tell(&mut self, notice: &Notice, cut: &AtomicU64) {
        self.watchers.retain(|watcher| match watcher.queue.try_send(notice.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                cut.fetch_add(1, Ordering::Relaxed);
                let _once = watcher.end.set(End::Slow);
                false
            }
        });
    }

    fn end(self, end: End) {
        for watcher in &self.watchers {
            let _once = watcher.end.set(end);
        }
    }
}

/// About what an event takes.
fn size(event: &PlatformEvent) -> usize {
    let PlatformEvent { source, kind, reason, message, metadata, .. } = event;
    let text = source.len() + kind.len() + reason.len() + message.len();
    let metadata: usize = metadata.iter().map(|(key, value)| key.len() + value.len() + ENTRY).sum();
    text + metadata + ENTRY * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: i64) -> PlatformEvent {
        PlatformEvent { timestamp_ms: number, ..PlatformEvent::default() }
    }

    /// How many bytes and how many events.
    fn kept(hub: &Hub) -> (usize, usize) {
        let state = hub.state();
        (state.bytes, state.ages.len())
    }

    async fn numbers(subscription: &mut Subscription) -> (Vec<i64>, End) {
        let mut seen = Vec::new();
        loop {
            match subscription.next().await {
                Ok(Notice::Event(event)) => seen.push(event.timestamp_ms),
                Ok(Notice::State(_)) => {}
                Err(end) => return (seen, end),
            }
        }
    }

    #[tokio::test]
    async fn a_slow_reader_gets_no_gap_and_then_an_end() {
        let hub = Hub::new(3);
        let mut slow = hub.subscribe("a");
        let mut other = hub.subscribe("b");
        for number in 0..10 {
            hub.event_of("a", event(number));
        }
        hub.event_of("b", event(7));
        hub.gone("b");
        assert_eq!(numbers(&mut slow).await, (vec![0, 1, 2], End::Slow));
        assert_eq!(numbers(&mut other).await, (vec![7], End::Gone));
    }

    #[tokio::test]
    async fn closing_ends_watches_and_those_to_come() {
        let hub = Hub::new(3);
        let mut before = hub.subscribe("a");
        hub.close();
        let mut after = hub.subscribe("a");
        assert_eq!(before.next().await.map(|_| ()), Err(End::Closing));
        assert_eq!(after.next().await.map(|_| ()), Err(End::Closing));
    }

    #[tokio::test]
    async fn who_waits_for_the_end_is_told() {
        let hub = Hub::new(1);
        assert!(!hub.is_closed());
        tokio::join!(hub.closed(), async { hub.close() });
        assert!(hub.is_closed());
    }

    #[tokio::test]
    async fn watches_are_counted_and_so_are_those_that_were_cut() {
        let hub = Hub::new(1);
        let (one, two) = (hub.subscribe("a"), hub.subscribe("b"));
        assert_eq!(hub.watchers(), (2, 0));
        drop(two);
        assert_eq!(hub.watchers(), (1, 0));
        hub.event_of("a", event(1));
        hub.event_of("a", event(2));
        assert_eq!(hub.watchers(), (0, 1));
        drop(one);
    }

    #[test]
    fn the_kept_events_of_all_are_bounded_and_the_oldest_go_first() {
        let hub = Hub::new(1);
        let large = || PlatformEvent { message: "m".repeat(RECENT_BYTES / 10), ..PlatformEvent::default() };
        hub.event_of("old", event(1));
        hub.event_of("old", event(2));
        for _ in 0..8 {
            hub.event_of("large", large());
        }
        assert_eq!(hub.subscribe("old").recent.len(), 2);
        for _ in 0..8 {
            hub.event_of("large", large());
        }
        assert!(hub.subscribe("old").recent.is_empty());
        assert!((8..10).contains(&hub.subscribe("large").recent.len()));
        hub.event_of("huge", PlatformEvent { message: "m".repeat(RECENT_BYTES), ..PlatformEvent::default() });
        assert!(hub.subscribe("huge").recent.is_empty());
        assert_eq!(kept(&hub), (0, 0));
        hub.event_of("gone", event(3));
        hub.gone("gone");
        assert_eq!(kept(&hub), (0, 0));
    }

    #[test]
    fn the_latest_events_are_kept() {
        let hub = Hub::new(1);
        for number in 0..100 {
            hub.event_of("a", event(number));
        }
        let recent = hub.subscribe("a").recent;
        assert_eq!(recent.len(), RECENT_EVENTS);
        assert_eq!(recent.last().map(|event| event.timestamp_ms), Some(99));
        assert_eq!(kept(&hub).1, RECENT_EVENTS);
    }
}
