//! The gateway's half: a `ComputeDriver` that asks a program behind a socket, and connects again by itself.
//!
//! Every request carries the sandbox's id and no name: some drivers refuse a request that has both, and the id is the
//! key. There is no keep-alive on the wire: a program that dies takes its socket along, and several gRPC servers hang up
//! on clients that ping more often than they like.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use openshell_driver_api::{
    Capabilities, ComputeDriver, DriverError, ErrorKind, EventStream, ListenerRequirement, ObservedSandbox,
    SandboxId, SandboxRequest, async_trait,
};
use openshell_proto::compute::v1::{self as wire, compute_driver_client::ComputeDriverClient};
use openshell_uds::PeerPolicy;
use tokio::net::UnixStream;
use tonic::{Response, Status};

use crate::convert;
use crate::link::Link;
use crate::wire::Wire;

/// How long a driver may take. The runtime has its own, configured ones; these are the bound that always holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For whatever changes nothing.
    pub query: Duration,
    /// For whatever changes something: an image may have to be fetched first.
    pub change: Duration,
    /// For the first answer of a watch; after that it may be silent for as long as nothing happens.
    pub watch: Duration,
}

impl Deadlines {
    /// The default bounds, raised where they would cut short a caller that waits for as long as `longest`.
    #[must_use]
    pub fn covering(longest: Duration) -> Self {
        let bounds = Self::default();
        Self { query: bounds.query.max(longest), change: bounds.change.max(longest), ..bounds }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            query: Duration::from_secs(60),
            change: Duration::from_secs(30 * 60),
            watch: Duration::from_secs(5),
        }
    }
}

/// A driver behind a Unix socket.
pub struct RemoteDriver {
    link: Arc<Link>,
    deadlines: Deadlines,
}

impl RemoteDriver {
    /// A driver that is asked at `path`, whose connections are made as they are needed. Nothing is asked yet, unless
    /// `first` is a connection that exists already.
    pub(crate) fn new(
        name: &str,
        path: &Path,
        policy: PeerPolicy,
        first: Option<UnixStream>,
        deadlines: Deadlines,
    ) -> Self {
        let link = Link::open(name, path, policy, first, deadlines.query);
        Self { link, deadlines }
    }

    /// Asks the driver who it is, for the first connection.
    pub(crate) async fn greet(&self, deadline: Duration) -> Result<Capabilities, DriverError> {
        self.link.greet(deadline).await
    }

    /// Asks, unless the driver was refused: `ask` gets a client of its own, its answer is bounded by `deadline`.
    async fn call<T, F>(
        &self,
        operation: &'static str,
        deadline: Duration,
        ask: impl FnOnce(ComputeDriverClient<Wire>) -> F,
    ) -> Result<T, DriverError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        if let Some(why) = self.link.session.refused() {
            let message = format!("the driver at `{}` is not used: {why}", self.link.path.display());
            return Err(DriverError::new(ErrorKind::FailedPrecondition, operation, message));
        }
        self.link.call(operation, deadline, ask).await
    }
}

#[async_trait]
impl ComputeDriver for RemoteDriver {
    async fn capabilities(&self) -> Result<Capabilities, DriverError> {
        self.call("get capabilities", self.deadlines.query, |mut client| async move {
            client.get_capabilities(wire::GetCapabilitiesRequest {}).await
        })
        .await
        .map(convert::capabilities_from_wire)
    }

    async fn listener_requirements(&self) -> Result<Vec<ListenerRequirement>, DriverError> {
        let answer = self
            .call("get listener requirements", self.deadlines.query, |mut client| async move {
                client.get_gateway_listener_requirements(wire::GetGatewayListenerRequirementsRequest {}).await
            })
            .await?;
        let known = answer.requirements.into_iter().filter_map(|requirement| {
            let reason = requirement.reason.clone();
            let known = convert::requirement_from_wire(requirement);
            if known.is_none() {
                tracing::warn!(driver = %self.link.name, %reason, "a listener of an unknown kind is not opened");
            }
            known
        });
        Ok(known.collect())
    }

    async fn validate_create(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        const OPERATION: &str = "validate sandbox";
        let sandbox = Some(convert::request_to_wire(request, OPERATION)?);
        self.call(OPERATION, self.deadlines.query, |mut client| async move {
            client.validate_sandbox_create(wire::ValidateSandboxCreateRequest { sandbox }).await
        })
        .await
        .map(|_| ())
    }

    async fn get(&self, id: &SandboxId) -> Result<ObservedSandbox, DriverError> {
        const OPERATION: &str = "get sandbox";
        let request = wire::GetSandboxRequest { sandbox_id: id.to_string(), sandbox_name: String::new() };
        let answer =
            self.call(OPERATION, self.deadlines.query, |mut client| async move {
                client.get_sandbox(request).await
            })
            .await?;
        let nameless =
            || DriverError::new(ErrorKind::Internal, OPERATION, "the driver's answer names no sandbox");
        answer.sandbox.and_then(convert::observed_from_wire).ok_or_else(nameless)
    }

