//! Who is at the other end of a connection, and what that makes of them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use openshell_uds::PeerCredentials;

/// The other end of a connection, as far as the connection itself proves it. Every request carries it as an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A process on this host, by the credentials that the kernel gives (`SO_PEERCRED`, unix(7)).
    Unix(PeerCredentials),
    /// Anybody who reaches the port.
    Tcp {
        /// Where they come from.
        address: SocketAddr,
    },
    /// The same over TLS.
    Tls {
        /// Where they come from.
        address: SocketAddr,
        /// What they showed, verified against the client CA; `None` for a client that showed nothing.
        certificate: Option<Arc<ClientCertificate>>,
    },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(peer) => peer.fmt(f),
            Self::Tcp { address } => write!(f, "tcp {address}"),
            Self::Tls { address, .. } => write!(f, "tls {address}"),
        }
    }
}

/// A client's certificate that the client CA has signed and that is valid now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// SHA-256 of its DER form.
    pub fingerprint: [u8; 32],
    /// Its DNS names (RFC 5280, section 4.2.1.6), in lower case.
    pub names: Vec<String>,
}

/// What somebody may do; each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Look.
    Read,
    /// Look, make, use and remove sandboxes.
    Use,
    /// Everything.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Use => "use",
            Self::Admin => "admin",
        })
    }
}

/// Who asks, once that is established. Requests that reach the gateway's services carry it as an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name in the configuration, or `owner`, `token`, `anonymous`.
    pub name: Arc<str>,
    /// What they may do.
    pub role: Role,
}
