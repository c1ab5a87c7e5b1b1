//! Certificates for those who have no authority of their own: a CA, a server's, and one for each client.
//!
//! ```text
//!   DIR/ca.crt  ca.key                     the authority; whoever has its key can be anybody
//!   DIR/tls.crt tls.key                    the gateway's
//!   DIR/clients/NAME/ca.crt tls.crt tls.key   what a client needs, and nothing else
//! ```

mod authority;
mod sandboxes;

use std::fs::{self, DirBuilder};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType};
use time::{Duration, OffsetDateTime};

use crate::files;
use authority::Authority;
pub use sandboxes::SandboxIdentity;

/// How far back certificates are valid, for hosts whose clocks differ.
const BACK: Duration = Duration::hours(1);
/// What the authority calls itself.
const AUTHORITY: &str = "OpenShell gateway CA";
/// How long the authority lasts, in days; what it signs ends before it does.
const CA_DAYS: u32 = 3650;
/// The hosts of a gateway that nobody reaches from outside.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to.
    pub dir: PathBuf,
    /// The DNS names and IP addresses by which clients reach the gateway, besides those of this host alone.
    pub hosts: Vec<String>,
    /// The names of clients; each is the DNS name in its certificate.
    pub clients: Vec<String>,
    /// How many days certificates are valid.
    pub days: u32,
    /// Make anew what is there, but for the authority.
    pub force: bool,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The gateway's.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The name of each client and the directory with what it needs.
    pub clients: Vec<(String, PathBuf)>,
    /// The files that were written.
    pub written: Vec<PathBuf>,
    /// The certificates that were there and were left alone.
    pub kept: Vec<PathBuf>,
}

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertsError {
    /// Not a name.
    #[error("`{name}` cannot be the name of a {of}")]
    Name {
        /// What was given.
        name: String,
        /// Of what.
        of: &'static str,
    },
    /// Not a number of days.
    #[error("certificates cannot be valid for {0} days")]
    Days(u32),
    /// A file or directory cannot be read or written.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Half of a pair is there.
    #[error("`{}` is there, and `{}` is not", there.display(), missing.display())]
    Half {
        /// What is there.
        there: PathBuf,
        /// What is not.
        missing: PathBuf,
    },
    /// The authority that is there was not made here, or its key is another's.
    #[error("the authority `{}` was not made by this program, or its key is another's", path.display())]
    Foreign {
        /// Its certificate.
        path: PathBuf,
    },
    /// The authority that is there has ended.
    #[error("the authority `{}` has expired", path.display())]
    Expired {
        /// Its certificate.
        path: PathBuf,
    },
    /// Others than the owner may read the authority's key.
    #[error("the private key `{}` may be read by others (mode {mode:04o})", path.display())]
    OpenKey {
        /// Where it is.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// TLS cannot be served with a certificate that was just made.
    #[error("cannot serve TLS")]
    Serve(#[from] rustls::Error),
}

impl CertsError {
    /// What to do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Name { of: "client", .. } => {
                vec!["a client's name has lower-case letters, digits, `-` and `.`".to_owned()]
            }
            Self::Name { .. } => {
                vec!["give a DNS name or an IP address, without a port or a scheme".to_owned()]
            }
            Self::Days(_) => vec![format!("1 to {}: as long as the authority lasts", CA_DAYS - 1)],
            Self::Half { there, .. } => {
                vec![format!("put the missing file back, or remove `{}`", there.display())]
            }
            Self::Expired { path } => vec![format!(
                "make a new one, and give it to all clients: remove `{}` and its key",
                path.display()
            )],
            Self::Foreign { .. } => {
                vec!["take another directory, or sign with that authority's own tools".to_owned()]
            }
            Self::OpenKey { path, .. } => vec![format!("chmod 600 {}", path.display())],
            Self::File { .. } | Self::Make(_) | Self::Serve(_) => Vec::new(),
        }
    }
}

/// Makes what is missing. An authority that is there signs what is new, so that a client can be added later; other
/// certificates that are there stay, unless `force`. Keys are their owner's alone.
///
/// # Errors
/// [`CertsError`]; what was written before stays and is taken up by the next call.
pub fn generate(request: &Request) -> Result<Made, CertsError> {
    if request.days == 0 || request.days >= CA_DAYS {
        return Err(CertsError::Days(request.days));
    }
    let hosts = hosts(&request.hosts)?;
    for client in &request.clients {
        if !is_client_name(client) {
            return Err(CertsError::Name { name: client.clone(), of: "client" });
        }
    }
    let mut work = Work { request, ends: None, written: Vec::new(), kept: Vec::new() };
    directory(&request.dir)?;
    let ca = Pair::named(&request.dir, "ca");
    let issuer = work.authority(&ca)?;
    let server = Pair::named(&request.dir, "tls");
    work.leaf(&server, &issuer, "openshell-gateway", hosts, ExtendedKeyUsagePurpose::ServerAuth)?;
    let mut clients = Vec::new();
    for name in &request.clients {
        let dir = request.dir.join("clients").join(name);
        directory(&dir)?;
        let dns = SanType::DnsName(name.as_str().try_into()?);
        work.leaf(&Pair::named(&dir, "tls"), &issuer, name, vec![dns], ExtendedKeyUsagePurpose::ClientAuth)?;
        work.copy(&ca.cert, &dir.join("ca.crt"))?;
        clients.push((name.clone(), dir));
    }
    let Work { written, kept, .. } = work;
    Ok(Made { ca: ca.cert, cert: server.cert, key: server.key, clients, written, kept })
}

