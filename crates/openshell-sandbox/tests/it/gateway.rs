//! A gateway as far as a supervisor sees one: the five methods, on a Unix socket, with a memory of all that was said, and with
//! every fault that a test asks for.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use openshell_proto::openshell::v1::gateway_message::Payload as ToSandbox;
use openshell_proto::openshell::v1::relay_frame;
use openshell_proto::openshell::v1::supervisor_message::Payload as FromSandbox;
use openshell_proto::openshell::v1::{
    GatewayHeartbeat, GatewayMessage, PushSandboxLogsRequest, PushSandboxLogsResponse,
    RefreshSandboxTokenRequest, RefreshSandboxTokenResponse, RelayClose, RelayFrame, RelayOpen,
    RelayOpenResult, ReportMainProcessExitRequest, ReportMainProcessExitResponse, SandboxLogLine,
    SessionAccepted, SessionRejected, SupervisorHello, SupervisorMessage,
};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::channel::Channel;

/// The boot token of every sandbox here, and the beginning of every session token: to be found nowhere else.
pub(crate) const TOKEN: &str = "osb1.bm90LWEtcmVhbC1vbmU.c2VjcmV0";
/// How long a test waits for what has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How a gateway behaves.
#[derive(Debug, Clone)]
pub(crate) struct Ways {
    /// What it tells supervisors, and how often it beats itself, in seconds.
    pub(crate) heartbeat: u32,
    pub(crate) token_life: Duration,
    /// Refuses every hello.
    pub(crate) reject: Option<String>,
    /// Gives no sign of life.
    pub(crate) silent: bool,
    /// Answers reports of exits with UNAVAILABLE so many times.
    pub(crate) refuse_reports: usize,
    /// Reads no logs.
    pub(crate) ignore_logs: bool,
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            heartbeat: 1,
            token_life: Duration::from_secs(3600),
            reject: None,
            silent: false,
            refuse_reports: 0,
            ignore_logs: false,
        }
    }
}

/// What a gateway has heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) hellos: Vec<SupervisorHello>,
    pub(crate) heartbeats: usize,
    /// Method and token of each call.
    pub(crate) calls: Vec<(String, String)>,
    pub(crate) refreshes: usize,
    pub(crate) logs: Vec<SandboxLogLine>,
    pub(crate) batches: usize,
    pub(crate) exits: Vec<ReportMainProcessExitRequest>,
    pub(crate) closes: Vec<RelayClose>,
    pub(crate) connections: usize,
}

type Session = mpsc::Sender<Result<GatewayMessage, Status>>;

/// What the connections share.
struct State {
    ways: Mutex<Ways>,
    heard: Mutex<Heard>,
    /// The present session and its number.
    session: watch::Sender<(u64, Option<Session>)>,
    answers: Mutex<HashMap<String, oneshot::Sender<RelayOpenResult>>>,
    joins: Mutex<HashMap<String, oneshot::Sender<Channel>>>,
    tokens: Mutex<HashMap<String, Instant>>,
    counter: AtomicU64,
}

/// The gateway.
pub(crate) struct Gateway {
    directory: tempfile::TempDir,
    state: Arc<State>,
    server: Option<Server>,
}

struct Server {
    accepting: JoinHandle<()>,
    /// Told when connections shall take nothing new.
    leaving: watch::Sender<bool>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Gateway {
    /// A gateway that nobody can reach yet.
    pub(crate) fn down(ways: Ways) -> Self {
        let state = State {
            ways: Mutex::new(ways),
            heard: Mutex::default(),
            session: watch::Sender::new((0, None)),
            answers: Mutex::default(),
            joins: Mutex::default(),
            tokens: Mutex::default(),
            counter: AtomicU64::new(0),
        };
        let directory = tempfile::tempdir().expect("a directory");
        Self { directory, state: Arc::new(state), server: None }
    }

    pub(crate) fn up(ways: Ways) -> Self {
        let mut gateway = Self::down(ways);
        gateway.start();
        gateway
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("gateway.sock")
    }

    /// Listens, where the one before did.
    pub(crate) fn start(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        let listener = UnixListener::bind(self.socket()).expect("a socket");
        let connections = Arc::<Mutex<Vec<AbortHandle>>>::default();
        let (state, list) = (Arc::clone(&self.state), Arc::clone(&connections));
        let (leaving, told) = watch::channel(false);
        let accepting = tokio::spawn(async move {
            // Dropped with this task, and all connections with it.
            let mut tasks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                state.heard().connections += 1;
                let service = TowerToHyperService::new(Methods(Arc::clone(&state)));
                let mut leave = told.clone();
                leave.mark_unchanged();
                let handle = tasks.spawn(async move {
                    let connection = http2::Builder::new(TokioExecutor::new())
                        .timer(TokioTimer::new())
                        .initial_connection_window_size((1 << 31) - 1)
                        .initial_stream_window_size(1 << 20)
                        .max_frame_size(256 << 10)
                        .max_concurrent_streams(2048)
                        .serve_connection(TokioIo::new(stream), service);
                    tokio::pin!(connection);
                    tokio::select! {
                        _ = &mut connection => return,
                        _ = leave.changed() => connection.as_mut().graceful_shutdown(),
                    }
                    let _ = connection.await;
                });
                list.lock().expect("connections").push(handle);
            }
        });
        self.server = Some(Server { accepting, leaving, connections });
    }

