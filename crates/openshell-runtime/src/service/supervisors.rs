//! What is asked by supervisors, and by clients of them: who may ask, and whether this gateway has any. The rest is in
//! `crate::supervisor`.

use openshell_driver_api::SandboxId;
use openshell_proto::numbered;
use openshell_proto::openshell::v1 as proto;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use super::unserved::unserved;
use super::{Answer, Api};
use crate::engine::Engine;
use crate::lifecycle::DEFAULT_WORKSPACE;
use crate::limits;
use crate::supervisor::{
    CHANNEL_HEADER, ExecFlow, Query, RelayFlow, SessionFlow, Supervision, SupervisorOf, TcpFlow,
};

impl Engine {
    /// How supervisors are set up.
    ///
    /// # Errors
    /// `UNIMPLEMENTED` naming the method, and the key that would change it.
    pub(super) fn supervision(&self, method: impl FnOnce() -> Status) -> Result<&Supervision, Status> {
        self.settings.supervision.as_ref().ok_or_else(|| {
            Status::unimplemented(format!(
                "{}: its sandboxes have no supervisor; hint: in `gateway.toml`, `[openshell.drivers.{}] supervisor = \
                 \"builtin\"`",
                method().message(),
                self.settings.driver_name
            ))
        })
    }
}

impl Api {
    /// For which sandbox a supervisor asks.
    fn asked_by<T>(&self, request: &Request<T>, method: &str) -> Result<(SandboxId, &Supervision), Status> {
        let supervision = self.engine.supervision(|| unserved(method))?;
        match request.extensions().get() {
            Some(SupervisorOf(id)) => Ok((id.clone(), supervision)),
            None => Err(Status::permission_denied(format!(
                "`{method}` is for the supervisors of sandboxes, which have a token and a door of their own"
            ))),
        }
    }

    pub(super) fn supervisor_connects(
        &self,
        request: Request<Streaming<proto::SupervisorMessage>>,
    ) -> Answer<SessionFlow> {
        let (of, supervision) = self.asked_by(&request, "ConnectSupervisor")?;
        let heartbeat = supervision.heartbeat;
        let mut response =
            Response::new(self.engine.connect_supervisor(of, heartbeat, request.into_inner())?);
        response.metadata_mut().insert(numbered::COUNTS, MetadataValue::from_static("1"));
        Ok(response)
    }

    pub(super) async fn supervisor_relays(
        &self,
        request: Request<Streaming<proto::RelayFrame>>,
    ) -> Answer<RelayFlow> {
        let (of, _) = self.asked_by(&request, "RelayStream")?;
        self.engine.relay(&of, request.into_inner()).await.map(Response::new)
    }

    pub(super) async fn main_process_exits(
        &self,
        request: Request<proto::ReportMainProcessExitRequest>,
    ) -> Answer<proto::ReportMainProcessExitResponse> {
        let (of, _) = self.asked_by(&request, "ReportMainProcessExit")?;
        self.engine.main_process_exited(&of, request.into_inner()).await?;
        Ok(Response::new(proto::ReportMainProcessExitResponse {}))
    }

    pub(super) async fn token_refreshes(
        &self,
        request: Request<proto::RefreshSandboxTokenRequest>,
    ) -> Answer<proto::RefreshSandboxTokenResponse> {
        let (of, supervision) = self.asked_by(&request, "RefreshSandboxToken")?;
        self.engine.refresh_token(&of, supervision).await.map(Response::new)
    }

    pub(super) async fn logs_come(
        &self,
        request: Request<Streaming<proto::PushSandboxLogsRequest>>,
    ) -> Answer<proto::PushSandboxLogsResponse> {
        let (of, _) = self.asked_by(&request, "PushSandboxLogs")?;
        let from = request.metadata().get(numbered::FROM).and_then(|from| from.to_str().ok());
        let from = from.and_then(numbered::From::read);
        self.engine.take_logs(&of, from, request.into_inner()).await?;
        Ok(Response::new(proto::PushSandboxLogsResponse {}))
    }

    pub(super) async fn logs(
        &self,
        request: proto::GetSandboxLogsRequest,
    ) -> Answer<proto::GetSandboxLogsResponse> {
        self.engine.supervision(|| unserved("GetSandboxLogs"))?;
        let query = query(request.since_ms, request.sources, &request.min_level)?;
        let record = self.engine.known(&request.sandbox_id).await?;
        let workspace =
            if request.workspace.is_empty() { DEFAULT_WORKSPACE } else { request.workspace.as_str() };
        if record.workspace != workspace {
            return Err(super::no_sandbox(&request.sandbox_id));
        }
        let at_most = match request.lines {
            0 => usize::MAX,
            lines => usize::try_from(lines).unwrap_or(usize::MAX),
        };
        let (lines, held) = self.engine.supervisors.logs.latest(&record.id, &query, at_most);
        let logs = lines.iter().map(|line| proto::SandboxLogLine::clone(line)).collect();
        let buffer_total = u32::try_from(held).unwrap_or(u32::MAX);
        Ok(Response::new(proto::GetSandboxLogsResponse { logs, buffer_total }))
    }

    pub(super) async fn executes(&self, request: proto::ExecSandboxRequest) -> Answer<ExecFlow> {
        self.engine.supervision(|| unserved("ExecSandbox"))?;
        named(self.engine.exec(request).await?)
    }

    pub(super) async fn executes_interactively(
        &self,
        messages: Streaming<proto::ExecSandboxInput>,
    ) -> Answer<ExecFlow> {
        self.engine.supervision(|| unserved("ExecSandboxInteractive"))?;
        named(self.engine.exec_interactive(messages).await?)
    }

    pub(super) async fn forwards(&self, frames: Streaming<proto::TcpForwardFrame>) -> Answer<TcpFlow> {
        self.engine.supervision(|| unserved("ForwardTcp"))?;
        self.engine.forward_tcp(frames).await.map(Response::new)
    }
}

/// What is asked of a log.
///
/// # Errors
/// `INVALID_ARGUMENT` for a level that nobody knows.
pub(super) fn query(since_ms: i64, sources: Vec<String>, min_level: &str) -> Result<Query, Status> {
    match limits::log_level_fault("min_level", min_level) {
        Some(fault) => Err(Status::invalid_argument(fault)),
        None => Ok(Query::new(since_ms, sources, min_level)),
    }
}

/// An answer that names its channel, so that signals can be sent to it.
fn named((channel_id, flow): (String, ExecFlow)) -> Answer<ExecFlow> {
    let mut response = Response::new(flow);
    if let Ok(value) = MetadataValue::try_from(channel_id) {
        response.metadata_mut().insert(CHANNEL_HEADER, value);
    }
    Ok(response)
}
