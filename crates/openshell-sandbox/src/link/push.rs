//! Hands lines over to the gateway's log, on one stream for as long as a session lasts.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use openshell_proto::numbered;
use openshell_proto::openshell::v1::{PushSandboxLogsRequest, SandboxLogLine};
use tokio::sync::oneshot;
use tokio_stream::Stream;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

use super::Shared;
use super::backoff::Backoff;
use super::log::Log;
use super::wire::Wire;

/// Hands over lines until there will be none any more, and the gateway has taken all of them.
pub(super) async fn push(shared: Arc<Shared>) {
    let mut backoff = Backoff::default();
    loop {
        let wire = shared.wire().await;
        let began = tokio::time::Instant::now();
        let (stop, stopped) = oneshot::channel();
        let mut client = wire.client();
        let call = client.push_sandbox_logs(request(&shared, stopped));
        tokio::pin!(call);
        let answer = tokio::select! {
            answer = &mut call => answer,
            () = moved(&shared, &wire) => {
                // What is on its way gets there: the gateway ends the old connection in order.
                drop(stop);
                call.await
            }
        };
        match answer {
            Ok(_) if shared.log.is_over() => return,
            // It has no log for this; with another session that may be different.
            Err(status) if status.code() == Code::Unimplemented => another(&shared).await,
            Ok(_) | Err(_) => tokio::time::sleep(backoff.pause(began.elapsed())).await,
        }
    }
}

/// A stream of all that is to be handed over, with its place where the gateway counts.
fn request(shared: &Shared, stopped: oneshot::Receiver<Infallible>) -> Request<Batches> {
    let counts = shared.counts.load(Ordering::Relaxed);
    let from = numbered::From { first: shared.log.begin(counts), run: shared.sandbox.instance_id.clone() };
    let mut request = Request::new(Batches::new(Arc::clone(&shared.log), stopped));
    if counts && let Ok(from) = MetadataValue::try_from(from.text()) {
        request.metadata_mut().insert(numbered::FROM, from);
    }
    request
}

/// Waits until there is a session on another connection.
async fn moved(shared: &Shared, wire: &Wire) {
    let mut up = shared.up.subscribe();
    // The sender lives as long as the link.
    let _ = up.wait_for(|now| now.as_ref().is_some_and(|now| !now.is_same(wire))).await;
}

/// Waits until the present session is over.
async fn another(shared: &Shared) {
    // The sender lives as long as the link.
    let _ = shared.up.subscribe().wait_for(Option::is_none).await;
}

type Batch = Pin<Box<dyn Future<Output = Option<Vec<SandboxLogLine>>> + Send>>;

/// The batches as what a stream sends. A batch leaves the queue when there is room for it on the connection, so that little is
/// lost with one that breaks where the gateway does not count.
struct Batches {
    log: Arc<Log>,
    /// Ends the stream when its sender goes.
    stopped: oneshot::Receiver<Infallible>,
    next: Option<Batch>,
}

impl Batches {
    fn new(log: Arc<Log>, stopped: oneshot::Receiver<Infallible>) -> Self {
        Self { log, stopped, next: None }
    }
}

impl Stream for Batches {
    type Item = PushSandboxLogsRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if Pin::new(&mut self.stopped).poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        let log = Arc::clone(&self.log);
        let next = self.next.get_or_insert_with(|| Box::pin(async move { log.batch().await }));
        let logs = ready!(next.as_mut().poll(cx));
        self.next = None;
        Poll::Ready(
            logs.map(|logs| PushSandboxLogsRequest { sandbox_id: self.log.sandbox_id().to_owned(), logs }),
        )
    }
}
