//! The driver's half: serves any `ComputeDriver` on a socket, by the contract that drivers are held to.
//!
//! A request that was begun is brought to its end even when its client hangs up: a create that stops half-way would
//! leave things behind that nobody knows of. A panic in a driver is the answer `INTERNAL` to that one request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use openshell_driver_api::{ComputeDriver, DriverError, ErrorKind, SandboxId};
use openshell_proto::compute::v1::{self as wire, compute_driver_server as contract};
use openshell_uds::{Limits, Listener, PeerPolicy};
use tokio::sync::{Semaphore, watch};
use tonic::{Request, Response, Status};

use crate::begun::{Begun, Panicked};
use crate::pump::{self, Bounds};
use crate::{MAX_MESSAGE, convert, status_of};

/// Requests that run at a time, over all connections.
const REQUESTS: u32 = 1024;

/// What a server takes on; the defaults suit a gateway.
#[derive(Debug, Clone, Copy)]
pub struct ServeOptions {
    /// Connections, requests on each, time to drain.
    pub limits: Limits,
    /// How many events of one watch wait for its reader.
    pub watch_queue: usize,
    /// How long a reader may leave that queue full before its watch is cut.
    pub watch_stall: Duration,
    /// The largest message taken or sent.
    pub max_message: usize,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            watch_queue: 256,
            watch_stall: Duration::from_secs(30),
            max_message: MAX_MESSAGE,
        }
    }
}

/// Serves `driver` to every peer that `policy` admits, until `shutdown` is ready. Watches end then with `UNAVAILABLE`;
/// requests under way have the drain of the options to end.
///
/// # Errors
/// When the listening socket itself fails.
pub async fn serve(
    driver: Arc<dyn ComputeDriver>,
    listener: Listener,
    policy: PeerPolicy,
    shutdown: impl Future<Output = ()>,
    options: ServeOptions,
) -> io::Result<()> {
    let (closing, closed) = watch::channel(false);
    let running = Arc::new(Semaphore::new(REQUESTS as usize));
    let bounds = Bounds { queue: options.watch_queue, stall: options.watch_stall };
    let adapter = Adapter { driver, running: Arc::clone(&running), bounds, closing: closed };
    let service = contract::ComputeDriverServer::new(adapter)
        .max_decoding_message_size(options.max_message)
        .max_encoding_message_size(options.max_message);
    let shutdown = async {
        shutdown.await;
        closing.send_replace(true);
    };
    let ended = openshell_uds::serve_with(listener, policy, service, shutdown, options.limits).await;
    // Requests whose clients are gone run on by themselves: wait for those as well.
    if tokio::time::timeout(options.limits.drain, running.acquire_many(REQUESTS)).await.is_err() {
        tracing::warn!(drain = ?options.limits.drain, "requests were still running at the end of the drain");
    }
    ended
}

/// The contract's service over a driver.
struct Adapter {
    driver: Arc<dyn ComputeDriver>,
    running: Arc<Semaphore>,
    bounds: Bounds,
    closing: watch::Receiver<bool>,
}

impl Adapter {
    /// Runs a request, to its end whatever its client does, and gives its answer.
    async fn run<T, F>(
        &self,
        rpc: &'static str,
        ask: impl FnOnce(Arc<dyn ComputeDriver>) -> F,
    ) -> Result<Response<T>, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DriverError>> + Send + 'static,
    {
        let slot = Arc::clone(&self.running).acquire_owned().await;
        let slot = slot.map_err(|_| Status::unavailable("the driver is stopping"))?;
        let asked = ask(Arc::clone(&self.driver));
        let begun = Begun::new(async move {
            let answer = asked.await;
            drop(slot);
            answer
        });
        match begun.await {
            Ok(Ok(answer)) => Ok(Response::new(answer)),
            Ok(Err(error)) => {
                if error.kind() == ErrorKind::Internal {
                    let cause = std::error::Error::source(&error);
                    tracing::error!(rpc, %error, cause, "a request failed");
                }
                Err(status_of(&error))
            }
            Err(Panicked) => {
                tracing::error!(rpc, "the driver panicked");
                Err(Status::internal("the driver panicked; its log says where"))
            }
        }
    }
}

