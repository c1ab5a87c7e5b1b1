//! A gateway as far as a supervisor sees one: the five methods, on a Unix socket, with a memory of all that was said, and with
//! every fault that a test asks for.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use openshell_proto::numbered;
use openshell_proto::openshell::v1::gateway_message::Payload as ToSandbox;
use openshell_proto::openshell::v1::{
    GatewayMessage, RelayClose, RelayOpen, ReportMainProcessExitRequest, SandboxLogLine, SupervisorHello,
};
use tokio::net::UnixListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use crate::answers::State;
use crate::channel::Channel;
use crate::methods::Methods;

/// The boot token of every sandbox here, and the beginning of every session token: to be found nowhere else.
pub(crate) const TOKEN: &str = "osb1.bm90LWEtcmVhbC1vbmU.c2VjcmV0";
/// How long a test waits for what has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

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
    /// Says that it counts lines.
    pub(crate) counts: bool,
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            // Three that are missed end a session: more than any test takes, however busy the machine is.
            heartbeat: 30,
            token_life: Duration::from_secs(3600),
            reject: None,
            silent: false,
            refuse_reports: 0,
            ignore_logs: false,
            counts: false,
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
    /// Where each stream of lines began, where that was said.
    pub(crate) froms: Vec<Option<numbered::From>>,
    pub(crate) exits: Vec<ReportMainProcessExitRequest>,
    pub(crate) closes: Vec<RelayClose>,
    pub(crate) connections: usize,
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
        let directory = tempfile::tempdir().expect("a directory");
        Self { directory, state: Arc::new(State::new(ways)), server: None }
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
                        // As bounded as at a door that sandboxes come to.
                        .max_local_error_reset_streams(64)
                        .max_pending_accept_reset_streams(32)
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
