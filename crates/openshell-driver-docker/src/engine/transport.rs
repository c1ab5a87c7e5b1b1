//! HTTP to an engine, on its Unix socket or behind a port, plain or over TLS: the transport that is put under the client
//! library, whose own would bring a connector of its own for each.
//!
//! One connection a request: a connection that an engine has closed meanwhile is never met. TLS sessions are resumed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::BollardRequest;
use bollard::errors::Error;
use http::header::{HOST, HeaderValue};
use http::{Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::address::{Tcp, TlsFiles};

/// How long a connection, with its handshake, may take to be there.
const CONNECT: Duration = Duration::from_secs(5);

/// A way to an engine.
#[derive(Clone)]
pub(super) struct Dialer {
    way: Way,
    host: HeaderValue,
}

#[derive(Clone)]
enum Way {
    Unix(PathBuf),
    Tcp { address: Tcp, tls: Option<(TlsConnector, ServerName<'static>)> },
}

impl Dialer {
    /// On a Unix socket.
    pub(super) fn unix(path: &Path) -> Self {
        // What a socket's path is to HTTP is nobody's business; some name there has to be (RFC 9112, section 3.2).
        Self { way: Way::Unix(path.to_owned()), host: HeaderValue::from_static("localhost") }
    }

    /// Behind a port. Reads the certificates.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub(super) fn tcp(address: &Tcp) -> Result<Self, String> {
        let tls = match &address.tls {
            None => None,
            Some(files) => {
                let config = client_config(files)?;
                let name = ServerName::try_from(address.host.clone())
                    .map_err(|_| format!("`{}` is no name that a certificate can have", address.host))?;
                Some((TlsConnector::from(Arc::new(config)), name))
            }
        };
        let host = HeaderValue::try_from(address.authority())
            .map_err(|_| format!("`{}` is no name of a host", address.host))?;
        Ok(Self { way: Way::Tcp { address: address.clone(), tls }, host })
    }

    /// Sends one request and gives the head of the answer; its body follows.
    pub(super) async fn request(&self, mut request: BollardRequest) -> Result<Response<Incoming>, Error> {
        // To the server itself a request names its path alone (RFC 9112, section 3.2.1).
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
        request.headers_mut().insert(HOST, self.host.clone());
        let connected = tokio::time::timeout(CONNECT, self.connect()).await;
        let stream = connected.unwrap_or_else(|_| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no connection within {} s", CONNECT.as_secs()),
            ))
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to the docker engine ended");
            }
        });
        Ok(sender.send_request(request).await?)
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match &self.way {
            Way::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Way::Tcp { address, tls } => {
                let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
                stream.set_nodelay(true)?;
                match tls {
                    None => Ok(Box::new(stream)),
                    Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), stream).await?)),
                }
            }
        }
    }
}

/// A connection, whatever is below it.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

fn client_config(files: &TlsFiles) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.ca)? {
        roots.add(certificate).map_err(|error| unusable(&files.ca, &error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let Some((certificate, key)) = &files.client else { return Ok(config.with_no_client_auth()) };
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    config.with_client_auth_cert(chain, private).map_err(|error| unusable(certificate, &error))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(format!("`{}` holds no certificate", path.display()))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unusable(path, &error)),
    }
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("`{}` cannot be used: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let root = tempfile::tempdir().expect("a directory");
        let ca = root.path().join("ca.pem");
        let new = || {
            let tls = Some(TlsFiles { ca: ca.clone(), client: None });
            Dialer::tcp(&Tcp { host: "engine".into(), port: 1, tls }).err().expect("a problem")
        };
        let shown = ca.display().to_string();
        assert!(new().starts_with(&format!("`{shown}` cannot be used: ")), "{}", new());
        std::fs::write(&ca, "").expect("a file");
        assert_eq!(new(), format!("`{shown}` holds no certificate"));
    }
}
