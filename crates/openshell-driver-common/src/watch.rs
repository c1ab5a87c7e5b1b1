//! The watch: a backend's events, subscribed to before anything is looked at, then a snapshot, then changes.
//!
//! ```text
//!   backend events ─┐                     (bounded)             (bounded)
//!   own news ───────┴─ listen ─ Signal ──────────▶ tell ── WatchEvent ──────────▶ the reader
//!                        │                          │   snapshot, then looks         │
//!                        └───────── why it ended ───┴─────────────────▶ the last item
//! ```
//!
//! An event is only a reason to look: what is told is what a look says, so that a repeated or a replayed event does no
//! harm. Nothing is ever dropped: where a buffer is full, the stream ends with `ResourceExhausted`, and the reader comes
//! back for a new snapshot. There is no timer here.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_core::Stream;
use openshell_driver_api::{
    DriverError, ErrorKind, EventStream, ObservedSandbox, SandboxId, WatchEvent, async_trait,
};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

/// How many changes a reader may be behind.
const BUFFER: usize = 1024;
/// How much news a watcher may be behind: the capacity of the channel that [`watch`] takes its news from.
pub const NEWS: usize = 1024;

/// Looks at a backend.
#[async_trait]
pub trait Observer: Send + Sync + 'static {
    /// Every sandbox of the gateway.
    async fn observe_all(&self) -> Result<Vec<ObservedSandbox>, DriverError>;
    /// One sandbox; `None` when there is none of that id.
    async fn observe(&self, id: &SandboxId) -> Result<Option<ObservedSandbox>, DriverError>;
    /// The sandbox that a resource is; `None` when it is gone, or no sandbox of this gateway.
    async fn look(&self, resource: &str) -> Result<Option<ObservedSandbox>, DriverError>;
}

/// What a driver itself has to tell its watchers.
#[derive(Debug, Clone)]
pub enum News {
    /// Something changed that makes no event of the backend's.
    Touched(SandboxId),
    /// A ready-made event.
    Event(WatchEvent),
}

/// A reason to tell the reader something.
#[derive(Debug, Clone)]
pub enum Signal {
    /// Look at a resource of the backend.
    Look {
        /// The backend's id for it.
        resource: String,
    },
    /// A sandbox as the backend's event alone tells it, where a look would come late. Counts for a resource that was told of
    /// and is not known to be gone; for any other there is a look to come.
    Seen(Box<ObservedSandbox>),
    /// A sandbox's resource is gone from the backend.
    Gone(SandboxId),
    /// News.
    News(News),
}

/// Why a stream ended; the first reason counts.
type End = Arc<OnceLock<DriverError>>;

/// Starts a watch. `events` is what the backend's events give reason to, from before this is called or from when it is
/// first polled on; its end is the end of the watch.
pub fn watch<S>(observer: Arc<impl Observer>, news: broadcast::Receiver<News>, events: S) -> EventStream
where
    S: Stream<Item = Result<Vec<Signal>, DriverError>> + Send + 'static,
{
    let (tell_to, reader) = mpsc::channel(BUFFER);
    let (signal_to, signals) = mpsc::channel(BUFFER);
    let end = End::default();
    let mut tasks = JoinSet::new();
    // In this order: the backend is subscribed to before the snapshot is taken.
    tasks.spawn(listen(news, events, signal_to, Arc::clone(&end)));
    tasks.spawn(tell(observer, signals, tell_to, Arc::clone(&end)));
    Box::pin(Watch { reader, end: Some(end), _tasks: tasks })
}

/// The reader's end; dropping it ends the tasks and with them the connection to the backend.
struct Watch {
    reader: mpsc::Receiver<WatchEvent>,
    end: Option<End>,
    _tasks: JoinSet<()>,
}

