//! One connection to the endpoint, for one request: TCP, and TLS where the endpoint's scheme asks for it.
//!
//! By hand, since all that it takes is in every gateway already: a connector of a library would bring what finds a host's
//! certificates everywhere, and what tries many addresses at once, for a request in ten seconds.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::uri::{Scheme, Uri};
use http::{HeaderValue, Request, header};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where systems keep the certificates that they trust, the first that is there: Debian and Alpine, Fedora and RHEL,
/// openSUSE, and what OpenSSL falls back to (`X509_get_default_cert_file`).
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Either of the two kinds of a connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What connects to one endpoint.
pub(super) struct Connector {
    host: String,
    port: u16,
    /// What names the endpoint in a request (RFC 9110, section 7.2).
    authority: HeaderValue,
    /// The path and the query.
    target: Uri,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    /// For an endpoint whose configuration was checked; `bundle` has the certificates to trust in place of the system's.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn new(endpoint: &Uri, bundle: Option<&Path>) -> Result<Self, String> {
        let authority = endpoint.authority().ok_or("the endpoint names no host")?;
        // Without the brackets of an IPv6 address (RFC 3986, section 3.2.2), which are the URI's.
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = endpoint.scheme() == Some(&Scheme::HTTPS);
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let named = match authority.port() {
            Some(port) => format!("{}:{port}", authority.host()),
            None => authority.host().to_owned(),
        };
        let target = endpoint.path_and_query().map_or("/", |path| path.as_str());
        let tls = if is_tls {
            let name = ServerName::try_from(host.clone()).map_err(|_| "the endpoint's host is no name")?;
            Some((TlsConnector::from(Arc::new(config(bundle)?)), name))
        } else {
            None
        };
        Ok(Self {
            host,
            port,
            authority: HeaderValue::from_str(&named).map_err(|error| error.to_string())?,
            target: target.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?,
            tls,
        })
    }

    /// Posts a JSON document. Whatever is answered, is an answer.
    ///
    /// # Errors
    /// What went wrong, in two words: an endpoint's own may be anything.
    pub(super) async fn post(&self, document: Vec<u8>) -> Result<(), &'static str> {
        let request = Request::post(self.target.clone())
            .header(header::HOST, self.authority.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("openshell/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(document)))
            .map_err(|_| "not a request")?;
        let stream = self.connect().await.map_err(|_| "no connection")?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|_| "no connection")?;
        let answer = sender.send_request(request);
        tokio::pin!(answer, connection);
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            // Its end is the answer's, too, which may have come with the last bytes.
            _ = &mut connection => answer.await,
        };
        answer.map(|_| ()).map_err(|_| "the request failed")
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some((connector, name)) => Ok(Box::new(connector.connect(name.clone(), stream).await?)),
        }
    }
}

/// TLS, with the certificates of the system or of the operator.
fn config(bundle: Option<&Path>) -> Result<ClientConfig, String> {
    let system = || BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file());
    let path = bundle.map(Path::to_owned).or_else(system).ok_or(
        "this system has no root certificates where they are usually kept; SSL_CERT_FILE names a file with them",
    )?;
    let unreadable =
        |why: &dyn std::fmt::Display| format!("the root certificates `{}`: {why}", path.display());
    let certificates = CertificateDer::pem_file_iter(&path).map_err(|error| unreadable(&error))?;
    let mut roots = RootCertStore::empty();
    // One that cannot be read vouches for nobody; the others still do.
    roots.add_parsable_certificates(certificates.flatten());
    if roots.is_empty() {
        return Err(unreadable(&"there is no certificate in PEM form in it"));
    }
    // Named, not taken from the process: which provider is installed there is no business of a library.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| format!("the TLS provider supports no TLS version: {error}"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(endpoint: &str) -> Connector {
        Connector::new(&endpoint.parse().expect("a URL"), None).expect("a connector")
    }

    #[test]
    fn an_endpoint_is_taken_apart() {
        let plain = connector("http://collector:8080/a/b?c=d");
        assert_eq!((plain.host.as_str(), plain.port, plain.tls.is_none()), ("collector", 8080, true));
        assert_eq!(
            (plain.authority.as_bytes(), plain.target.to_string()),
            (&b"collector:8080"[..], "/a/b?c=d".into())
        );
        let six = connector("http://[::1]");
        assert_eq!((six.host.as_str(), six.port, six.authority.as_bytes()), ("::1", 80, &b"[::1]"[..]));
    }

    #[test]
    fn certificates_that_are_not_there_are_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("roots.pem");
        let told = |path: &Path| {
            let made = Connector::new(&"https://collector/".parse().expect("a URL"), Some(path));
            made.err().expect("no certificates")
        };
        let at = path.display();
        assert!(told(&path).starts_with(&format!("the root certificates `{at}`: ")), "{}", told(&path));
        std::fs::write(&path, "nothing").expect("write");
        assert_eq!(
            told(&path),
            format!("the root certificates `{at}`: there is no certificate in PEM form in it")
        );
    }
}
