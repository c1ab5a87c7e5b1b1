//! What runs sandboxes: the trait that the driver asks, and a backend in memory that runs nothing.
//!
//! A real backend finds its resources by their labels and keeps no table of its own, so that a restart of the driver
//! loses nothing. This one is a table, and forgets everything with its process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use openshell_driver_api::conditions::reason;
use openshell_driver_api::{DriverError, ErrorKind, SandboxId, async_trait};
use openshell_driver_common::operations::exists;
use tokio::sync::broadcast;

/// How many changes a watcher may be behind before it has to look at everything anew.
const CHANGES: usize = 1024;

/// What a backend has of a sandbox. The sandbox's token is not in it: what is shown must not hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    /// Which sandbox it is.
    pub(crate) id: SandboxId,
    /// The image that it is made of.
    pub(crate) image: String,
    /// What it is marked with: whose it is, and how it is called.
    pub(crate) labels: BTreeMap<String, String>,
    /// What the main process is given.
    pub(crate) environment: BTreeMap<String, String>,
    /// Whether it runs.
    pub(crate) running: bool,
    /// Counts its starts.
    pub(crate) run: u64,
    /// Since when it runs or does not.
    pub(crate) since: SystemTime,
}

/// Runs sandboxes. Every method may be called again with the same arguments: the gateway repeats what it is owed.
#[async_trait]
pub(crate) trait Backend: Send + Sync + 'static {
    /// Makes a resource and starts it. One that fails leaves nothing behind.
    ///
    /// # Errors
    /// `AlreadyExists` for an id that is there, `ResourceExhausted` where there is no room, `FailedPrecondition` without
    /// an image.
    async fn make(&self, resource: Resource) -> Result<(), DriverError>;

    /// The resource of a sandbox.
    async fn find(&self, id: &SandboxId) -> Result<Option<Resource>, DriverError>;

    /// Every resource of this gateway.
    async fn all(&self) -> Result<Vec<Resource>, DriverError>;

    /// Starts or stops a resource; `false` when there is none.
    async fn run(&self, id: &SandboxId, running: bool) -> Result<bool, DriverError>;

    /// Removes a resource and all that belongs to it; `false` when there was none.
    async fn remove(&self, id: &SandboxId) -> Result<bool, DriverError>;

    /// Tells from now on which resources have changed, whoever changed them.
    fn changes(&self) -> broadcast::Receiver<SandboxId>;
}

/// A backend that only remembers.
pub(crate) struct Memory {
    most: usize,
    resources: Mutex<BTreeMap<SandboxId, Resource>>,
    changes: broadcast::Sender<SandboxId>,
}

impl Memory {
    /// An empty one with room for `most` resources.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, resources: Mutex::default(), changes: broadcast::Sender::new(CHANGES) }
    }

    fn resources(&self) -> MutexGuard<'_, BTreeMap<SandboxId, Resource>> {
        // Nothing that could panic runs under this lock, and the table is whole after every statement.
        self.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, id: &SandboxId) {
        // An error says that nobody watches.
        let _nobody = self.changes.send(id.clone());
    }
}

/// Whether an image is in a registry that cannot be: no host is in the domain `invalid` (RFC 2606). A backend that has images
/// finds out when it asks for one.
fn is_nowhere(image: &str) -> bool {
    image.split('/').next().is_some_and(|host| host.ends_with(".invalid"))
}

#[async_trait]
impl Backend for Memory {
    async fn make(&self, resource: Resource) -> Result<(), DriverError> {
        let id = resource.id.clone();
        if is_nowhere(&resource.image) {
            let message = format!("the image `{}` cannot be had", resource.image);
            let error = DriverError::new(ErrorKind::FailedPrecondition, "create sandbox", message);
            // What the sandbox's condition says where this ends its life.
            return Err(error.with_reason(reason::IMAGE_PULL_FAILED));
        }
        {
            let mut resources = self.resources();
            if resources.contains_key(&id) {
                return Err(exists(&id));
            }
            if resources.len() >= self.most {
                let message =
                    format!("there are {} sandboxes, and `max_sandboxes` allows no more", self.most);
                return Err(DriverError::new(ErrorKind::ResourceExhausted, "create sandbox", message));
            }
            resources.insert(id.clone(), resource);
        }
        self.tell(&id);
        Ok(())
    }

    async fn find(&self, id: &SandboxId) -> Result<Option<Resource>, DriverError> {
        Ok(self.resources().get(id).cloned())
    }

    async fn all(&self) -> Result<Vec<Resource>, DriverError> {
        Ok(self.resources().values().cloned().collect())
    }

    async fn run(&self, id: &SandboxId, running: bool) -> Result<bool, DriverError> {
        {
            let mut resources = self.resources();
            let Some(resource) = resources.get_mut(id) else { return Ok(false) };
            if resource.running == running {
                return Ok(true);
            }
            resource.running = running;
            resource.run += u64::from(running);
            resource.since = SystemTime::now();
        }
        self.tell(id);
        Ok(true)
    }

    async fn remove(&self, id: &SandboxId) -> Result<bool, DriverError> {
        let was_there = self.resources().remove(id).is_some();
        if was_there {
            self.tell(id);
        }
        Ok(was_there)
    }

    fn changes(&self) -> broadcast::Receiver<SandboxId> {
        self.changes.subscribe()
    }
}
