//! What the gateway of the tests answers, and what it remembers of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use openshell_proto::numbered;
use openshell_proto::openshell::v1::gateway_message::Payload as ToSandbox;
use openshell_proto::openshell::v1::relay_frame;
use openshell_proto::openshell::v1::supervisor_message::Payload as FromSandbox;
use openshell_proto::openshell::v1::{
    GatewayHeartbeat, GatewayMessage, PushSandboxLogsRequest, PushSandboxLogsResponse,
    RefreshSandboxTokenRequest, RefreshSandboxTokenResponse, RelayFrame, RelayOpenResult,
    ReportMainProcessExitRequest, ReportMainProcessExitResponse, SessionAccepted, SessionRejected,
    SupervisorMessage,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use crate::channel::Channel;
use crate::gateway::{Heard, TOKEN, Ways};

pub(crate) type Session = mpsc::Sender<Result<GatewayMessage, Status>>;

/// What the connections share.
pub(crate) struct State {
    pub(crate) ways: Mutex<Ways>,
    pub(crate) heard: Mutex<Heard>,
    /// The present session and its number.
    pub(crate) session: watch::Sender<(u64, Option<Session>)>,
    pub(crate) answers: Mutex<HashMap<String, oneshot::Sender<RelayOpenResult>>>,
    pub(crate) joins: Mutex<HashMap<String, oneshot::Sender<Channel>>>,
    pub(crate) tokens: Mutex<HashMap<String, Instant>>,
    pub(crate) counter: AtomicU64,
}

impl State {
    pub(crate) fn new(ways: Ways) -> Self {
        Self {
            ways: Mutex::new(ways),
            heard: Mutex::default(),
            session: watch::Sender::new((0, None)),
            answers: Mutex::default(),
            joins: Mutex::default(),
            tokens: Mutex::default(),
            counter: AtomicU64::new(0),
        }
    }

    pub(crate) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().expect("what was heard")
    }

    pub(crate) fn next(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn forget_session(&self) {
        self.session.send_modify(|(_, session)| *session = None);
    }

    /// Whether the token is one for this method.
    pub(crate) fn admit(&self, method: &str, headers: &http::HeaderMap) -> Result<(), Status> {
        let header = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let token = header.strip_prefix("Bearer ").unwrap_or_default().to_owned();
        self.heard().calls.push((method.to_owned(), token.clone()));
        let boot = token == TOKEN && matches!(method, "ConnectSupervisor" | "RefreshSandboxToken");
        let tokens = self.tokens.lock().expect("tokens");
        if boot || tokens.get(&token).is_some_and(|expires| Instant::now() < *expires) {
            return Ok(());
        }
        Err(Status::unauthenticated("this token is not good here"))
    }

    pub(crate) async fn connect(
        self: Arc<Self>,
        request: Request<Streaming<SupervisorMessage>>,
    ) -> Result<Response<ReceiverStream<Result<GatewayMessage, Status>>>, Status> {
        let mut messages = request.into_inner();
        let first = messages.message().await?.and_then(|message| message.payload);
        let Some(FromSandbox::Hello(hello)) = first else { return Err(Status::invalid_argument("no hello")) };
        self.heard().hellos.push(hello);
        let ways = self.ways.lock().expect("ways").clone();
        let (session, replies) = mpsc::channel(16);
        let answer = match ways.reject {
            Some(reason) => ToSandbox::SessionRejected(SessionRejected { reason }),
            None => ToSandbox::SessionAccepted(SessionAccepted {
                session_id: "session".to_owned(),
                heartbeat_interval_secs: ways.heartbeat,
            }),
        };
        let accepted = matches!(answer, ToSandbox::SessionAccepted(_));
        let _ = session.send(Ok(GatewayMessage { payload: Some(answer) })).await;
        if accepted {
            let weak = session.downgrade();
            self.session.send_modify(|(number, present)| (*number, *present) = (*number + 1, Some(session)));
            let state = Arc::clone(&self);
            tokio::spawn(async move {
                while let Ok(Some(SupervisorMessage { payload: Some(payload) })) = messages.message().await {
                    state.note(payload);
                }
            });
            tokio::spawn(async move {
                let beat = Duration::from_secs(ways.heartbeat.into());
                while let Some(session) = weak.upgrade() {
                    let silent = self.ways.lock().expect("ways").silent;
                    let beat_now =
                        GatewayMessage { payload: Some(ToSandbox::Heartbeat(GatewayHeartbeat {})) };
                    if !silent && session.send(Ok(beat_now)).await.is_err() {
                        return;
                    }
                    drop(session);
                    tokio::time::sleep(beat).await;
                }
            });
        }
        let mut response = Response::new(ReceiverStream::new(replies));
        if ways.counts {
            response.metadata_mut().insert(numbered::COUNTS, MetadataValue::from_static("1"));
        }
        Ok(response)
    }

    fn note(&self, payload: FromSandbox) {
        match payload {
            FromSandbox::Hello(hello) => self.heard().hellos.push(hello),
            FromSandbox::Heartbeat(_) => self.heard().heartbeats += 1,
            FromSandbox::RelayOpenResult(result) => {
                if let Some(answer) = self.answers.lock().expect("answers").remove(&result.channel_id) {
                    let _ = answer.send(result);
                }
            }
            FromSandbox::RelayClose(close) => self.heard().closes.push(close),
        }
    }

    pub(crate) async fn relay(
        self: Arc<Self>,
        request: Request<Streaming<RelayFrame>>,
    ) -> Result<Response<ReceiverStream<Result<RelayFrame, Status>>>, Status> {
        let mut frames = request.into_inner();
        let first = frames.message().await?.and_then(|frame| frame.payload);
        let Some(relay_frame::Payload::Init(init)) = first else {
            return Err(Status::invalid_argument("no init"));
        };
        let join = self.joins.lock().expect("joins").remove(&init.channel_id);
        let join = join.ok_or_else(|| Status::not_found("nobody asked for this channel"))?;
        let (to_sandbox, queue) = mpsc::channel(1);
        let _ = join.send(Channel::new(init.channel_id, to_sandbox, frames));
        Ok(Response::new(ReceiverStream::new(queue)))
    }

    pub(crate) async fn logs(
        self: Arc<Self>,
        request: Request<Streaming<PushSandboxLogsRequest>>,
    ) -> Result<Response<PushSandboxLogsResponse>, Status> {
        let from = request.metadata().get(numbered::FROM).map(|from| from.to_str().expect("text"));
        self.heard().froms.push(from.map(|from| numbered::From::read(from).expect("a place")));
        let mut batches = request.into_inner();
        loop {
            while self.ways.lock().expect("ways").ignore_logs {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let Some(batch) = batches.message().await? else { break };
            assert!(batch.logs.iter().all(|line| line.sandbox_id == batch.sandbox_id), "{batch:?}");
            let mut heard = self.heard();
            heard.batches += 1;
            heard.logs.extend(batch.logs);
        }
        Ok(Response::new(PushSandboxLogsResponse {}))
    }

    pub(crate) async fn exit(
        self: Arc<Self>,
        request: Request<ReportMainProcessExitRequest>,
    ) -> Result<Response<ReportMainProcessExitResponse>, Status> {
        let mut ways = self.ways.lock().expect("ways");
        if ways.refuse_reports > 0 {
            ways.refuse_reports -= 1;
            return Err(Status::unavailable("not now"));
        }
        self.heard().exits.push(request.into_inner());
        Ok(Response::new(ReportMainProcessExitResponse {}))
    }

    pub(crate) async fn refresh(
        self: Arc<Self>,
        _: Request<RefreshSandboxTokenRequest>,
    ) -> Result<Response<RefreshSandboxTokenResponse>, Status> {
        let life = self.ways.lock().expect("ways").token_life;
        let token = format!("{TOKEN}-{}", self.next());
        self.tokens.lock().expect("tokens").insert(token.clone(), Instant::now() + life);
        self.heard().refreshes += 1;
        let expires = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") + life;
        Ok(Response::new(RefreshSandboxTokenResponse {
            token,
            expires_at_ms: i64::try_from(expires.as_millis()).expect("in range"),
            extension_credentials: Vec::new(),
        }))
    }
}
