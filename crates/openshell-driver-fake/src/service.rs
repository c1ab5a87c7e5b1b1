//! The contract's service, method by method.

use std::sync::Arc;
use std::time::Duration;

use openshell_proto::compute::v1::{
    self as wire, DriverSandbox, compute_driver_server as contract, gateway_listener_requirement::Selector,
};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::Fault;
use crate::view::{self, Where};
use crate::watch::Events;
use crate::world::{Driver, Phase};

/// How long the slow things of the faults take: longer than anybody waits for an answer at once.
const SLOW: Duration = Duration::from_millis(2500);
/// How long something young is hidden.
const YOUNG: Duration = Duration::from_millis(500);
/// How long a create is half done.
const HALF: Duration = Duration::from_millis(200);
/// How long a create is under way, for the fault that breaks it off.
const UNDER_WAY: Duration = Duration::from_millis(250);
/// Two calls at once meet in here.
pub(crate) const MEETING: Duration = Duration::from_millis(50);
/// How many a capped list has.
const CAP: usize = 100;

type Answer<T> = Result<Response<T>, Status>;

/// The service over a driver; `closing` ends its watches.
pub(crate) struct Service {
    pub(crate) driver: Arc<Driver>,
    pub(crate) closing: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl contract::ComputeDriver for Service {
    async fn get_capabilities(
        &self,
        _: Request<wire::GetCapabilitiesRequest>,
    ) -> Answer<wire::GetCapabilitiesResponse> {
        self.enter().await;
        if self.has(Fault::SlowCapabilities) {
            tokio::time::sleep(SLOW).await;
        }
        if self.has(Fault::EmptyCapabilities) {
            return Ok(Response::new(wire::GetCapabilitiesResponse::default()));
        }
        let scenario = &self.driver.scenario;
        let mut driver_version = scenario.driver_version.clone();
        if self.has(Fault::NoVersion) {
            driver_version.clear();
        }
        if self.has(Fault::CapabilitiesChange) {
            let mut world = self.driver.world();
            world.asked += 1;
            driver_version = format!("{driver_version}.{}", world.asked);
        }
        Ok(Response::new(wire::GetCapabilitiesResponse {
            driver_name: scenario.driver_name.clone(),
            driver_version,
            default_image: scenario.default_image.clone(),
            gateway_manages_lifecycle: false,
        }))
    }

    async fn get_gateway_listener_requirements(
        &self,
        _: Request<wire::GetGatewayListenerRequirementsRequest>,
    ) -> Answer<wire::GetGatewayListenerRequirementsResponse> {
        self.enter().await;
        if self.has(Fault::NoListeners) {
            return Err(self.unimplemented("GetGatewayListenerRequirements"));
        }
        let loopback = Selector::LoopbackInterface(wire::GatewayLoopbackInterfaceRequirement {});
        let requirement = wire::GatewayListenerRequirement {
            reason: "sandboxes of this driver are on this host".to_owned(),
            selector: (!self.has(Fault::ListenersJunk)).then_some(loopback),
        };
        Ok(Response::new(wire::GetGatewayListenerRequirementsResponse { requirements: vec![requirement] }))
    }

    async fn validate_sandbox_create(
        &self,
        request: Request<wire::ValidateSandboxCreateRequest>,
    ) -> Answer<wire::ValidateSandboxCreateResponse> {
        self.enter().await;
        if self.has(Fault::ValidationHangs) {
            std::future::pending::<()>().await;
        }
        if self.has(Fault::ValidationRefusesAll) {
            return Err(Status::invalid_argument("no"));
        }
        let asked = self.validate(request.into_inner().sandbox)?;
        if self.has(Fault::ValidationFlips) {
            let mut world = self.driver.world();
            world.asked += 1;
            if world.asked.is_multiple_of(2) {
                return Err(Status::invalid_argument("not this time"));
            }
        }
        if let Some(asked) = asked.filter(|_| self.has(Fault::ValidationCreates)) {
            // A second validation of the same id finds what the first one made.
            let _ = self.make(asked);
        }
        Ok(Response::new(wire::ValidateSandboxCreateResponse {}))
    }

    async fn get_sandbox(
        &self,
        request: Request<wire::GetSandboxRequest>,
    ) -> Answer<wire::GetSandboxResponse> {
        self.enter().await;
        let wire::GetSandboxRequest { sandbox_id, sandbox_name } = request.into_inner();
        if sandbox_name.is_empty() && !sandbox_id.is_empty() && self.has(Fault::IdAloneRefused) {
            return Err(Status::invalid_argument("`sandbox_name` is empty"));
        }
        let by_name = sandbox_id.is_empty() && !sandbox_name.is_empty();
        let id = self.identify(sandbox_id, sandbox_name)?;
        let world = self.driver.world();
        let another = by_name && self.has(Fault::NameAloneAnswersAnother);
        let kept = match another {
            true => world.sandboxes.values().find(|kept| kept.asked.id != id),
            false => world.sandboxes.get(&id),
        };
        let young = self.has(Fault::YoungNotFound);
        match kept.filter(|kept| !young || kept.born.elapsed() > YOUNG) {
            Some(kept) => {
                let sandbox = Some(view::sandbox(&self.driver.scenario, kept, Where::Get));
                Ok(Response::new(wire::GetSandboxResponse { sandbox }))
            }
            None if id.is_empty() || self.has(Fault::UnknownGetEmpty) => {
                Ok(Response::new(wire::GetSandboxResponse { sandbox: None }))
            }
            None if self.has(Fault::UnknownGetInternal) => Err(Status::internal("it is not in the table")),
            None => Err(Status::not_found(format!("no sandbox `{id}`"))),
        }
    }

    async fn list_sandboxes(
        &self,
        _: Request<wire::ListSandboxesRequest>,
    ) -> Answer<wire::ListSandboxesResponse> {
        self.enter().await;
        if self.has(Fault::ListHangs) {
            std::future::pending::<()>().await;
        }
        let young = self.has(Fault::YoungNotListed);
        let cap = if self.has(Fault::ListCapped) { CAP } else { usize::MAX };
        let world = self.driver.world();
        let shown = world.sandboxes.values().filter(|kept| !young || kept.born.elapsed() > YOUNG).take(cap);
        let sandboxes = shown.map(|kept| view::sandbox(&self.driver.scenario, kept, Where::List)).collect();
        Ok(Response::new(wire::ListSandboxesResponse { sandboxes }))
    }

    async fn create_sandbox(
        &self,
        request: Request<wire::CreateSandboxRequest>,
    ) -> Answer<wire::CreateSandboxResponse> {
        self.enter().await;
        if self.has(Fault::CreateHangs) {
            std::future::pending::<()>().await;
        }
        if self.has(Fault::StopsAtOnce) {
            let mut closing = self.closing.clone();
            let stopped = closing.wait_for(|closing| *closing);
            let in_time = tokio::time::timeout(UNDER_WAY, async { drop(stopped.await) }).await;
            if in_time.is_ok() {
                // Cut at the end of the drain, with everything that is under way.
                std::future::pending::<()>().await;
            }
        }
        let sandbox = request.into_inner().sandbox;
        let asked = match self.validate(sandbox.clone()) {
            Err(_) if self.has(Fault::CreateSkipsValidation) && sandbox.as_ref().is_some_and(is_whole) => {
                sandbox
            }
            Err(status) => {
                if let Some(left) =
                    sandbox.filter(|left| is_whole(left) && self.has(Fault::FailedCreateLeaves))
                {
                    // What is left behind is there, whatever else is.
                    let _ = self.make(left);
                }
                return Err(status);
            }
            Ok(asked) => asked,
        };
        if self.has(Fault::ConcurrentCreatesFail) {
            // Held until this call ends, also when its client hangs up.
            let Ok(_turn) = self.driver.creating.try_lock() else {
                return Err(Status::aborted("another create is under way"));
            };
            tokio::time::sleep(MEETING).await;
        }
        if let Some(asked) = asked {
            let id = asked.id.clone();
            self.make(asked)?;
            if self.has(Fault::HalfCreate) {
                tokio::time::sleep(HALF).await;
                self.driver.turn(&id, Phase::Starting, true);
            }
        }
        Ok(Response::new(wire::CreateSandboxResponse {}))
    }

    async fn stop_sandbox(
        &self,
        request: Request<wire::StopSandboxRequest>,
    ) -> Answer<wire::StopSandboxResponse> {
        self.enter().await;
        if self.has(Fault::NoStop) {
            return Err(self.unimplemented("StopSandbox"));
        }
        let wire::StopSandboxRequest { sandbox_id, sandbox_name } = request.into_inner();
        self.turn(&self.identify(sandbox_id, sandbox_name)?, true)?;
        Ok(Response::new(wire::StopSandboxResponse {}))
    }

    async fn start_sandbox(
        &self,
        request: Request<wire::StartSandboxRequest>,
    ) -> Answer<wire::StartSandboxResponse> {
        self.enter().await;
        if self.has(Fault::NoStart) {
            return Err(self.unimplemented("StartSandbox"));
        }
        let wire::StartSandboxRequest { sandbox_id, sandbox_name } = request.into_inner();
        self.turn(&self.identify(sandbox_id, sandbox_name)?, false)?;
        Ok(Response::new(wire::StartSandboxResponse {}))
    }

    async fn delete_sandbox(
        &self,
        request: Request<wire::DeleteSandboxRequest>,
    ) -> Answer<wire::DeleteSandboxResponse> {
        self.enter().await;
        let wire::DeleteSandboxRequest { sandbox_id, sandbox_name } = request.into_inner();
        if sandbox_id.is_empty() && sandbox_name.is_empty() && self.has(Fault::EmptyDeleteMeansAll) {
            let all: Vec<String> = self.driver.world().sandboxes.keys().cloned().collect();
            all.iter().for_each(|id| self.driver.remove(id));
            return Ok(Response::new(wire::DeleteSandboxResponse { deleted: !all.is_empty() }));
        }
        let id = match self.identify(sandbox_id, sandbox_name) {
            // Nothing was there to delete, and that is no error.
            Err(status) if status.code() == tonic::Code::NotFound => String::new(),
            identified => identified?,
        };
        let deleted = self.delete(&id).await?;
        Ok(Response::new(wire::DeleteSandboxResponse { deleted }))
    }

    type WatchSandboxesStream = Events;

    async fn watch_sandboxes(&self, _: Request<wire::WatchSandboxesRequest>) -> Answer<Events> {
        let events = crate::watch::open(&self.driver, self.closing.clone());
        if self.has(Fault::WatchHeaderLate) {
            use futures_util::StreamExt as _;
            let mut events = events.peekable();
            std::pin::Pin::new(&mut events).peek().await;
            return Ok(Response::new(events.boxed()));
        }
        Ok(Response::new(events))
    }

    async fn ensure_workspace(
        &self,
        request: Request<wire::EnsureWorkspaceRequest>,
    ) -> Answer<wire::EnsureWorkspaceResponse> {
        self.enter().await;
        if self.has(Fault::NoWorkspaces) {
            return Err(self.unimplemented("EnsureWorkspace"));
        }
        let workspace = request.into_inner().workspace;
        if workspace.is_empty() && !self.has(Fault::EmptyWorkspaceAccepted) {
            return Err(Status::invalid_argument("`workspace` is empty"));
        }
        let new = self.driver.world().workspaces.insert(workspace);
        if !new && self.has(Fault::WorkspaceNotIdempotent) {
            return Err(Status::already_exists("the workspace is there"));
        }
        Ok(Response::new(wire::EnsureWorkspaceResponse {}))
    }

    async fn delete_workspace(
        &self,
        request: Request<wire::DeleteWorkspaceRequest>,
    ) -> Answer<wire::DeleteWorkspaceResponse> {
        self.enter().await;
        if self.has(Fault::NoWorkspaces) {
            return Err(self.unimplemented("DeleteWorkspace"));
        }
        let workspace = request.into_inner().workspace;
        if workspace.is_empty() && !self.has(Fault::EmptyWorkspaceAccepted) {
            return Err(Status::invalid_argument("`workspace` is empty"));
        }
        let gone = !self.driver.world().workspaces.remove(&workspace);
        if gone && self.has(Fault::WorkspaceDeleteNotFound) {
            return Err(Status::not_found("there is no such workspace"));
        }
        Ok(Response::new(wire::DeleteWorkspaceResponse {}))
    }
}

/// Whether there is enough of a sandbox to keep it.
fn is_whole(asked: &DriverSandbox) -> bool {
    !asked.id.is_empty() && asked.spec.is_some()
}
