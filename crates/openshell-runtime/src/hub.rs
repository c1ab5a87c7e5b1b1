//! Client watches: who follows which sandbox, and what each is still to be sent.
//!
//! A watcher has a bounded queue. One that lets it fill up is cut: it gets what is queued, which is without a gap, and
//! then an error, never a stream with something missing in the middle.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use openshell_driver_api::PlatformEvent;
use tokio::sync::mpsc;

use crate::store::Record;

/// How many of a sandbox's latest platform events are kept for watches that begin later.
const RECENT_EVENTS: usize = 64;

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
}

#[derive(Default)]
struct State {
    topics: HashMap<String, Topic>,
    closed: bool,
}

#[derive(Default)]
struct Topic {
    watchers: Vec<Watcher>,
    recent: VecDeque<Arc<PlatformEvent>>,
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
        Self { state: Mutex::default(), buffer: buffer.max(1) }
    }

    /// Begins a watch. Whoever begins one has to look at the sandbox afterwards, so that no change falls in between.
    pub(crate) fn subscribe(&self, id: &str) -> Subscription {
        let (sender, queue) = mpsc::channel(self.buffer);
        let end = Arc::new(OnceLock::new());
        let mut state = self.state();
        if state.closed {
            return Subscription { queue, end, recent: Vec::new() };
        }
        let topic = state.topics.entry(id.to_owned()).or_default();
        topic.watchers.retain(|watcher| !watcher.queue.is_closed());
        topic.watchers.push(Watcher { queue: sender, end: Arc::clone(&end) });
        Subscription { queue, end, recent: topic.recent.iter().cloned().collect() }
    }

    /// Tells the state of a sandbox.
    pub(crate) fn state_of(&self, record: &Record) {
        if let Some(topic) = self.state().topics.get_mut(&record.id)
            && !topic.watchers.is_empty()
        {
            topic.tell(&Notice::State(Arc::new(record.clone())));
        }
    }

    /// Tells what the backend says of a sandbox that there is.
    pub(crate) fn event_of(&self, id: &str, event: PlatformEvent) {
        let event = Arc::new(event);
        let mut state = self.state();
        let topic = state.topics.entry(id.to_owned()).or_default();
        if topic.recent.len() == RECENT_EVENTS {
            topic.recent.pop_front();
        }
        topic.recent.push_back(Arc::clone(&event));
        topic.tell(&Notice::Event(event));
    }

    /// Ends the watches of a sandbox that is gone.
    pub(crate) fn gone(&self, id: &str) {
        if let Some(topic) = self.state().topics.remove(id) {
            topic.end(End::Gone);
        }
    }

    /// Ends every watch, and those to come.
    pub(crate) fn close(&self) {
        let topics = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.topics)
        };
        topics.into_values().for_each(|topic| topic.end(End::Closing));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that may panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Topic {
    fn tell(&mut self, notice: &Notice) {
        self.watchers.retain(|watcher| match watcher.queue.try_send(notice.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: i64) -> PlatformEvent {
        PlatformEvent { timestamp_ms: number, ..PlatformEvent::default() }
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

    #[test]
    fn the_latest_events_are_kept() {
        let hub = Hub::new(1);
        for number in 0..100 {
            hub.event_of("a", event(number));
        }
        let recent = hub.subscribe("a").recent;
        assert_eq!(recent.len(), RECENT_EVENTS);
        assert_eq!(recent.last().map(|event| event.timestamp_ms), Some(99));
    }
}
