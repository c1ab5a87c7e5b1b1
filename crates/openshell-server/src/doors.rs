//! The gateway's listeners: taken early, so that a start that cannot succeed ends before a sandbox is touched, and opened
//! last, so that a client which is answered is answered by a gateway that works.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use openshell_core::Settings;
use openshell_core::config::LimitSettings;
use openshell_core::settings::FrontSettings;
use openshell_core::shell::{FAILURE, Remedy};
use openshell_front::{Door, Entrance, Limits, Metrics, Tls, TlsError, TlsFiles};
use openshell_uds::PeerPolicy;
use tokio::net::{TcpListener, TcpSocket};
use tracing::info;

use crate::error::StartError;
use crate::sandboxes::SANDBOXES;

/// What the listeners are for, as errors name them.
const CLIENTS: &str = "clients";
const PROBES: &str = "health and metrics";

/// How many connections the kernel holds for us before we accept them.
const BACKLOG: u32 = 1024;

/// A TCP address that is ours, where nobody is answered yet.
#[derive(Debug)]
pub(crate) struct Reserved {
    socket: TcpSocket,
    address: SocketAddr,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({purpose})")]
pub(crate) struct TcpError {
    address: SocketAddr,
    purpose: &'static str,
    #[source]
    source: io::Error,
}

impl Remedy for TcpError {
    fn hints(&self) -> Vec<String> {
        let port = self.address.port();
        let for_sandboxes = self.purpose == SANDBOXES;
        match self.source.kind() {
            io::ErrorKind::AddrInUse if for_sandboxes => vec![
                format!("see which program listens there: ss -ltnp 'sport = :{port}'"),
                "take another port: sandbox_bind_address and sandbox_endpoint in [openshell.gateway]"
                    .to_owned(),
            ],
            io::ErrorKind::AddrInUse => vec![
                format!("see which program listens there: ss -ltnp 'sport = :{port}'"),
                "take any free port: openshell-gateway --port 0".to_owned(),
                "do without TCP: openshell-gateway --no-tcp".to_owned(),
            ],
            io::ErrorKind::AddrNotAvailable => {
                vec!["see which addresses there are: ip -brief address".to_owned()]
            }
            io::ErrorKind::PermissionDenied if port < 1024 && for_sandboxes => {
                vec!["ports below 1024 are root's: choose a higher one for sandbox_bind_address".to_owned()]
            }
            io::ErrorKind::PermissionDenied if port < 1024 => {
                vec!["ports below 1024 are root's: choose a higher one with --port".to_owned()]
            }
            _ => Vec::new(),
        }
    }

    fn exit_code(&self) -> u8 {
        FAILURE
    }
}

impl Reserved {
    /// Takes an address without listening on it: connects are refused by the kernel until [`Reserved::listen`].
    /// `purpose` is what for, in an error's words.
    ///
    /// # Errors
    /// When another program listens there, or the address cannot be had.
    pub(crate) fn take(address: SocketAddr, purpose: &'static str) -> Result<Self, TcpError> {
        let failed = |source| TcpError { address, purpose, source };
        let socket =
            if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(failed)?;
        // Connections of an earlier run that are not quite gone do not keep the address; a listener does.
        socket.set_reuseaddr(true).map_err(failed)?;
        socket.bind(address).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address })
    }

    /// Where it is, with the port that was found for port 0.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens.
    ///
    /// # Errors
    /// When another start was faster.
    pub(crate) fn listen(self, purpose: &'static str) -> Result<TcpListener, TcpError> {
        let address = self.address;
        self.socket.listen(BACKLOG).map_err(|source| TcpError { address, purpose, source })
    }
}

/// Every listener of the gateway, taken and not yet opened.
#[derive(Debug)]
pub(crate) struct Doors {
    socket: PathBuf,
    /// Whom the Unix socket admits besides this user and root.
    policy: PeerPolicy,
    tcp: Option<Reserved>,
    health: Option<Reserved>,
}

/// Every listener of the gateway, open.
pub(crate) struct Open {
    /// For clients.
    pub(crate) entrances: Vec<Entrance>,
    /// For probes.
    pub(crate) health: Option<Entrance>,
    /// The URL of the TCP listener.
    pub(crate) endpoint: Option<String>,
}

impl Doors {
    /// Takes the addresses, and looks whether the Unix socket could be bound; nothing is made on disk.
    ///
    /// # Errors
    /// When one of them is somebody else's.
    pub(crate) fn take(settings: &Settings) -> Result<Self, StartError> {
        let front = &settings.front;
        openshell_uds::check(&settings.listen_socket)?;
        let tcp = front.tcp.as_ref().map(|tcp| Reserved::take(tcp.address, CLIENTS)).transpose()?;
        let health = front.health_address.map(|address| Reserved::take(address, PROBES)).transpose()?;
        let policy = PeerPolicy { allowed_uids: front.uids(), ..PeerPolicy::default() };
        Ok(Self { socket: settings.listen_socket.clone(), policy, tcp, health })
    }

