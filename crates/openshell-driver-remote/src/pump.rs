//! The server's side of a watch: from a driver's stream to a reader who may be slow, without ever losing an event.
//!
//! ```text
//!   driver's stream ──▶ pump task ──▶ bounded queue ──▶ reader
//!                          └─ no room for `stall`: the reader gets what is queued, then RESOURCE_EXHAUSTED
//! ```

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use openshell_driver_api::EventStream;
use openshell_proto::compute::v1::WatchSandboxesEvent;
use tokio::sync::{mpsc, watch};
use tonic::Status;

use crate::{convert, status_of};

/// What a watch may hold for its reader, and how long the reader may leave it full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) queue: usize,
    pub(crate) stall: Duration,
}

/// Starts the pump and gives the reader's end. The snapshot may be larger than the queue: what counts is that the
/// reader reads.
pub(crate) fn start(
    events: EventStream,
    bounds: Bounds,
    closing: watch::Receiver<bool>,
) -> impl Stream<Item = Result<WatchSandboxesEvent, Status>> + Send + use<> {
    let (queue, queued) = mpsc::channel(bounds.queue.max(1));
    // Why the watch ended, beside the queue, which may be full.
    let verdict = Arc::new(OnceLock::new());
    let pumped = Arc::clone(&verdict);
    tokio::spawn(async move {
        if let Some(status) = pump(events, &queue, bounds.stall, closing).await {
            // Set once: this is the only task that does.
            let _ = pumped.set(status);
        }
        // Only now does the reader see the end, and with it the verdict.
        drop(queue);
    });
    futures_util::stream::unfold(Some((queued, verdict)), |state| async move {
        let (mut queued, verdict) = state?;
        match queued.recv().await {
            Some(event) => Some((Ok(event), Some((queued, verdict)))),
            // A pump that ends without a word has panicked, unless the driver's stream ended.
            None => verdict.get().cloned().map(|status| (Err(status), None)),
        }
    })
}

/// Runs until the driver, the reader or the server ends it; the status is for the reader.
async fn pump(
    mut events: EventStream,
    queue: &mpsc::Sender<WatchSandboxesEvent>,
    stall: Duration,
    mut closing: watch::Receiver<bool>,
) -> Option<Status> {
    loop {
        let event = tokio::select! {
            biased;
            () = queue.closed() => return None,
            _ = closing.wait_for(|closing| *closing) => return Some(Status::unavailable("the driver is stopping")),
            event = events.next() => event,
        };
        let event = match event {
            Some(Ok(event)) => convert::event_to_wire(event),
            Some(Err(error)) => return Some(status_of(&error)),
            None => return None,
        };
        match tokio::time::timeout(stall, queue.send(event)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return None,
            Err(_) => {
                tracing::warn!(?stall, "a watch is cut: its reader does not keep up");
                return Some(Status::resource_exhausted("the reader of this watch fell behind; watch anew"));
            }
        }
    }
}
