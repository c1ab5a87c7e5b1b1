//! The driver: the trait's methods, each a few calls of the modules below.

use std::future::Future;
use std::sync::Arc;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum as Status};
use bollard::query_parameters::StopContainerOptionsBuilder;
use futures_util::{StreamExt, TryStreamExt, stream};
use openshell_driver_api::{
    Capabilities, ComputeDriver, DriverContext, DriverError, ErrorKind, EventStream, ListenerRequirement,
    ObservedSandbox, SandboxId, SandboxRequest, async_trait,
};
use openshell_driver_common::container::learned::Owners;
use openshell_driver_common::container::marks::Marks;
use openshell_driver_common::container::names::Scope;
use openshell_driver_common::container::supervised;
use openshell_driver_common::container::values::Network;
use openshell_driver_common::locks::Locks;
use openshell_driver_common::operations::to_the_end;
use openshell_driver_common::watch::{NEWS, News};
use tokio::sync::broadcast;

use crate::config::Config;
use crate::container::Plan;
use crate::engine::Engine;
use crate::facts::Facts;
use crate::files::Workspaces;
use crate::image::Images;
use crate::network::{self, Networks};
use crate::watch;
use crate::{error, state};

/// How many containers are inspected at once.
const INSPECTIONS: usize = 8;

/// Runs every sandbox as one container of one engine.
pub(crate) struct DockerDriver {
    inner: Arc<Inner>,
}

/// What operations share.
pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) config: Config,
    pub(crate) context: DriverContext,
    pub(crate) images: Images,
    pub(crate) locks: Locks,
    pub(crate) marks: Marks,
    pub(crate) owners: Owners,
    pub(crate) workspaces: Workspaces,
    pub(crate) networks: Networks,
    pub(crate) news: broadcast::Sender<News>,
}

