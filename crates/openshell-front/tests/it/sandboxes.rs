//! The listener for sandboxes on other hosts: who gets a connection there, who is let in, and who is shown out.

use std::convert::Infallible;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use openshell_front::certs::{CertsError, SandboxIdentity};
use openshell_front::{
    AccessSettings, Backend, Entrance, Family, Front, FrontOptions, Limits, Metrics, Policy, Purpose, Rate,
    Sandbox, SandboxKey, SandboxRoll,
};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::support::{PATIENCE, ask_http1, client, client_of};

const CONNECT: &str = "/openshell.v1.OpenShell/ConnectSupervisor";
/// Short enough to wait for, and longer than a call takes on a busy machine.
const UNKNOWN: Duration = Duration::from_secs(3);

/// Says in a header whose supervisor has come.
#[derive(Clone)]
struct Whose;

impl Service<Request<Incoming>> for Whose {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let Sandbox(id) = request.extensions().get().expect("a sandbox");
        let mut answer = Response::new(tonic::body::Body::empty());
        answer.headers_mut().insert("x-sandbox", id.parse().expect("a header"));
        std::future::ready(Ok(answer))
    }
}

struct Ready;

#[async_trait::async_trait]
impl Backend for Ready {
    async fn readiness(&self) -> Vec<String> {
        Vec::new()
    }

    async fn families(&self) -> Vec<Family> {
        Vec::new()
    }
}

/// A gateway's door for sandboxes, in a directory that outlives it.
struct Gateway {
    address: SocketAddr,
    roll: Arc<SandboxRoll>,
    key: Arc<SandboxKey>,
    _stop: watch::Sender<bool>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Gateway {
    async fn start(home: &Path) -> Self {
        let identity = SandboxIdentity::load_or_create(home, "localhost").expect("an identity");
        let key = Arc::new(SandboxKey::load_or_create(&home.join("key"), "gw").expect("a key"));
        let roll = Arc::new(SandboxRoll::new(Arc::clone(&key)));
        for id in ["a", "b"] {
            roll.add(id);
        }
        let settings = AccessSettings {
            owner_uid: 0,
            token_path: None,
            allow_unauthenticated: false,
            client_role: None,
            rate: Rate::default(),
            identities: Vec::new(),
        };
        let options = FrontOptions {
            policy: Policy::new(&settings).expect("a policy"),
            metrics: Metrics::new("0"),
            backend: Arc::new(Ready),
            request_bytes: 1000,
        };
        let front = Front::new(Whose, options).sandboxes(Arc::clone(&roll));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let entrance = Entrance::tls(listener, identity.tls, Arc::default()).with_places(roll.places());
        let limits = Limits {
            introduction: Some(UNKNOWN),
            handshake: UNKNOWN,
            drain: Duration::from_millis(200),
            ..Limits::default()
        };
        let (stop, stopping) = watch::channel(false);
        let task = tokio::spawn(entrance.serve(front, stopping, limits));
        Self { address, roll, key, _stop: stop, task }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connect")
    }

    async fn tls(&self, config: ClientConfig, host: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, self.tcp().await).await
    }

