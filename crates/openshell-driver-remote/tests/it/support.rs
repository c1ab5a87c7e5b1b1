//! A served driver, and ways to reach it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use openshell_driver_api::{DialRequest, SandboxId, SocketPolicy};
use openshell_driver_remote::{Deadlines, RemoteDriver, ServeOptions, serve};
use openshell_proto::compute::v1::compute_driver_client::ComputeDriverClient;
use openshell_uds::{PeerPolicy, bind};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

use crate::fake::Fake;

/// How long a test waits for what has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server over a fake; stopped and waited for with [`Served::stop`].
pub(crate) struct Served {
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Served {
    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("the server runs");
        self.task.await.expect("no panic").expect("a clean end");
    }
}

pub(crate) fn serve_at(path: &Path, fake: &Fake, options: ServeOptions) -> Served {
    let (stop, stopped) = oneshot::channel();
    let listener = bind(path).expect("bind");
    let shutdown = async { drop(stopped.await) };
    let task =
        tokio::spawn(serve(Arc::new(fake.clone()), listener, PeerPolicy::default(), shutdown, options));
    Served { stop, task }
}

/// A directory with a socket path in it.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let home = TempDir::new().expect("a temporary directory");
    let path = home.path().join("driver.sock");
    (home, path)
}

pub(crate) fn request(path: &Path, connect_timeout: Duration) -> DialRequest {
    DialRequest {
        name: "mine".to_owned(),
        path: path.to_owned(),
        policy: SocketPolicy::default(),
        connect_timeout,
        longest_call: Duration::from_secs(30),
    }
}

pub(crate) async fn dial(path: &Path) -> RemoteDriver {
    RemoteDriver::dial(request(path, PATIENCE), Deadlines::default()).await.expect("dial")
}

/// A client of the wire contract, as somebody else's gateway has one.
pub(crate) async fn raw(path: &Path) -> ComputeDriverClient<Channel> {
    let path = path.to_owned();
    let connect = tower::service_fn(move |_: http::Uri| {
        let path = path.clone();
        async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
    });
    let channel =
        Endpoint::from_static("http://localhost").connect_with_connector(connect).await.expect("connect");
    ComputeDriverClient::new(channel)
}

pub(crate) fn id(text: &str) -> SandboxId {
    SandboxId::new(text).expect("an id")
}
