//! The gRPC service `openshell.v1.OpenShell`: the methods that this gateway has, and an answer for all others. The
//! gateway's own service is in `gateway.rs`.

mod dispatch;
mod driver_status;
mod first_frame;
mod gateway;
mod health;
mod page;
mod pushed;
mod reflection;
mod sandboxes;
mod status;
mod supervisors;
mod unserved;
mod watch;
mod workspaces;

use std::sync::Arc;

use openshell_proto::openshell::v1 as proto;
use openshell_proto::openshell::v1::open_shell_server::OpenShell;
use tonic::{Request, Response, Status, Streaming};

pub use dispatch::Gateway;
pub(crate) use status::{no_sandbox, of_store};
use watch::WatchStream;

use crate::engine::Engine;
use crate::readiness::{Readiness, Unready};
use crate::supervisor::{ExecFlow, RelayFlow, SessionFlow, TcpFlow};

/// The methods, on the runtime's engine.
#[derive(Clone)]
pub(crate) struct Api {
    engine: Arc<Engine>,
}

impl Api {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Healthy; degraded without a watch of the driver, for states may be old; unhealthy without a store.
    async fn health_status(&self) -> proto::ServiceStatus {
        let Readiness { reasons } = self.engine.readiness().await;
        if reasons.contains(&Unready::Store) {
            proto::ServiceStatus::Unhealthy
        } else if reasons.iter().any(|reason| matches!(reason, Unready::Driver { .. })) {
            proto::ServiceStatus::Degraded
        } else {
            proto::ServiceStatus::Healthy
        }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl OpenShell for Api {
    async fn health(&self, _: Request<proto::HealthRequest>) -> Answer<proto::HealthResponse> {
        let status = self.health_status().await.into();
        Ok(Response::new(proto::HealthResponse { status, version: self.engine.settings.version.clone() }))
    }

    async fn get_gateway_info(
        &self,
        _: Request<proto::GetGatewayInfoRequest>,
    ) -> Answer<proto::GetGatewayInfoResponse> {
        let link = self.engine.link();
        let driver = proto::ComputeDriverInfo {
            name: self.engine.settings.driver_name.clone(),
            // What a driver said of itself before it went away is not what it would say now.
            capabilities: link.up.then_some(proto::ComputeDriverCapabilities {
                driver_name: link.capabilities.driver_name,
                driver_version: link.capabilities.driver_version,
            }),
        };
        Ok(Response::new(proto::GetGatewayInfoResponse {
            status: self.health_status().await.into(),
            gateway_version: self.engine.settings.version.clone(),
            compute_drivers: vec![driver],
        }))
    }

    async fn create_sandbox(
        &self,
        request: Request<proto::CreateSandboxRequest>,
    ) -> Answer<proto::SandboxResponse> {
        self.create(request.into_inner()).await.map(Response::new)
    }

    async fn get_sandbox(
        &self,
        request: Request<proto::GetSandboxRequest>,
    ) -> Answer<proto::SandboxResponse> {
        self.get(request.into_inner()).await.map(Response::new)
    }

    async fn list_sandboxes(
        &self,
        request: Request<proto::ListSandboxesRequest>,
    ) -> Answer<proto::ListSandboxesResponse> {
        self.list(request.into_inner()).await.map(Response::new)
    }

    async fn delete_sandbox(
        &self,
        request: Request<proto::DeleteSandboxRequest>,
    ) -> Answer<proto::DeleteSandboxResponse> {
        self.delete(request.into_inner()).await.map(Response::new)
    }

    async fn stop_sandbox(
        &self,
        request: Request<proto::StopSandboxRequest>,
    ) -> Answer<proto::SandboxResponse> {
        self.stop(request.into_inner()).await.map(Response::new)
    }

    async fn start_sandbox(
        &self,
        request: Request<proto::StartSandboxRequest>,
    ) -> Answer<proto::SandboxResponse> {
        self.start(request.into_inner()).await.map(Response::new)
    }

    type WatchSandboxStream = WatchStream;

    async fn watch_sandbox(&self, request: Request<proto::WatchSandboxRequest>) -> Answer<WatchStream> {
        self.watch(request.into_inner()).await.map(Response::new)
    }

    type ExecSandboxStream = ExecFlow;

    async fn exec_sandbox(
        &self,
        request: Request<proto::ExecSandboxRequest>,
    ) -> Answer<Self::ExecSandboxStream> {
        self.executes(request.into_inner()).await
    }

    type ForwardTcpStream = TcpFlow;

    async fn forward_tcp(
        &self,
        request: Request<Streaming<proto::TcpForwardFrame>>,
    ) -> Answer<Self::ForwardTcpStream> {
        self.forwards(request.into_inner()).await
    }

    type ExecSandboxInteractiveStream = ExecFlow;

    async fn exec_sandbox_interactive(
        &self,
        request: Request<Streaming<proto::ExecSandboxInput>>,
    ) -> Answer<Self::ExecSandboxInteractiveStream> {
        self.executes_interactively(request.into_inner()).await
    }

    async fn get_sandbox_logs(
        &self,
        request: Request<proto::GetSandboxLogsRequest>,
    ) -> Answer<proto::GetSandboxLogsResponse> {
        self.logs(request.into_inner()).await
    }

    async fn push_sandbox_logs(
        &self,
        request: Request<Streaming<proto::PushSandboxLogsRequest>>,
    ) -> Answer<proto::PushSandboxLogsResponse> {
        self.logs_come(request).await
    }

    type ConnectSupervisorStream = SessionFlow;

    async fn connect_supervisor(
        &self,
        request: Request<Streaming<proto::SupervisorMessage>>,
    ) -> Answer<Self::ConnectSupervisorStream> {
        self.supervisor_connects(request)
    }

    async fn report_main_process_exit(
        &self,
        request: Request<proto::ReportMainProcessExitRequest>,
    ) -> Answer<proto::ReportMainProcessExitResponse> {
        self.main_process_exits(request).await
    }

    type RelayStreamStream = RelayFlow;

    async fn relay_stream(
        &self,
        request: Request<Streaming<proto::RelayFrame>>,
    ) -> Answer<Self::RelayStreamStream> {
        self.supervisor_relays(request).await
    }

    async fn refresh_sandbox_token(
        &self,
        request: Request<proto::RefreshSandboxTokenRequest>,
    ) -> Answer<proto::RefreshSandboxTokenResponse> {
        self.token_refreshes(request).await
    }

    async fn create_workspace(
        &self,
        request: Request<proto::CreateWorkspaceRequest>,
    ) -> Answer<proto::CreateWorkspaceResponse> {
        self.new_workspace(request.into_inner()).await.map(Response::new)
    }

    async fn get_workspace(
        &self,
        request: Request<proto::GetWorkspaceRequest>,
    ) -> Answer<proto::GetWorkspaceResponse> {
        self.one_workspace(request.into_inner()).await.map(Response::new)
    }

    async fn list_workspaces(
        &self,
        request: Request<proto::ListWorkspacesRequest>,
    ) -> Answer<proto::ListWorkspacesResponse> {
        self.workspaces(request.into_inner()).await.map(Response::new)
    }

    async fn delete_workspace(
        &self,
        request: Request<proto::DeleteWorkspaceRequest>,
    ) -> Answer<proto::DeleteWorkspaceResponse> {
        self.drop_workspace(request.into_inner()).await.map(Response::new)
    }
}
