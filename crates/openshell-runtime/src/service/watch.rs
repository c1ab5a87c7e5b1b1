//! `WatchSandbox`: the present state, then changes, to an end that says why.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream;
use openshell_proto::openshell::v1 as proto;
use openshell_proto::openshell::v1::sandbox_stream_event::Payload;
use tokio_stream::Stream;
use tonic::Status;

use super::Api;
use super::status::{no_sandbox, of_store, stopping};
use crate::hub::{End, Notice, Subscription};
use crate::store::Record;
use crate::view;

/// The events of one watch.
pub(crate) type WatchStream = Pin<Box<dyn Stream<Item = Result<proto::SandboxStreamEvent, Status>> + Send>>;

/// What a watch has still to do.
struct Watching {
    /// Ready events, the next one last.
    ready: Vec<Payload>,
    subscription: Subscription,
    version: u64,
    status: bool,
    events: bool,
    stop_on_terminal: bool,
    over: bool,
    driver_name: String,
}

impl Api {
    pub(super) async fn watch(&self, request: proto::WatchSandboxRequest) -> Result<WatchStream, Status> {
        if request.id.is_empty() {
            return Err(Status::invalid_argument("the id of the sandbox is empty"));
        }
        let load = || async {
            let found = self.engine.store.get(&request.id).await;
            found.map_err(|error| of_store(&error))?.ok_or_else(|| no_sandbox(&request.id))
        };
        // Only what there is can be watched: anybody's made-up id would be kept otherwise.
        load().await?;
        let subscription = self.engine.hub.subscribe(&request.id);
        let record = load().await.inspect_err(|_| self.engine.hub.gone(&request.id))?;
        let watching =
            Watching::new(&request, record, subscription, self.engine.settings.driver_name.clone());
        Ok(Box::pin(stream::unfold(watching, Watching::next)))
    }
}

impl Watching {
    fn new(
        request: &proto::WatchSandboxRequest,
        record: Record,
        subscription: Subscription,
        driver_name: String,
    ) -> Self {
        // Nothing asked for is not "nothing at all": the state is what everybody wants.
        let status = request.follow_status || !(request.follow_events || request.follow_logs);
        let mut ready = Vec::new();
        // Latest first, for the next one to send is the last.
        let tail = usize::try_from(request.event_tail).unwrap_or(usize::MAX);
        ready.extend(
            subscription.recent.iter().rev().take(tail).map(|event| Payload::Event(view::event(event))),
        );
        if request.follow_logs {
            let message = "this gateway does not collect logs yet: no line will come".to_owned();
            ready.push(Payload::Warning(proto::SandboxStreamWarning { message }));
        }
        let version = record.resource_version;
        let over = request.stop_on_terminal && view::phase(&record, &driver_name).is_terminal();
        ready.push(Payload::Sandbox(view::sandbox(record, &driver_name)));
        Self {
            ready,
            subscription,
            version,
            status,
            events: request.follow_events,
            stop_on_terminal: request.stop_on_terminal,
            over,
            driver_name,
        }
    }

    async fn next(mut self) -> Option<(Result<proto::SandboxStreamEvent, Status>, Self)> {
        loop {
            if let Some(payload) = self.ready.pop() {
                return Some((Ok(proto::SandboxStreamEvent { payload: Some(payload) }), self));
            }
            if self.over {
                return None;
            }
            match self.subscription.next().await {
                Ok(notice) => self.take(notice),
                Err(End::Gone) => return None,
                Err(End::Closing) => return self.cut(stopping()),
                Err(End::Slow) => {
                    let message =
                        "the reader is too slow and has missed events; watch again for the present state";
                    return self.cut(Status::resource_exhausted(message));
                }
            }
        }
    }

    fn cut(mut self, status: Status) -> Option<(Result<proto::SandboxStreamEvent, Status>, Self)> {
        self.over = true;
        Some((Err(status), self))
    }

    fn take(&mut self, notice: Notice) {
        match notice {
            Notice::State(record) => {
                // What came between the subscription and the first look has been told already.
                if record.resource_version <= self.version {
                    return;
                }
                self.version = record.resource_version;
                self.over = self.stop_on_terminal && view::phase(&record, &self.driver_name).is_terminal();
                if self.status || self.over {
                    let record = Arc::unwrap_or_clone(record);
                    self.ready.push(Payload::Sandbox(view::sandbox(record, &self.driver_name)));
                }
            }
            Notice::Event(event) if self.events => self.ready.push(Payload::Event(view::event(&event))),
            Notice::Event(_) => {}
        }
    }
}
