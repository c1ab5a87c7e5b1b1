//! What every test stands on: a driver with a gateway id of its own, a bare client beside it, and a clean-up that also
//! runs when the test panics.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bollard::models::{ContainerConfig, ContainerInspectResponse};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptions, RemoveVolumeOptions,
};
use futures_util::StreamExt;
use openshell_driver_api::conditions::{READY, find};
use openshell_driver_api::supervisor::{ENDPOINT, SupervisorDelivery};
use openshell_driver_api::{
    ComputeDriver, DriverContext, EventStream, ObservedSandbox, ProbeEnv, SandboxId, SandboxRequest,
    SandboxSpec, Table, Template, WatchEvent, labels,
};

use crate::supervised::everywhere::program;

/// How long anything on the engine may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// One test's driver and engine.
pub(crate) struct Bench {
    pub(crate) driver: Arc<dyn ComputeDriver>,
    pub(crate) docker: bollard::Docker,
    pub(crate) gateway_id: String,
    pub(crate) table: Table,
    /// What a test has made and nobody needs after it.
    pub(crate) images: Vec<String>,
    state: Arc<tempfile::TempDir>,
}

/// The image that every test runs.
pub(crate) fn image() -> String {
    std::env::var("OPENSHELL_TEST_IMAGE_DOCKER").unwrap_or_else(|_| "openshell-test/busybox:1".to_owned())
}

/// Prints why a test does nothing, or fails it where an engine has to be there.
pub(crate) fn skip(why: &str) {
    let required = std::env::var("OPENSHELL_TEST_REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|word| word.trim() == "docker"),
        "docker is required, and there is {why}"
    );
    println!("skipped: {why}");
}

/// The engine's socket.
async fn socket() -> Option<PathBuf> {
    let env =
        ProbeEnv { vars: std::env::vars().collect(), timeout: Duration::from_secs(2), ..ProbeEnv::default() };
    let detection = openshell_driver_docker::REGISTRATION.factory.detect(&env).await;
    if detection.found.is_none() {
        let tried: Vec<String> =
            detection.tried.iter().map(|t| format!("{} ({})", t.candidate, t.outcome)).collect();
        skip(&format!("no docker engine at {}", tried.join(", ")));
        return None;
    }
    let answered = detection.tried.into_iter().find(|tried| tried.outcome.starts_with("answered"));
    answered.map(|tried| tried.candidate.into())
}

/// The socket of an engine that has the test's image; `None`, and a word about it, when there is none.
pub(crate) async fn engine_socket() -> Option<PathBuf> {
    let bench = Bench::new("").await?;
    let socket = bench.table.get("socket_path").and_then(|path| path.as_str());
    socket.map(PathBuf::from)
}

impl Bench {
    /// A driver on the engine that is there; `None`, and a word about it, when there is none.
    pub(crate) async fn new(config: &str) -> Option<Self> {
        let socket = socket().await?;
        let bench = Self::at(&socket, config).await;
        if bench.docker.inspect_image(&image()).await.is_err() {
            skip(&format!("no image {} on the docker engine at {}", image(), socket.display()));
            return None;
        }
        Some(bench)
    }

    /// The same, whose sandboxes have a supervisor: the program that `cargo xtask test` has built. No gateway answers it.
    pub(crate) async fn supervised(config: &str) -> Option<Self> {
        let program = program()?;
        let mut bench = Self::new(config).await?;
        let delivery = SupervisorDelivery::Host { program, sockets: bench.state.path().join("sandboxes") };
        bench.driver = open_with(&bench.gateway_id, &bench.state, &bench.table, Some(delivery)).await;
        Some(bench)
    }

    /// Makes what the gateway makes before it asks for a sandbox.
    pub(crate) fn open_door(&self, id: &str) {
        let door = self.state.path().join("sandboxes").join(id);
        std::fs::create_dir_all(door).expect("a directory");
    }

