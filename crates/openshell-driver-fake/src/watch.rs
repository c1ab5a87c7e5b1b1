//! A watch: its snapshot, the changes, and how it ends.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use openshell_proto::compute::v1::{
    DriverPlatformEvent, WatchSandboxesEvent, WatchSandboxesPlatformEvent, watch_sandboxes_event::Payload,
};
use tokio::sync::watch;
use tonic::Status;

use crate::Fault;
use crate::world::{Driver, Subscription};

/// What a watch sends.
pub(crate) type Events = Pin<Box<dyn Stream<Item = Result<WatchSandboxesEvent, Status>> + Send>>;

/// Between two bursts of a flood, and the events of each.
const FLOOD: Duration = Duration::from_millis(20);
const BURST: usize = 50;

/// Counts a watch for as long as it is open.
struct Open(Arc<Driver>);

impl Open {
    fn new(driver: &Arc<Driver>) -> Self {
        driver.open_watches.send_modify(|count| *count += 1);
        Self(Arc::clone(driver))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open_watches.send_modify(|count| *count -= 1);
    }
}

/// What the changes of a watch come from.
struct Changes {
    driver: Arc<Driver>,
    subscription: Subscription,
    closing: watch::Receiver<bool>,
    /// What is left of a burst.
    burst: usize,
    _open: Open,
}

/// Opens a watch; it ends when `closing` says so, with `UNAVAILABLE`.
pub(crate) fn open(driver: &Arc<Driver>, closing: watch::Receiver<bool>) -> Events {
    let mut subscription = driver.subscribe();
    let mut first: Vec<Result<WatchSandboxesEvent, Status>> =
        std::mem::take(&mut subscription.snapshot).into_iter().map(Ok).collect();
    if driver.has(Fault::EmptyEvents) {
        first.push(Ok(WatchSandboxesEvent::default()));
    }
    let open = Open::new(driver);
    let end = [
        (Fault::WatchAborted, Status::aborted("the watch was aborted")),
        (Fault::WatchDataLoss, Status::data_loss("events were lost")),
        (Fault::WatchExhausted, Status::resource_exhausted("the reader fell behind")),
    ]
    .into_iter()
    .find(|(fault, _)| driver.has(*fault));
    if let Some((_, status)) = end {
        first.push(Err(status));
    }
    let ends = first.last().is_some_and(Result::is_err) || driver.has(Fault::WatchEnds);
    let first = stream::iter(first);
    if ends {
        return first.boxed();
    }
    let changes = Changes { driver: Arc::clone(driver), subscription, closing, burst: 0, _open: open };
    first.chain(stream::unfold(Some(changes), next)).boxed()
}

/// What comes first.
enum Step {
    Closing,
    Change(Option<Box<WatchSandboxesEvent>>),
    Noise,
}

async fn next(state: Option<Changes>) -> Option<(Result<WatchSandboxesEvent, Status>, Option<Changes>)> {
    let mut changes = state?;
    let flood = changes.driver.has(Fault::Flood);
    let in_burst = changes.burst > 0;
    let pause = async {
        // Even a sleep of no time is one until the next tick of the clock.
        if !in_burst {
            tokio::time::sleep(FLOOD).await;
        }
    };
    let step = tokio::select! {
        biased;
        _ = changes.closing.wait_for(|closing| *closing) => Step::Closing,
        event = changes.subscription.queue.recv() => Step::Change(event.map(Box::new)),
        () = pause, if flood => Step::Noise,
    };
    match step {
        Step::Closing if changes.driver.has(Fault::CleanEndOfWatch) => None,
        Step::Closing => Some((Err(Status::unavailable("the driver is stopping")), None)),
        Step::Change(Some(event)) => Some((Ok(*event), Some(changes))),
        Step::Change(None) => changes.subscription.verdict.get().cloned().map(|status| (Err(status), None)),
        Step::Noise => {
            changes.burst = changes.burst.checked_sub(1).unwrap_or(BURST);
            Some((Ok(noise()), Some(changes)))
        }
    }
}

/// An event that says nothing.
fn noise() -> WatchSandboxesEvent {
    let event = DriverPlatformEvent { reason: "Noise".to_owned(), ..DriverPlatformEvent::default() };
    let event = WatchSandboxesPlatformEvent { sandbox_id: "noise".to_owned(), event: Some(event) };
    WatchSandboxesEvent { payload: Some(Payload::PlatformEvent(event)) }
}