    /// Opens them, and says of each how one gets in.
    ///
    /// # Errors
    /// When another start was faster.
    pub(crate) fn open(
        self,
        front: &FrontSettings,
        tls: Option<Tls>,
        metrics: &Metrics,
    ) -> Result<Open, StartError> {
        let listener = openshell_uds::bind_for(&self.socket, &self.policy)?;
        info!(socket = %self.socket.display(), authentication = "the kernel's word", "listening");
        let mut open = Open {
            entrances: vec![Entrance::unix(listener, self.policy, metrics.door(Door::Unix))],
            health: None,
            endpoint: None,
        };
        if let Some(reserved) = self.tcp {
            let (scheme, address) = (if tls.is_some() { "https" } else { "http" }, reserved.address());
            let listener = reserved.listen(CLIENTS)?;
            let counters = metrics.door(Door::Tcp);
            open.entrances.push(match tls {
                Some(tls) => Entrance::tls(listener, tls, counters),
                None => Entrance::tcp(listener, counters),
            });
            let token = front.takes_tokens().then(|| front.token_path.display().to_string());
            info!(endpoint = %format_args!("{scheme}://{address}"), authentication = %front, token, "listening");
            open.endpoint = Some(format!("{scheme}://{}", reachable(address)));
        }
        if let Some(reserved) = self.health {
            let address = reserved.address();
            open.health = Some(Entrance::tcp(reserved.listen(PROBES)?, metrics.door(Door::Health)));
            info!(endpoint = %format_args!("http://{address}"), authentication = "none", "listening for health and metrics");
        }
        Ok(open)
    }
}

/// An address as somebody on this host dials it: one that means all addresses means loopback there.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Loads the certificate of the TCP listener, where it has one.
///
/// # Errors
/// When a file is missing, is none, or does not belong to the others.
pub(crate) fn tls(front: &FrontSettings) -> Result<Option<Tls>, TlsError> {
    let Some(tls) = front.tcp.as_ref().and_then(|tcp| tcp.tls.as_ref()) else { return Ok(None) };
    let clients = tls.clients.as_ref();
    let files = TlsFiles {
        cert_path: tls.cert_path.clone(),
        key_path: tls.key_path.clone(),
        client_ca_path: clients.map(|clients| clients.ca_path.clone()),
        client_certificate_required: clients.is_some_and(|clients| clients.required),
    };
    Tls::load(files).map(Some)
}

/// How many connections all listeners may hold together.
pub(crate) fn most_connections(front: &FrontSettings) -> u64 {
    let listeners = 1 + u64::from(front.tcp.is_some()) + u64::from(front.health_address.is_some());
    u64::from(front.limits.connections) * listeners
}

/// The limits of a listener, with `drain` for requests under way when the gateway stops.
pub(crate) fn limits(settings: &LimitSettings, drain: Duration) -> Limits {
    Limits {
        connections: usize::try_from(settings.connections).unwrap_or(usize::MAX),
        streams: settings.streams,
        first_byte: settings.first_byte,
        handshake: settings.handshake,
        idle: settings.idle,
        drain,
        ..Limits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_taken_first_and_listened_on_later() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let reserved = Reserved::take(any, "tests").expect("a port");
        let address = reserved.address();
        assert_ne!(address.port(), 0);
        let early = tokio::net::TcpStream::connect(address).await.expect_err("nobody listens");
        assert_eq!(early.kind(), io::ErrorKind::ConnectionRefused);
        let _listener = reserved.listen("tests").expect("it is ours");
        tokio::net::TcpStream::connect(address).await.expect("somebody listens");

        let error = Reserved::take(address, "clients").expect_err("it is taken");
        assert_eq!(
            error.render(),
            format!(
                "error: cannot listen on {address} (clients)\n  caused by: {}\n\
                 hint: see which program listens there: ss -ltnp 'sport = :{}'\n\
                 hint: take any free port: openshell-gateway --port 0\n\
                 hint: do without TCP: openshell-gateway --no-tcp\n",
                io::Error::from_raw_os_error(98),
                address.port()
            )
        );
    }

    #[tokio::test]
    async fn of_two_starts_at_once_one_listens() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = Reserved::take(any, "tests").expect("a port");
        let second = Reserved::take(first.address(), "tests").expect("nobody listens yet");
        let _listener = first.listen("tests").expect("it is ours");
        assert!(second.listen("tests").is_err(), "another was faster");
    }

    #[tokio::test]
    async fn an_address_of_another_host_is_not_ours() {
        // TEST-NET-1 (RFC 5737) is on no host.
        let error = Reserved::take(SocketAddr::from(([192, 0, 2, 1], 0)), "tests").expect_err("not here");
        assert!(error.hints()[0].contains("ip -brief address"), "{error:?}");
    }
}
