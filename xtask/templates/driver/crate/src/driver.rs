//! The driver: the contract of `ComputeDriver`, kept with whatever backend there is.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::{Stream, stream};
use openshell_driver_api::conditions::{ready, stopped, timestamp};
use openshell_driver_api::quantity::ParsedResources;
use openshell_driver_api::{
    Capabilities, ComputeDriver, DriverContext, DriverError, ErrorKind, EventStream, ListenerRequirement,
    ObservedSandbox, SandboxId, SandboxRequest, SandboxStatus, async_trait, environment, labels,
};
use openshell_driver_common::faults::Faults;
use openshell_driver_common::locks::Locks;
use openshell_driver_common::operations::to_the_end;
use openshell_driver_common::watch::{NEWS, News, Observer, Signal, watch};
use tokio::sync::broadcast;

use crate::backend::{Backend, Resource};

/// Where the token's file is inside of a sandbox.
const TOKEN_FILE: &str = "/run/openshell/token";

/// Runs every sandbox as one resource of a backend.
pub(crate) struct Driver<B> {
    inner: Arc<Inner<B>>,
}

/// What operations share.
struct Inner<B> {
    backend: B,
    context: DriverContext,
    /// One operation at a time for a sandbox.
    locks: Locks,
    /// What the driver itself has to tell its watchers: nothing, while every change is the backend's to tell.
    news: broadcast::Sender<News>,
}

impl<B: Backend> Driver<B> {
    /// A driver of the gateway in `context`.
    pub(crate) fn new(context: DriverContext, backend: B) -> Self {
        let inner = Inner { backend, context, locks: Locks::default(), news: broadcast::Sender::new(NEWS) };
        Self { inner: Arc::new(inner) }
    }

    /// Runs an operation that nobody breaks off half-way, once nobody else works on the sandbox.
    async fn in_turn<T, F>(
        &self,
        id: &SandboxId,
        operation: impl FnOnce(Arc<Inner<B>>, SandboxId) -> F,
    ) -> Result<T, DriverError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DriverError>> + Send + 'static,
    {
        let turn = self.inner.locks.turn(id).await;
        let operation = operation(Arc::clone(&self.inner), id.clone());
        to_the_end(async move {
            let result = operation.await;
            drop(turn);
            result
        })
        .await
    }

    /// Starts or stops a sandbox.
    async fn run(&self, id: &SandboxId, operation: &'static str, running: bool) -> Result<(), DriverError> {
        self.in_turn(id, move |inner, id| async move {
            match inner.backend.run(&id, running).await? {
                true => Ok(()),
                false => Err(DriverError::not_found(operation, &id)),
            }
        })
        .await
    }
}

