//! Why a gateway could not be reached, by what can be done about it.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use openshell_uds::ConnectError;
use rustls::{AlertDescription, CertificateError};

use crate::endpoint::Endpoint;
use crate::error::Kind;
use crate::text;

/// Why a gateway could not be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// What the Unix socket says.
    #[error(transparent)]
    Unix(ConnectError),
    /// The host has no address.
    #[error("`{host}` has no address")]
    Unresolved {
        host: String,
        #[source]
        source: io::Error,
    },
    /// Nobody listens at the port.
    #[error("nobody listens at {endpoint}")]
    Refused { endpoint: Endpoint },
    /// There is no way there.
    #[error("cannot connect to {endpoint}")]
    Unreachable {
        endpoint: Endpoint,
        #[source]
        source: io::Error,
    },
    /// The token would go in clear over a network.
    #[error("`{host}` is {address}, which is not on this machine, and the token would go there in clear")]
    NotLoopback { host: String, address: IpAddr },
    /// A file cannot be read.
    #[error("cannot read {what} in `{path}`", path = path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file holds something else. The text of it is not shown: it may be a key.
    #[error("there is no usable {what} in `{path}`: {why}", path = path.display())]
    BadFile { what: &'static str, path: PathBuf, why: String },
    /// Nobody is believed here.
    #[error("this system has no certificates that could vouch for a gateway")]
    NoRoots,
    /// TLS itself cannot be set up.
    #[error("cannot set TLS up")]
    Setup(#[source] rustls::Error),
    /// The server's certificate is not good enough.
    #[error("the certificate of {endpoint} {distrust}")]
    Untrusted {
        endpoint: Endpoint,
        distrust: Distrust,
        #[source]
        source: rustls::Error,
    },
    /// The server wants another certificate, or one at all.
    #[error("{endpoint} refused the client's certificate")]
    ClientRefused {
        endpoint: Endpoint,
        /// What the handshake said, when it was then.
        #[source]
        source: Option<rustls::Error>,
    },
    /// Something else than TLS is spoken there.
    #[error("what listens at {endpoint} does not speak TLS")]
    NotTls { endpoint: Endpoint },
    /// The handshake broke.
    #[error("the TLS handshake with {endpoint} failed")]
    Handshake {
        endpoint: Endpoint,
        #[source]
        source: io::Error,
    },
    /// Another user's gateway, which hung up before it answered anything.
    #[error("the gateway of uid {owner} at `{path}` hung up", path = path.display())]
    HungUp {
        path: PathBuf,
        owner: u32,
        #[source]
        source: Option<tonic::transport::Error>,
    },
    /// Somebody, but no gateway.
    #[error("what listens at {endpoint} does not speak HTTP/2")]
    NotAGateway {
        endpoint: Endpoint,
        #[source]
        source: Option<tonic::transport::Error>,
    },
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distrust {
    /// Nobody who is believed has signed it.
    Issuer,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYet,
    /// It is for another host.
    Name,
    /// Anything else.
    Other,
}

impl std::fmt::Display for Distrust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Issuer => "is signed by nobody who is trusted here",
            Self::Expired => "has expired",
            Self::NotYet => "is not valid yet",
            Self::Name => "is for another name",
            Self::Other => "cannot be trusted",
        })
    }
}

impl Distrust {
    fn of(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Issuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYet,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::Name,
            _ => Self::Other,
        }
    }
}

