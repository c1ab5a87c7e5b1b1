//! The driver: the trait's methods, each a few calls of the modules below.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use openshell_driver_api::{
    Capabilities, ComputeDriver, DriverContext, DriverError, ErrorKind, EventStream, ListenerRequirement,
    ObservedSandbox, SandboxId, SandboxRequest, async_trait,
};
use openshell_driver_common::locks::Locks;
use openshell_driver_common::operations::to_the_end;

use crate::agent::{self, Version};
use crate::calls::Calls;
use crate::config::{Config, Namespaces, Workload};
use crate::names::Scope;
use crate::plan::Plan;
use crate::{connect, error, storage, watch};

/// Runs every sandbox as one pod of one cluster.
pub(crate) struct KubernetesDriver {
    inner: Arc<Inner>,
}

/// What operations share.
pub(crate) struct Inner {
    pub(crate) calls: Calls,
    pub(crate) config: Config,
    pub(crate) context: DriverContext,
    pub(crate) locks: Locks,
    /// The connection's own namespace.
    namespace: String,
    /// The cluster's version.
    version: String,
    /// Whether its kubelets may keep a pod for long after its end.
    pub(crate) lingering: bool,
    /// When this driver was opened, and how many creates it has begun since: together no two creates have the same.
    opened: u128,
    creates: AtomicU64,
    /// How many claims in a row were not bound before their pod was made.
    pub(crate) unbound: AtomicU32,
}

impl KubernetesDriver {
    /// Connects to the cluster.
    pub(crate) async fn open(context: DriverContext, config: Config) -> Result<Self, DriverError> {
        let cluster = connect::connect(&config, &connect::environment()).await?;
        let version = cluster.version().await?;
        let config = storage::settled(config, &cluster.client).await;
        let agent = match config.workload {
            Workload::Pod => None,
            Workload::AgentSandbox => Some(agent_version(&cluster.client).await?),
        };
        let shared = match &config.namespaces {
            Namespaces::Shared(name) => Some(name.clone().unwrap_or_else(|| cluster.namespace.clone())),
            Namespaces::PerWorkspace(_) => None,
        };
        let scope = Scope::new(&context.gateway_id);
        let calls = Calls { client: cluster.client, scope, shared, agent };
        let opened = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let namespace = cluster.namespace;
        let (locks, creates, unbound) = (Locks::default(), AtomicU64::new(0), AtomicU32::new(0));
        let lingering = keeps_pods(&version);
        let inner =
            Inner { calls, config, context, locks, namespace, version, lingering, opened, creates, unbound };
        Ok(Self { inner: Arc::new(inner) })
    }
}

/// Whether the kubelets of a cluster may be older than 1.22, and keep a pod for a minute and more after its processes have
/// ended. Of a version that says nothing they are not: a pod is forgotten too late rather than too early.
fn keeps_pods(version: &str) -> bool {
    let mut parts = version.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().ok());
    matches!((parts.next().flatten(), parts.next().flatten()), (Some(major), Some(minor)) if (major, minor) < (1, 22))
}

/// The version of agent-sandbox that the cluster serves: the newest of those that this driver knows.
async fn agent_version(client: &kube::Client) -> Result<Version, DriverError> {
    const OPERATION: &str = "look for agent-sandbox";
    for version in Version::ALL {
        let resource = version.resource();
        let asked = Calls::within(client.list_api_group_resources(&resource.api_version)).await;
        let found = error::absent(asked).map_err(|error| error::cluster(OPERATION, error))?;
        if found.is_some_and(|found| found.resources.iter().any(|kind| kind.kind == resource.kind)) {
            return Ok(version);
        }
    }
    let message = format!("the cluster has no `{}` of `{}`", agent::KIND, agent::GROUP);
    Err(DriverError::new(ErrorKind::FailedPrecondition, OPERATION, message).with_hint(
        "install agent-sandbox (https://agent-sandbox.sigs.k8s.io), or leave it: workload = \"pod\" in \
         [openshell.drivers.kubernetes]",
    ))
}

impl Inner {
    /// What a request comes to.
    fn plan(&self, request: &SandboxRequest) -> Result<Plan, DriverError> {
        Plan::new(request, &self.config, &self.context, &self.namespace)
    }

    /// What tells one create from every other.
    pub(crate) fn maker(&self) -> String {
        let count = self.creates.fetch_add(1, Ordering::Relaxed);
        format!("{:x}-{:x}-{count:x}", std::process::id(), self.opened)
    }

    /// Seconds that the processes of a sandbox are given to end.
    pub(crate) fn stop_grace(&self) -> u32 {
        u32::try_from(self.config.stop_timeout).unwrap_or_default()
    }
}

#[async_trait]
impl ComputeDriver for KubernetesDriver {
    async fn capabilities(&self) -> Result<Capabilities, DriverError> {
        let inner = &self.inner;
        let workload = match inner.calls.agent {
            Some(version) => format!(", {}", version.resource().api_version),
            None => String::new(),
        };
        Ok(Capabilities {
            driver_name: "kubernetes".to_owned(),
            driver_version: format!("{} (Kubernetes {}{workload})", env!("CARGO_PKG_VERSION"), inner.version),
            default_image: inner.config.default_image.clone(),
            // Pods are made without restarts: one that ended, with its node or by itself, runs again when it is asked to.
            gateway_manages_lifecycle: true,
        })
    }

    async fn listener_requirements(&self) -> Result<Vec<ListenerRequirement>, DriverError> {
        Ok(Vec::new())
    }

    async fn validate_create(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        self.inner.plan(request).map(drop)
    }

    async fn get(&self, id: &SandboxId) -> Result<ObservedSandbox, DriverError> {
        self.inner.observe(id).await?.ok_or_else(|| DriverError::not_found("get sandbox", id))
    }

    async fn list(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        self.inner.observe_all().await
    }

    async fn create(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        let (inner, plan, id) = (Arc::clone(&self.inner), self.inner.plan(request)?, request.id.clone());
        to_the_end(async move { inner.create(&id, plan).await }).await
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), DriverError> {
        let (inner, id) = (Arc::clone(&self.inner), id.clone());
        to_the_end(async move { inner.stop(&id).await }).await
    }

    async fn start(&self, id: &SandboxId) -> Result<(), DriverError> {
        let (inner, id) = (Arc::clone(&self.inner), id.clone());
        to_the_end(async move { inner.start(&id).await }).await
    }

    async fn delete(&self, id: &SandboxId) -> Result<bool, DriverError> {
        let (inner, id) = (Arc::clone(&self.inner), id.clone());
        to_the_end(async move { inner.delete(&id).await }).await
    }

    async fn watch(&self) -> Result<EventStream, DriverError> {
        Ok(watch::watch(&self.inner.calls))
    }

    async fn ensure_workspace(&self, workspace: &str) -> Result<(), DriverError> {
        self.inner.ensure_workspace(workspace).await
    }

    async fn delete_workspace(&self, workspace: &str) -> Result<(), DriverError> {
        let (inner, workspace) = (Arc::clone(&self.inner), workspace.to_owned());
        to_the_end(async move { inner.delete_namespace(&workspace).await }).await
    }
}

#[cfg(test)]
mod tests {
    use super::keeps_pods;

    #[test]
    fn which_kubelets_keep_pods() {
        for old in ["v1.20.2", "v1.21.14-eks-1", "v0.0.0-master+faecb19"] {
            assert!(keeps_pods(old), "{old}");
        }
        for new in ["v1.22.0", "v1.33.1+k3s1", "v2.0.0", "", "nonsense", "v1", "v1.x"] {
            assert!(!keeps_pods(new), "{new}");
        }
    }
}
