//! The driver: the trait's methods, each a few calls of the modules below.

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openshell_driver_api::supervisor::SupervisorDelivery;
use openshell_driver_api::{
    Capabilities, ComputeDriver, DriverContext, DriverError, ErrorKind, EventStream, ListenerRequirement,
    ObservedSandbox, PlatformEvent, SandboxId, SandboxRequest, async_trait,
};
use openshell_driver_common::container::names::Scope;
use openshell_driver_common::locks::Locks;
use openshell_driver_common::names::plain;
use openshell_driver_common::operations::to_the_end;
use openshell_driver_common::watch::{NEWS, News};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::error::blocking;
use crate::image::Images;
use crate::machine::{self, Host};
use crate::plan::{Judge, Plan};
use crate::record::{Loaded, Record, Records};
use crate::resources::HostSize;
use crate::table::Table;
use crate::watch;

/// How long the driver before this one may take to end.
const PREDECESSOR: Duration = Duration::from_secs(15);
const PREDECESSOR_STEP: Duration = Duration::from_millis(50);
/// How often the cache of images is looked through.
const HOUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs every sandbox as one machine of this host.
pub(crate) struct VmDriver {
    inner: Arc<Inner>,
}

/// What operations share.
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) context: DriverContext,
    pub(crate) scope: Scope,
    pub(crate) size: HostSize,
    pub(crate) host: Arc<Host>,
    pub(crate) images: Images,
    pub(crate) records: Arc<Records>,
    pub(crate) table: Table,
    pub(crate) locks: Locks,
    pub(crate) news: broadcast::Sender<News>,
    /// One task a machine, and one that keeps house; `None` once no machine may be started any more.
    pub(crate) tasks: Mutex<Option<JoinSet<()>>>,
}

impl VmDriver {
    /// Takes the gateway's directory, ends what an earlier driver left running, and reads what there is.
    pub(crate) async fn open(context: DriverContext, config: Config) -> Result<Self, DriverError> {
        let size = HostSize::of_this_host();
        if let Some(problem) = size.refuses(&config) {
            return Err(DriverError::new(ErrorKind::FailedPrecondition, "read configuration", problem));
        }
        let gateway_dir = context.state_dir.join(plain(&context.gateway_id));
        let records = Arc::new(take(&gateway_dir).await?);
        // Before anything else: a machine that still runs writes to a disk that is about to be this driver's.
        let loaded = sweep(Arc::clone(&records)).await?;
        for (directory, problem) in &loaded.broken {
            let directory = directory.display();
            tracing::error!(%directory, problem, "a sandbox's directory is left alone: its record cannot be read");
        }
        let host = Host::open(&config, &context.state_dir, program(&context)).await?;
        let images = Images::open(&config, &context.state_dir.join("images"))?;
        let scope = Scope { gateway_id: context.gateway_id.clone() };
        let table = Table::new(scope.clone(), loaded.records);
        let (news, locks) = (broadcast::Sender::new(NEWS), Locks::default());
        let tasks = Mutex::new(Some(JoinSet::new()));
        let inner = Inner { config, context, scope, size, host, images, records, table, locks, news, tasks };
        let inner = Arc::new(inner);
        inner.keep_house();
        Ok(Self { inner })
    }

    /// Runs an operation that nobody breaks off half-way.
    async fn to_the_end<T, F>(&self, operation: impl FnOnce(Arc<Inner>) -> F) -> Result<T, DriverError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DriverError>> + Send + 'static,
    {
        to_the_end(operation(Arc::clone(&self.inner))).await
    }
}

/// A driver that is dropped without a word takes its machines with it.
impl Drop for VmDriver {
    fn drop(&mut self) {
        drop(self.inner.close());
    }
}

#[async_trait]
impl ComputeDriver for VmDriver {
    async fn capabilities(&self) -> Result<Capabilities, DriverError> {
        Ok(Capabilities {
            driver_name: "vm".to_owned(),
            driver_version: env!("CARGO_PKG_VERSION").to_owned(),
            default_image: self.inner.config.default_image.clone(),
            // Machines end with the driver.
            gateway_manages_lifecycle: true,
        })
    }

    async fn listener_requirements(&self) -> Result<Vec<ListenerRequirement>, DriverError> {
        Ok(Vec::new())
    }

    async fn validate_create(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        self.inner.plan(request).map(|_| ())
    }

    async fn get(&self, id: &SandboxId) -> Result<ObservedSandbox, DriverError> {
        self.inner.table.one(id).ok_or_else(|| DriverError::not_found("get sandbox", id))
    }

    async fn list(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        Ok(self.inner.table.all())
    }

    async fn create(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        let plan = self.inner.plan(request)?;
        let (id, token) = (request.id.clone(), request.spec.token.clone());
        self.to_the_end(|inner| async move { inner.create(&id, plan, &token).await }).await
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), DriverError> {
        let id = id.clone();
        self.to_the_end(|inner| async move { inner.stop(&id).await }).await
    }

