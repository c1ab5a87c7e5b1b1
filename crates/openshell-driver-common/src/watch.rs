//! The watch: a backend's events, subscribed to before anything is looked at, then a snapshot, then changes.
//!
//! ```text
//!   backend events ─┐                     (bounded)             (bounded)
//!   own news ───────┴─ listen ─ Signal ────▶ tell (tell.rs) ── WatchEvent ──────▶ the reader
//!                        │                          │   snapshot, then looks         │
//!                        └───────── why it ended ───┴─────────────────▶ the last item
//! ```
//!
//! An event is only a reason to look: what is told is what a look says, so that a repeated or a replayed event does no
//! harm. Nothing is ever dropped: where a buffer is full, the stream ends with `ResourceExhausted`, and the reader comes
//! back for a new snapshot. There is no timer here.

mod tell;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_core::Stream;
use openshell_driver_api::{
    DriverError, ErrorKind, EventStream, ObservedSandbox, PlatformEvent, SandboxId, WatchEvent, async_trait,
};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

use self::tell::tell;

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
    /// Something to be told in words.
    Said {
        /// The sandbox that it is about.
        id: SandboxId,
        /// The words.
        event: PlatformEvent,
    },
}

/// A reason to tell the reader something.
#[derive(Debug, Clone)]
pub enum Signal {
    /// Look at a resource of the backend.
    Look {
        /// The sandbox whose resource it is.
        id: SandboxId,
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

#[cfg(test)]
mod tests;
