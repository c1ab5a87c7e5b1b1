//! The supervisors inside sandboxes, seen from the gateway: their sessions, the channels into the sandboxes, and what
//! they log.
//!
//! ```text
//!   client ──ExecSandbox, ForwardTcp, OpenChannel──▶ open ──▶ channels ──RelayOpen──▶ session ──▶ supervisor
//!                                                                ▲                                   │
//!                                                                └────────────RelayStream────────────┘
//! ```
//!
//! A session is the one stream that a supervisor keeps open; it carries small control messages alone. Each channel is a
//! stream of its own, with a bounded queue each way, so that whoever does not read holds up nobody else. Nothing of it
//! is stored but whether a sandbox has a supervisor, and how its main process ended: what is open ends with the gateway.

mod channel;
mod channels;
mod connect;
mod counters;
mod doors;
mod exec;
mod grace;
mod logs;
mod open;
mod places;
mod relay;
mod seams;
mod sessions;
mod signal;
mod streams;
mod tcp;
mod through;

use std::sync::Arc;
use std::time::Duration;

use openshell_proto::gateway::v1alpha1 as gateway;
use openshell_proto::openshell::v1 as proto;
use tokio::sync::{Mutex, mpsc, watch};
use tonic::{Status, Streaming};

use channels::Channels;
use counters::Counters;
pub use counters::SupervisorStats;
pub(crate) use logs::{Behind, Follower, Logs, Query};
use places::Places;
pub use seams::{SandboxDoors, SandboxToken, SandboxTokens, Supervision, SupervisorOf, TokenUse};
use sessions::Sessions;
pub(crate) use streams::Flow;

/// What a supervisor hears on its session.
pub(crate) type SessionFlow = Flow<proto::GatewayMessage>;
/// What a supervisor hears on a channel.
pub(crate) type RelayFlow = Flow<proto::RelayFrame>;
/// What a client hears of a command.
pub(crate) type ExecFlow = Flow<proto::ExecSandboxEvent>;
/// What a client hears of a connection into a sandbox.
pub(crate) type TcpFlow = Flow<proto::TcpForwardFrame>;
/// What a client hears of a channel.
pub(crate) type ChannelFlow = Flow<gateway::ChannelFrame>;

/// The header of an answer that names the channel of a command.
pub(crate) const CHANNEL_HEADER: &str = "x-openshell-channel-id";
/// The service of processes and files, by the name that channels ask for it.
pub(crate) const PROCESS_SERVICE: &str = "openshell.process.v1alpha1";

/// How long a client may take to say what it wants.
const FIRST: Duration = Duration::from_secs(10);

/// The runtime's one instance of everything that has to do with supervisors.
pub(crate) struct Supervisors {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) logs: Logs,
    channels: Arc<Channels>,
    /// Those who hand over lines.
    pushing: Arc<Places>,
    counters: Arc<Counters>,
    /// Whether nothing new is begun any more.
    draining: watch::Sender<bool>,
    /// The sandboxes whose rows have gone, for whoever closes their doors.
    gone: mpsc::UnboundedSender<String>,
    gone_queue: Mutex<mpsc::UnboundedReceiver<String>>,
}

impl Supervisors {
    pub(crate) fn new() -> Self {
        let (counters, sessions): (Arc<Counters>, Arc<Sessions>) = Default::default();
        // As many as there are rows, at most.
        let (gone, queue) = mpsc::unbounded_channel();
        Self {
            channels: Channels::new(Arc::clone(&sessions), Arc::clone(&counters)),
            sessions,
            logs: Logs::new(Arc::clone(&counters)),
            pushing: Places::new(places::MOST_PUSHING),
            counters,
            draining: watch::Sender::new(false),
            gone,
            gone_queue: Mutex::new(queue),
        }
    }

    /// The row of a sandbox has gone: whatever was open into it ends, and what it logged is forgotten.
    pub(crate) fn gone(&self, sandbox: &str) {
        self.end_session(sandbox, &gone());
        self.channels.end(|line| line.sandbox() == sandbox, &gone());
        self.logs.forget(sandbox);
        // Without whoever closes doors the gateway stops, and the next start finds no row.
        let _stopped = self.gone.send(sandbox.to_owned());
    }

    /// Ends the session of a sandbox; its supervisor comes back if there is one.
    pub(crate) fn end_session(&self, sandbox: &str, status: &Status) {
        if let Some(session) = self.sessions.get(sandbox) {
            session.end(status.clone());
        }
    }

    /// Begins nothing new.
    pub(crate) fn drain(&self) {
        self.draining.send_replace(true);
    }

    fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Ends every channel.
    fn end_channels(&self) {
        self.channels.end(|_| true, &stopping());
    }

    /// Ends everything: the channels first, so that both ends of each are told.
    pub(crate) fn close(&self) {
        self.drain();
        self.end_channels();
        self.sessions.end_all(&stopping());
    }

    pub(crate) fn stats(&self) -> SupervisorStats {
        self.counters.snapshot(self.sessions.count(), self.channels.count())
    }
}

/// The first message of a client's stream.
///
/// # Errors
/// `DEADLINE_EXCEEDED` when none comes, and the stream's own.
async fn first<T>(messages: &mut Streaming<T>) -> Result<Option<T>, Status> {
    let first = tokio::time::timeout(FIRST, messages.message()).await;
    first.map_err(|_| {
        Status::deadline_exceeded(format!("no first message came within {} s", FIRST.as_secs()))
    })?
}

fn gone() -> Status {
    Status::not_found("the sandbox is gone")
}

fn stopping() -> Status {
    Status::unavailable("the gateway is going away")
}
