//! A gateway in this process: it answers from what a test put in, and remembers what it was asked.

mod forward;
mod own;
mod process;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use openshell_proto::datamodel::v1::{ObjectMeta, Workspace, WorkspacePhase, WorkspaceStatus};
use openshell_proto::gateway::v1alpha1::SignalSandboxRequest;
use openshell_proto::openshell::v1::open_shell_server::{OpenShell, OpenShellServer};
use openshell_proto::openshell::v1::{
    ComputeDriverCapabilities, ComputeDriverInfo, CreateSandboxRequest, CreateWorkspaceRequest,
    CreateWorkspaceResponse, DeleteSandboxRequest, DeleteSandboxResponse, DeleteWorkspaceRequest,
    DeleteWorkspaceResponse, ExecSandboxEvent, ExecSandboxInput, ExecSandboxRequest, GatewayMessage,
    GetGatewayInfoRequest, GetGatewayInfoResponse, GetSandboxLogsRequest, GetSandboxLogsResponse,
    GetSandboxRequest, GetWorkspaceRequest, GetWorkspaceResponse, HealthRequest, HealthResponse,
    ListSandboxesRequest, ListSandboxesResponse, ListWorkspacesRequest, ListWorkspacesResponse,
    PushSandboxLogsRequest, PushSandboxLogsResponse, RefreshSandboxTokenRequest, RefreshSandboxTokenResponse,
    RelayFrame, ReportMainProcessExitRequest, ReportMainProcessExitResponse, Sandbox, SandboxCondition,
    SandboxLogLine, SandboxPhase, SandboxResponse, SandboxSpec, SandboxStatus, SandboxStreamEvent,
    SandboxTemplate, ServiceStatus, StartSandboxRequest, StopSandboxRequest, SupervisorMessage,
    TcpForwardFrame, WatchSandboxRequest, sandbox_stream_event,
};
use openshell_proto::relay::v1alpha1::{Start, to_supervisor};
use openshell_uds::PeerPolicy;
use tokio::sync::oneshot;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

/// What one watch sends before it ends, or hangs when it ends with nothing.
pub(crate) type Script = Vec<Result<SandboxStreamEvent, Status>>;

/// What a test puts in and reads out.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) sandboxes: Vec<Sandbox>,
    pub(crate) creates: Vec<CreateSandboxRequest>,
    pub(crate) lists: Vec<ListSandboxesRequest>,
    pub(crate) watches: Vec<WatchSandboxRequest>,
    pub(crate) scripts: VecDeque<Script>,
    /// Every call but a watch is refused with this.
    pub(crate) refusal: Option<Status>,
    /// No call is ever answered.
    pub(crate) silent: bool,
    /// Watches stay open after their script.
    pub(crate) endless: bool,
    pub(crate) health: ServiceStatus,
    pub(crate) workspaces: Vec<Workspace>,
    /// The `authorization` of each call that came over TCP.
    pub(crate) shown: Vec<Option<String>>,
    /// What was started in sandboxes, and which signals their main processes were sent.
    pub(crate) starts: Vec<Start>,
    pub(crate) signals: Vec<SignalSandboxRequest>,
    /// Signals and sizes that reached what runs.
    pub(crate) heard: Vec<to_supervisor::Frame>,
    /// Programs that no sandbox has.
    pub(crate) absent: Vec<String>,
    /// What a download brings, in place of what is there.
    pub(crate) archive: Option<Vec<u8>>,
    /// Channels break as soon as something runs.
    pub(crate) breaks: bool,
    pub(crate) logs: Vec<SandboxLogLine>,
    pub(crate) log_requests: Vec<GetSandboxLogsRequest>,
}

