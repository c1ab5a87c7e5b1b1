//! What else supervisors ask: to bring a channel's bytes, for a newer token, and to be told of what ended and was logged.

use std::sync::Arc;

use openshell_driver_api::SandboxId;
use openshell_proto::numbered;
use openshell_proto::openshell::v1 as proto;
use openshell_proto::openshell::v1::relay_frame::Payload;
use tonic::{Status, Streaming};

use super::places::MOST_PUSHING;
use super::{RelayFlow, Supervision, TokenUse};
use crate::engine::{Changed, Engine, Fate};
use crate::store::Record;

impl Engine {
    /// A supervisor brings the bytes of a channel; gives those for it.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` without an init, `NOT_FOUND` where no such channel waits for this sandbox.
    pub(crate) async fn relay(
        &self,
        of: &SandboxId,
        mut frames: Streaming<proto::RelayFrame>,
    ) -> Result<RelayFlow, Status> {
        let Some(proto::RelayFrame { payload: Some(Payload::Init(init)) }) =
            super::first(&mut frames).await?
        else {
            return Err(Status::invalid_argument("the first frame is no init"));
        };
        self.supervisors.channels.join(&init.channel_id, of.as_str(), frames)
    }

    /// Stores how a run of the main process ended.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` for another sandbox, `NOT_FOUND`.
    pub(crate) async fn main_process_exited(
        self: &Arc<Self>,
        of: &SandboxId,
        report: proto::ReportMainProcessExitRequest,
    ) -> Result<(), Status> {
        own(of, &report.sandbox_id)?;
        let proto::ReportMainProcessExitRequest { instance_id, exit_code, .. } = report;
        tracing::info!(sandbox = %of, exit_code, "the main process has ended");
        let exited = move |record: &mut Record, _| {
            record.life.exited(&instance_id, exit_code);
            (Fate::Stay, ())
        };
        match self.change(of.as_str(), exited).await {
            Ok(Changed::Done(..)) => Ok(()),
            Ok(Changed::Absent | Changed::Foreign(_)) => Err(crate::service::no_sandbox(of.as_str())),
            Err(error) => Err(crate::service::of_store(&error)),
        }
    }

    /// A newer token for a supervisor, of a sandbox that there is.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub(crate) async fn refresh_token(
        &self,
        of: &SandboxId,
        supervision: &Supervision,
    ) -> Result<proto::RefreshSandboxTokenResponse, Status> {
        self.known(of.as_str()).await?;
        let token = supervision.tokens.issue(of.as_str(), TokenUse::Session);
        Ok(proto::RefreshSandboxTokenResponse {
            token: token.text.expose().to_owned(),
            expires_at_ms: token.expires_at_ms,
            extension_credentials: Vec::new(),
        })
    }

    /// Takes what a sandbox logs, for as long as it has something to say; of numbered lines, which begin at `from`, those that
    /// have not come before.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` for one stream too many, `PERMISSION_DENIED` for another sandbox, `NOT_FOUND`, and whatever ends the
    /// stream, too many lines at once among it.
    pub(crate) async fn take_logs(
        &self,
        of: &SandboxId,
        mut from: Option<numbered::From>,
        mut messages: Streaming<proto::PushSandboxLogsRequest>,
    ) -> Result<(), Status> {
        let logs = &self.supervisors.logs;
        let place = self.supervisors.pushing.enter(of.as_str());
        let _place = place.ok_or_else(|| {
            Status::resource_exhausted(format!(
                "this sandbox hands over its log on {MOST_PUSHING} streams, and may have no more at a time"
            ))
        })?;
        // In this order: whoever removes the row after the look removes what is kept, too.
        logs.keep(of.as_str());
        self.known(of.as_str()).await.inspect_err(|_| logs.forget(of.as_str()))?;
        loop {
            let message = tokio::select! {
                message = messages.message() => message?,
                () = self.stopped() => return Err(super::stopping()),
            };
            let Some(message) = message else { return Ok(()) };
            own(of, &message.sandbox_id)?;
            let mut lines = message.logs;
            if let Some(from) = &mut from {
                let count = lines.len();
                lines.drain(..logs.known(of.as_str(), from, count));
                from.first = from.first.saturating_add(count as u64);
            }
            if !logs.push(of.as_str(), lines).await {
                return Err(crate::service::no_sandbox(of.as_str()));
            }
        }
    }
}

/// Whether a supervisor speaks of its own sandbox.
fn own(of: &SandboxId, named: &str) -> Result<(), Status> {
    if of.as_str() == named {
        return Ok(());
    }
    Err(Status::permission_denied("the request names another sandbox than the token"))
}
