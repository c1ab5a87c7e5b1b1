//! A gateway on a fake driver, and a client that talks to it over a real Unix socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use openshell_proto::openshell::v1::open_shell_client::OpenShellClient;
use openshell_proto::openshell::v1::{self as proto, SandboxPhase};
use openshell_runtime::{Backoff, Runtime, Settings, Store};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::fake::Fake;

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) client: OpenShellClient<Channel>,
    pub(crate) channel: Channel,
    pub(crate) runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
    _directory: Option<tempfile::TempDir>,
}

/// Settings with pauses that nobody notices, and deadlines that no call of a driver meets which answers, however busy the
/// machine is.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::new("gw-1", "9.9.9", "fake");
    settings.backoff = Backoff { first: Duration::from_millis(10), longest: Duration::from_millis(50) };
    let long = Duration::from_secs(600);
    settings.deadlines.create = long;
    settings.deadlines.stop = long;
    settings.deadlines.start = long;
    settings.deadlines.delete = long;
    settings.deadlines.validate = long;
    settings.deadlines.create_after_delete = Duration::from_millis(20);
    settings
}

/// Settings for tests of a driver that hangs: deadlines that are soon over.
pub(crate) fn hasty() -> Settings {
    let mut settings = settings();
    let short = Duration::from_millis(400);
    settings.deadlines.create = short;
    settings.deadlines.stop = short;
    settings.deadlines.start = short;
    settings.deadlines.delete = short;
    settings.deadlines.validate = short;
    settings
}

/// A gateway with a store of its own.
pub(crate) async fn gateway(fake: &Fake) -> Gateway {
    gateway_with(fake, settings()).await
}

pub(crate) async fn gateway_with(fake: &Fake, settings: Settings) -> Gateway {
    let directory = tempfile::tempdir().expect("a directory");
    let mut gateway = gateway_in(directory.path(), fake, settings).await;
    gateway._directory = Some(directory);
    gateway
}

/// A gateway on the store in `directory`.
pub(crate) async fn gateway_in(directory: &Path, fake: &Fake, settings: Settings) -> Gateway {
    let store = Store::open(&db_path(directory)).expect("the store opens");
    let runtime = Runtime::start(settings, store, Arc::new(fake.clone())).await.expect("the runtime starts");
    serve(directory, runtime).await
}

pub(crate) fn db_path(directory: &Path) -> PathBuf {
    directory.join("state").join("gateway.db")
}

async fn serve(directory: &Path, runtime: Runtime) -> Gateway {
    let socket = directory.join("s").join("gateway.sock");
    let listener = openshell_uds::bind(&socket).expect("the socket binds");
    let (stop, stopped) = oneshot::channel::<()>();
    let service = runtime.service();
    let served = tokio::spawn(async move {
        let shutdown = async {
            let _dropped = stopped.await;
        };
        let policy = openshell_uds::PeerPolicy::default();
        openshell_uds::serve(listener, policy, service, shutdown, Duration::from_secs(1))
            .await
            .expect("serves");
    });
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let channel =
        Endpoint::from_static("http://gateway").connect_with_connector(connector).await.expect("connects");
    let client = OpenShellClient::new(channel.clone()).max_decoding_message_size(64 * 1024 * 1024);
    Gateway { client, channel, runtime, stop: Some(stop), served, _directory: None }
}

impl Gateway {
    /// Stops everything in order, so that the store can be opened again.
    pub(crate) async fn stop(mut self) {
        self.runtime.shutdown(Duration::from_secs(5)).await;
        self.halt().await;
    }

    /// Stops without giving calls under way any time, as near to `kill -9` as a test in one process comes.
    pub(crate) async fn crash(mut self) {
        self.runtime.shutdown(Duration::ZERO).await;
        self.halt().await;
    }

    async fn halt(&mut self) {
        drop(self.stop.take());
        self.served.abort();
        let _aborted = (&mut self.served).await;
    }

    pub(crate) async fn create(&mut self, name: &str) -> proto::Sandbox {
        let request = proto::CreateSandboxRequest { name: name.to_owned(), ..Default::default() };
        let answer = self.client.create_sandbox(request).await.expect("created").into_inner();
        answer.sandbox.expect("a sandbox")
    }

