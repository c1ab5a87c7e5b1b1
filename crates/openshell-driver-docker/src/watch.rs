//! The watch: the engine's events, subscribed to before anything is looked at, then a snapshot, then changes.
//!
//! ```text
//!   engine events ─┐                      (bounded)             (bounded)
//!   own news ──────┴─ listen ── Signal ──────────▶ tell ── WatchEvent ──────────▶ the reader
//!                       │                           │   snapshot, then inspect       │
//!                       └────────── why it ended ───┴─────────────────▶ the last item
//! ```
//!
//! An event is only a reason to look: what is told is what an inspection says, so that a repeated or a replayed event
//! does no harm. Nothing is ever dropped: where a buffer is full, the stream ends with `ResourceExhausted`, and the
//! reader comes back for a new snapshot. There is no timer here.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_core::Stream;
use futures_util::StreamExt;
use openshell_driver_api::{
    DriverError, ErrorKind, EventStream, ObservedSandbox, PlatformEvent, SandboxId, WatchEvent,
};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

use crate::driver::Inner;
use crate::error;
use crate::names::Scope;

/// How many changes a reader may be behind.
const BUFFER: usize = 1024;
/// The engine answers an event request a moment before it has subscribed, and replays what came since a time: asked
/// from a little earlier than now, that moment is covered.
const OVERLAP: Duration = Duration::from_secs(5);
/// The events that can change what is told of a container.
const ACTIONS: [&str; 8] = ["create", "start", "die", "stop", "oom", "pause", "unpause", "destroy"];

/// What this driver itself has to tell its watchers.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// Something changed that makes no event of the engine's.
    Touched(SandboxId),
    /// A ready-made event.
    Event(WatchEvent),
}

/// A reason to tell the reader something.
enum Signal {
    /// Look at a container of the engine.
    Look { container: String },
    /// It is gone from the engine.
    Gone(SandboxId),
    /// News of our own.
    News(News),
}

/// Why a stream ended; the first reason counts.
type End = Arc<OnceLock<DriverError>>;

/// Starts a watch.
pub(crate) fn watch(inner: &Arc<Inner>) -> EventStream {
    let (tell_to, reader) = mpsc::channel(BUFFER);
    let (signal_to, signals) = mpsc::channel(BUFFER);
    let end = End::default();
    let mut tasks = JoinSet::new();
    // In this order: the news are subscribed to before this returns, the engine before the snapshot is taken.
    tasks.spawn(listen(Arc::clone(inner), inner.news.subscribe(), signal_to, Arc::clone(&end)));
    tasks.spawn(tell(Arc::clone(inner), signals, tell_to, Arc::clone(&end)));
    Box::pin(Watch { reader, end: Some(end), _tasks: tasks })
}

/// The reader's end; dropping it ends the tasks and with them the connection to the engine.
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

