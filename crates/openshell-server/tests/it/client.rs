//! A client of one call: HTTP/2 to any of the gateway's listeners, with whatever a test wants to show there.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where to, and what is shown on the way.
#[derive(Debug, Clone)]
pub(crate) enum Channel {
    Unix(PathBuf),
    Tcp(SocketAddr),
    /// TLS against the CA of a folder of `generate-certs`, for the host `localhost`; with the certificate of a folder of
    /// one of its clients.
    Tls {
        address: SocketAddr,
        ca: PathBuf,
        client: Option<PathBuf>,
    },
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) http: u16,
    /// `grpc-status`, wherever it was.
    pub(crate) grpc: Option<u32>,
    pub(crate) message: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A unary gRPC call with an empty message, such as `/openshell.v1.OpenShell/Health`.
pub(crate) fn call(channel: &Channel, path: &str, metadata: &[(&str, &str)]) -> Result<Answer, String> {
    call_with(channel, path, metadata, &[])
}

/// The same with a message, encoded.
pub(crate) fn call_with(
    channel: &Channel,
    path: &str,
    metadata: &[(&str, &str)],
    message: &[u8],
) -> Result<Answer, String> {
    send(channel, grpc(path, metadata, message), &|| ())
}

fn grpc(path: &str, metadata: &[(&str, &str)], message: &[u8]) -> Request<Full<Bytes>> {
    let request = Request::post(format!("http://localhost{path}")).header("content-type", "application/grpc");
    let request = metadata.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    // Not compressed, its length, itself.
    let length = u32::try_from(message.len()).expect("less than 4 GiB").to_be_bytes();
    let body = [&[0], &length[..], message].concat();
    request.body(Full::from(body)).expect("a request")
}

/// Opens a stream, `grpc.health.v1.Health/Watch`, says once it has its first message, and reads it to its end.
pub(crate) fn watch_health(
    channel: &Channel,
    metadata: &[(&str, &str)],
    begun: &std::sync::mpsc::Sender<()>,
) -> Result<Answer, String> {
    let request = grpc("/grpc.health.v1.Health/Watch", metadata, &[]);
    send(channel, request, &|| begun.send(()).expect("a test that waits"))
}

/// A GET, such as `/healthz`.
pub(crate) fn get(channel: &Channel, path: &str, headers: &[(&str, &str)]) -> Result<Answer, String> {
    let request = Request::get(format!("http://localhost{path}"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    send(channel, request.body(Full::default()).expect("a request"), &|| ())
}

/// Sends a request on a connection of its own, calls `begun` at the first piece of its answer, and reads that to the end.
fn send(channel: &Channel, request: Request<Full<Bytes>>, begun: &dyn Fn()) -> Result<Answer, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let exchanged = async {
        match channel {
            Channel::Unix(path) => {
                exchange(UnixStream::connect(path).await.map_err(text)?, request, begun).await
            }
            Channel::Tcp(address) => {
                exchange(TcpStream::connect(address).await.map_err(text)?, request, begun).await
            }
            Channel::Tls { address, ca, client } => {
                let tcp = TcpStream::connect(address).await.map_err(text)?;
                let connector = TlsConnector::from(Arc::new(tls(ca, client.as_deref())));
                let host = ServerName::try_from("localhost").map_err(text)?;
                exchange(connector.connect(host, tcp).await.map_err(text)?, request, begun).await
            }
        }
    };
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, exchanged).await });
    answer.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    begun: &dyn Fn(),
) -> Result<Answer, String> {
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(text)?;
    tokio::spawn(connection);
    let (head, mut body) = sender.send_request(request).await.map_err(text)?.into_parts();
    let (mut bytes, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        match frame.map_err(text)?.into_data() {
            Ok(data) => {
                begun();
                bytes.extend_from_slice(&data);
            }
            Err(other) => trailers.extend(other.into_trailers().unwrap_or_default()),
        }
    }
    let grpc = |name: &str| {
        let value = trailers.get(name).or_else(|| head.headers.get(name))?;
        Some(value.to_str().unwrap_or_default().to_owned())
    };
    Ok(Answer {
        http: head.status.as_u16(),
        grpc: grpc("grpc-status").and_then(|status| status.parse().ok()),
        message: grpc("grpc-message").unwrap_or_default(),
        body: bytes.into(),
        headers: head.headers,
    })
}

fn tls(ca: &Path, client: Option<&Path>) -> ClientConfig {
    let certificates = |path: PathBuf| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_file_iter(path).expect("PEM").collect::<Result<_, _>>().expect("certificates")
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca.join("ca.crt")) {
        roots.add(certificate).expect("a CA");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(dir) => {
            let key = PrivateKeyDer::from_pem_file(dir.join("tls.key")).expect("a key");
            builder.with_client_auth_cert(certificates(dir.join("tls.crt")), key).expect("a certificate")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// An error with its causes, for a look at which refusal it was.
fn text(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
