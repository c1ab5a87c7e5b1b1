//! What every test stands on: a namespace, a driver, a bare client beside it, and a clean-up that also runs when the test
//! panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::core::{NamespaceResourceScope, ObjectMeta};
use kube::{Client, Resource, ResourceExt};
use openshell_driver_api::conditions::{READY, find};
use openshell_driver_api::{
    ComputeDriver, Condition, DriverContext, DriverError, EventStream, ObservedSandbox, SandboxId,
    SandboxRequest, SandboxSpec, Table, Template, WatchEvent,
};
use tokio::time::{Instant, sleep, timeout};

/// How long anything on the cluster may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// One test's driver and cluster.
pub(crate) struct Bench {
    pub(crate) driver: Arc<dyn ComputeDriver>,
    pub(crate) client: Client,
    pub(crate) gateway_id: String,
    pub(crate) namespace: String,
    pub(crate) table: Table,
    /// Whether the namespace is this one's to remove.
    own: bool,
}

/// The image that every test runs.
pub(crate) fn image() -> String {
    std::env::var("OPENSHELL_TEST_IMAGE_DOCKER").unwrap_or_else(|_| "openshell-test/busybox:1".to_owned())
}

/// Prints why a test does nothing, or fails it where a cluster has to be there.
pub(crate) fn skip(why: &str) {
    let required = std::env::var("OPENSHELL_TEST_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|word| word.trim() == "kubernetes"),
        "kubernetes is required, and there is {why}"
    );
    println!("skipped: {why}");
}

/// A client of the cluster that the environment names. Without one nothing is guessed: the user's own cluster is none to
/// test on.
async fn client() -> Option<Client> {
    if std::env::var_os("KUBECONFIG").is_none() {
        skip("no cluster: `KUBECONFIG` is not set");
        return None;
    }
    let config = kube::Config::infer().await.expect("a kubeconfig");
    let client = Client::try_from(config).expect("a client");
    if let Err(error) = client.apiserver_version().await {
        skip(&format!("no cluster that answers: {error}"));
        return None;
    }
    Some(client)
}

impl Bench {
    /// A driver on the cluster that is there, in a namespace of its own; `None`, and a word about it, when there is none.
    pub(crate) async fn new(config: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let client = client().await?;
        let name = format!("it-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &namespace).await.expect("a namespace");
        let mut table: Table = config.parse().expect("the test's configuration");
        if !table.contains_key("namespace_template") {
            table.insert("namespace".to_owned(), name.clone().into());
        }
        table.entry("stop_timeout").or_insert(1.into());
        let driver = open(&name, &table).await.expect("a driver");
        Some(Self { driver, client, gateway_id: name.clone(), namespace: name, table, own: true })
    }

    /// Another gateway's driver in the same namespace.
    pub(crate) async fn beside(&self) -> Self {
        let gateway_id = format!("{}-other", self.gateway_id);
        let driver = open(&gateway_id, &self.table).await.expect("a driver");
        let mut other = self.again();
        (other.driver, other.gateway_id) = (driver, gateway_id);
        other
    }

    /// The same bench, to be changed; what it stands on is this one's still.
    pub(crate) fn again(&self) -> Self {
        Self {
            driver: Arc::clone(&self.driver),
            client: self.client.clone(),
            gateway_id: self.gateway_id.clone(),
            namespace: self.namespace.clone(),
            table: self.table.clone(),
            own: false,
        }
    }

    /// The same gateway's driver, as after a restart of the gateway.
    pub(crate) async fn reopen(&self) -> Arc<dyn ComputeDriver> {
        open(&self.gateway_id, &self.table).await.expect("a driver")
    }

    /// The objects of a kind in the test's namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// What the cluster calls a sandbox's objects.
    pub(crate) async fn name(&self, id: &str) -> String {
        self.driver.get(&sandbox_id(id)).await.expect("a sandbox").status.sandbox_name
    }

    /// Waits until the sandbox's `Ready` has this reason.
    pub(crate) async fn until(&self, id: &str, reason: &str) -> ObservedSandbox {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.driver.get(&sandbox_id(id)).await.expect("a sandbox");
            if ready(&seen).reason == reason {
                return seen;
            }
            assert!(Instant::now() < deadline, "waited for `{reason}`, and it is {seen:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Everything in the test's namespace but what the cluster itself puts into each, and events.
    pub(crate) async fn leftovers(&self) -> Vec<String> {
        let mut left = names(self.api::<Pod>(), "pod").await;
        left.extend(names(self.api::<PersistentVolumeClaim>(), "claim").await);
        left.extend(names(self.api::<ConfigMap>(), "config map").await);
        left.extend(names(self.api::<Secret>(), "secret").await);
        left.extend(names(self.api::<NetworkPolicy>(), "policy").await);
        let cluster_s = |name: &String| name.contains("default-token-") || name.contains("kube-root-ca.crt");
        left.retain(|name| !cluster_s(name));
        left
    }
}

/// The names of all objects of a kind.
async fn names<K>(api: Api<K>, what: &str) -> Vec<String>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug + Resource,
{
    let found = api.list_metadata(&ListParams::default()).await.expect("a list");
    found
        .items
        .iter()
        .map(|object| format!("{what} {}", object.metadata.name.clone().unwrap_or_default()))
        .collect()
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !self.own {
            return;
        }
        let name = self.namespace.clone();
        // A thread of its own: this runs inside of the test's runtime, also while it unwinds.
        let cleaner = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let Ok(client) = Client::try_default().await else { return };
                let pods: Api<Pod> = Api::namespaced(client.clone(), &name);
                let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
                let _ = pods.delete_collection(&now, &ListParams::default()).await;
                let namespaces: Api<Namespace> = Api::all(client);
                let _ = namespaces.delete(&name, &DeleteParams::default()).await;
            });
        });
        let _ = cleaner.join();
    }
}