/// A fake gateway that listens until it is dropped.
pub(crate) struct Gateway {
    state: Arc<Mutex<State>>,
    dir: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"))
    }

    /// The same with the socket in a directory that is there already.
    pub(crate) fn start_in(dir: tempfile::TempDir) -> Self {
        let mut gateway = Self::new(dir);
        gateway.listen();
        gateway
    }

    fn listen(&mut self) {
        let listener = loop {
            match openshell_uds::bind(&self.socket()) {
                Ok(listener) => break listener,
                // One that was killed may still be on its way out.
                Err(openshell_uds::BindError::AlreadyAnswers { .. }) => {
                    std::thread::sleep(Duration::from_millis(5))
                }
                Err(error) => panic!("{error}"),
            }
        };
        let service = own::Both { shell: self.service(), own: own::service(&self.state) };
        let (stop, stopped) = oneshot::channel();
        self.stop = Some(stop);
        self.spawn(async move {
            let shutdown = async { drop(stopped.await) };
            openshell_uds::serve(listener, PeerPolicy::default(), service, shutdown, Duration::ZERO).await
        });
    }

    /// The next gateway at the same place, after this one was killed.
    pub(crate) fn revive(&mut self) {
        self.kill();
        self.runtime = Some(runtime());
        self.listen();
    }

    /// One that listens nowhere yet.
    pub(crate) fn new(dir: tempfile::TempDir) -> Self {
        let state = Arc::new(Mutex::new(State { health: ServiceStatus::Healthy, ..State::default() }));
        Self { state, dir, stop: None, runtime: Some(runtime()) }
    }

    /// What answers calls.
    pub(crate) fn service(&self) -> OpenShellServer<Service> {
        OpenShellServer::new(Service { state: self.state.clone() })
    }

    /// What a test puts in and reads out, for what runs beside it.
    pub(crate) fn shared(&self) -> Arc<Mutex<State>> {
        self.state.clone()
    }

    /// Runs something for as long as the gateway lives.
    pub(crate) fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) {
        self.runtime.as_ref().expect("it lives").spawn(task);
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("gateway.sock")
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panicked in between")
    }

    /// Ends at once, in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        drop(self.stop.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("a runtime")
}

/// A sandbox in a phase, with a reason under `Ready=False` where one is given.
pub(crate) fn sandbox(name: &str, phase: SandboxPhase, reason: &str, message: &str) -> Sandbox {
    let conditions = if reason.is_empty() {
        Vec::new()
    } else {
        vec![SandboxCondition {
            r#type: "Ready".to_owned(),
            status: "False".to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: "2026-01-02T03:04:05Z".to_owned(),
        }]
    };
    Sandbox {
        metadata: Some(ObjectMeta {
            id: format!("id-{name}"),
            name: name.to_owned(),
            workspace: "default".to_owned(),
            created_at_ms: 1_767_323_045_000,
            ..ObjectMeta::default()
        }),
        spec: Some(SandboxSpec {
            template: Some(SandboxTemplate { image: "busybox:1".to_owned(), ..SandboxTemplate::default() }),
            ..SandboxSpec::default()
        }),
        status: Some(SandboxStatus { phase: phase.into(), conditions, ..SandboxStatus::default() }),
    }
}

/// An event of a watch that carries a state.
pub(crate) fn seen(sandbox: Sandbox) -> Result<SandboxStreamEvent, Status> {
    Ok(SandboxStreamEvent { payload: Some(sandbox_stream_event::Payload::Sandbox(sandbox)) })
}

pub(crate) struct Service {
    state: Arc<Mutex<State>>,
}

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

impl Service {
    /// The state, unless the test wants a call to fail.
    async fn enter(&self) -> Result<MutexGuard<'_, State>, Status> {
        if self.lock().silent {
            std::future::pending::<()>().await;
        }
        let state = self.lock();
        match &state.refusal {
            Some(status) => Err(status.clone()),
            None => Ok(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no call panicked")
    }

    async fn change(&self, name: &str, phase: SandboxPhase) -> Answer<SandboxResponse> {
        let mut state = self.enter().await?;
        let sandbox = find(&mut state, name)?;
        sandbox.status = Some(SandboxStatus { phase: phase.into(), ..SandboxStatus::default() });
        Ok(Response::new(SandboxResponse { sandbox: Some(sandbox.clone()) }))
    }
}

fn find<'a>(state: &'a mut State, name: &str) -> Result<&'a mut Sandbox, Status> {
    state
        .sandboxes
        .iter_mut()
        .find(|sandbox| sandbox.metadata.as_ref().is_some_and(|metadata| metadata.name == name))
        .ok_or_else(|| Status::not_found(format!("there is no sandbox `{name}` in workspace `default`")))
}

fn named(workspace: &Workspace, name: &str) -> bool {
    workspace.metadata.as_ref().is_some_and(|metadata| metadata.name == name)
}