    async fn list(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        let answer = self
            .call("list sandboxes", self.deadlines.query, |mut client| async move {
                client.list_sandboxes(wire::ListSandboxesRequest {}).await
            })
            .await?;
        let listed = answer.sandboxes.len();
        let named: Vec<_> = answer.sandboxes.into_iter().filter_map(convert::observed_from_wire).collect();
        let nameless = listed - named.len();
        if nameless > 0 {
            tracing::warn!(driver = %self.link.name, nameless, "listed sandboxes without an id are left out");
        }
        Ok(named)
    }

    async fn create(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        const OPERATION: &str = "create sandbox";
        let sandbox = Some(convert::request_to_wire(request, OPERATION)?);
        self.call(OPERATION, self.deadlines.change, |mut client| async move {
            client.create_sandbox(wire::CreateSandboxRequest { sandbox }).await
        })
        .await
        .map(|_| ())
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), DriverError> {
        let request = wire::StopSandboxRequest { sandbox_id: id.to_string(), sandbox_name: String::new() };
        self.call("stop sandbox", self.deadlines.change, |mut client| async move {
            client.stop_sandbox(request).await
        })
        .await
        .map(|_| ())
    }

    async fn start(&self, id: &SandboxId) -> Result<(), DriverError> {
        let request = wire::StartSandboxRequest { sandbox_id: id.to_string(), sandbox_name: String::new() };
        self.call("start sandbox", self.deadlines.change, |mut client| async move {
            client.start_sandbox(request).await
        })
        .await
        .map(|_| ())
    }

    async fn delete(&self, id: &SandboxId) -> Result<bool, DriverError> {
        let request = wire::DeleteSandboxRequest { sandbox_id: id.to_string(), sandbox_name: String::new() };
        let answer = self
            .call("delete sandbox", self.deadlines.change, |mut client| async move {
                client.delete_sandbox(request).await
            })
            .await;
        match answer {
            Ok(answer) => Ok(answer.deleted),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn watch(&self) -> Result<EventStream, DriverError> {
        const OPERATION: &str = "watch sandboxes";
        let link = Arc::clone(&self.link);
        let mut open = Box::pin(async move {
            let mut client = link.client.clone();
            match client.watch_sandboxes(wire::WatchSandboxesRequest {}).await {
                Ok(answer) => Ok(events(link, answer.into_inner())),
                Err(status) => Err(link.explain(OPERATION, status)),
            }
        });
        // Some servers send no header before their first event, so that a backend without sandboxes is silent for as
        // long as it has none: that is no failure, and the wait goes on inside the stream.
        match tokio::time::timeout(self.deadlines.watch, &mut open).await {
            Ok(opened) => opened.map(|events| events.boxed()),
            Err(_) => Ok(futures_util::stream::once(open).try_flatten().boxed()),
        }
    }

    async fn ensure_workspace(&self, workspace: &str) -> Result<(), DriverError> {
        let request = wire::EnsureWorkspaceRequest { workspace: workspace.to_owned() };
        self.call("ensure workspace", self.deadlines.change, |mut client| async move {
            client.ensure_workspace(request).await
        })
        .await
        .map(|_| ())
    }

    async fn delete_workspace(&self, workspace: &str) -> Result<(), DriverError> {
        let request = wire::DeleteWorkspaceRequest { workspace: workspace.to_owned() };
        self.call("delete workspace", self.deadlines.change, |mut client| async move {
            client.delete_workspace(request).await
        })
        .await
        .map(|_| ())
    }
}

/// The events of a watch. What has nothing in it to use is dropped, with a warning for the first: a driver that sends such
/// things for a sign of life does so for as long as it lives.
fn events(
    link: Arc<Link>,
    answers: tonic::Streaming<wire::WatchSandboxesEvent>,
) -> impl Stream<Item = Result<openshell_driver_api::WatchEvent, DriverError>> + Send + use<> {
    let mut warned = false;
    answers.filter_map(move |answer| {
        let item = match answer {
            Ok(event) => match convert::event_from_wire(event) {
                Ok(event) => Some(Ok(event)),
                Err(why) => {
                    match std::mem::replace(&mut warned, true) {
                        false => tracing::warn!(
                            driver = %link.name,
                            why,
                            "an event of the watch is dropped, and so are others like it"
                        ),
                        true => tracing::debug!(driver = %link.name, why, "an event of the watch is dropped"),
                    }
                    None
                }
            },
            Err(status) => Some(Err(link.explain("watch sandboxes", status))),
        };
        std::future::ready(item)
    })
}
