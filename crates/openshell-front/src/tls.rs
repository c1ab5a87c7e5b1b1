//! TLS for the TCP listener: the server's certificate, and what clients show of themselves.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use time::OffsetDateTime;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::files::Stamp;
use crate::{ClientCertificate, Peer, validity};

/// How often the files are looked at, at most.
const LOOK: Duration = Duration::from_secs(1);
/// How long before its end a certificate is worth a warning, and how often.
const SOON: time::Duration = time::Duration::days(14);
const REMIND: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the certificates are, in PEM (RFC 7468).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, with those between it and its CA after it.
    pub cert_path: PathBuf,
    /// Its private key.
    pub key_path: PathBuf,
    /// The CA whose certificates clients may show; `None`: they are not asked for one.
    pub client_ca_path: Option<PathBuf>,
    /// Whether a client without a certificate is hung up on.
    pub client_certificate_required: bool,
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {what} `{}`", path.display())]
    Unreadable {
        /// What is in it.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file does not have what it should.
    #[error("there is no {what} in `{}`", path.display())]
    Nothing {
        /// What should be in it.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
    },
    /// Others than the owner may read the key.
    #[error("the private key `{}` may be read by others (mode {mode:04o})", path.display())]
    OpenKey {
        /// Where it is.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The certificate and the key are no pair, or are of a kind that is not known.
    #[error("the certificate `{}` and the key `{}` cannot be used together", cert.display(), key.display())]
    Pair {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The client CA cannot be used.
    #[error("the client CA `{}` cannot be used", path.display())]
    ClientCa {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl TlsError {
    /// What to do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::OpenKey { path, .. } => vec![format!("chmod 600 {}", path.display())],
            Self::Nothing { .. } | Self::Pair { .. } => {
                vec![
                    "make a pair that fits: openshell-gateway generate-certs --dir DIR --host NAME"
                        .to_owned(),
                ]
            }
            Self::Unreadable { .. } | Self::ClientCa { .. } => Vec::new(),
        }
    }
}

/// The server's side of TLS. Clones share everything. Files that change are read anew, so that a certificate can be
/// renewed without a restart; while what they hold cannot be used, the last that could stays.
#[derive(Clone)]
pub struct Tls(Kind);

#[derive(Clone)]
enum Kind {
    /// For clients: whatever the files hold.
    Files(Arc<Shared>),
    /// For sandboxes: made by the gateway itself, and HTTP/2 alone.
    Sandboxes(Arc<ServerConfig>),
}

struct Shared {
    files: TlsFiles,
    state: Mutex<State>,
}

struct State {
    config: Arc<ServerConfig>,
    /// When the certificate ends.
    ends: Option<OffsetDateTime>,
    stamps: Vec<Option<Stamp>>,
    looked: Instant,
    reminded: Option<Instant>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Tls");
        if let Kind::Files(shared) = &self.0 {
            shown.field("files", &shared.files);
        }
        shown.finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let stamps = files.stamps();
        let (config, ends) = files.config()?;
        let mut state = State { config, ends, stamps, looked: Instant::now(), reminded: None };
        state.remind(&files.cert_path);
        Ok(Self(Kind::Files(Arc::new(Shared { files, state: Mutex::new(state) }))))
    }

    /// What sandboxes are answered with, which stays as it is.
    pub(crate) fn of_sandboxes(config: ServerConfig) -> Self {
        Self(Kind::Sandboxes(Arc::new(config)))
    }

    /// Answers a client's handshake.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        match &self.0 {
            Kind::Files(shared) => TlsAcceptor::from(shared.config()).accept(stream).await,
            Kind::Sandboxes(config) => {
                let stream = TlsAcceptor::from(Arc::clone(config)).accept(stream).await?;
                // Whoever offers other protocols alone has been refused; whoever offers none may speak anything.
                match stream.get_ref().1.alpn_protocol() {
                    Some(_) => Ok(stream),
                    None => {
                        Err(io::Error::new(io::ErrorKind::InvalidData, "no protocol was agreed on (ALPN)"))
                    }
                }
            }
        }
    }
}