/// Methods that no test of this program needs.
macro_rules! absent {
    ($($method:ident($request:ty) -> $answer:ty;)*) => {
        $(
            fn $method<'life0, 'async_trait>(
                &'life0 self,
                _: Request<$request>,
            ) -> Pin<Box<dyn Future<Output = Answer<$answer>> + Send + 'async_trait>>
            where
                'life0: 'async_trait,
                Self: 'async_trait,
            {
                Box::pin(async { Err(Status::unimplemented(stringify!($method))) })
            }
        )*
    };
}

#[tonic::async_trait]
impl OpenShell for Service {
    type ExecSandboxStream = BoxStream<ExecSandboxEvent>;
    type ForwardTcpStream = BoxStream<TcpForwardFrame>;
    type ExecSandboxInteractiveStream = BoxStream<ExecSandboxEvent>;
    type ConnectSupervisorStream = BoxStream<GatewayMessage>;
    type RelayStreamStream = BoxStream<RelayFrame>;
    type WatchSandboxStream = BoxStream<SandboxStreamEvent>;

    async fn health(&self, _: Request<HealthRequest>) -> Answer<HealthResponse> {
        let state = self.enter().await?;
        Ok(Response::new(HealthResponse { status: state.health.into(), version: "0.1.0".to_owned() }))
    }

    async fn get_gateway_info(&self, _: Request<GetGatewayInfoRequest>) -> Answer<GetGatewayInfoResponse> {
        let state = self.enter().await?;
        let capabilities = ComputeDriverCapabilities {
            driver_name: "docker".to_owned(),
            driver_version: "0.1.0 (engine API 1.41)".to_owned(),
        };
        Ok(Response::new(GetGatewayInfoResponse {
            status: state.health.into(),
            gateway_version: "0.1.0".to_owned(),
            compute_drivers: vec![ComputeDriverInfo {
                name: "docker".to_owned(),
                capabilities: (state.health == ServiceStatus::Healthy).then_some(capabilities),
            }],
        }))
    }

    async fn create_sandbox(&self, request: Request<CreateSandboxRequest>) -> Answer<SandboxResponse> {
        let mut state = self.enter().await?;
        let request = request.into_inner();
        let name = if request.name.is_empty() { "made-up".to_owned() } else { request.name.clone() };
        if find(&mut state, &name).is_ok() {
            return Err(Status::already_exists(format!("sandbox `{name}` is there already")));
        }
        let mut made = sandbox(&name, SandboxPhase::Provisioning, "", "");
        made.spec = request.spec.clone();
        state.creates.push(request);
        state.sandboxes.push(made.clone());
        Ok(Response::new(SandboxResponse { sandbox: Some(made) }))
    }

    async fn get_sandbox(&self, request: Request<GetSandboxRequest>) -> Answer<SandboxResponse> {
        let mut state = self.enter().await?;
        let sandbox = find(&mut state, &request.get_ref().name)?.clone();
        Ok(Response::new(SandboxResponse { sandbox: Some(sandbox) }))
    }

    async fn list_sandboxes(&self, request: Request<ListSandboxesRequest>) -> Answer<ListSandboxesResponse> {
        let mut state = self.enter().await?;
        let request = request.into_inner();
        let size = |number: u32| usize::try_from(number).expect("it fits");
        let page =
            state.sandboxes.iter().skip(size(request.offset)).take(size(request.limit)).cloned().collect();
        state.lists.push(request);
        Ok(Response::new(ListSandboxesResponse { sandboxes: page }))
    }

    async fn delete_sandbox(&self, request: Request<DeleteSandboxRequest>) -> Answer<DeleteSandboxResponse> {
        let name = request.into_inner().name;
        self.change(&name, SandboxPhase::Deleting).await?;
        Ok(Response::new(DeleteSandboxResponse { deleted: true }))
    }

    async fn stop_sandbox(&self, request: Request<StopSandboxRequest>) -> Answer<SandboxResponse> {
        self.change(&request.into_inner().name, SandboxPhase::Stopping).await
    }

    async fn start_sandbox(&self, request: Request<StartSandboxRequest>) -> Answer<SandboxResponse> {
        self.change(&request.into_inner().name, SandboxPhase::Starting).await
    }

