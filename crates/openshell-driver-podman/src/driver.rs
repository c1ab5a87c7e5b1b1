//! The driver: the trait's methods, each a few calls of the modules beside it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::{StreamExt, TryStreamExt, stream};
use openshell_driver_api::{
    Capabilities, ComputeDriver, DriverContext, DriverError, ErrorKind, EventStream, ListenerRequirement,
    ObservedSandbox, SandboxId, SandboxRequest, async_trait, labels,
};
use openshell_driver_common::container::learned::Owners;
use openshell_driver_common::container::marks::Marks;
use openshell_driver_common::container::names::Scope;
use openshell_driver_common::locks::Locks;
use openshell_driver_common::operations::to_the_end;
use openshell_driver_common::watch::{NEWS, News};
use tokio::sync::{Mutex, broadcast};

use crate::config::Config;
use crate::engine::{Container, Engine, Filters, Status};
use crate::facts::Facts;
use crate::image::Images;
use crate::plan::Plan;
use crate::runs::Runs;
use crate::sweep::Removals;
use crate::{network, state, watch};

/// How many containers are inspected at once.
const INSPECTIONS: usize = 8;

/// Runs every sandbox as one container of one service.
pub(crate) struct PodmanDriver {
    pub(crate) inner: Arc<Inner>,
}

/// What operations share.
pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) scope: Scope,
    pub(crate) config: Config,
    pub(crate) context: DriverContext,
    pub(crate) images: Images,
    pub(crate) owners: Owners,
    pub(crate) locks: Locks,
    pub(crate) marks: Marks,
    pub(crate) runs: Runs,
    pub(crate) news: broadcast::Sender<News>,
    /// Whether the service's host has no program that is the first of a container; found out at the first create.
    pub(crate) no_init: AtomicBool,
    pub(crate) removals: Removals,
    /// Held by who sweeps.
    pub(crate) sweeping: Mutex<()>,
    /// Whether the service does not tell who ran out of memory.
    guesses_memory: bool,
}