impl DockerDriver {
    /// Connects to the engine.
    pub(crate) async fn open(context: DriverContext, config: Config) -> Result<Self, DriverError> {
        let engine = Engine::connect(&config, Scope { gateway_id: context.gateway_id.clone() }).await?;
        if context.supervisor.is_some() && engine.socket.is_none() {
            return Err(supervised::elsewhere("docker"));
        }
        let images = Images::new(&config);
        let marks = Marks::new(&context.state_dir);
        let news = broadcast::Sender::new(NEWS);
        let inner = Inner {
            engine,
            config,
            context,
            images,
            locks: Locks::default(),
            marks,
            owners: Owners::default(),
            workspaces: Workspaces::default(),
            networks: Networks::default(),
            news,
        };
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
impl ComputeDriver for DockerDriver {
    async fn capabilities(&self) -> Result<Capabilities, DriverError> {
        Ok(Capabilities {
            driver_name: "docker".to_owned(),
            driver_version: format!("{} (engine API {})", env!("CARGO_PKG_VERSION"), self.inner.engine.api),
            default_image: self.inner.config.default_image.clone(),
            // Containers are made with the restart policy `no`: after a restart of the engine none runs.
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
        self.inner.observe_all().await
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
            inner.remove_all(&id).await
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
    /// What a request comes to. The engine is asked what it can do where that matters, and never for anything else.
    async fn plan(&self, request: &SandboxRequest) -> Result<Plan, DriverError> {
        if !Plan::depends_on_facts(request) {
            return Plan::new(request, &self.config, &self.context, &Facts::default());
        }
        let facts = Facts::of(&self.engine).await?;
        let (request, config, context) = (request.clone(), self.config.clone(), self.context.clone());
        // A look at the host's files may take a disk's time.
        let planned =
            tokio::task::spawn_blocking(move || Plan::new(&request, &config, &context, &facts)).await;
        planned.unwrap_or_else(|error| {
            let message = "the request was not judged to its end";
            Err(DriverError::new(ErrorKind::Internal, "validate sandbox", message).with_source(error))
        })
    }

    /// A container as a sandbox, when it is one of ours.
    pub(crate) fn read(&self, container: &ContainerInspectResponse) -> Option<ObservedSandbox> {
        state::observe(&self.engine.scope, container, |id, started_at| self.marks.has(id, started_at))
    }

    /// One sandbox; `None` when the engine has none of that id.
    pub(crate) async fn observe(&self, id: &SandboxId) -> Result<Option<ObservedSandbox>, DriverError> {
        Ok(self.engine.inspect_of(id).await?.and_then(|(_, container)| self.read(&container)))
    }

    /// Every sandbox, in the order of their ids. One that goes away meanwhile is left out.
    pub(crate) async fn observe_all(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        let containers = self.engine.containers(&self.engine.scope.filters()).await?;
        let ids = containers.into_iter().filter_map(|container| container.id);
        // Read as they come: the engine's description of a container is some twenty times of what is kept of it.
        let observe = |id: String| async move {
            Ok::<_, DriverError>(self.engine.inspect(&id).await?.and_then(|found| self.read(&found)))
        };
        let mut sandboxes: Vec<ObservedSandbox> = stream::iter(ids.map(observe))
            .buffer_unordered(INSPECTIONS)
            .try_filter_map(|found| std::future::ready(Ok(found)))
            .try_collect()
            .await?;
        sandboxes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(sandboxes)
    }

    async fn find(
        &self,
        operation: &'static str,
        id: &SandboxId,
    ) -> Result<(String, ContainerInspectResponse), DriverError> {
        self.engine.inspect_of(id).await?.ok_or_else(|| DriverError::not_found(operation, id))
    }

    /// Wakes a container that somebody paused by hand: an engine neither stops nor starts it as it is.
    async fn unpause(&self, name: &str, container: &ContainerInspectResponse) -> Result<bool, DriverError> {
        if status(container) != Some(Status::PAUSED) {
            return Ok(false);
        }
        let woken = self.engine.docker.unpause_container(name).await;
        woken.map(|()| true).map_err(|error| error::engine("unpause container", error))
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), DriverError> {
        let _turn = self.locks.turn(id).await;
        let (name, container) = self.find("stop sandbox", id).await?;
        self.unpause(&name, &container).await?;
        // Noted before it is done, so that whoever sees the exit knows why.
        let noted = self.marks.has(id, state::started_at(&container));
        self.marks.set(id, state::started_at(&container));
        let options = StopContainerOptionsBuilder::new().t(self.config.stop_timeout).build();
        if let Err(error) = self.engine.docker.stop_container(&name, Some(options)).await {
            if !noted {
                self.marks.clear(id);
            }
            return Err(match error::status(&error) {
                Some(404) => DriverError::not_found("stop sandbox", id),
                _ => error::engine("stop container", error),
            });
        }
        // Stopping what had ended by itself makes no event of the engine's, and yet it is stopped from now on.
        let _ = self.news.send(News::Touched(id.clone()));
        Ok(())
    }

    async fn start(&self, id: &SandboxId) -> Result<(), DriverError> {
        let _turn = self.locks.turn(id).await;
        let (name, container) = self.find("start sandbox", id).await?;
        if self.unpause(&name, &container).await? || status(&container) == Some(Status::RUNNING) {
            return Ok(());
        }
        // Which network it is was said at the create: the configuration may have changed since.
        let network = container.host_config.as_ref().and_then(|host| host.network_mode.as_deref());
        let _network = match network == Some(&self.engine.scope.network()) {
            true => {
                let held = self.networks.hold(&self.engine, &Network::Own).await?;
                network::rejoin(&self.engine, &name, &container).await?;
                Some(held)
            }
            false => None,
        };
        self.start_container(&name).await?;
        self.marks.clear(id);
        Ok(())
    }
}

fn status(container: &ContainerInspectResponse) -> Option<Status> {
    container.state.as_ref().and_then(|state| state.status)
}