/// The sandbox that a request means: by its id, else by the name that exactly one sandbox of this gateway has.
async fn identify(
    driver: &dyn ComputeDriver,
    operation: &'static str,
    id: String,
    name: String,
) -> Result<SandboxId, DriverError> {
    if !id.is_empty() {
        // The id is the key, whatever name comes with it.
        return SandboxId::new(id);
    }
    if name.is_empty() {
        return Err(DriverError::invalid(operation, "both `sandbox_id` and `sandbox_name` are empty"));
    }
    let mut named = driver.list().await?.into_iter().filter(|sandbox| sandbox.name == name);
    match (named.next(), named.next()) {
        (Some(sandbox), None) => Ok(sandbox.id),
        (None, _) => {
            Err(DriverError::new(ErrorKind::NotFound, operation, format!("no sandbox is named `{name}`")))
        }
        (Some(_), Some(_)) => {
            let message = format!("several sandboxes are named `{name}`: give the `sandbox_id`");
            Err(DriverError::new(ErrorKind::FailedPrecondition, operation, message))
        }
    }
}

/// A workspace that was named: an empty name in a path of a backend's API means all of them.
fn named(operation: &'static str, workspace: String) -> Result<String, DriverError> {
    match workspace.is_empty() {
        true => Err(DriverError::invalid(operation, "`workspace` is empty")),
        false => Ok(workspace),
    }
}

#[tonic::async_trait]
impl contract::ComputeDriver for Adapter {
    async fn get_capabilities(
        &self,
        _: Request<wire::GetCapabilitiesRequest>,
    ) -> Result<Response<wire::GetCapabilitiesResponse>, Status> {
        self.run("GetCapabilities", |driver| async move {
            driver.capabilities().await.map(convert::capabilities_to_wire)
        })
        .await
    }

    async fn get_gateway_listener_requirements(
        &self,
        _: Request<wire::GetGatewayListenerRequirementsRequest>,
    ) -> Result<Response<wire::GetGatewayListenerRequirementsResponse>, Status> {
        self.run("GetGatewayListenerRequirements", |driver| async move {
            let requirements = driver.listener_requirements().await?;
            let requirements = requirements.into_iter().map(convert::requirement_to_wire).collect();
            Ok(wire::GetGatewayListenerRequirementsResponse { requirements })
        })
        .await
    }

    async fn validate_sandbox_create(
        &self,
        request: Request<wire::ValidateSandboxCreateRequest>,
    ) -> Result<Response<wire::ValidateSandboxCreateResponse>, Status> {
        let sandbox = request.into_inner().sandbox;
        self.run("ValidateSandboxCreate", |driver| async move {
            driver.validate_create(&convert::request_from_wire(sandbox, "validate sandbox")?).await?;
            Ok(wire::ValidateSandboxCreateResponse {})
        })
        .await
    }

    async fn get_sandbox(
        &self,
        request: Request<wire::GetSandboxRequest>,
    ) -> Result<Response<wire::GetSandboxResponse>, Status> {
        let wire::GetSandboxRequest { sandbox_id, sandbox_name } = request.into_inner();
        self.run("GetSandbox", |driver| async move {
            let id = identify(&*driver, "get sandbox", sandbox_id, sandbox_name).await?;
            let observed = driver.get(&id).await?;
            Ok(wire::GetSandboxResponse { sandbox: Some(convert::observed_to_wire(observed)) })
        })
        .await
    }