/// Turns engine events and news into signals until one of them ends or `tell` is too slow to take them.
async fn listen(
    inner: Arc<Inner>,
    mut news: broadcast::Receiver<News>,
    signal_to: mpsc::Sender<Signal>,
    end: End,
) {
    let mut filters = inner.engine.scope.filters();
    filters.insert("type".to_owned(), vec!["container".to_owned()]);
    filters.insert("event".to_owned(), ACTIONS.map(str::to_owned).to_vec());
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(OVERLAP);
    let options = EventsOptionsBuilder::new().since(&since.as_secs().to_string()).filters(&filters).build();
    let mut events = Box::pin(inner.engine.docker.events(Some(options)));
    let why = loop {
        let signals = tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => read(&inner.engine.scope, event),
                Some(Err(error)) => break error::mapped("watch", error, |_| ErrorKind::Unavailable),
                None => break DriverError::new(ErrorKind::Unavailable, "watch", "the engine ended its events"),
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

/// What an event gives reason to. Events of others never get here, since the engine filters; they are left out anyway.
fn read(scope: &Scope, event: EventMessage) -> Vec<Signal> {
    let actor = event.actor.unwrap_or_default();
    let (Some(container), Some(sandbox)) =
        (actor.id, actor.attributes.and_then(|labels| scope.owner(&labels)))
    else {
        return Vec::new();
    };
    match event.action.as_deref() {
        Some("destroy") => vec![Signal::Gone(sandbox)],
        Some("oom") => {
            let event = PlatformEvent {
                timestamp_ms: event.time.unwrap_or_default().saturating_mul(1000),
                source: "docker".to_owned(),
                kind: "Warning".to_owned(),
                reason: "OOMKilled".to_owned(),
                message: "a process was killed for want of memory".to_owned(),
                ..PlatformEvent::default()
            };
            let told = News::Event(WatchEvent::Platform { id: sandbox, event });
            vec![Signal::News(told), Signal::Look { container }]
        }
        _ => vec![Signal::Look { container }],
    }
}

/// Tells the reader the snapshot and then what every signal leads to.
async fn tell(
    inner: Arc<Inner>,
    mut signals: mpsc::Receiver<Signal>,
    tell_to: mpsc::Sender<WatchEvent>,
    end: End,
) {
    let mut told = HashMap::new();
    let snapshot = match inner.observe_all().await {
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
        let event = match follow(&inner, &mut told, signal).await {
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
    inner: &Inner,
    told: &mut HashMap<SandboxId, ObservedSandbox>,
    signal: Signal,
) -> Result<Option<WatchEvent>, DriverError> {
    let sandbox = match signal {
        Signal::News(News::Event(event)) => return Ok(Some(event)),
        Signal::News(News::Touched(id)) => inner.observe(&id).await?,
        Signal::Look { container } => {
            inner.engine.inspect(&container).await?.and_then(|found| inner.read(&found))
        }
        // A replayed event may be about an earlier container of a sandbox that is there again.
        Signal::Gone(id) => match inner.observe(&id).await? {
            Some(sandbox) => Some(sandbox),
            None => {
                told.remove(&id);
                return Ok(Some(WatchEvent::Deleted(id)));
            }
        },
    };
    // A container that is gone by now has its own event to come.
    let Some(sandbox) = sandbox else { return Ok(None) };
    if told.get(&sandbox.id) == Some(&sandbox) {
        return Ok(None);
    }
    told.insert(sandbox.id.clone(), sandbox.clone());
    Ok(Some(WatchEvent::Sandbox(sandbox)))
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;
    use openshell_driver_api::labels;

    use super::*;

    fn event(action: &str, gateway: &str) -> EventMessage {
        let mut attributes = Scope { gateway_id: gateway.into() }.labels();
        attributes.insert(labels::SANDBOX_ID.to_owned(), "s".to_owned());
        EventMessage {
            action: Some(action.into()),
            actor: Some(EventActor { id: Some("c0ffee".into()), attributes: Some(attributes) }),
            time: Some(2),
            ..EventMessage::default()
        }
    }

    #[test]
    fn events_are_reasons_to_look() {
        let scope = Scope { gateway_id: "gw".into() };
        assert!(
            matches!(&read(&scope, event("start", "gw"))[..], [Signal::Look { container }] if container == "c0ffee")
        );
        assert!(
            matches!(&read(&scope, event("destroy", "gw"))[..], [Signal::Gone(id)] if id.as_str() == "s")
        );
        assert!(read(&scope, event("start", "other")).is_empty());
        assert!(read(&scope, EventMessage::default()).is_empty());
        let oom = read(&scope, event("oom", "gw"));
        let [Signal::News(News::Event(WatchEvent::Platform { event, .. })), Signal::Look { .. }] = &oom[..]
        else {
            panic!("a platform event and a look");
        };
        assert_eq!((event.timestamp_ms, event.kind.as_str()), (2000, "Warning"));
    }

    #[tokio::test]
    async fn the_reason_comes_last_and_once() {
        let (tell_to, reader) = mpsc::channel(1);
        let end = End::default();
        let mut watch = Watch { reader, end: Some(Arc::clone(&end)), _tasks: JoinSet::new() };
        let id = SandboxId::new("s").expect("an id");
        tell_to.try_send(WatchEvent::Deleted(id)).expect("room");
        let _ = end.set(behind());
        drop(tell_to);
        assert!(matches!(watch.next().await, Some(Ok(WatchEvent::Deleted(_)))));
        let last = watch.next().await.expect("an item").expect_err("an error");
        assert_eq!(last.kind(), ErrorKind::ResourceExhausted);
        assert!(watch.next().await.is_none());
    }
}