impl Stream for Watch {
    type Item = Result<WatchEvent, DriverError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.reader.poll_recv(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(Some(Ok(event))),
            Poll::Ready(None) => Poll::Ready(self.end.take().map(|end| Err(reason(&end)))),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn reason(end: &End) -> DriverError {
    match end.get() {
        Some(error) => DriverError::new(error.kind(), error.operation(), error.message()),
        None => DriverError::new(ErrorKind::Unavailable, "watch", "the watch ended"),
    }
}

fn behind() -> DriverError {
    DriverError::new(ErrorKind::ResourceExhausted, "watch", "the reader fell behind; it has to watch anew")
}

/// Turns events and news into signals until one of them ends or `tell` is too slow to take them.
async fn listen<S>(mut news: broadcast::Receiver<News>, events: S, signal_to: mpsc::Sender<Signal>, end: End)
where
    S: Stream<Item = Result<Vec<Signal>, DriverError>>,
{
    let mut events = pin!(events);
    let why = loop {
        let signals = tokio::select! {
            event = poll_fn(|cx| events.as_mut().poll_next(cx)) => match event {
                Some(Ok(signals)) => signals,
                Some(Err(error)) => break error,
                None => break DriverError::new(ErrorKind::Unavailable, "watch", "the backend ended its events"),
            },
            item = news.recv() => match item {
                Ok(item) => vec![Signal::News(item)],
                Err(broadcast::error::RecvError::Lagged(_)) => break behind(),
                Err(broadcast::error::RecvError::Closed) => {
                    break DriverError::new(ErrorKind::Unavailable, "watch", "the driver ended");
                }
            },
            () = signal_to.closed() => return,
        };
        if signals.into_iter().any(|signal| signal_to.try_send(signal).is_err()) {
            break behind();
        }
    };
    let _ = end.set(why);
}

/// Tells the reader the snapshot and then what every signal leads to.
async fn tell(
    observer: Arc<impl Observer>,
    mut signals: mpsc::Receiver<Signal>,
    tell_to: mpsc::Sender<WatchEvent>,
    end: End,
) {
    let mut told = HashMap::new();
    let snapshot = match observer.observe_all().await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            let _ = end.set(error);
            return;
        }
    };
    for sandbox in snapshot {
        told.insert(sandbox.id.clone(), sandbox.clone());
        // The snapshot may be larger than the buffer, so it goes at the reader's pace; signals wait meanwhile.
        if tell_to.send(WatchEvent::Sandbox(sandbox)).await.is_err() {
            return;
        }
    }
    loop {
        let signal = tokio::select! {
            signal = signals.recv() => signal,
            () = tell_to.closed() => return,
        };
        let Some(signal) = signal else { return };
        let event = match follow(&*observer, &mut told, signal).await {
            Ok(Some(event)) => event,
            Ok(None) => continue,
            Err(error) => {
                let _ = end.set(error);
                return;
            }
        };
        if tell_to.try_send(event).is_err() {
            let _ = end.set(behind());
            return;
        }
    }
}