/// Whether the other side has refused our certificate, or the lack of one.
pub(super) fn certificate_refused(error: &io::Error) -> bool {
    matches!(tls_error(error), Some(rustls::Error::AlertReceived(alert)) if is_certificate_alert(*alert))
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn is_certificate_alert(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

impl DialError {
    /// What a handshake that failed means.
    pub(super) fn of_handshake(endpoint: &Endpoint, error: io::Error) -> Self {
        let endpoint = endpoint.clone();
        match tls_error(&error) {
            Some(tls @ rustls::Error::InvalidCertificate(why)) => {
                Self::Untrusted { endpoint, distrust: Distrust::of(why), source: tls.clone() }
            }
            Some(rustls::Error::InvalidMessage(_)) => Self::NotTls { endpoint },
            Some(tls @ rustls::Error::AlertReceived(alert)) if is_certificate_alert(*alert) => {
                Self::ClientRefused { endpoint, source: Some(tls.clone()) }
            }
            _ => Self::Handshake { endpoint, source: error },
        }
    }

    /// Whether the gateway may only be late.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unix(ConnectError::Absent { .. } | ConnectError::Refused { .. }) | Self::Refused { .. }
        )
    }

    /// Its kind, which is the exit code.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Unix(ConnectError::Permission { .. } | ConnectError::WrongOwner { .. })
            | Self::HungUp { .. }
            | Self::ClientRefused { .. } => Kind::Denied,
            Self::Untrusted { .. } | Self::NoRoots | Self::NotLoopback { .. } => Kind::Untrusted,
            Self::File { .. } | Self::BadFile { .. } => Kind::Usage,
            Self::Setup(_) => Kind::Failure,
            Self::Unix(_)
            | Self::Unresolved { .. }
            | Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::NotTls { .. }
            | Self::Handshake { .. }
            | Self::NotAGateway { .. } => Kind::Unavailable,
        }
    }

    /// What to do.
    pub(crate) fn hints(&self) -> Vec<String> {
        let one = |hint: &str| vec![hint.to_owned()];
        match self {
            Self::Unix(error) => unix_hints(error),
            Self::Unresolved { .. } => one("check the host of the gateway: openshell gateway show"),
            Self::Refused { .. } => vec![
                "start a gateway there, or check the port: openshell gateway show".to_owned(),
                "or name another gateway with --gateway or OPENSHELL_GATEWAY".to_owned(),
            ],
            Self::Unreachable { .. } => one("check the network, and the endpoint: openshell gateway show"),
            Self::NotLoopback { .. } => one("name it 127.0.0.1, or use TLS: https://HOST:PORT"),
            Self::File { path, .. } => vec![format!("check the file: ls -l {}", text::quoted(path))],
            Self::BadFile { .. } => {
                one("give the file anew: openshell gateway remove NAME; openshell gateway add NAME …")
            }
            Self::NoRoots => one("name whom to trust: openshell gateway add NAME --endpoint … --ca FILE"),
            Self::Untrusted { distrust, .. } => distrust_hints(*distrust),
            Self::ClientRefused { .. } => one(
                "show a certificate of the gateway's client CA: openshell gateway add NAME --endpoint … --ca FILE --cert FILE --key FILE",
            ),
            Self::HungUp { .. } => vec![format!(
                "it does that to users whom it does not know; its owner lets you in: uids = [{}] in [openshell.gateway.identities.NAME]",
                rustix::process::geteuid().as_raw()
            )],
            Self::NotTls { endpoint } => {
                vec![format!(
                    "if it is on this machine: {}",
                    endpoint.to_string().replacen("https", "http", 1)
                )]
            }
            Self::NotAGateway { endpoint: Endpoint::Tcp { tls: false, .. }, .. } => one(
                "if it serves TLS, its endpoint begins with https://; else check the port: openshell gateway show",
            ),
            Self::NotAGateway { endpoint: Endpoint::Tcp { .. }, .. } => {
                one("check the endpoint: openshell gateway show")
            }
            Self::NotAGateway { endpoint: Endpoint::Unix(_), .. } => {
                one("name the gateway's socket: openshell --gateway-socket /path/to/gateway.sock status")
            }
            Self::Handshake { .. } => one("look at the gateway's log; it may ask for another version of TLS"),
            Self::Setup(_) => Vec::new(),
        }
    }
}

fn distrust_hints(distrust: Distrust) -> Vec<String> {
    let clock = format!("or this machine's clock is wrong: it says {}", text::time(text::now_ms()));
    match distrust {
        Distrust::Issuer => {
            vec!["name its CA: openshell gateway add NAME --endpoint … --ca FILE".to_owned()]
        }
        Distrust::Expired => {
            vec!["the gateway needs a new one: openshell-gateway generate-certs".to_owned(), clock]
        }
        Distrust::NotYet => vec![clock.replacen("or this", "most likely this", 1)],
        Distrust::Name => {
            vec!["use the name it is for, or make one with this name: openshell-gateway generate-certs --dir DIR --host NAME".to_owned()]
        }
        Distrust::Other => Vec::new(),
    }
}

/// What to do when the socket cannot be dialled, in the words of this program's own options.
fn unix_hints(error: &ConnectError) -> Vec<String> {
    match error {
        ConnectError::Absent { path } | ConnectError::Refused { path } => vec![
            format!("start a gateway: openshell-gateway --listen-socket {}", text::quoted(path)),
            "or name another gateway's socket with --gateway-socket or OPENSHELL_GATEWAY_SOCKET".to_owned(),
        ],
        ConnectError::Busy { .. } => vec!["try again, or look at the gateway's log".to_owned()],
        ConnectError::WrongOwner { peer, .. } => {
            vec![format!("if you trust that user: openshell --trust-uid {} status", peer.uid)]
        }
        other => other.hint().into_iter().collect(),
    }
}