    async fn watch_sandbox(&self, request: Request<WatchSandboxRequest>) -> Answer<Self::WatchSandboxStream> {
        let mut state = self.lock();
        state.watches.push(request.into_inner());
        let script =
            state.scripts.pop_front().ok_or_else(|| Status::not_found("there is no such sandbox"))?;
        // Whoever asks afterwards sees what the watch saw last.
        if let Some(Ok(SandboxStreamEvent { payload: Some(sandbox_stream_event::Payload::Sandbox(last)) })) =
            script.last()
            && let Ok(stored) = find(&mut state, &last.metadata.clone().unwrap_or_default().name)
        {
            stored.status = last.status.clone();
        }
        let events = tokio_stream::iter(script);
        Ok(Response::new(if state.endless {
            Box::pin(events.chain(tokio_stream::pending()))
        } else {
            Box::pin(events)
        }))
    }

    async fn create_workspace(
        &self,
        request: Request<CreateWorkspaceRequest>,
    ) -> Answer<CreateWorkspaceResponse> {
        let mut state = self.enter().await?;
        let CreateWorkspaceRequest { name, labels } = request.into_inner();
        if state.workspaces.iter().any(|one| named(one, &name)) {
            return Err(Status::already_exists(format!("workspace `{name}` is there already")));
        }
        let workspace = Workspace {
            metadata: Some(ObjectMeta {
                id: format!("id-{name}"),
                name,
                labels,
                created_at_ms: 1_767_323_045_000,
                ..ObjectMeta::default()
            }),
            status: Some(WorkspaceStatus { phase: WorkspacePhase::Active.into() }),
        };
        state.workspaces.push(workspace.clone());
        Ok(Response::new(CreateWorkspaceResponse { workspace: Some(workspace) }))
    }

    async fn get_workspace(&self, request: Request<GetWorkspaceRequest>) -> Answer<GetWorkspaceResponse> {
        let state = self.enter().await?;
        let name = request.into_inner().name;
        let found = state.workspaces.iter().find(|one| named(one, &name)).cloned();
        let workspace = found.ok_or_else(|| Status::not_found(format!("there is no workspace `{name}`")))?;
        Ok(Response::new(GetWorkspaceResponse { workspace: Some(workspace) }))
    }

    async fn list_workspaces(&self, _: Request<ListWorkspacesRequest>) -> Answer<ListWorkspacesResponse> {
        let workspaces = self.enter().await?.workspaces.clone();
        Ok(Response::new(ListWorkspacesResponse { workspaces }))
    }

    async fn delete_workspace(
        &self,
        request: Request<DeleteWorkspaceRequest>,
    ) -> Answer<DeleteWorkspaceResponse> {
        let mut state = self.enter().await?;
        let name = request.into_inner().name;
        let before = state.workspaces.len();
        state.workspaces.retain(|one| !named(one, &name));
        if state.workspaces.len() == before {
            return Err(Status::not_found(format!("there is no workspace `{name}`")));
        }
        Ok(Response::new(DeleteWorkspaceResponse { deleted: true }))
    }

    async fn get_sandbox_logs(
        &self,
        request: Request<GetSandboxLogsRequest>,
    ) -> Answer<GetSandboxLogsResponse> {
        let mut state = self.enter().await?;
        state.log_requests.push(request.into_inner());
        Ok(Response::new(GetSandboxLogsResponse { logs: state.logs.clone(), buffer_total: 0 }))
    }

    async fn forward_tcp(
        &self,
        request: Request<Streaming<TcpForwardFrame>>,
    ) -> Answer<Self::ForwardTcpStream> {
        drop(self.enter().await?);
        forward::forward(request.into_inner()).await
    }

    absent! {
        exec_sandbox(ExecSandboxRequest) -> Self::ExecSandboxStream;
        exec_sandbox_interactive(Streaming<ExecSandboxInput>) -> Self::ExecSandboxInteractiveStream;
        push_sandbox_logs(Streaming<PushSandboxLogsRequest>) -> PushSandboxLogsResponse;
        connect_supervisor(Streaming<SupervisorMessage>) -> Self::ConnectSupervisorStream;
        report_main_process_exit(ReportMainProcessExitRequest) -> ReportMainProcessExitResponse;
        relay_stream(Streaming<RelayFrame>) -> Self::RelayStreamStream;
        refresh_sandbox_token(RefreshSandboxTokenRequest) -> RefreshSandboxTokenResponse;
    }
}