#[async_trait]
impl<B: Backend> ComputeDriver for Driver<B> {
    async fn capabilities(&self) -> Result<Capabilities, DriverError> {
        Ok(Capabilities {
            driver_name: "{{name}}".to_owned(),
            driver_version: env!("CARGO_PKG_VERSION").to_owned(),
            // No image is pulled, so that there is none to fall back on.
            default_image: String::new(),
            // Sandboxes end with this process: the gateway starts them again.
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
        self.inner.observe(id).await?.ok_or_else(|| DriverError::not_found("get sandbox", id))
    }

    async fn list(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        self.inner.observe_all().await
    }

    async fn create(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        // The same check as in a validation, which an older gateway may not have asked for.
        let resource = self.inner.plan(request)?;
        self.in_turn(&request.id, |inner, _| async move { inner.backend.make(resource).await }).await
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.run(id, "stop sandbox", false).await
    }

    async fn start(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.run(id, "start sandbox", true).await
    }

    async fn delete(&self, id: &SandboxId) -> Result<bool, DriverError> {
        self.in_turn(id, |inner, id| async move { inner.backend.remove(&id).await }).await
    }

    async fn watch(&self) -> Result<EventStream, DriverError> {
        // Subscribed to before anything is looked at: what changes in between is told after the snapshot.
        let changes = signals(self.inner.backend.changes());
        Ok(watch(Arc::clone(&self.inner), self.inner.news.subscribe(), changes))
    }

    async fn ensure_workspace(&self, workspace: &str) -> Result<(), DriverError> {
        named("ensure workspace", workspace)
    }

    async fn delete_workspace(&self, workspace: &str) -> Result<(), DriverError> {
        named("delete workspace", workspace)
    }

    async fn shutdown(&self, within: Duration) {
        if tokio::time::timeout(within, self.inner.stop_all()).await.is_err() {
            tracing::warn!(?within, "sandboxes were still running at the end of the driver");
        }
    }
}

impl<B: Backend> Inner<B> {
    /// What a request comes to, or everything that is wrong with it. What cannot be honoured is refused by name: a request
    /// that believes to have been given something is worse off than one that was told no.
    fn plan(&self, request: &SandboxRequest) -> Result<Resource, DriverError> {
        let spec = &request.spec;
        let mut faults = Faults::default();
        faults.take(ParsedResources::read(&spec.template.resources));
        let environment = faults.take(environment::of(request, &self.context, TOKEN_FILE));
        if spec.gpu.is_some() {
            faults.add("`gpu`: this driver has none");
        }
        for key in spec.template.driver_config.keys() {
            faults
                .add(format!("`driver_config`: unknown key `{}`; this driver has none", key.escape_debug()));
        }
        faults.into_result()?;
        Ok(Resource {
            id: request.id.clone(),
            image: spec.template.image.clone(),
            labels: labels::of(request, &self.context.gateway_id),
            environment: environment.unwrap_or_default(),
            running: true,
            run: 1,
            since: SystemTime::now(),
        })
    }

    /// Stops what runs; a failure is told and stops nothing else.
    async fn stop_all(&self) {
        let running = match self.backend.all().await {
            Ok(resources) => resources.into_iter().filter(|resource| resource.running),
            Err(error) => {
                tracing::warn!(%error, "the sandboxes that run are not known");
                return;
            }
        };
        for resource in running {
            if let Err(error) = self.backend.run(&resource.id, false).await {
                tracing::warn!(id = %resource.id, %error, "a sandbox was not stopped");
            }
        }
    }
}

#[async_trait]
impl<B: Backend> Observer for Inner<B> {
    async fn observe_all(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        Ok(self.backend.all().await?.into_iter().map(observed).collect())
    }

    async fn observe(&self, id: &SandboxId) -> Result<Option<ObservedSandbox>, DriverError> {
        Ok(self.backend.find(id).await?.map(observed))
    }

    async fn look(&self, resource: &str) -> Result<Option<ObservedSandbox>, DriverError> {
        // A resource is called after its sandbox.
        self.observe(&SandboxId::new(resource)?).await
    }
}

/// All that there is to a workspace here: that it has a name.
fn named(operation: &'static str, workspace: &str) -> Result<(), DriverError> {
    if workspace.is_empty() {
        return Err(DriverError::invalid(operation, "the name of the workspace is empty"));
    }
    Ok(())
}

/// A resource as the gateway sees it.
fn observed(resource: Resource) -> ObservedSandbox {
    let since = timestamp(resource.since);
    let conditions = if resource.running { vec![ready()] } else { stopped("") };
    let label = |key: &str| resource.labels.get(key).cloned().unwrap_or_default();
    ObservedSandbox {
        name: label(labels::SANDBOX_NAME),
        namespace: String::new(),
        workspace: label(labels::SANDBOX_WORKSPACE),
        status: SandboxStatus {
            sandbox_name: resource.id.to_string(),
            instance_id: resource.run.to_string(),
            conditions: conditions.into_iter().map(|condition| condition.since(&since)).collect(),
            ..SandboxStatus::default()
        },
        id: resource.id,
    }
}

/// The backend's changes as reasons to look. A watcher that missed some is told so and comes back for a new snapshot.
fn signals(
    changes: broadcast::Receiver<SandboxId>,
) -> impl Stream<Item = Result<Vec<Signal>, DriverError>> + Send + 'static {
    stream::unfold(changes, |mut changes| async move {
        let item = match changes.recv().await {
            Ok(id) => Ok(vec![Signal::News(News::Touched(id))]),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                let message = format!("{missed} changes were missed");
                Err(DriverError::new(ErrorKind::ResourceExhausted, "watch", message))
            }
            Err(broadcast::error::RecvError::Closed) => return None,
        };
        Some((item, changes))
    })
}

#[cfg(test)]
mod tests {
    use openshell_driver_api::{GpuRequest, SandboxSpec};

    use super::*;
    use crate::backend::Memory;

    fn driver(most: usize) -> Driver<Memory> {
        let context = DriverContext {
            name: "{{name}}".to_owned(),
            gateway_id: "mine".to_owned(),
            state_dir: "/nowhere".into(),
            telemetry: true,
            endpoint: String::new(),
            supervisor: None,
        };
        Driver::new(context, Memory::new(most))
    }

    fn request(id: &str) -> SandboxRequest {
        SandboxRequest {
            id: SandboxId::new(id).expect("an id"),
            name: format!("name-of-{id}"),
            namespace: String::new(),
            workspace: "default".to_owned(),
            spec: SandboxSpec::default(),
        }
    }

    #[tokio::test]
    async fn everything_that_is_wrong_is_said_at_once_and_nothing_is_made() {
        let driver = driver(1);
        let mut asked = request("a");
        asked.spec.gpu = Some(GpuRequest::default());
        asked.spec.template.resources.memory_limit = "plenty".to_owned();
        asked.spec.template.driver_config.insert("colour".to_owned(), "red".into());
        let error = driver.create(&asked).await.expect_err("three faults");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        for part in ["`gpu`", "plenty", "`colour`"] {
            assert!(error.message().contains(part), "{part}: {error}");
        }
        assert_eq!(driver.list().await.expect("a list"), []);
    }

    #[tokio::test]
    async fn there_is_room_for_as_many_as_the_configuration_says() {
        let driver = driver(1);
        driver.create(&request("a")).await.expect("room");
        let error = driver.create(&request("b")).await.expect_err("no room");
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        assert_eq!(error.message(), "there are 1 sandboxes, and `max_sandboxes` allows no more");
    }

    #[tokio::test]
    async fn the_end_of_the_driver_stops_its_sandboxes() {
        let driver = driver(1);
        driver.create(&request("a")).await.expect("created");
        driver.shutdown(Duration::from_secs(1)).await;
        let sandbox = driver.get(&request("a").id).await.expect("still there");
        assert_eq!(sandbox.status.conditions.len(), 2, "not ready, and suspended: {sandbox:?}");
    }
}
