//! The watch: records and pods are listed, and followed from the very versions that were listed, so that nothing falls
//! between; then what changed is told.
//!
//! ```text
//!   records ─ list ─▶ follow ─┐                                   (bounded)
//!   pods    ─ list ─▶ follow ─┼─ Change ─▶ Mirror ─ what is new ─────────────▶ the reader
//!   events  ─────────▶ follow ┘                 │                                 │
//!                       └──────── why it ended ─┴─────────────────────────────────┴▶ the last item
//! ```
//!
//! The API's own watches carry whole objects, so that nothing has to be asked again. They end every so often, and are
//! taken up from where they were; one that cannot be, because the API server no longer has that version, becomes a list
//! that is compared with what is known, so that what went meanwhile is told, too. Nothing is ever dropped: the followers
//! wait for the mirror, and where the reader is too slow for the mirror the stream ends with `ResourceExhausted`.

mod follow;
mod mirror;

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::core::DynamicObject;
use openshell_driver_api::{DriverError, ErrorKind, EventStream, WatchEvent};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::follow::{After, Source};
use self::mirror::Mirror;
use crate::calls::Calls;
use crate::record::Record;
use crate::{error, state};

/// How many changes a reader may be behind.
const BUFFER: usize = 1024;
/// The events that are about pods: the only ones whose sandbox is known. They have no labels to select them by.
const ABOUT_PODS: &str = "involvedObject.kind=Pod";

type Item = Result<WatchEvent, DriverError>;

/// Starts a watch. The first item is there once everything has been listed; what changes from then on is told.
pub(crate) fn watch(calls: &Calls) -> EventStream {
    let (tell_to, reader) = mpsc::channel(BUFFER);
    let (end_to, end) = mpsc::channel(1);
    let mut tasks = JoinSet::new();
    let calls = calls.clone();
    tasks.spawn(async move {
        if let Err(error) = tell(calls, tell_to).await {
            // Its room is this one error's.
            let _ = end_to.send(error).await;
        }
    });
    Box::pin(Watch { reader, end, _tasks: tasks })
}

/// The reader's end; dropping it ends the tasks and with them the connections to the API server.
struct Watch {
    reader: mpsc::Receiver<WatchEvent>,
    end: mpsc::Receiver<DriverError>,
    _tasks: JoinSet<()>,
}

impl Stream for Watch {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        match self.reader.poll_recv(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(Some(Ok(event))),
            // What was told before the end comes before the reason.
            Poll::Ready(None) => self.end.poll_recv(cx).map(|end| end.map(Err)),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn behind() -> DriverError {
    DriverError::new(ErrorKind::ResourceExhausted, "watch", "the reader fell behind; it has to watch anew")
}

/// Tells the reader the snapshot and then what every change leads to, until one of the followers gives up.
async fn tell(calls: Calls, tell_to: mpsc::Sender<WatchEvent>) -> Result<(), DriverError> {
    let failed = |error| error::cluster("watch", error);
    let ours = ListParams::default().labels(&calls.scope.selector());
    let about_pods = ListParams::default().fields(ABOUT_PODS);
    let (records_url, pods_url, events_url) = (calls.records_url(), calls.pods_url(), calls.events_url());
    // What the cluster said before now is no news.
    let events_version = calls.version(&events_url, &about_pods).await.map_err(failed)?;
    // Records before pods, so that a pod's record is known.
    let records =
        calls.all::<DynamicObject>(&records_url, calls.by_metadata(), &ours).await.map_err(failed)?;
    let pods = calls.all_pods(&ours).await.map_err(failed)?;

    let mut mirror = Mirror::new(calls.clone());
    let known = |found: Vec<DynamicObject>| -> Vec<Record> {
        found.iter().filter_map(|found| Record::read(&calls.scope, found)).collect()
    };
    let snapshot = mirror.fill(known(records.items), pods.items);
    for sandbox in snapshot {
        // The snapshot may be larger than the buffer, so it goes at the reader's pace. Nothing waits meanwhile: the
        // versions are known from which the rest is followed.
        if tell_to.send(WatchEvent::Sandbox(sandbox)).await.is_err() {
            return Ok(());
        }
    }

    let mut tasks = JoinSet::new();
    let source = |url, metadata, params: &ListParams| Source {
        calls: calls.clone(),
        url,
        metadata,
        params: params.clone(),
    };
    let whole = |record: DynamicObject| record;
    let mut records_of = source(records_url, calls.by_metadata(), &ours).follow(
        records.version,
        After::Listed(whole),
        &mut tasks,
    );
    let mut pods_of =
        source(pods_url, false, &ours).follow(pods.version, After::Listed(state::trim), &mut tasks);
    let mut events_of =
        source(events_url, false, &about_pods).follow::<Event>(events_version, After::Left, &mut tasks);
    loop {
        let news = tokio::select! {
            // Records first: a stop is known before its pod goes.
            biased;
            () = tell_to.closed() => return Ok(()),
            change = records_of.recv() => {
                let change = change.ok_or_else(ended)??;
                mirror.records(change.map(known)).await?
            }
            change = pods_of.recv() => {
                let change = change.ok_or_else(ended)??;
                mirror.pods(change).await?
            }
            change = events_of.recv() => {
                let change = change.ok_or_else(ended)??;
                mirror.events(change)
            }
        };
        for event in news {
            match tell_to.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => return Err(behind()),
                Err(mpsc::error::TrySendError::Closed(_)) => return Ok(()),
            }
        }
    }
}

fn ended() -> DriverError {
    DriverError::new(ErrorKind::Unavailable, "watch", "the watch ended")
}
