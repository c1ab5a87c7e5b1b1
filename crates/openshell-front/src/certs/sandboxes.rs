//! By what sandboxes on other hosts know their gateway: an authority of its own, which is kept, and a certificate that is
//! made anew at every start and whose key is nowhere but in memory.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rcgen::{ExtendedKeyUsagePurpose, KeyPair, SignatureAlgorithm};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use time::{Duration, OffsetDateTime};

use super::authority::Authority;
use super::{CA_DAYS, CertsError, Pair, host, leaf};
use crate::Tls;

/// The stem of the authority's files.
const STEM: &str = "sandbox-ca";
/// What it calls itself.
const AUTHORITY: &str = "OpenShell sandbox CA";
/// How everything is signed: for P-256 a supervisor would need tables of 150 KB.
static SIGNED: &SignatureAlgorithm = &rcgen::PKCS_ED25519;
/// How long before its end it is worth a warning: sandboxes that last longer than it does have to be made anew.
const SOON: Duration = Duration::days(90);

/// The gateway as its sandboxes know it.
#[derive(Debug, Clone)]
pub struct SandboxIdentity {
    /// Its side of TLS: 1.3 alone, and HTTP/2 in it.
    pub tls: Tls,
    /// The authority's certificate, as PEM, which is what a sandbox believes.
    pub ca: String,
}

impl SandboxIdentity {
    /// Signs a certificate for the gateway at `host`, a name or an IP address, by the authority in the files `sandbox-ca.crt`
    /// and `sandbox-ca.key` of `dir`; these are made where they are missing, the key 0600.
    ///
    /// # Errors
    /// [`CertsError`]: a file is missing, broken, another's or open to others, or the authority has expired.
    pub fn load_or_create(dir: &Path, host_name: &str) -> Result<Self, CertsError> {
        let pair = Pair::named(dir, STEM);
        private(&pair.key)?;
        let authority = Authority::load_or_create(&pair, AUTHORITY, SIGNED)?;
        if let Some(left) = authority.ends.map(|ends| ends - OffsetDateTime::now_utc())
            && left < SOON
        {
            tracing::warn!(
                authority = %pair.cert.display(),
                days = left.whole_days(),
                "the CA of the sandboxes ends soon; remove it and its key, and make the sandboxes anew"
            );
        }
        let key = KeyPair::generate_for(SIGNED)?;
        let mut params =
            leaf("openshell-gateway", vec![host(host_name)?], ExtendedKeyUsagePurpose::ServerAuth);
        // A gateway may run for as long as there are sandboxes that believe it.
        let longest = OffsetDateTime::now_utc() + Duration::days(i64::from(CA_DAYS));
        params.not_after = authority.ends.unwrap_or(longest);
        let certificate = params.signed_by(&key, &authority.issuer)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?;
        let mut config =
            builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A supervisor keeps its connection; nothing is resumed, and nothing is kept for it.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { tls: Tls::of_sandboxes(config), ca: authority.certificate })
    }
}

/// Refuses a key that others than its owner may read.
fn private(path: &Path) -> Result<(), CertsError> {
    match std::fs::metadata(path) {
        Ok(found) => match found.permissions().mode() & 0o7777 {
            mode if mode & 0o077 == 0 => Ok(()),
            mode => Err(CertsError::OpenKey { path: path.to_owned(), mode }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(CertsError::File { action: "read", path: path.to_owned(), source }),
    }
}
