//! `SignalSandbox`: a signal for the main process, or for a command that runs.

use std::sync::Arc;
use std::time::Duration;

use openshell_proto::gateway::v1alpha1::SignalSandboxRequest;
use openshell_proto::relay::v1alpha1::from_supervisor::Frame as From;
use openshell_proto::relay::v1alpha1::to_supervisor::Frame as To;
use openshell_proto::relay::v1alpha1::{FromSupervisor, MainProcess, Start, start::What};
use prost::Message;
use tokio::time::timeout;
use tonic::Status;

use super::exec::frame;
use super::open::Target;
use crate::engine::Engine;
use crate::store::Record;

/// Signals have numbers from 1 to this (signal(7)).
const LAST_SIGNAL: i32 = 64;
/// How long the supervisor may take to take a signal.
const TAKEN: Duration = Duration::from_secs(5);
/// How long a channel to the main process is kept once the supervisor has taken what came before the signal.
const TAKEN_SURELY: Duration = Duration::from_secs(1);

impl Engine {
    /// Sends a signal.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for what is no signal, `NOT_FOUND` for a channel that there is not, `DEADLINE_EXCEEDED` when the
    /// supervisor does not take it.
    pub(crate) async fn signal(self: &Arc<Self>, request: SignalSandboxRequest) -> Result<(), Status> {
        let SignalSandboxRequest { sandbox_id, channel_id, signal } = request;
        if !(1..=LAST_SIGNAL).contains(&signal) {
            return Err(Status::invalid_argument(format!(
                "`signal`: {signal} is no signal; they have numbers from 1 to {LAST_SIGNAL}"
            )));
        }
        let record = self.reachable(&sandbox_id).await?;
        let late =
            |_| Status::deadline_exceeded("the supervisor of the sandbox did not take the signal in time");
        if channel_id.is_empty() {
            return timeout(TAKEN, self.signal_main_process(&record, signal)).await.map_err(late)?;
        }
        let found = self.supervisors.channels.find(&channel_id, &sandbox_id);
        let line = found.filter(|line| line.is_process).ok_or_else(|| no_process(&channel_id))?;
        if timeout(TAKEN, line.send_urgent(frame(To::Signal(signal)))).await.map_err(late)? {
            Ok(())
        } else {
            Err(no_process(&channel_id))
        }
    }

    /// A channel of its own, to the process that runs already.
    async fn signal_main_process(self: &Arc<Self>, record: &Record, signal: i32) -> Result<(), Status> {
        let start = Start { what: Some(What::MainProcess(MainProcess {})) };
        let mut channel = self.open(record, &Target::Process, Some(frame(To::Start(start)))).await?;
        if let Some(way_in) = channel.input() {
            way_in.send(frame(To::Signal(signal))).await;
        }
        let answered = match channel.next().await? {
            Some(bytes) => FromSupervisor::decode(bytes).ok().and_then(|answer| answer.frame),
            None => None,
        };
        if let Some(From::Started(_)) = answered {
            // Nobody says that a signal was taken. What is behind the start is taken next, unless the channel ends before.
            let _stopping = self.spawn(async move {
                let end = async { while let Ok(Some(_)) = channel.next().await {} };
                let _late = timeout(TAKEN_SURELY, end).await;
                channel.done();
            });
            return Ok(());
        }
        channel.done();
        Err(Status::failed_precondition(match answered {
            Some(From::Failed(failed)) => failed.message,
            _ => format!("the main process of sandbox `{}` has ended", record.name),
        }))
    }
}

fn no_process(channel_id: &str) -> Status {
    let id: String = channel_id.escape_debug().take(64).collect();
    Status::not_found(format!("no command of the channel `{id}` runs in this sandbox"))
}