impl Shared {
    fn config(&self) -> Arc<ServerConfig> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK {
            state.looked = Instant::now();
            let stamps = self.files.stamps();
            if stamps != state.stamps {
                match self.files.config() {
                    Ok((config, ends)) => {
                        tracing::info!(certificate = %self.files.cert_path.display(), "TLS certificates read anew");
                        (state.config, state.ends, state.reminded) = (config, ends, None);
                    }
                    Err(error) => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "TLS certificates changed and cannot be used; the former stay"
                        );
                    }
                }
                state.stamps = stamps;
            }
            state.remind(&self.files.cert_path);
        }
        Arc::clone(&state.config)
    }
}

impl State {
    /// Says that the certificate ends soon or has ended, once a day.
    fn remind(&mut self, path: &Path) {
        let Some(left) = self.ends.map(|ends| ends - OffsetDateTime::now_utc()) else { return };
        if left > SOON || self.reminded.is_some_and(|at| at.elapsed() < REMIND) {
            return;
        }
        self.reminded = Some(Instant::now());
        let path = path.display();
        if left.is_positive() {
            tracing::warn!(certificate = %path, days = left.whole_days(), "the TLS certificate ends soon");
        } else {
            tracing::error!(certificate = %path, "the TLS certificate has expired: clients that check it refuse it");
        }
    }
}

impl TlsFiles {
    fn stamps(&self) -> Vec<Option<Stamp>> {
        let paths = [Some(&self.cert_path), Some(&self.key_path), self.client_ca_path.as_ref()];
        let stamp = |path: &PathBuf| std::fs::metadata(path).ok().map(|found| Stamp::of(&found));
        paths.into_iter().flatten().map(stamp).collect()
    }

    /// The configuration, and when the server's certificate ends.
    fn config(&self) -> Result<(Arc<ServerConfig>, Option<OffsetDateTime>), TlsError> {
        let chain = certificates("the certificate", &self.cert_path)?;
        let ends = chain.first().and_then(|certificate| validity::ends(certificate));
        let key = private_key(&self.key_path)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pair =
            |source| TlsError::Pair { cert: self.cert_path.clone(), key: self.key_path.clone(), source };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(pair)?;
        let builder = match &self.client_ca_path {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let failed = |source| TlsError::ClientCa { path: path.clone(), source };
                let mut roots = RootCertStore::empty();
                for root in certificates("the client CA", path)? {
                    roots.add(root).map_err(|error| failed(error.into()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                let verifier = match self.client_certificate_required {
                    true => verifier,
                    false => verifier.allow_unauthenticated(),
                };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| failed(error.into()))?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A session that is resumed is not judged anew: for a day, a client would outlive its certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok((Arc::new(config), ends))
    }
}

/// The certificates of a PEM file, at least one.
fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { what, path: path.to_owned(), source };
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found =
        found.map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error.to_string())))?;
    if found.is_empty() {
        return Err(TlsError::Nothing { what: "certificate", path: path.to_owned() });
    }
    Ok(found)
}

/// The private key of a PEM file that its owner alone may read. Its group may, too, where that is how a service gets
/// at it.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    let unreadable = |source| TlsError::Unreadable { what: "the private key", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    if mode & 0o027 != 0 {
        return Err(TlsError::OpenKey { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|_| TlsError::Nothing { what: "private key", path: path.to_owned() })
}

/// What the client has shown, which the handshake has verified.
pub(crate) fn certificate_of(session: &ServerConnection) -> Option<Arc<ClientCertificate>> {
    let certificate = session.peer_certificates()?.first()?;
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest.as_ref());
    let parsed = webpki::EndEntityCert::try_from(certificate).ok();
    let names = parsed.iter().flat_map(|parsed| parsed.valid_dns_names()).map(str::to_ascii_lowercase);
    Some(Arc::new(ClientCertificate { fingerprint, names: names.collect() }))
}

/// Logs a handshake that failed. Whoever was refused for what they showed is worth a warning; the rest are port scans,
/// and clients that speak plain HTTP.
pub(crate) fn report(peer: &Peer, error: &io::Error) {
    let refused =
        error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some_and(|error| {
            matches!(error, rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)
        });
    if refused {
        tracing::warn!(%peer, %error, "refused a client whose certificate does not do");
    } else {
        tracing::debug!(%peer, %error, "a TLS handshake failed");
    }
}
