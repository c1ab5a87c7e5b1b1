//! What the tests share: private directories, a small HTTP/2 service and client, a child of another user.

use std::convert::Infallible;
use std::future::Ready;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use openshell_uds::PeerCredentials;
use tempfile::TempDir;
use tower_service::Service;

/// Some user who is neither root nor, in all likelihood, whoever runs the tests.
pub(crate) const NOBODY: u32 = 65534;

/// A directory of our own; `tempfile` makes it 0700.
pub(crate) fn dir() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("set the mode");
}

pub(crate) fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).expect("look at the path").mode() & 0o7777
}

/// Whether this process may take on other users; says so when it may not.
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: another user's process needs root");
    }
    root
}

/// Runs the ignored test `name` of this very binary as [`NOBODY`], with `path` in its environment.
pub(crate) fn as_nobody(name: &str, path: &Path) -> Child {
    let home = path.parent().expect("a parent");
    let program = home.join("it");
    std::fs::copy(std::env::current_exe().expect("this binary"), &program).expect("copy this binary");
    set_mode(&program, 0o755);
    Command::new(&program)
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env("UDS_TEST_PATH", path)
        .current_dir(home)
        .uid(NOBODY)
        .gid(NOBODY)
        .spawn()
        .expect("start a child as nobody")
}

/// What [`as_nobody`] hands to its child.
pub(crate) fn given_path() -> PathBuf {
    PathBuf::from(std::env::var_os("UDS_TEST_PATH").expect("started by `as_nobody`"))
}

/// Answers every request with the uid of its peer; `/slow` after half a second, `/never` not at all.
#[derive(Clone)]
pub(crate) struct WhoAmI;

impl Service<http::Request<Incoming>> for WhoAmI {
    type Response = http::Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Incoming>) -> Self::Future {
        Box::pin(async move {
            match request.uri().path() {
                "/slow" => tokio::time::sleep(std::time::Duration::from_secs(3)).await,
                "/never" => std::future::pending().await,
                "/panic" => panic!("a service that panics"),
                _ => {}
            }
            let peer = request.extensions().get::<PeerCredentials>().expect("the peer's credentials");
            Ok(http::Response::new(Full::new(Bytes::from(peer.uid.to_string()))))
        })
    }
}

/// One request over a connection of its own: the answer's text.
pub(crate) async fn ask(stream: tokio::net::UnixStream, path: &str) -> Result<String, hyper::Error> {
    use http_body_util::BodyExt;

    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let uri = format!("http://localhost{path}");
    let request = http::Request::get(uri).body(Full::<Bytes>::default()).expect("a request");
    let answer = sender.send_request(request).await?.into_body().collect().await?;
    Ok(String::from_utf8(answer.to_bytes().to_vec()).expect("text"))
}

/// A future that is never ready, for servers that are aborted with their test.
pub(crate) fn never() -> std::future::Pending<()> {
    std::future::pending()
}

/// A future that is ready already.
pub(crate) fn now() -> Ready<()> {
    std::future::ready(())
}
