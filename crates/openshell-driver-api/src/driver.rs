//! The trait that every compute driver implements, in process or behind a socket.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;

use crate::{DriverError, ObservedSandbox, SandboxId, SandboxRequest};

/// Changes that a driver reports, without end until it fails; see [`ComputeDriver::watch`].
pub type EventStream = Pin<Box<dyn Stream<Item = Result<WatchEvent, DriverError>> + Send>>;

/// A backend that runs sandboxes.
///
/// Every method but [`shutdown`](Self::shutdown) is required: what a backend cannot do is an error of kind
/// [`ErrorKind::Unimplemented`](crate::ErrorKind::Unimplemented), never a default that pretends. The meaning of each
/// call is that of `openshell.compute.v1.ComputeDriver`. All of them key on the sandbox's id alone, and every query
/// is scoped to the gateway id that the driver was opened with.
#[async_trait::async_trait]
pub trait ComputeDriver: Send + Sync + 'static {
    /// Who this is. Answers at once, without asking the backend.
    async fn capabilities(&self) -> Result<Capabilities, DriverError>;

    /// Addresses that the gateway has to listen on so that this driver's sandboxes reach it.
    async fn listener_requirements(&self) -> Result<Vec<ListenerRequirement>, DriverError>;

    /// Says whether [`create`](Self::create) could honour `request`; pure, without a side effect.
    ///
    /// # Errors
    /// `InvalidArgument` for junk, and for whatever the backend would have to ignore.
    async fn validate_create(&self, request: &SandboxRequest) -> Result<(), DriverError>;

    /// What the backend knows of one sandbox.
    ///
    /// # Errors
    /// `NotFound` when there is none of that id under this gateway.
    async fn get(&self, id: &SandboxId) -> Result<ObservedSandbox, DriverError>;

    /// Every sandbox of this gateway, however many.
    async fn list(&self) -> Result<Vec<ObservedSandbox>, DriverError>;

    /// Makes and starts a sandbox; may return before it runs. A create that fails leaves nothing behind.
    ///
    /// # Errors
    /// `AlreadyExists` for an id that is there, which is left as it is.
    async fn create(&self, request: &SandboxRequest) -> Result<(), DriverError>;

    /// Stops a sandbox and keeps its workspace; stopping a stopped one is no error.
    async fn stop(&self, id: &SandboxId) -> Result<(), DriverError>;

    /// Starts a stopped sandbox again, the same resource; starting a running one is no error.
    async fn start(&self, id: &SandboxId) -> Result<(), DriverError>;

    /// Removes a sandbox and all that was made for it. `false` only when nothing was there.
    async fn delete(&self, id: &SandboxId) -> Result<bool, DriverError>;

    /// Subscribes to the backend first, then yields every present sandbox, then changes.
    ///
    /// No event is lost in silence: a reader that falls behind gets an error and the stream ends, and so does a
    /// backend that goes away. The reader then comes back for a new snapshot.
    async fn watch(&self) -> Result<EventStream, DriverError>;

    /// Prepares what the backend needs for a workspace; idempotent.
    async fn ensure_workspace(&self, workspace: &str) -> Result<(), DriverError>;

    /// Removes what [`ensure_workspace`](Self::ensure_workspace) made; idempotent.
    async fn delete_workspace(&self, workspace: &str) -> Result<(), DriverError>;

    /// Lets go of everything that ends with this process. Called once, after the last call was answered or cut, and
    /// before the process ends; no call follows it. A driver whose sandboxes run in or below its own process ends them
    /// in order here and keeps what they keep across a stop; whatever still runs after `within` may be killed with the
    /// process. Sandboxes of most backends live on by themselves, and there is nothing to do: the default.
    async fn shutdown(&self, within: Duration) {
        let _nothing_ends = within;
    }
}

/// Who a driver is. `driver_name` is for people: it may differ from the name in the manifest, which routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// The driver's own name for itself.
    pub driver_name: String,
    /// Its version, and where it helps, its backend's.
    pub driver_version: String,
    /// The image of a sandbox that names none; empty when the driver has no such default.
    pub default_image: String,
    /// Whether the gateway starts wanted sandboxes again after a restart.
    pub gateway_manages_lifecycle: bool,
}

/// An address that the gateway should listen on so that sandboxes reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenerRequirement {
    /// Exactly this address.
    Exact {
        /// Why the driver needs it.
        reason: String,
        /// `host:port`.
        address: String,
    },
    /// The address of the interface that has the default route.
    DefaultRoute {
        /// Why the driver needs it.
        reason: String,
    },
    /// A loopback address.
    Loopback {
        /// Why the driver needs it.
        reason: String,
    },
}

/// One item of a watch.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEvent {
    /// The present state of a sandbox, new or changed.
    Sandbox(ObservedSandbox),
    /// A sandbox is gone from the backend.
    Deleted(SandboxId),
    /// Something that the backend says of a sandbox, such as a step of a pull.
    Platform {
        /// The sandbox that it is about.
        id: SandboxId,
        /// What was said.
        event: PlatformEvent,
    },
}

/// A backend's own message about a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlatformEvent {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Which part of the backend speaks.
    pub source: String,
    /// `Normal` or `Warning`, as in Kubernetes.
    pub kind: String,
    /// A word for machines, in CamelCase.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// Anything more.
    pub metadata: BTreeMap<String, String>,
}
