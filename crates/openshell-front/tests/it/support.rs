//! What the tests share: a server with a small service, clients of it, and certificates.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use openshell_front::certs::{self, Made};
use openshell_front::{DoorCounters, Entrance, Guest, Limits, Peer, Tls, TlsFiles, serve};
use openshell_uds::PeerPolicy;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

/// Longer than anything here takes on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Answers every request with its peer, as far as the connection proves it; `/slow` once it is told to, `/stranger` never.
#[derive(Clone, Default)]
pub(crate) struct WhoAmI {
    pub(crate) asked: Arc<Notify>,
    pub(crate) go_on: Arc<Notify>,
    answers: Arc<AtomicUsize>,
}

impl WhoAmI {
    /// How many answers there were.
    pub(crate) fn answered(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }
}

impl Service<Request<Incoming>> for WhoAmI {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let this = self.clone();
        // Where it may be known who asks; `/stranger` is somebody whom nobody knows.
        if !request.uri().path().starts_with("/stranger") {
            request.extensions().get::<Guest>().expect("the guest").welcome();
        }
        Box::pin(async move {
            if request.uri().path() == "/stranger" {
                std::future::pending::<()>().await;
            }
            if request.uri().path() == "/slow" {
                this.asked.notify_one();
                this.go_on.notified().await;
            }
            let peer = request.extensions().get::<Peer>().expect("the peer");
            let said = match peer {
                Peer::Unix(peer) => format!("unix {}", peer.uid),
                Peer::Tcp { .. } => "tcp".to_owned(),
                Peer::Tls { certificate: None, .. } => "tls".to_owned(),
                Peer::Tls { certificate: Some(shown), .. } => format!("tls {}", shown.names.join(",")),
            };
            this.answers.fetch_add(1, Ordering::Relaxed);
            Ok(Response::new(Full::new(Bytes::from(said))))
        })
    }
}

/// A server on loopback, with or without TLS, and on a Unix socket; dropped, it is gone.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) socket: PathBuf,
    pub(crate) tcp: Arc<DoorCounters>,
    pub(crate) service: WhoAmI,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
    _home: TempDir,
}

impl Server {
    pub(crate) async fn start(tls: Option<Tls>, limits: Limits) -> Self {
        let home = TempDir::new().expect("a directory");
        let socket = home.path().join("s");
        let unix = openshell_uds::bind(&socket).expect("a socket");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let tcp = Arc::new(DoorCounters::default());
        let entrances = vec![
            Entrance::unix(unix, PeerPolicy::default(), Arc::default()),
            match tls {
                Some(tls) => Entrance::tls(listener, tls, Arc::clone(&tcp)),
                None => Entrance::tcp(listener, Arc::clone(&tcp)),
            },
        ];
        let service = WhoAmI::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(entrances, service.clone(), async { drop(stopped.await) }, limits));
        Self { address, socket, tcp, service, stop: Some(stop), task, _home: home }
    }

    pub(crate) fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) async fn ended(self) {
        let ended = tokio::time::timeout(PATIENCE, self.task).await.expect("an end in time");
        ended.expect("no panic").expect("a clean end");
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connect")
    }

    pub(crate) async fn unix(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.expect("connect")
    }

    /// A TLS connection as `localhost`; with TLS 1.3 a refusal of the client's certificate comes with the first read.
    pub(crate) async fn tls(&self, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, self.tcp().await).await
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A connection of HTTP/2 that may ask several times.
pub(crate) struct Client(http2::SendRequest<Full<Bytes>>);

impl Client {
    pub(crate) async fn over<T>(stream: T) -> Result<Self, Failure>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    pub(crate) async fn ask(&mut self, path: &str) -> Result<String, Failure> {
        let request = Request::get(format!("http://localhost{path}")).body(Full::default())?;
        text(tokio::time::timeout(PATIENCE, self.0.send_request(request)).await??).await
    }
}

/// One request over HTTP/2 on a connection of its own.
pub(crate) async fn ask<T>(stream: T) -> Result<String, Failure>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Client::over(stream).await?.ask("/").await
}

/// One request over HTTP/1.1.
pub(crate) async fn ask_http1<T>(stream: T) -> Result<String, Failure>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get("/").header("host", "localhost").body(Full::<Bytes>::default())?;
    text(sender.send_request(request).await?).await
}

async fn text(answer: Response<Incoming>) -> Result<String, Failure> {
    let body = answer.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec())?)
}

/// Certificates of a CA of their own in `dir`, for these clients.
pub(crate) fn certificates(dir: &Path, clients: &[&str]) -> Made {
    let clients = clients.iter().map(ToString::to_string).collect();
    let request = certs::Request { dir: dir.to_owned(), hosts: Vec::new(), clients, days: 7, force: false };
    certs::generate(&request).expect("certificates")
}

/// The server's side; with `client_ca`, clients have to show a certificate of that CA.
pub(crate) fn files(made: &Made, client_ca: Option<&Path>) -> TlsFiles {
    TlsFiles {
        cert_path: made.cert.clone(),
        key_path: made.key.clone(),
        client_ca_path: client_ca.map(Path::to_owned),
        client_certificate_required: client_ca.is_some(),
    }
}

pub(crate) fn load(files: TlsFiles) -> Tls {
    Tls::load(files).expect("TLS")
}

fn chain(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path).expect("a file").map(|found| found.expect("PEM")).collect()
}

/// A client that trusts `ca` and shows what is in `shows`, a directory as [`certs::generate`] makes it for a client.
pub(crate) fn client(ca: &Path, shows: Option<&Path>) -> ClientConfig {
    client_of(rustls::DEFAULT_VERSIONS, ca, shows)
}

/// The same with these versions of TLS alone.
pub(crate) fn client_of(
    versions: &[&'static SupportedProtocolVersion],
    ca: &Path,
    shows: Option<&Path>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for root in chain(ca) {
        roots.add(root).expect("a CA");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match shows {
        None => builder.with_no_client_auth(),
        Some(dir) => {
            let key = PrivateKeyDer::from_pem_file(dir.join("tls.key")).expect("a key");
            builder.with_client_auth_cert(chain(&dir.join("tls.crt")), key).expect("a pair")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}