    async fn list_sandboxes(
        &self,
        _: Request<wire::ListSandboxesRequest>,
    ) -> Result<Response<wire::ListSandboxesResponse>, Status> {
        self.run("ListSandboxes", |driver| async move {
            let sandboxes = driver.list().await?.into_iter().map(convert::observed_to_wire).collect();
            Ok(wire::ListSandboxesResponse { sandboxes })
        })
        .await
    }

    async fn create_sandbox(
        &self,
        request: Request<wire::CreateSandboxRequest>,
    ) -> Result<Response<wire::CreateSandboxResponse>, Status> {
        let sandbox = request.into_inner().sandbox;
        self.run("CreateSandbox", |driver| async move {
            driver.create(&convert::request_from_wire(sandbox, "create sandbox")?).await?;
            Ok(wire::CreateSandboxResponse {})
        })
        .await
    }

    async fn stop_sandbox(
        &self,
        request: Request<wire::StopSandboxRequest>,
    ) -> Result<Response<wire::StopSandboxResponse>, Status> {
        let wire::StopSandboxRequest { sandbox_id, sandbox_name } = request.into_inner();
        self.run("StopSandbox", |driver| async move {
            let id = identify(&*driver, "stop sandbox", sandbox_id, sandbox_name).await?;
            driver.stop(&id).await?;
            Ok(wire::StopSandboxResponse {})
        })
        .await
    }

    async fn start_sandbox(
        &self,
        request: Request<wire::StartSandboxRequest>,
    ) -> Result<Response<wire::StartSandboxResponse>, Status> {
        let wire::StartSandboxRequest { sandbox_id, sandbox_name } = request.into_inner();
        self.run("StartSandbox", |driver| async move {
            let id = identify(&*driver, "start sandbox", sandbox_id, sandbox_name).await?;
            driver.start(&id).await?;
            Ok(wire::StartSandboxResponse {})
        })
        .await
    }

    async fn delete_sandbox(
        &self,
        request: Request<wire::DeleteSandboxRequest>,
    ) -> Result<Response<wire::DeleteSandboxResponse>, Status> {
        let wire::DeleteSandboxRequest { sandbox_id, sandbox_name } = request.into_inner();
        self.run("DeleteSandbox", |driver| async move {
            let id = match identify(&*driver, "delete sandbox", sandbox_id, sandbox_name).await {
                // Nothing was there to delete, and that is no error.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Ok(wire::DeleteSandboxResponse { deleted: false });
                }
                identified => identified?,
            };
            Ok(wire::DeleteSandboxResponse { deleted: driver.delete(&id).await? })
        })
        .await
    }

    type WatchSandboxesStream = Pin<Box<dyn Stream<Item = Result<wire::WatchSandboxesEvent, Status>> + Send>>;

    async fn watch_sandboxes(
        &self,
        _: Request<wire::WatchSandboxesRequest>,
    ) -> Result<Response<Self::WatchSandboxesStream>, Status> {
        let events = self.run("WatchSandboxes", |driver| async move { driver.watch().await }).await?;
        Ok(events.map(|events| pump::start(events, self.bounds, self.closing.clone()).boxed()))
    }

    async fn ensure_workspace(
        &self,
        request: Request<wire::EnsureWorkspaceRequest>,
    ) -> Result<Response<wire::EnsureWorkspaceResponse>, Status> {
        let workspace = request.into_inner().workspace;
        self.run("EnsureWorkspace", |driver| async move {
            driver.ensure_workspace(&named("ensure workspace", workspace)?).await?;
            Ok(wire::EnsureWorkspaceResponse {})
        })
        .await
    }

    async fn delete_workspace(
        &self,
        request: Request<wire::DeleteWorkspaceRequest>,
    ) -> Result<Response<wire::DeleteWorkspaceResponse>, Status> {
        let workspace = request.into_inner().workspace;
        self.run("DeleteWorkspace", |driver| async move {
            driver.delete_workspace(&named("delete workspace", workspace)?).await?;
            Ok(wire::DeleteWorkspaceResponse {})
        })
        .await
    }
}