    /// A connection of whoever believes this CA.
    async fn supervisor(&self, ca: &Path) -> Supervisor {
        let stream = self.tls(client(ca, None), "localhost").await.expect("TLS");
        let (sender, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        Supervisor { sender, connection: tokio::spawn(async move { drop(connection.await) }) }
    }

    fn fresh(&self, id: &str) -> String {
        self.key.issue(id, Purpose::Boot, SystemTime::now()).token.expose().to_owned()
    }

    fn expired(&self, id: &str) -> String {
        let life = Purpose::Session.lifetime().expect("it ends");
        self.key.issue(id, Purpose::Session, SystemTime::now() - life).token.expose().to_owned()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Supervisor {
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<()>,
}

/// What came of a call: whose supervisor it was to the gateway, or the status.
type Said = Result<String, String>;

impl Supervisor {
    async fn ask(&mut self, path: &str, token: &str) -> Said {
        let request = Request::post(format!("https://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("authorization", format!("Bearer {token}"))
            .body(Full::default())
            .expect("a request");
        let answer = tokio::time::timeout(PATIENCE, self.sender.send_request(request)).await;
        let answer = answer.expect("in time").expect("an answer");
        let header = |name: &str| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
        match header("x-sandbox") {
            Some(id) => Ok(id),
            None => Err(header("grpc-status").unwrap_or_default()),
        }
    }

    async fn ended(self) {
        let Self { sender, connection } = self;
        tokio::time::timeout(PATIENCE, connection).await.expect("an end in time").expect("no panic");
        drop(sender);
    }
}

/// gRPC's UNAUTHENTICATED and UNIMPLEMENTED.
const WHO: &str = "16";
const NOT_HERE: &str = "12";

fn said(id: &str) -> Said {
    Ok(id.to_owned())
}

fn refused(code: &str) -> Said {
    Err(code.to_owned())
}

#[tokio::test]
async fn a_token_says_whose_supervisor_it_is_and_nothing_else_lets_anybody_in() {
    let home = TempDir::new().expect("a directory");
    let gateway = Gateway::start(home.path()).await;
    let ca = home.path().join("sandbox-ca.crt");
    let (a, b) = (gateway.fresh("a"), gateway.fresh("b"));
    let mut first = gateway.supervisor(&ca).await;
    assert_eq!(first.ask(CONNECT, &a).await, said("a"));
    assert_eq!(first.ask(CONNECT, &b).await, refused(WHO), "the connection is the one's by now");
    assert_eq!(first.ask(CONNECT, &a).await, said("a"), "and stays it");
    let old = gateway.expired("b");
    for (what, token) in [("expired", old), ("gone", gateway.fresh("c")), ("spoilt", format!("{b}A"))] {
        // Each is held back, and a stranger has little time.
        let mut stranger = gateway.supervisor(&ca).await;
        assert_eq!(stranger.ask(CONNECT, &token).await, refused(WHO), "{what}");
    }
    let mut second = gateway.supervisor(&ca).await;
    assert_eq!(second.ask("/openshell.v1.OpenShell/ListSandboxes", &b).await, refused(NOT_HERE));
    assert_eq!(second.ask("/healthz", &b).await, refused(NOT_HERE));
    assert_eq!(second.ask(CONNECT, &b).await, said("b"));

    // A sandbox that goes takes its supervisor's connections with it, and no other's.
    gateway.roll.remove("a");
    first.ended().await;
    assert_eq!(second.ask(CONNECT, &b).await, said("b"));
    let mut late = gateway.supervisor(&ca).await;
    assert_eq!(late.ask(CONNECT, &a).await, refused(WHO));
}

#[tokio::test]
async fn nothing_but_http2_over_tls_1_3_is_spoken() {
    let home = TempDir::new().expect("a directory");
    let gateway = Gateway::start(home.path()).await;
    let ca = home.path().join("sandbox-ca.crt");
    let old = client_of(&[&rustls::version::TLS12], &ca, None);
    gateway.tls(old, "localhost").await.expect_err("TLS 1.2");
    let mut other = client(&ca, None);
    other.alpn_protocols = vec![b"http/1.1".to_vec()];
    gateway.tls(other, "localhost").await.expect_err("HTTP/1.1");
    let mut none = client(&ca, None);
    none.alpn_protocols = Vec::new();
    // The client is done before the server has judged.
    if let Ok(stream) = gateway.tls(none, "localhost").await {
        ask_http1(stream).await.expect_err("no protocol");
    }
    ask_http1(gateway.tcp().await).await.expect_err("plain HTTP");
}

#[tokio::test]
async fn another_gateway_or_host_is_not_believed_and_a_restart_is() {
    let home = TempDir::new().expect("a directory");
    let (ours, theirs) = (home.path().join("ours"), home.path().join("theirs"));
    for dir in [&ours, &theirs] {
        fs::create_dir(dir).expect("a directory");
    }
    let ca = ours.join("sandbox-ca.crt");
    let first = Gateway::start(&ours).await;
    let token = first.fresh("a");
    let before = fs::read(&ca).expect("the CA");
    drop(first);
    let second = Gateway::start(&ours).await;
    assert_eq!(fs::read(&ca).expect("the CA"), before);
    assert_eq!(second.supervisor(&ca).await.ask(CONNECT, &token).await, said("a"));

    let other = Gateway::start(&theirs).await;
    let error = other.tls(client(&ca, None), "localhost").await.expect_err("another CA");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    let error = second.tls(client(&ca, None), "elsewhere").await.expect_err("another host");
    assert!(error.to_string().contains("certificate"), "{error}");
    second.tls(client(&ca, None), "127.0.0.1").await.expect_err("what nobody said that sandboxes dial");
}

#[tokio::test]
async fn who_shows_no_good_token_is_shown_out_whatever_they_do_and_a_supervisor_is_not() {
    let home = TempDir::new().expect("a directory");
    let gateway = Gateway::start(home.path()).await;
    let ca = home.path().join("sandbox-ca.crt");
    let mut known = gateway.supervisor(&ca).await;
    assert_eq!(known.ask(CONNECT, &gateway.fresh("a")).await, said("a"));
    // One says nothing at all, one begins a handshake and waits, one asks.
    let mut silent = gateway.tcp().await;
    let mut slow = gateway.tcp().await;
    slow.write_all(&[0x16, 0x03, 0x01]).await.expect("sent");
    let mut stranger = gateway.supervisor(&ca).await;
    assert_eq!(stranger.ask(CONNECT, "osb1.x.y").await, refused(WHO));
    for stream in [&mut silent, &mut slow] {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("in time");
        assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    }
    stranger.ended().await;
    assert_eq!(known.ask(CONNECT, &gateway.fresh("a")).await, said("a"));
}

#[tokio::test]
async fn a_sandbox_that_dials_without_end_keeps_no_other_out() {
    let home = TempDir::new().expect("a directory");
    let gateway = Gateway::start(home.path()).await;
    let ca = home.path().join("sandbox-ca.crt");
    let mut other = gateway.supervisor(&ca).await;
    assert_eq!(other.ask(CONNECT, &gateway.fresh("b")).await, said("b"));
    let mut connections = Vec::new();
    for _ in 0..3 {
        let mut connection = gateway.supervisor(&ca).await;
        assert_eq!(connection.ask(CONNECT, &gateway.fresh("a")).await, said("a"));
        connections.push(connection);
    }
    // Two are as many as one may have.
    connections.remove(0).ended().await;
    assert!(connections.iter().all(|connection| !connection.sender.is_closed()));
    assert_eq!(other.ask(CONNECT, &gateway.fresh("b")).await, said("b"));
}

#[test]
fn a_ca_that_cannot_be_used_is_said() {
    let home = TempDir::new().expect("a directory");
    let load = || SandboxIdentity::load_or_create(home.path(), "gateway.example");
    let (cert, key) = (home.path().join("sandbox-ca.crt"), home.path().join("sandbox-ca.key"));
    let made = load().expect("made");
    assert!(made.ca.contains("BEGIN CERTIFICATE") && !made.ca.contains("PRIVATE"));
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o7777;
    assert_eq!((mode(&key), mode(&cert)), (0o600, 0o644));
    assert_eq!(load().expect("there").ca, made.ca);

    fs::set_permissions(&key, Permissions::from_mode(0o640)).expect("its mode");
    assert!(matches!(load(), Err(CertsError::OpenKey { mode: 0o640, .. })));
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("its mode");
    fs::write(&cert, "no PEM").expect("a file");
    assert!(matches!(load(), Err(CertsError::Foreign { .. })));
    fs::remove_file(&cert).expect("it was there");
    assert!(matches!(load(), Err(CertsError::Half { .. })));
    fs::remove_file(&key).expect("it was there");
    assert_ne!(load().expect("made anew").ca, made.ca);
    assert!(matches!(
        SandboxIdentity::load_or_create(home.path(), "no host"),
        Err(CertsError::Name { of: "host", .. })
    ));
}
