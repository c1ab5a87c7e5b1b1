//! What every test stands on: a driver with a gateway id of its own, a bare client beside it, and a clean-up that also
//! runs when the test panics.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use openshell_driver_api::conditions::{READY, find};
use openshell_driver_api::supervisor::{ENDPOINT, SupervisorDelivery};
use openshell_driver_api::{
    ComputeDriver, DriverContext, DriverError, EventStream, ObservedSandbox, ProbeEnv, SandboxId,
    SandboxRequest, SandboxSpec, Table, Template, WatchEvent, labels,
};
use serde_json::{Value, json};

use crate::api::{Api, labelled};
use crate::supervised::everywhere::program;

/// How long anything on the service may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// One test's driver and service.
pub(crate) struct Bench {
    pub(crate) driver: Arc<dyn ComputeDriver>,
    pub(crate) api: Api,
    pub(crate) gateway_id: String,
    pub(crate) table: Table,
    /// What a test has made and nobody needs after it.
    pub(crate) images: Vec<String>,
    state: Arc<tempfile::TempDir>,
}

/// The image that every test runs.
pub(crate) fn image() -> String {
    let image = std::env::var("OPENSHELL_TEST_IMAGE_PODMAN");
    image.unwrap_or_else(|_| "localhost/openshell-test/busybox:1".to_owned())
}

/// Prints why a test does nothing, or fails it where a service has to be there.
pub(crate) fn skip(why: &str) {
    let required = std::env::var("OPENSHELL_TEST_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|word| word.trim() == "podman"),
        "podman is required, and there is {why}"
    );
    println!("skipped: {why}");
}

/// The socket of a service that has the test's image; `None`, and a word about it, when there is none.
pub(crate) async fn socket() -> Option<PathBuf> {
    let env =
        ProbeEnv { vars: std::env::vars().collect(), timeout: Duration::from_secs(2), ..ProbeEnv::default() };
    let detection = openshell_driver_podman::REGISTRATION.factory.detect(&env).await;
    if detection.found.is_none() {
        let tried: Vec<String> =
            detection.tried.iter().map(|t| format!("{} ({})", t.candidate, t.outcome)).collect();
        skip(&format!("no podman service at {}", tried.join(", ")));
        return None;
    }
    let answered = detection.tried.into_iter().find(|tried| tried.outcome.starts_with("answered"));
    let candidate = answered.expect("who answered").candidate;
    let socket = PathBuf::from(candidate.rsplit('=').next().expect("a path"));
    let api = Api { socket: socket.clone() };
    if api.get(&format!("/images/{}/json", image())).await.is_null() {
        skip(&format!("no image {} on the podman service at {}", image(), socket.display()));
        return None;
    }
    Some(socket)
}

impl Bench {
    /// A driver on the service that is there; `None`, and a word about it, when there is none.
    pub(crate) async fn new(config: &str) -> Option<Self> {
        Some(Self::at(&socket().await?, config).await)
    }

    /// The same, whose sandboxes have a supervisor: the program that `cargo xtask test` has built. No gateway answers it.
    pub(crate) async fn supervised(config: &str) -> Option<Self> {
        let program = program()?;
        let mut bench = Self::new(config).await?;
        let delivery = SupervisorDelivery::Host { program, sockets: bench.state.path().join("sandboxes") };
        let opened = open_with(&bench.gateway_id, &bench.state, &bench.table, Some(delivery)).await;
        bench.driver = opened.expect("a driver");
        Some(bench)
    }

    /// Makes what the gateway makes before it asks for a sandbox.
    pub(crate) fn open_door(&self, id: &str) {
        let door = self.state.path().join("sandboxes").join(id);
        std::fs::create_dir_all(door).expect("a directory");
    }

