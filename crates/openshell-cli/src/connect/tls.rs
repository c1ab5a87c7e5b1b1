//! TLS: whom to believe, what to show, the handshake.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::DialError;
use crate::endpoint::Endpoint;
use crate::target::Target;

/// What gRPC is spoken over (RFC 9113, section 3.2).
const ALPN: &[u8] = b"h2";

/// Whom to believe and what to show.
pub(super) fn config(target: &Target) -> Result<ClientConfig, DialError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(DialError::Setup)?
        .with_root_certificates(roots(target.ca.as_deref())?);
    let mut config = match &target.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates("certificate", certificate)?;
            builder
                .with_client_auth_cert(chain, private_key(key)?)
                .map_err(|error| bad("certificate or its key", certificate, error))?
        }
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// The handshake, in which the server's certificate is verified.
pub(super) async fn handshake(
    endpoint: &Endpoint,
    host: &str,
    config: ClientConfig,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, DialError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| DialError::NotAGateway { endpoint: endpoint.clone(), source: None })?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| DialError::of_handshake(endpoint, error))?;
    match stream.get_ref().1.alpn_protocol() {
        Some(protocol) if protocol != ALPN => {
            Err(DialError::NotAGateway { endpoint: endpoint.clone(), source: None })
        }
        // A server that does not say is taken at its first frame.
        _ => Ok(stream),
    }
}

/// The certificates that may vouch for the server.
fn roots(ca: Option<&Path>) -> Result<RootCertStore, DialError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in certificates("CA certificate", path)? {
                roots.add(certificate).map_err(|error| bad("CA certificate", path, error))?;
            }
        }
        None => {
            // A certificate of the system that cannot be read vouches for nobody; the others still do.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(DialError::NoRoots);
            }
        }
    }
    Ok(roots)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, DialError> {
    parse_certificates(what, path, &read(what, path)?)
}

fn parse_certificates(
    what: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, DialError> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| bad(what, path, error))?;
    if all.is_empty() { Err(bad(what, path, "no certificate in PEM form is in it")) } else { Ok(all) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, DialError> {
    PrivateKeyDer::from_pem_slice(&read("key", path)?).map_err(|error| bad("key", path, error))
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, DialError> {
    std::fs::read(path).map_err(|source| DialError::File { what, path: path.to_owned(), source })
}

fn bad(what: &'static str, path: &Path, why: impl ToString) -> DialError {
    DialError::BadFile { what, path: path.to_owned(), why: why.to_string() }
}

/// Reads a file that `gateway add` is to keep, after a look at what is in it.
pub(crate) fn check_ca(path: &Path) -> Result<Vec<u8>, DialError> {
    roots(Some(path))?;
    read("CA certificate", path)
}

/// The same for a certificate and its key, which have to belong together.
pub(crate) fn check_identity(certificate: &Path, key: &Path) -> Result<(Vec<u8>, Vec<u8>), DialError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(DialError::Setup)?
        .with_root_certificates(RootCertStore::empty())
        .with_client_auth_cert(certificates("certificate", certificate)?, private_key(key)?)
        .map_err(|error| bad("certificate or its key", certificate, error))?;
    Ok((read("certificate", certificate)?, read("key", key)?))
}