impl PodmanDriver {
    /// Connects to the service.
    pub(crate) async fn open(context: DriverContext, config: Config) -> Result<Self, DriverError> {
        let engine = Engine::connect(&config).await?;
        let facts = Facts::of(&engine).await?;
        let inner = Inner {
            engine,
            scope: Scope { gateway_id: context.gateway_id.clone() },
            images: Images::new(&config),
            marks: Marks::new(&context.state_dir),
            owners: Owners::default(),
            runs: Runs::default(),
            locks: Locks::default(),
            news: broadcast::Sender::new(NEWS),
            no_init: AtomicBool::new(false),
            removals: Removals::default(),
            sweeping: Mutex::default(),
            guesses_memory: !facts.tells_memory,
            config,
            context,
        };
        if !facts.limits("pids") {
            tracing::warn!(
                "the podman service runs without root and was not given the `pids` controller: sandboxes are held to no number \
                 of processes"
            );
        }
        if facts.may_lose_isolation && inner.config.own_network.is_bridge(&inner.config.network, false) {
            network::warn_of_bridges();
        }
        Ok(Self { inner: Arc::new(inner) })
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

#[async_trait]
impl ComputeDriver for PodmanDriver {
    async fn capabilities(&self) -> Result<Capabilities, DriverError> {
        let api = self.inner.engine.version();
        Ok(Capabilities {
            driver_name: "podman".to_owned(),
            driver_version: format!("{} (libpod API {api})", env!("CARGO_PKG_VERSION")),
            default_image: self.inner.config.default_image.clone(),
            // Containers are made with the restart policy `no`: after a restart of the host none runs.
            gateway_manages_lifecycle: true,
        })
    }

    async fn listener_requirements(&self) -> Result<Vec<ListenerRequirement>, DriverError> {
        Ok(Vec::new())
    }

    async fn validate_create(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        self.inner.plan(request).await.map(|_| ())
    }

    async fn get(&self, id: &SandboxId) -> Result<ObservedSandbox, DriverError> {
        self.inner.observe(id).await?.ok_or_else(|| DriverError::not_found("get sandbox", id))
    }

    async fn list(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        let sandboxes = self.inner.observe_all().await?;
        self.inner.sweep_all(&sandboxes);
        Ok(sandboxes)
    }

    async fn create(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        let plan = self.inner.plan(request).await?;
        let request = request.clone();
        self.to_the_end(|inner| async move { inner.create(&request, &plan).await }).await
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
        self.to_the_end(|inner| async move {
            inner.locks.hurry(&id);
            let _turn = inner.locks.turn(&id).await;
            let deleted = inner.remove_all(&id).await?;
            inner.touched(&id);
            Ok(deleted)
        })
        .await
    }

    async fn watch(&self) -> Result<EventStream, DriverError> {
        Ok(watch::watch(&self.inner))
    }

    /// Labels are all that a workspace is on an engine.
    async fn ensure_workspace(&self, _workspace: &str) -> Result<(), DriverError> {
        Ok(())
    }

    async fn delete_workspace(&self, _workspace: &str) -> Result<(), DriverError> {
        Ok(())
    }
}

impl Inner {
    /// What a request comes to. The service is asked what it can do where that matters, and never for anything else.
    async fn plan(&self, request: &SandboxRequest) -> Result<Plan, DriverError> {
        let rootless = self.engine.rootless();
        if !Plan::depends_on_facts(request) {
            return Plan::new(request, &self.config, &self.context, &Facts::default(), rootless);
        }
        let facts = Facts::of(&self.engine).await?;
        let (request, config, context) = (request.clone(), self.config.clone(), self.context.clone());
        // A look at the host's files may take a disk's time.
        let planned =
            tokio::task::spawn_blocking(move || Plan::new(&request, &config, &context, &facts, rootless))
                .await;
        planned.unwrap_or_else(|error| {
            let message = "the request was not judged to its end";
            Err(DriverError::new(ErrorKind::Internal, "validate sandbox", message).with_source(error))
        })
    }

    /// What has the label of this gateway: one label, since services of 4.x take several for "any of these". Whose something
    /// is, is decided by all of its labels, here and not there.
    pub(crate) fn filters(&self) -> Filters {
        Filters::from([(
            "label".to_owned(),
            vec![format!("{}={}", labels::GATEWAY_ID, self.scope.gateway_id)],
        )])
    }

    /// A container as a sandbox, when it is one of ours.
    pub(crate) fn read(&self, container: &Container) -> Option<ObservedSandbox> {
        let stopped = |id: &SandboxId, started_at: &str| self.marks.has(id, started_at);
        let sandbox = state::observe(&self.scope, container, self.guesses_memory, stopped)?;
        self.runs.note(container, &sandbox);
        Some(sandbox)
    }

    /// The container of a sandbox.
    pub(crate) async fn container_of(&self, id: &SandboxId) -> Result<Option<Container>, DriverError> {
        self.named(id, &self.scope.container(id)).await
    }

    /// The container of a name that belongs to a sandbox; a stranger's is none.
    pub(crate) async fn named(&self, id: &SandboxId, name: &str) -> Result<Option<Container>, DriverError> {
        let found = self.engine.inspect(name).await?;
        Ok(found.filter(|found| self.scope.owner(&found.config.labels).as_ref() == Some(id)))
    }

    /// One sandbox; `None` when the service has none of that id.
    pub(crate) async fn observe(&self, id: &SandboxId) -> Result<Option<ObservedSandbox>, DriverError> {
        Ok(self.container_of(id).await?.and_then(|container| self.read(&container)))
    }

    /// Every sandbox, in the order of their ids. One that goes away meanwhile is left out.
    pub(crate) async fn observe_all(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        let containers = self.engine.containers(&self.filters()).await?;
        let containers = containers.into_iter().filter(|found| self.scope.owner(&found.labels).is_some());
        // Read as they come: the service's description of a container is some twenty times of what is kept of it.
        let observe = |id: String| async move {
            Ok::<_, DriverError>(self.engine.inspect(&id).await?.and_then(|found| self.read(&found)))
        };
        let mut sandboxes: Vec<ObservedSandbox> = stream::iter(containers.map(|found| found.id).map(observe))
            .buffer_unordered(INSPECTIONS)
            .try_filter_map(|found| std::future::ready(Ok(found)))
            .try_collect()
            .await?;
        sandboxes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(sandboxes)
    }

    async fn find(&self, operation: &'static str, id: &SandboxId) -> Result<Container, DriverError> {
        self.container_of(id).await?.ok_or_else(|| DriverError::not_found(operation, id))
    }

    /// Wakes a container that somebody paused by hand: a service neither stops nor starts it as it is.
    async fn unpause(&self, container: &Container) -> Result<bool, DriverError> {
        if container.state.status != Status::Paused {
            return Ok(false);
        }
        self.engine.unpause(&container.id).await?;
        Ok(true)
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), DriverError> {
        let _turn = self.locks.turn(id).await;
        let container = self.find("stop sandbox", id).await?;
        self.unpause(&container).await?;
        // Noted before it is done, so that whoever sees the exit knows why.
        let started_at = &container.state.started_at;
        let noted = self.marks.has(id, started_at);
        self.marks.set(id, started_at);
        if let Err(failure) = self.engine.stop(&container.id, self.config.stop_timeout).await {
            if !noted {
                self.marks.clear(id);
            }
            return Err(match failure.is_not_found() {
                true => DriverError::not_found("stop sandbox", id),
                false => failure.into(),
            });
        }
        // Stopping what had ended by itself makes no event of the service's, and yet it is stopped from now on.
        self.touched(id);
        Ok(())
    }

    async fn start(&self, id: &SandboxId) -> Result<(), DriverError> {
        let _turn = self.locks.turn(id).await;
        let container = self.find("start sandbox", id).await?;
        if !self.unpause(&container).await? && container.state.status != Status::Running {
            if let Err(error) = self.start_container(&container.id).await {
                if !self.lost_network(id, &container).await? {
                    return Err(error);
                }
                self.own_network(id, container.config.labels).await?;
                self.start_container(&container.id).await?;
            }
            self.marks.clear(id);
        }
        self.touched(id);
        Ok(())
    }

    /// Whether a container's own network is there no longer: somebody removed it by hand.
    async fn lost_network(&self, id: &SandboxId, container: &Container) -> Result<bool, DriverError> {
        let name = self.scope.own_network(id);
        Ok(container.network.networks.contains_key(&name)
            && self.engine.inspect_network(&name).await?.is_none())
    }
}
