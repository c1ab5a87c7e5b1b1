//! A channel into a sandbox, from the wish for it to its two ends.

use std::sync::Arc;
use std::time::Duration;

use openshell_proto::openshell::v1::gateway_message::Payload;
use openshell_proto::openshell::v1::{RelayOpen, TcpRelayTarget, relay_open};
use prost::bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};

use super::channel::Channel;
use super::channels::Unjoined;
use super::{PROCESS_SERVICE, stopping};
use crate::engine::Engine;
use crate::lifecycle::{Phase, reason};
use crate::store::Record;
use crate::view;

/// How long a sandbox's supervisor may be away before whoever wants it is told so.
const SESSION: Duration = Duration::from_secs(5);
/// How long a supervisor may take to open a channel.
const JOIN: Duration = Duration::from_secs(10);

/// Between a session that ended meanwhile and the next look for one.
const AGAIN: Duration = Duration::from_millis(10);

/// What a channel leads to.
pub(super) enum Target {
    /// The service of processes and files.
    Process,
    /// A port.
    Tcp(TcpRelayTarget),
}

impl Engine {
    /// The row of a sandbox that can be reached, as far as the store knows.
    ///
    /// # Errors
    /// `NOT_FOUND`; `FAILED_PRECONDITION` that names its phase, or says that it has no supervisor.
    pub(super) async fn reachable(&self, sandbox_id: &str) -> Result<Record, Status> {
        let record = self.known(sandbox_id).await?;
        let name = &record.name;
        let phase = view::phase(&record, &self.settings.driver_name);
        if phase != Phase::Ready {
            let mut message =
                format!("sandbox `{name}` is in phase {}; it can be worked in in READY", phase.as_str());
            if record.life.report() == crate::lifecycle::Report::Unsupervised {
                message.push_str(&format!(" ({}: the backend runs it)", reason::SUPERVISOR_NOT_CONNECTED));
            }
            return Err(Status::failed_precondition(message));
        }
        if record.life.supervisor.is_none() {
            return Err(Status::failed_precondition(format!(
                "sandbox `{name}` has no supervisor: it was made while the gateway had none to give; hint: delete it \
                 and make it again"
            )));
        }
        Ok(record)
    }

    /// The row of a sandbox.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an empty id, `NOT_FOUND`.
    pub(crate) async fn known(&self, sandbox_id: &str) -> Result<Record, Status> {
        if sandbox_id.is_empty() {
            return Err(Status::invalid_argument("the id of the sandbox is empty"));
        }
        let found = self.store.get(sandbox_id).await;
        found
            .map_err(|error| crate::service::of_store(&error))?
            .ok_or_else(|| crate::service::no_sandbox(sandbox_id))
    }

    /// Why a channel broke: in `why`'s words, with the sandbox's phase where that explains it. One that the client has to do
    /// something about is no error that passes.
    pub(super) async fn broken(&self, sandbox_id: &str, why: &str) -> Status {
        let record = match self.known(sandbox_id).await {
            Ok(record) => record,
            Err(status) if status.code() == Code::NotFound => return super::gone(),
            // The channel's own fault is the one to tell.
            Err(_) => return Status::unavailable(why),
        };
        match view::phase(&record, &self.settings.driver_name) {
            phase @ (Phase::Stopping | Phase::Stopped | Phase::Deleting | Phase::Error) => {
                let (name, phase) = (&record.name, phase.as_str());
                Status::failed_precondition(format!("{why}: sandbox `{name}` is in phase {phase}"))
            }
            _ => Status::unavailable(why),
        }
    }

    /// Opens a channel into a sandbox; `first` is sent before anything else. A session that ends before the supervisor has
    /// joined has begun nothing, and the next one is asked.
    ///
    /// # Errors
    /// `UNAVAILABLE` that says what was waited for; `RESOURCE_EXHAUSTED` beyond the bounds.
    pub(super) async fn open(
        self: &Arc<Self>,
        record: &Record,
        target: &Target,
        first: Option<Bytes>,
    ) -> Result<Channel, Status> {
        let opened = self.open_before(Instant::now() + JOIN, record, target, first).await;
        opened.inspect_err(|_| self.supervisors.counters.failed())
    }

    async fn open_before(
        self: &Arc<Self>,
        deadline: Instant,
        record: &Record,
        target: &Target,
        first: Option<Bytes>,
    ) -> Result<Channel, Status> {
        let name = &record.name;
        let late = || {
            Status::unavailable(format!(
                "the supervisor of sandbox `{name}` did not open the channel within {} s",
                JOIN.as_secs()
            ))
        };
        loop {
            if self.supervisors.is_draining() {
                return Err(stopping());
            }
            let waited = tokio::select! {
                session = self.supervisors.sessions.wait(&record.id, SESSION) => session,
                () = self.stopped() => return Err(stopping()),
            };
            let session = waited.ok_or_else(|| {
                Status::unavailable(format!(
                    "the supervisor of sandbox `{name}` is not connected to the gateway, and did not come back within \
                     {} s; hint: try again, and see `openshell sandbox get {name}`",
                    SESSION.as_secs()
                ))
            })?;
            let is_process = matches!(target, Target::Process);
            let mut opening = self.supervisors.channels.begin(&session, is_process)?;
            if let Some(first) = first.clone() {
                opening.line.send_urgent(first).await;
            }
            let wish = Payload::RelayOpen(relay_open(&opening.line.id, target));
            let asked = async {
                if !session.say(wish).await {
                    return Err(Unjoined::SessionOver);
                }
                (&mut opening.joining).await.unwrap_or(Err(Unjoined::SessionOver))
            };
            match timeout_at(deadline, asked).await {
                Ok(Ok(stream)) => return Ok(opening.joined(stream, self)),
                Ok(Err(Unjoined::Refused(why))) => {
                    return Err(Status::unavailable(format!(
                        "sandbox `{name}` does not open the channel: {why}"
                    )));
                }
                Ok(Err(Unjoined::SessionOver)) if Instant::now() < deadline => {
                    // What is over may be in its place for a moment.
                    tokio::time::sleep(AGAIN).await;
                }
                Ok(Err(Unjoined::SessionOver)) | Err(_) => return Err(late()),
            }
        }
    }
}

fn relay_open(channel_id: &str, target: &Target) -> RelayOpen {
    let (service_id, target) = match target {
        Target::Process => (PROCESS_SERVICE.to_owned(), None),
        Target::Tcp(target) => (String::new(), Some(relay_open::Target::Tcp(target.clone()))),
    };
    RelayOpen { channel_id: channel_id.to_owned(), target, service_id }
}
