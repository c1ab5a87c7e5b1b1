//! `WatchSandbox`: the present state, then changes, to an end that says why.

use std::sync::Arc;

use futures_util::stream;
use openshell_proto::openshell::v1 as proto;
use openshell_proto::openshell::v1::sandbox_stream_event::Payload;
use tonic::Status;

use super::status::{no_sandbox, of_store, stopping};
use super::{Api, supervisors};
use crate::engine::Engine;
use crate::hub::{End, Notice, Subscription};
use crate::store::Record;
use crate::supervisor::{Behind, Flow, Follower, Query};
use crate::view;

/// The events of one watch.
pub(crate) type WatchStream = Flow<proto::SandboxStreamEvent>;

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
    engine: Arc<Engine>,
    /// Its log, where that is followed.
    follower: Option<Follower>,
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
        let least = &request.log_min_level;
        let query = supervisors::query(request.log_since_ms, request.log_sources.clone(), least)?;
        let subscription = self.engine.hub.subscribe(&request.id);
        self.engine.supervisors.logs.keep(&request.id);
        let record = load().await.inspect_err(|_| {
            self.engine.hub.gone(&request.id);
            self.engine.supervisors.logs.forget(&request.id);
        })?;
        let watching = Watching::new(&request, record, subscription, query, Arc::clone(&self.engine));
        Ok(Box::pin(stream::unfold(watching, Watching::next)))
    }
}

impl Watching {
    fn new(
        request: &proto::WatchSandboxRequest,
        record: Record,
        subscription: Subscription,
        query: Query,
        engine: Arc<Engine>,
    ) -> Self {
        let driver_name = engine.settings.driver_name.clone();
        // Nothing asked for is not "nothing at all": the state is what everybody wants.
        let status = request.follow_status || !(request.follow_events || request.follow_logs);
        let mut ready = Vec::new();
        // Latest first, for the next one to send is the last.
        let tail = usize::try_from(request.event_tail).unwrap_or(usize::MAX);
        ready.extend(
            subscription.recent.iter().rev().take(tail).map(|event| Payload::Event(view::event(event))),
        );
        let mut follower = None;
        if engine.settings.supervision.is_some() {
            // Whoever names a moment and no number wants everything since then.
            let tail = match request.log_tail_lines {
                0 if request.follow_logs && request.log_since_ms > 0 => usize::MAX,
                lines => usize::try_from(lines).unwrap_or(usize::MAX),
            };
            let (latest, followed) = engine.supervisors.logs.follow(&request.id, query, tail);
            ready.extend(latest.iter().rev().map(log));
            follower = followed.filter(|_| request.follow_logs);
        } else if request.follow_logs {
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
            engine,
            follower,
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
            let lines = async {
                match &mut self.follower {
                    Some(follower) => follower.next(&self.engine.supervisors.logs).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                notice = self.subscription.next() => match notice {
                    Ok(notice) => self.take(notice),
                    Err(End::Gone) => return None,
                    Err(End::Closing) => return self.cut(stopping()),
                    Err(End::Slow) => {
                        let message =
                            "the reader is too slow and has missed events; watch again for the present state";
                        return self.cut(Status::resource_exhausted(message));
                    }
                },
                lines = lines => match lines {
                    Ok(lines) => self.ready.extend(lines.iter().rev().map(log)),
                    Err(Behind) => {
                        let message = "the reader is too slow and has missed lines of the log; watch again from here";
                        return self.cut(Status::resource_exhausted(message));
                    }
                },
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

/// A line of the log, for the wire.
fn log(line: &Arc<proto::SandboxLogLine>) -> Payload {
    Payload::Log(proto::SandboxLogLine::clone(line))
}