/// The names of the server, each once.
fn hosts(given: &[String]) -> Result<Vec<SanType>, CertsError> {
    let mut names = Vec::new();
    for given in given.iter().map(String::as_str).chain(LOCAL) {
        let name = host(given)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// A name or an address, as a certificate has it.
fn host(host: &str) -> Result<SanType, CertsError> {
    let refused = || CertsError::Name { name: host.to_owned(), of: "host" };
    match host.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) if is_host_name(host) => Ok(SanType::DnsName(host.try_into().map_err(|_| refused())?)),
        Err(_) => Err(refused()),
    }
}

/// A host name (RFC 1123, section 2.1), its first label perhaps `*`.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=63).contains(&label.len())
            && label.chars().all(good)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let labels = name.strip_prefix("*.").unwrap_or(name);
    // What looks like an address and is none would be a host that nobody can reach.
    let last_is_number =
        labels.rsplit('.').next().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
    name.len() <= 253 && labels.split('.').all(label) && !last_is_number
}

/// It is a host name and one directory's name at once.
fn is_client_name(name: &str) -> bool {
    is_host_name(name) && !name.starts_with('*') && !name.chars().any(|c| c.is_ascii_uppercase())
}

/// A certificate's file and its key's.
struct Pair {
    cert: PathBuf,
    key: PathBuf,
}

impl Pair {
    fn named(dir: &Path, stem: &str) -> Self {
        Self { cert: dir.join(format!("{stem}.crt")), key: dir.join(format!("{stem}.key")) }
    }

    /// Whether both are there; one alone is an error.
    fn is_there(&self) -> Result<bool, CertsError> {
        let half = |there: &Path, missing: &Path| {
            Err(CertsError::Half { there: there.to_owned(), missing: missing.to_owned() })
        };
        match (self.cert.exists(), self.key.exists()) {
            (true, false) => half(&self.cert, &self.key),
            (false, true) => half(&self.key, &self.cert),
            (there, _) => Ok(there),
        }
    }

    /// Writes both, the key first and its owner's alone.
    fn write(&self, certificate: &str, key: &KeyPair) -> Result<(), CertsError> {
        write(&self.key, key.serialize_pem().as_bytes(), 0o600)?;
        write(&self.cert, certificate.as_bytes(), 0o644)
    }
}

struct Work<'a> {
    request: &'a Request,
    /// When the authority ends, if it was there.
    ends: Option<OffsetDateTime>,
    written: Vec<PathBuf>,
    kept: Vec<PathBuf>,
}

impl Work<'_> {
    fn authority(&mut self, pair: &Pair) -> Result<Issuer<'static, KeyPair>, CertsError> {
        let authority = Authority::load_or_create(pair, AUTHORITY, &rcgen::PKCS_ECDSA_P256_SHA256)?;
        if authority.is_new {
            self.written.extend([pair.key.clone(), pair.cert.clone()]);
        } else {
            self.kept.push(pair.cert.clone());
        }
        self.ends = authority.ends;
        Ok(authority.issuer)
    }

    fn leaf(
        &mut self,
        pair: &Pair,
        issuer: &Issuer<'_, KeyPair>,
        name: &str,
        names: Vec<SanType>,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<(), CertsError> {
        if !self.request.force && pair.is_there()? {
            self.kept.push(pair.cert.clone());
            return Ok(());
        }
        let key = KeyPair::generate()?;
        let mut params = leaf(name, names, usage);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(i64::from(self.request.days));
        // A certificate is worth nothing without its authority's.
        params.not_after = self.ends.map_or(params.not_after, |ends| ends.min(params.not_after));
        pair.write(&params.signed_by(&key, issuer)?.pem(), &key)?;
        self.written.extend([pair.key.clone(), pair.cert.clone()]);
        Ok(())
    }

    fn copy(&mut self, from: &Path, to: &Path) -> Result<(), CertsError> {
        let text = read(from)?;
        if fs::read_to_string(to).is_ok_and(|there| there == text) {
            return Ok(());
        }
        write(to, text.as_bytes(), 0o644)?;
        self.written.push(to.to_owned());
        Ok(())
    }
}

/// What everybody's certificate has that is no authority's; it is valid until the caller says otherwise.
fn leaf(name: &str, names: Vec<SanType>, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = params(name, CA_DAYS);
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CertsError> {
    let failed = |source| CertsError::File { action: "write", path: path.to_owned(), source };
    files::replace(path, bytes, mode).map_err(failed)
}

fn params(name: &str, days: u32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BACK;
    params.not_after = now + Duration::days(i64::from(days));
    params
}

fn read(path: &Path) -> Result<String, CertsError> {
    let failed = |source| CertsError::File { action: "read", path: path.to_owned(), source };
    fs::read_to_string(path).map_err(failed)
}

fn directory(path: &Path) -> Result<(), CertsError> {
    let failed = |source| CertsError::File { action: "make the directory", path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)
}