/// Opens a driver.
pub(crate) async fn open(gateway_id: &str, table: &Table) -> Result<Arc<dyn ComputeDriver>, DriverError> {
    openshell_driver_kubernetes::REGISTRATION.factory.open(context(gateway_id), table).await
}

/// What a gateway tells its driver, without a supervisor.
pub(crate) fn context(gateway_id: &str) -> DriverContext {
    DriverContext {
        name: "kubernetes".to_owned(),
        gateway_id: gateway_id.to_owned(),
        state_dir: std::env::temp_dir().join(gateway_id),
        telemetry: false,
        endpoint: String::new(),
        supervisor: None,
    }
}

pub(crate) fn sandbox_id(id: &str) -> SandboxId {
    SandboxId::new(id).expect("an id")
}

/// A sandbox of the test's image that runs `command`.
pub(crate) fn request(id: &str, command: &[&str]) -> SandboxRequest {
    SandboxRequest {
        id: sandbox_id(id),
        name: format!("name-of-{id}"),
        namespace: String::new(),
        workspace: "default".to_owned(),
        spec: SandboxSpec {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            template: Template { image: image(), ..Template::default() },
            ..SandboxSpec::default()
        },
    }
}

/// A sandbox's `Ready`.
pub(crate) fn ready(sandbox: &ObservedSandbox) -> &Condition {
    find(&sandbox.status.conditions, READY).expect("Ready")
}

/// Reads a watch until an event fits, and gives all of them up to that one.
pub(crate) async fn read_until(
    events: &mut EventStream,
    mut fits: impl FnMut(&WatchEvent) -> bool,
) -> Vec<WatchEvent> {
    let mut seen = Vec::new();
    let read = async {
        loop {
            let event = events.next().await.expect("the watch goes on").expect("an event");
            seen.push(event);
            if fits(&seen[seen.len() - 1]) {
                return;
            }
        }
    };
    let in_time = timeout(PATIENCE, read).await;
    assert!(in_time.is_ok(), "no such event in {seen:#?}");
    seen
}

/// Whether an event says that a sandbox is in a state.
pub(crate) fn tells(event: &WatchEvent, id: &str, reason: &str) -> bool {
    matches!(event, WatchEvent::Sandbox(seen) if seen.id.as_str() == id && ready(seen).reason == reason)
}

/// The uid of an object.
pub(crate) fn uid(object: &impl ResourceExt) -> String {
    object.uid().expect("a uid")
}
