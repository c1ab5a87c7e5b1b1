//! The link to the gateway: dialled, kept up for as long as it takes, and carrying whatever clients do in the sandbox.
//!
//! ```text
//!   keeper ── dials ─▶ Wire (one connection) ── refreshes the token ── session (ConnectSupervisor)
//!     ▲                                                                  │ RelayOpen      ▲ RelayOpenResult, RelayClose
//!     └── backoff ◀── the session's end                                  ▼                │
//!                                       one task a channel: RelayStream ◀─▶ service::serve, or a port in the sandbox
//!   Log (the main process's lines, and what the supervisor says) ─▶ PushSandboxLogs
//! ```
//!
//! A session that ends leaves the connection and its channels alone: the next session begins on the same connection if that
//! takes it. A connection that ends takes its channels with it, and they their processes. The main process notices neither.

mod backoff;
mod channels;
mod endpoint;
mod keeper;
mod log;
mod names;
mod push;
mod relay;
mod session;
mod tcp;
mod token;
mod transport;
mod trust;
mod wire;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use openshell_proto::openshell::v1::ReportMainProcessExitRequest;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tonic::Status;

use self::channels::Channels;
pub(crate) use self::endpoint::Endpoint;
use self::log::Log;
pub(crate) use self::token::Token;
use self::token::{TokenError, Tokens};
pub(crate) use self::trust::Trust;
use self::wire::Wire;
use crate::service::Sandbox;

/// How long the gateway may take to answer a call that is not a stream.
const ANSWER: Duration = Duration::from_secs(10);
/// Between two tries when there is no time left to wait.
const RETRY: Duration = Duration::from_millis(50);

/// Whom the link speaks for, and where.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where the gateway is.
    pub(crate) endpoint: Endpoint,
    /// Who it has to be, on a network.
    pub(crate) trust: Option<Trust>,
    /// The sandbox's id.
    pub(crate) sandbox_id: String,
    /// The credential that the sandbox was made with.
    pub(crate) token: Token,
}

/// Why the link is down.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("cannot reach the gateway at `{endpoint}`: {source}")]
    Unreachable {
        endpoint: Endpoint,
        #[source]
        source: io::Error,
    },
    #[error("what listens there does not speak HTTP/2: {0}")]
    Handshake(#[source] hyper::Error),
    #[error("asked {asking}, the gateway does not answer")]
    NoAnswer { asking: &'static str },
    #[error("asked {asking}, the gateway says {code:?}: {message}", code = status.code(), message = status.message())]
    Status { asking: &'static str, status: Box<Status> },
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the gateway refuses this supervisor: {0}")]
    Rejected(String),
    #[error("the session broke: {}", .0.message())]
    Broken(Box<Status>),
    #[error("the gateway ended the session")]
    Ended,
    #[error("the gateway has given no sign of life for {0:?}")]
    Silent(Duration),
    #[error("the gateway does not read what it is told")]
    Deaf,
    #[error("the gateway broke the protocol: {0}")]
    Protocol(&'static str),
}

/// What the parts of the link share.
struct Shared {
    endpoint: Endpoint,
    trust: Option<Trust>,
    sandbox_id: String,
    tokens: Arc<Tokens>,
    channels: Channels,
    log: Arc<Log>,
    /// Whether the gateway of the latest session counts lines of the log.
    counts: AtomicBool,
    sandbox: Arc<Sandbox>,
    /// The connection with a session, while there is one.
    up: watch::Sender<Option<Wire>>,
    /// Whether there is no time left to wait.
    hurry: watch::Sender<bool>,
}

/// A link that is kept up until it is dropped.
pub(crate) struct Link {
    shared: Arc<Shared>,
    keeper: JoinHandle<()>,
    /// Where it is waited for that the gateway has taken all lines.
    pusher: Mutex<JoinHandle<()>>,
}

impl Link {
    /// Begins to dial, for as long as it takes. Within a tokio runtime.
    pub(crate) fn start(settings: Settings, sandbox: Arc<Sandbox>) -> Self {
        let Settings { endpoint, trust, sandbox_id, token } = settings;
        let shared = Arc::new(Shared {
            endpoint,
            trust,
            log: Arc::new(Log::new(sandbox_id.clone(), sandbox.main.lines().clone())),
            counts: AtomicBool::new(false),
            sandbox_id,
            tokens: Arc::new(Tokens::new(token)),
            channels: Channels::default(),
            sandbox,
            up: watch::Sender::new(None),
            hurry: watch::Sender::new(false),
        });
        let keeper = tokio::spawn(keeper::keep(Arc::clone(&shared)));
        let pusher = Mutex::new(tokio::spawn(push::push(Arc::clone(&shared))));
        Self { shared, keeper, pusher }
    }

    /// Reports that the main process has ended with `code`, and hands over the lines that are left; comes back when the
    /// gateway has taken both, which may be never.
    pub(crate) async fn report_exit(&self, code: i32) {
        self.shared.log.close();
        self.shared.hurry.send_replace(true);
        let mut pusher = self.pusher.lock().await;
        // However it ended, it has nothing left to hand over.
        let _ = tokio::join!(self.shared.report(code), &mut *pusher);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
        self.pusher.get_mut().abort();
    }
}

impl Shared {
    /// Waits for a connection with a session.
    async fn wire(&self) -> Wire {
        let mut up = self.up.subscribe();
        loop {
            if let Ok(wire) = up.wait_for(Option::is_some).await
                && let Some(wire) = wire.clone()
            {
                return wire;
            }
        }
    }

    /// Reports the end of the main process until it is heard.
    async fn report(&self, exit_code: i32) {
        loop {
            let report = ReportMainProcessExitRequest {
                sandbox_id: self.sandbox_id.clone(),
                instance_id: self.sandbox.instance_id.clone(),
                exit_code,
            };
            if self.wire().await.client().report_main_process_exit(report).await.is_ok() {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}