    /// Ends without a word; the socket's file stays.
    pub(crate) fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.accepting.abort();
            for connection in server.connections.lock().expect("connections").drain(..) {
                connection.abort();
            }
        }
        self.state.forget_session();
    }

    /// Cuts every connection, and goes on listening.
    pub(crate) fn cut(&self) {
        let server = self.server.as_ref().expect("a gateway that is up");
        for connection in server.connections.lock().expect("connections").drain(..) {
            connection.abort();
        }
        self.state.forget_session();
    }

    /// Ends its session and takes nothing new on its connections, as one that shuts down in order.
    pub(crate) fn leave(&self) {
        self.server.as_ref().expect("a gateway that is up").leaving.send_replace(true);
        self.state.forget_session();
    }

    pub(crate) fn ways(&self) -> MutexGuard<'_, Ways> {
        self.state.ways.lock().expect("ways")
    }

    pub(crate) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.state.heard()
    }

    /// Knows none of the session tokens any more.
    pub(crate) fn forget_tokens(&self) {
        self.state.tokens.lock().expect("tokens").clear();
    }

    /// Waits for a session later than number `after`, and gives its number.
    pub(crate) async fn session(&self, after: u64) -> u64 {
        let mut sessions = self.state.session.subscribe();
        let wait = sessions.wait_for(|(number, session)| *number > after && session.is_some());
        tokio::time::timeout(PATIENCE, wait).await.expect("a session in time").expect("a gateway").0
    }

    /// Waits until what was heard is as it should be.
    pub(crate) async fn until<T>(&self, what: &str, mut found: impl FnMut(&Heard) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let last = found(&self.heard());
            if let Some(found) = last {
                return found;
            }
            assert!(Instant::now() < deadline, "not in time: {what}; heard: {:?}", self.heard());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the session, and only it.
    pub(crate) fn end_session(&self) {
        self.state.forget_session();
    }

    /// Says something in the session.
    pub(crate) async fn say(&self, payload: ToSandbox) {
        let session = self.state.session.borrow().1.clone().expect("a session");
        session.send(Ok(GatewayMessage { payload: Some(payload) })).await.expect("a session that is read");
    }

    /// Asks for a channel, and waits for the answer and the stream.
    pub(crate) async fn open(&self, open: RelayOpen) -> Result<Channel, String> {
        let id = open.channel_id.clone();
        let (answer, answered) = oneshot::channel();
        let (join, joined) = oneshot::channel();
        self.state.answers.lock().expect("answers").insert(id.clone(), answer);
        self.state.joins.lock().expect("joins").insert(id.clone(), join);
        self.say(ToSandbox::RelayOpen(open)).await;
        let result =
            tokio::time::timeout(PATIENCE, answered).await.expect("an answer in time").expect("an answer");
        if !result.success {
            self.state.joins.lock().expect("joins").remove(&id);
            return Err(result.error);
        }
        assert_eq!(result.error, "");
        Ok(tokio::time::timeout(PATIENCE, joined).await.expect("a stream in time").expect("a stream"))
    }

    /// A channel id that was not used before.
    pub(crate) fn channel_id(&self) -> String {
        format!("channel-{}", self.state.next())
    }
}

impl State {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().expect("what was heard")
    }

    fn next(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    fn forget_session(&self) {
        self.session.send_modify(|(_, session)| *session = None);
    }

    /// Whether the token is one for this method.
    fn admit(&self, method: &str, headers: &http::HeaderMap) -> Result<(), Status> {
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

    async fn connect(
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
        Ok(Response::new(ReceiverStream::new(replies)))
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

    async fn relay(
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

    async fn logs(
        self: Arc<Self>,
        request: Request<Streaming<PushSandboxLogsRequest>>,
    ) -> Result<Response<PushSandboxLogsResponse>, Status> {
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

    async fn exit(
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

    async fn refresh(
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

/// The methods, by their paths.
#[derive(Clone)]
struct Methods(Arc<State>);

impl Service<http::Request<Incoming>> for Methods {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Incoming>) -> Self::Future {
        let state = Arc::clone(&self.0);
        Box::pin(async move {
            let method = request.uri().path().trim_start_matches("/openshell.v1.OpenShell/").to_owned();
            if let Err(status) = state.admit(&method, request.headers()) {
                return Ok(status.into_http());
            }
            Ok(match method.as_str() {
                "ConnectSupervisor" => {
                    let method = Method(move |request| Arc::clone(&state).connect(request));
                    grpc().streaming(method, request).await
                }
                "RelayStream" => {
                    let method = Method(move |request| Arc::clone(&state).relay(request));
                    grpc().streaming(method, request).await
                }
                "PushSandboxLogs" => {
                    let method = Method(move |request| Arc::clone(&state).logs(request));
                    grpc().client_streaming(method, request).await
                }
                "ReportMainProcessExit" => {
                    let method = Method(move |request| Arc::clone(&state).exit(request));
                    grpc().unary(method, request).await
                }
                "RefreshSandboxToken" => {
                    let method = Method(move |request| Arc::clone(&state).refresh(request));
                    grpc().unary(method, request).await
                }
                _ => Status::unimplemented(method).into_http(),
            })
        })
    }
}

fn grpc<T, U>() -> tonic::server::Grpc<ProstCodec<T, U>>
where
    T: prost::Message + 'static,
    U: prost::Message + Default + 'static,
{
    tonic::server::Grpc::new(ProstCodec::default())
}

/// A function as what serves a method.
struct Method<F>(F);

impl<F, R, A, T> Service<R> for Method<F>
where
    F: FnMut(R) -> A,
    A: Future<Output = Result<T, Status>>,
{
    type Response = T;
    type Error = Status;
    type Future = A;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> A {
        (self.0)(request)
    }
}