/// Looks at what a signal is about; `None` when there is nothing new to tell.
async fn follow(
    observer: &impl Observer,
    told: &mut HashMap<SandboxId, ObservedSandbox>,
    signal: Signal,
) -> Result<Option<WatchEvent>, DriverError> {
    let sandbox = match signal {
        Signal::News(News::Event(event)) => return Ok(Some(event)),
        Signal::News(News::Touched(id)) => match observer.observe(&id).await? {
            // What was never told of may be on its way.
            None if told.remove(&id).is_some() => return Ok(Some(WatchEvent::Deleted(id))),
            found => found,
        },
        Signal::Look { resource } => observer.look(&resource).await?,
        Signal::Seen(seen) => {
            let same = |told: &ObservedSandbox| told.status.instance_id == seen.status.instance_id;
            told.get(&seen.id).is_some_and(same).then_some(*seen)
        }
        // A replayed event may be about an earlier resource of a sandbox that is there again.
        Signal::Gone(id) => match observer.observe(&id).await? {
            Some(sandbox) => Some(sandbox),
            None => {
                told.remove(&id);
                return Ok(Some(WatchEvent::Deleted(id)));
            }
        },
    };
    // A resource that is gone by now has its own event to come.
    let Some(sandbox) = sandbox else { return Ok(None) };
    if told.get(&sandbox.id) == Some(&sandbox) {
        return Ok(None);
    }
    told.insert(sandbox.id.clone(), sandbox.clone());
    Ok(Some(WatchEvent::Sandbox(sandbox)))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use futures_util::{StreamExt, stream};
    use openshell_driver_api::SandboxStatus;

    use super::*;

    fn id(text: &str) -> SandboxId {
        SandboxId::new(text).expect("an id")
    }

    fn sandbox(text: &str, instance: usize) -> ObservedSandbox {
        ObservedSandbox {
            id: id(text),
            name: text.into(),
            namespace: String::new(),
            workspace: String::new(),
            status: SandboxStatus { instance_id: instance.to_string(), ..SandboxStatus::default() },
        }
    }

    /// A backend of so many sandboxes, and what looks at single ones find, one after the other.
    struct Fake {
        all: usize,
        found: Mutex<VecDeque<Option<ObservedSandbox>>>,
    }

    #[async_trait]
    impl Observer for Fake {
        async fn observe_all(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
            Ok((0..self.all).map(|n| sandbox(&n.to_string(), 0)).collect())
        }
        async fn observe(&self, _: &SandboxId) -> Result<Option<ObservedSandbox>, DriverError> {
            Ok(self.found.lock().expect("a lock").pop_front().flatten())
        }
        async fn look(&self, resource: &str) -> Result<Option<ObservedSandbox>, DriverError> {
            self.observe(&id(resource)).await
        }
    }

    fn fake(all: usize, found: impl IntoIterator<Item = Option<ObservedSandbox>>) -> Arc<Fake> {
        Arc::new(Fake { all, found: Mutex::new(found.into_iter().collect()) })
    }

    fn look() -> Signal {
        Signal::Look { resource: "0".into() }
    }

    #[tokio::test]
    async fn a_snapshot_then_changes_and_only_those() {
        let touched = || Signal::News(News::Touched(id("0")));
        let found = [Some(sandbox("0", 0)), Some(sandbox("0", 1)), None, Some(sandbox("0", 1)), None, None];
        let ended = || {
            let mut ended = sandbox("0", 1);
            ended.status.deleting = true;
            ended
        };
        let seen = || Signal::Seen(Box::new(ended()));
        // As the backend's event tells it: of a resource that was told of, and not after it was told to be gone.
        let signals =
            [seen(), look(), look(), look(), seen(), Signal::Gone(id("0")), touched(), seen(), touched()];
        let events = stream::iter([Ok(signals.to_vec())]).chain(stream::pending());
        let (news, receiver) = broadcast::channel(NEWS);
        let mut watch = watch(fake(1, found), receiver, events);
        assert_eq!(watch.next().await.expect("one").expect("good"), WatchEvent::Sandbox(sandbox("0", 0)));
        for expected in [sandbox("0", 1), ended(), sandbox("0", 1)] {
            let told = watch.next().await.expect("one").expect("good");
            assert_eq!(told, WatchEvent::Sandbox(expected));
        }
        assert_eq!(watch.next().await.expect("one").expect("good"), WatchEvent::Deleted(id("0")));
        // Said by an event, also where nothing was told.
        news.send(News::Event(WatchEvent::Deleted(id("1")))).expect("a receiver");
        assert_eq!(watch.next().await.expect("one").expect("good"), WatchEvent::Deleted(id("1")));
        drop(news);
        let end = watch.next().await.expect("an end").expect_err("an error");
        assert_eq!((end.kind(), end.message()), (ErrorKind::Unavailable, "the driver ended"));
        assert!(watch.next().await.is_none());
    }

    #[tokio::test]
    async fn a_snapshot_larger_than_any_buffer_is_whole_and_what_came_meanwhile_is_not_lost() {
        let (news, receiver) = broadcast::channel(NEWS);
        let all = 3 * BUFFER;
        let watch = watch(fake(all, []), receiver, stream::pending());
        tokio::task::yield_now().await;
        news.send(News::Event(WatchEvent::Deleted(id("x")))).expect("a receiver");
        let told: Vec<_> = watch.take(all + 1).map(|event| event.expect("good")).collect().await;
        assert_eq!(told.last(), Some(&WatchEvent::Deleted(id("x"))));
        assert!(told[..all].iter().all(|event| matches!(event, WatchEvent::Sandbox(_))));
    }

    #[tokio::test]
    async fn a_reader_that_falls_behind_is_told_so_last() {
        let (news, receiver) = broadcast::channel(4 * BUFFER);
        let mut watch = watch(fake(0, []), receiver, stream::pending());
        for _ in 0..3 * BUFFER {
            news.send(News::Event(WatchEvent::Deleted(id("x")))).expect("a receiver");
        }
        // Time for the tasks, in which the reader reads nothing.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let mut told = 0;
        let end = loop {
            match watch.next().await.expect("an item") {
                Ok(_) => told += 1,
                Err(end) => break end,
            }
        };
        assert_eq!(end.kind(), ErrorKind::ResourceExhausted);
        assert!(told < 3 * BUFFER, "{told}");
        assert!(watch.next().await.is_none());
    }

    #[tokio::test]
    async fn a_backend_that_goes_away_is_the_end() {
        let (_news, receiver) = broadcast::channel(NEWS);
        let broken = || DriverError::new(ErrorKind::Unavailable, "watch", "broken");
        let mut ended = watch(fake(0, []), receiver.resubscribe(), stream::iter([Err(broken())]));
        assert_eq!(ended.next().await.expect("an end").expect_err("an error").message(), "broken");
        let mut ended = watch(fake(0, []), receiver, stream::empty());
        let end = ended.next().await.expect("an end").expect_err("an error");
        assert_eq!(end.message(), "the backend ended its events");
    }
}