    /// A driver on the service behind a socket.
    pub(crate) async fn at(socket: &Path, config: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let gateway_id = format!("it-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self::of(gateway_id, socket, config).await
    }

    /// The driver of a gateway of this id.
    pub(crate) async fn of(gateway_id: String, socket: &Path, config: &str) -> Self {
        let mut table: Table = config.parse().expect("the test's configuration");
        table.insert("socket_path".to_owned(), socket.to_str().expect("a UTF-8 path").into());
        let state = Arc::new(tempfile::tempdir().expect("a state directory"));
        let driver = open(&gateway_id, &state, &table).await;
        let api = Api { socket: socket.to_owned() };
        Self { driver, api, gateway_id, table, images: Vec::new(), state }
    }

    /// Another gateway's driver at a socket, or why there is none.
    pub(crate) async fn opened(socket: &Path) -> Result<Arc<dyn ComputeDriver>, DriverError> {
        let mut table = Table::new();
        table.insert("socket_path".to_owned(), socket.to_str().expect("a UTF-8 path").into());
        let state = tempfile::tempdir().expect("a state directory");
        try_open("it-opened", &state, &table).await
    }

    /// The same gateway's driver, as after a restart of the gateway.
    pub(crate) async fn reopen(&self) -> Arc<dyn ComputeDriver> {
        open(&self.gateway_id, &self.state, &self.table).await
    }

    /// Whether the service's bridges may lose their isolation: all but those of netavark 2.0 and newer.
    pub(crate) async fn may_lose_isolation(&self) -> bool {
        let host = self.api.get("/info").await["host"].clone();
        let version = host["networkBackendInfo"]["version"].as_str().unwrap_or_default();
        host["networkBackend"] == "netavark" && (version.is_empty() || version.starts_with("netavark 1."))
    }

    /// The service's id of a sandbox's container.
    pub(crate) async fn container(&self, id: &str) -> String {
        self.driver.get(&sandbox_id(id)).await.expect("a sandbox").status.instance_id
    }

    /// The only container of a sandbox, as the service describes it.
    pub(crate) async fn inspect(&self, id: &str) -> Value {
        let container = self.container(id).await;
        self.api.get(&format!("/containers/{container}/json")).await
    }

    /// What the main process printed, without the eight bytes that the service puts before each part.
    pub(crate) async fn output(&self, id: &str) -> String {
        let path = format!("/containers/{}/logs?stdout=true&stderr=true", self.container(id).await);
        let (_, mut framed) = self.api.call("GET", &path, None).await.expect("a log");
        let mut text = Vec::new();
        while framed.len() >= 8 {
            let header = framed.split_to(8);
            let size = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
            text.extend_from_slice(&framed.split_to(size.min(framed.len())));
        }
        String::from_utf8(text).expect("UTF-8")
    }

    /// Makes an image of what a sandbox has become, that wants a volume at a place; gives its name.
    pub(crate) async fn commit(&self, id: &str, volume: &str) -> String {
        let repository = format!("localhost/openshell-it/{}", self.gateway_id);
        let container = self.container(id).await;
        let changes = format!("VOLUME%20{}", volume.replace('/', "%2F"));
        let path = format!("/commit?container={container}&repo={repository}&tag=1&changes={changes}");
        self.api.post(&path, &Value::Null).await;
        format!("{repository}:1")
    }

    /// Polls until the sandbox's `Ready` has this reason. (The driver has a watch for this; its tests do not poll.)
    pub(crate) async fn until(&self, id: &str, reason: &str) -> ObservedSandbox {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let seen = self.driver.get(&sandbox_id(id)).await.expect("a sandbox");
            if ready_reason(&seen) == reason {
                return seen;
            }
            assert!(tokio::time::Instant::now() < deadline, "waited for `{reason}`, and it is {seen:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What a sandbox prints until it ends.
    pub(crate) async fn printed(&self, request: &SandboxRequest) -> String {
        self.driver.create(request).await.expect("create");
        self.until(request.id.as_str(), "ContainerExited").await;
        self.output(request.id.as_str()).await
    }

    /// Everything of this gateway on the service: paths of containers, volumes, networks, secrets.
    pub(crate) async fn leftovers(&self) -> Vec<String> {
        leftovers(&self.api, &self.gateway_id).await
    }

    /// Waits until nothing is left: what removes it was not waited for.
    pub(crate) async fn until_nothing_is_left(&self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let left = self.leftovers().await;
            if left.is_empty() {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "left: {left:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let (api, gateway_id) = (self.api.clone(), self.gateway_id.clone());
        let images = std::mem::take(&mut self.images);
        // A thread of its own: this runs inside of the test's runtime, also while it unwinds.
        let cleaner = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                for path in leftovers(&api, &gateway_id).await {
                    api.delete(&format!("{path}?force=true&timeout=0")).await;
                }
                for image in images {
                    api.delete(&format!("/images/{image}")).await;
                }
            });
        });
        let _ = cleaner.join();
    }
}