    /// A driver on the engine behind a socket.
    pub(crate) async fn at(socket: &std::path::Path, config: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut table: Table = config.parse().expect("the test's configuration");
        let address = socket.to_str().expect("a UTF-8 path").to_owned();
        let docker =
            bollard::Docker::connect_with_unix(&address, 60, bollard::API_DEFAULT_VERSION).expect("a client");
        if !table.contains_key("host") {
            table.insert("socket_path".to_owned(), address.into());
        }
        let docker = docker.negotiate_version().await.expect("a version");
        let gateway_id = format!("it-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let state = Arc::new(tempfile::tempdir().expect("a state directory"));
        let driver = open(&gateway_id, &state, &table).await;
        Self { driver, docker, gateway_id, table, images: Vec::new(), state }
    }

    /// The same gateway's driver, as after a restart of the gateway.
    pub(crate) async fn reopen(&self) -> Arc<dyn ComputeDriver> {
        open(&self.gateway_id, &self.state, &self.table).await
    }

    /// The only container of a sandbox, as the engine describes it.
    pub(crate) async fn inspect(&self, id: &str) -> ContainerInspectResponse {
        let container = self.driver.get(&sandbox_id(id)).await.expect("a sandbox").status.instance_id;
        self.docker.inspect_container(&container, None::<InspectContainerOptions>).await.expect("a container")
    }

    /// What the main process printed.
    pub(crate) async fn output(&self, id: &str) -> String {
        let container = self.driver.get(&sandbox_id(id)).await.expect("a sandbox").status.instance_id;
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).build();
        let chunks: Vec<_> = self.docker.logs(&container, Some(options)).collect().await;
        chunks.into_iter().map(|chunk| chunk.expect("a log").to_string()).collect()
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

    /// Makes an image of what a sandbox has become, that wants a volume at a place; gives its name.
    pub(crate) async fn commit(&self, id: &str, volume: &str) -> String {
        let container = self.driver.get(&sandbox_id(id)).await.expect("a sandbox").status.instance_id;
        let repository = format!("openshell-it/{}", self.gateway_id);
        let options = CommitContainerOptionsBuilder::new()
            .container(&container)
            .repo(&repository)
            .tag("1")
            .changes(&format!("VOLUME {volume}"))
            .build();
        self.docker.commit_container(options, ContainerConfig::default()).await.expect("an image");
        format!("{repository}:1")
    }

    /// Where the driver keeps its state.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.state.path().join("drivers/docker")
    }

    /// Everything of this gateway on the engine: containers, volumes, networks.
    pub(crate) async fn leftovers(&self) -> Vec<String> {
        let left = leftovers(&self.docker, &self.gateway_id).await;
        let (containers, volumes, mut networks) = left;
        let mut lost = Vec::new();
        for network in &networks {
            if self.is_kept_by_the_engine(network).await {
                lost.push(network.clone());
            }
        }
        networks.retain(|network| !lost.contains(network));
        containers.into_iter().chain(volumes).chain(networks).collect()
    }

    /// Whether the engine refuses to remove a network that it shows nobody on. Engines up to 20.10 at least lose an endpoint
    /// now and then when many containers go at once, and keep the network for it until they are started anew.
    async fn is_kept_by_the_engine(&self, network: &str) -> bool {
        let options = None::<bollard::query_parameters::InspectNetworkOptions>;
        let Ok(shown) = self.docker.inspect_network(network, options).await else { return false };
        if shown.containers.is_some_and(|containers| !containers.is_empty()) {
            return false;
        }
        let kept = match self.docker.remove_network(network).await {
            Err(error) => error.to_string().contains("has active endpoints"),
            Ok(()) => false,
        };
        if kept {
            println!("the engine has lost an endpoint on network {network}, and keeps it for that");
        }
        kept
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let (docker, gateway_id) = (self.docker.clone(), self.gateway_id.clone());
        let images = std::mem::take(&mut self.images);
        // A thread of its own: this runs inside of the test's runtime, also while it unwinds.
        let cleaner = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let (containers, volumes, networks) = leftovers(&docker, &gateway_id).await;
                for container in containers {
                    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
                    let _ = docker.remove_container(&container, Some(options)).await;
                }
                for volume in volumes {
                    let _ = docker.remove_volume(&volume, None::<RemoveVolumeOptions>).await;
                }
                for network in networks {
                    let _ = docker.remove_network(&network).await;
                }
                for image in images {
                    let _ = docker.remove_image(&image, None::<RemoveImageOptions>, None).await;
                }
            });
        });
        let _ = cleaner.join();
    }
}

async fn open(gateway_id: &str, state: &tempfile::TempDir, table: &Table) -> Arc<dyn ComputeDriver> {
    open_with(gateway_id, state, table, None).await
}

async fn open_with(
    gateway_id: &str,
    state: &tempfile::TempDir,
    table: &Table,
    supervisor: Option<SupervisorDelivery>,
) -> Arc<dyn ComputeDriver> {
    let context = DriverContext {
        name: "docker".to_owned(),
        gateway_id: gateway_id.to_owned(),
        // As the gateway lays it out.
        state_dir: state.path().join("drivers/docker"),
        telemetry: false,
        endpoint: supervisor.as_ref().map_or_else(String::new, |_| ENDPOINT.to_owned()),
        supervisor,
    };
    openshell_driver_docker::REGISTRATION.factory.open(context, table).await.expect("a driver")
}

/// Containers, volumes and networks of a gateway; nothing when the engine is away.
async fn leftovers(docker: &bollard::Docker, gateway_id: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    let filters = HashMap::from([("label", vec![format!("{}={gateway_id}", labels::GATEWAY_ID)])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let containers = docker.list_containers(Some(options)).await.unwrap_or_default();
    let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
    let volumes =
        docker.list_volumes(Some(options)).await.ok().and_then(|list| list.volumes).unwrap_or_default();
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let networks = docker.list_networks(Some(options)).await.unwrap_or_default();
    (
        containers.into_iter().filter_map(|container| container.id).collect(),
        volumes.into_iter().map(|volume| volume.name).collect(),
        networks.into_iter().filter_map(|network| network.id).collect(),
    )
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

/// Asks for something in the driver's own block of a request.
pub(crate) fn ask(request: &mut SandboxRequest, block: serde_json::Value) {
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