    async fn start(&self, id: &SandboxId) -> Result<(), DriverError> {
        let id = id.clone();
        self.to_the_end(|inner| async move { inner.start(&id).await }).await
    }

    async fn delete(&self, id: &SandboxId) -> Result<bool, DriverError> {
        let id = id.clone();
        self.to_the_end(|inner| async move { inner.delete(&id).await }).await
    }

    async fn watch(&self) -> Result<EventStream, DriverError> {
        Ok(watch::watch(&self.inner))
    }

    /// Labels are all that a workspace is here.
    async fn ensure_workspace(&self, _workspace: &str) -> Result<(), DriverError> {
        Ok(())
    }

    async fn delete_workspace(&self, _workspace: &str) -> Result<(), DriverError> {
        Ok(())
    }

    async fn shutdown(&self, within: Duration) {
        self.inner.shutdown(within).await;
    }
}

impl Inner {
    fn plan(&self, request: &SandboxRequest) -> Result<Plan, DriverError> {
        let judge =
            Judge { config: &self.config, context: &self.context, images: &self.images, host: self.size };
        judge.plan(request)
    }

    /// Says that a sandbox changed.
    pub(crate) fn touched(&self, id: &SandboxId) {
        // An error means that nobody watches.
        let _ = self.news.send(News::Touched(id.clone()));
    }

    /// Tells watchers something about a sandbox.
    pub(crate) fn tell(&self, id: &SandboxId, event: PlatformEvent) {
        let _ = self.news.send(News::Said { id: id.clone(), event });
    }

    /// Writes a record anew, where a full disk must not keep a sandbox from ending.
    pub(crate) async fn save(&self, id: &SandboxId, record: Record) {
        let (records, key) = (Arc::clone(&self.records), id.clone());
        let saved = blocking("write the sandbox's record", move || records.save(&key, &record)).await;
        if let Err(error) = saved {
            tracing::warn!(sandbox = %id, %error, "how the sandbox is cannot be kept; a restart will say `Stopped`");
        }
    }

    /// Finds out what runs guests, so that the first sandbox does not wait for it, and clears the cache of images now
    /// and then.
    fn keep_house(self: &Arc<Self>) {
        let inner = Arc::clone(self);
        let work = async move {
            match inner.host.accelerator().await {
                Ok(accelerator) => tracing::info!(%accelerator, "guests run"),
                Err(error) => {
                    tracing::warn!(%error, hint = error.hint(), "no guest runs; a create tries again")
                }
            }
            loop {
                match inner.images.sweep().await {
                    Ok(0) => {}
                    Ok(disks) => tracing::info!(disks, "disks of images that nobody used were removed"),
                    Err(error) => tracing::warn!(%error, "cannot look for disks of images that nobody uses"),
                }
                tokio::time::sleep(HOUSE).await;
            }
        };
        if let Some(tasks) = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            tasks.spawn(work);
        }
    }

    /// The tasks of the machines, of which there are no more from now on.
    pub(crate) fn close(&self) -> Option<JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The supervisor's program, where sandboxes have one.
fn program(context: &DriverContext) -> Option<&Path> {
    match context.supervisor.as_ref()? {
        SupervisorDelivery::Host { program, .. } => Some(program),
        // Its gateway is on this host.
        SupervisorDelivery::Network { .. } => None,
    }
}

/// The gateway's directory, once the driver before this one has let go of it.
async fn take(gateway_dir: &Path) -> Result<Records, DriverError> {
    let deadline = tokio::time::Instant::now() + PREDECESSOR;
    loop {
        let directory = gateway_dir.to_owned();
        if let Some(records) = blocking("open the state directory", move || Records::open(&directory)).await?
        {
            return Ok(records);
        }
        if tokio::time::Instant::now() >= deadline {
            let message =
                format!("another driver of this gateway holds `{}`", gateway_dir.join("lock").display());
            let hint = "one driver for a gateway id: end the other, or give this one another `--gateway-id`";
            return Err(DriverError::new(ErrorKind::FailedPrecondition, "open the state directory", message)
                .with_hint(hint));
        }
        tokio::time::sleep(PREDECESSOR_STEP).await;
    }
}

/// Ends every machine that an earlier driver left, and reads the records.
async fn sweep(records: Arc<Records>) -> Result<Loaded, DriverError> {
    blocking("look for machines that were left", move || {
        for directory in records.directories()? {
            let ended = machine::sweep(&directory).map_err(|error| {
                crate::error::file("end a machine that was left", &directory, error)
            })?;
            if ended {
                tracing::warn!(directory = %directory.display(), "a machine that an earlier driver left was ended");
            }
        }
        records.load()
    })
    .await
}