async fn open(gateway_id: &str, state: &tempfile::TempDir, table: &Table) -> Arc<dyn ComputeDriver> {
    try_open(gateway_id, state, table).await.expect("a driver")
}

async fn try_open(
    gateway_id: &str,
    state: &tempfile::TempDir,
    table: &Table,
) -> Result<Arc<dyn ComputeDriver>, DriverError> {
    open_with(gateway_id, state, table, None).await
}

async fn open_with(
    gateway_id: &str,
    state: &tempfile::TempDir,
    table: &Table,
    supervisor: Option<SupervisorDelivery>,
) -> Result<Arc<dyn ComputeDriver>, DriverError> {
    let context = DriverContext {
        name: "podman".to_owned(),
        gateway_id: gateway_id.to_owned(),
        // As the gateway lays it out.
        state_dir: state.path().join("drivers/podman"),
        telemetry: false,
        endpoint: supervisor.as_ref().map_or_else(String::new, |_| ENDPOINT.to_owned()),
        supervisor,
    };
    openshell_driver_podman::REGISTRATION.factory.open(context, table).await
}

/// Containers before what they hold; nothing when the service is away.
async fn leftovers(api: &Api, gateway_id: &str) -> Vec<String> {
    let filters = labelled(&format!("{}={gateway_id}", labels::GATEWAY_ID));
    let mut left = Vec::new();
    for (kind, query, key) in [
        ("containers", format!("all=true&{filters}"), "Id"),
        ("volumes", filters.clone(), "Name"),
        ("networks", filters, "name"),
    ] {
        let found = api.get(&format!("/{kind}/json?{query}")).await;
        let names = found.as_array().into_iter().flatten().filter_map(|found| found[key].as_str());
        left.extend(names.map(|name| format!("/{kind}/{name}")));
    }
    let secrets = api.get("/secrets/json").await;
    let names = secrets.as_array().into_iter().flatten().filter_map(|secret| secret["Spec"]["Name"].as_str());
    let prefix = format!("openshell-{}.", openshell_driver_common::names::digest(gateway_id));
    let ours = names.filter(|name| name.starts_with(&prefix));
    left.extend(ours.map(|name| format!("/secrets/{name}")));
    left
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

/// A sandbox that waits, and ends at once when it is asked to: the service's host may have no program that passes signals on.
pub(crate) fn waiting(id: &str) -> SandboxRequest {
    request(id, &["sh", "-c", "trap 'exit 0' TERM; sleep 300 & wait"])
}

/// The labels of a sandbox's resources, as somebody else would write them.
pub(crate) fn labels_of(gateway_id: &str, id: &str) -> Value {
    json!({
        (labels::MANAGED_BY): labels::MANAGED_BY_VALUE,
        (labels::GATEWAY_ID): gateway_id,
        (labels::SANDBOX_ID): id,
    })
}

/// Asks for something in the driver's own block of a request.
pub(crate) fn ask(request: &mut SandboxRequest, block: Value) {
    request.spec.template.driver_config = block.as_object().expect("an object").clone();
}

/// The reason of a sandbox's `Ready`.
pub(crate) fn ready_reason(sandbox: &ObservedSandbox) -> &str {
    find(&sandbox.status.conditions, READY).map_or("", |condition| condition.reason.as_str())
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
    let in_time = tokio::time::timeout(PATIENCE, read).await;
    assert!(in_time.is_ok(), "no such event in {seen:#?}");
    seen
}