    pub(crate) async fn get(&mut self, name: &str) -> Result<proto::Sandbox, tonic::Status> {
        let request = proto::GetSandboxRequest { name: name.to_owned(), ..Default::default() };
        Ok(self.client.get_sandbox(request).await?.into_inner().sandbox.expect("a sandbox"))
    }

    pub(crate) async fn stop_sandbox(&mut self, name: &str) -> Result<proto::Sandbox, tonic::Status> {
        let request = proto::StopSandboxRequest { name: name.to_owned(), ..Default::default() };
        Ok(self.client.stop_sandbox(request).await?.into_inner().sandbox.expect("a sandbox"))
    }

    pub(crate) async fn start_sandbox(&mut self, name: &str) -> Result<proto::Sandbox, tonic::Status> {
        let request = proto::StartSandboxRequest { name: name.to_owned(), ..Default::default() };
        Ok(self.client.start_sandbox(request).await?.into_inner().sandbox.expect("a sandbox"))
    }

    pub(crate) async fn delete(&mut self, name: &str) -> Result<bool, tonic::Status> {
        let request = proto::DeleteSandboxRequest { name: name.to_owned(), ..Default::default() };
        Ok(self.client.delete_sandbox(request).await?.into_inner().deleted)
    }

    pub(crate) async fn list(&mut self, request: proto::ListSandboxesRequest) -> Vec<String> {
        let answer = self.client.list_sandboxes(request).await.expect("listed").into_inner();
        answer.sandboxes.into_iter().map(|sandbox| name_of(&sandbox)).collect()
    }

    /// Waits until a sandbox is in a phase.
    pub(crate) async fn until(&mut self, name: &str, phase: SandboxPhase) -> proto::Sandbox {
        let mut last = None;
        let wait = async {
            loop {
                let sandbox = self.get(name).await.expect("it is there");
                if phase_of(&sandbox) == phase {
                    return sandbox;
                }
                last = Some(sandbox);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(sandbox) => sandbox,
            Err(_) => panic!("not {phase:?}: {last:?}"),
        }
    }

    /// Creates a sandbox and waits until it is ready; its id.
    pub(crate) async fn ready(&mut self, name: &str) -> String {
        let id = id_of(&self.create(name).await);
        self.until(name, SandboxPhase::Ready).await;
        // Nothing that it needs, but for its turn: the driver's report may be seen before its answer to the create is, and
        // what is asked for meanwhile is done with the create.
        let _ready = self.start_sandbox(name).await;
        id
    }

    /// Waits until a sandbox is gone.
    pub(crate) async fn until_gone(&mut self, name: &str) {
        let wait = async {
            while self.get(name).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it goes");
    }

    pub(crate) async fn health(&mut self) -> proto::ServiceStatus {
        let answer = self.client.health(proto::HealthRequest {}).await.expect("health").into_inner();
        answer.status()
    }

    pub(crate) async fn watch(
        &mut self,
        request: proto::WatchSandboxRequest,
    ) -> tonic::Streaming<proto::SandboxStreamEvent> {
        self.client.watch_sandbox(request).await.expect("watches").into_inner()
    }
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "never: {what}");
}

pub(crate) fn id_of(sandbox: &proto::Sandbox) -> String {
    sandbox.metadata.as_ref().expect("metadata").id.clone()
}

pub(crate) fn name_of(sandbox: &proto::Sandbox) -> String {
    sandbox.metadata.as_ref().expect("metadata").name.clone()
}

pub(crate) fn phase_of(sandbox: &proto::Sandbox) -> SandboxPhase {
    sandbox.status.as_ref().expect("a status").phase()
}

/// The reason and the message of the `Ready` condition.
pub(crate) fn ready_of(sandbox: &proto::Sandbox) -> (String, String) {
    let conditions = &sandbox.status.as_ref().expect("a status").conditions;
    let ready = conditions.iter().find(|condition| condition.r#type == "Ready").expect("a `Ready`");
    (ready.reason.clone(), ready.message.clone())
}
