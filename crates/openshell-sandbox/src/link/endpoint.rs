//! Where the gateway is: `OPENSHELL_ENDPOINT` as a value.

use std::fmt;
use std::os::fd::IntoRawFd as _;
use std::path::{Path, PathBuf};

use http::Uri;
use rustix::fs::{Mode, OFlags};
use rustls::pki_types::ServerName;

/// Where the gateway is dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A Unix socket.
    Socket(Socket),
    /// A port of a host, spoken to over TLS.
    Network(Box<Network>),
}

/// An absolute path of a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Socket {
    path: PathBuf,
    /// The same by its directory as it was at the start.
    held: Option<PathBuf>,
}

/// A host and a port on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network {
    /// The name or address, which the gateway's certificate has to have.
    pub(super) name: ServerName<'static>,
    pub(super) port: u16,
    /// `https://HOST:PORT`.
    pub(super) origin: Uri,
}

/// Why a text names no gateway that this program could dial.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndpointError {
    /// Without TLS, a token would be anybody's who listens in.
    #[error(
        "`{0}` is a plain address: over a network the gateway is dialled with TLS, at `https://HOST:PORT`"
    )]
    Plain(String),
    /// Nothing that could be dialled.
    #[error("`{0}` names no gateway: `unix:///PATH` with an absolute path does, and `https://HOST:PORT`")]
    Unknown(String),
}

impl Endpoint {
    /// Reads the text of `OPENSHELL_ENDPOINT`.
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix("unix://")
            && path.starts_with('/')
        {
            return Ok(Self::Socket(Socket { path: PathBuf::from(path), held: None }));
        }
        if text.starts_with("http://") {
            return Err(EndpointError::Plain(text.to_owned()));
        }
        let network = text.strip_prefix("https://").and_then(|address| network(text, address));
        network
            .map(|network| Self::Network(Box::new(network)))
            .ok_or_else(|| EndpointError::Unknown(text.to_owned()))
    }

    /// What requests say that they are for. On a Unix socket nobody reads it, and HTTP/2 wants one.
    pub(super) fn origin(&self) -> Uri {
        match self {
            Self::Socket(_) => Uri::from_static("http://localhost"),
            Self::Network(network) => network.origin.clone(),
        }
    }

    /// Goes on to mean the directory of a socket that is there now, for as long as this program runs: in an image that leaves
    /// it to everybody what `/run` is, a workload could later put another directory there, with a socket of its own in it.
    pub(crate) fn hold(self) -> Self {
        match self {
            Self::Socket(socket) => Self::Socket(socket.hold()),
            Self::Network(_) => self,
        }
    }
}

impl Socket {
    fn hold(mut self) -> Self {
        if let (Some(directory), Some(name)) = (self.path.parent(), self.path.file_name()) {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            // One that is not there yet is looked for by its name, each time.
            if let Ok(directory) = rustix::fs::open(directory, flags, Mode::empty()) {
                let held = format!("/proc/self/fd/{}", directory.into_raw_fd());
                self.held = Some(Path::new(&held).join(name));
            }
        }
        self
    }

    /// Where it is connected to.
    pub(super) fn path(&self) -> &Path {
        self.held.as_deref().unwrap_or(&self.path)
    }
}

/// `HOST:PORT`, and nothing after it; an address of IPv6 is in brackets.
fn network(text: &str, address: &str) -> Option<Network> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|host| host.contains(':'))?,
        None => host,
    };
    let name = ServerName::try_from(host.to_owned()).ok()?;
    Some(Network { name, port, origin: text.parse().ok()? })
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(socket) => write!(f, "unix://{}", socket.path.display()),
            // As it was given: a URI adds a path of its own.
            Self::Network(network) => write!(f, "{}", network.origin.to_string().trim_end_matches('/')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(endpoint: &Endpoint) -> &Path {
        match endpoint {
            Endpoint::Socket(socket) => socket.path(),
            Endpoint::Network(_) => panic!("{endpoint}"),
        }
    }

    #[test]
    fn a_directory_that_is_held_is_the_same_whatever_takes_its_place() {
        use std::os::unix::net::{UnixListener, UnixStream};

        let root = tempfile::tempdir().expect("a directory");
        let [directory, moved] = ["gateway", "moved"].map(|name| root.path().join(name));
        let bind = |directory: &Path| {
            let listener = UnixListener::bind(directory.join("gateway.sock")).expect("a socket");
            listener.set_nonblocking(true).expect("no waiting");
            listener
        };
        std::fs::create_dir(&directory).expect("a directory");
        let text = format!("unix://{}/gateway.sock", directory.display());
        let endpoint = Endpoint::parse(&text).expect("an endpoint").hold();
        assert_eq!(endpoint.to_string(), text);
        std::fs::rename(&directory, &moved).expect("another name");
        std::fs::create_dir(&directory).expect("a directory");
        let (stranger, ours) = (bind(&directory), bind(&moved));
        let _connection = UnixStream::connect(path_of(&endpoint)).expect("a connection");
        assert!(ours.accept().is_ok() && stranger.accept().is_err());
    }

    #[test]
    fn a_socket_is_named_by_its_absolute_path() {
        let endpoint = Endpoint::parse("unix:///run/openshell/gateway/gateway.sock").expect("an endpoint");
        assert_eq!(path_of(&endpoint), Path::new("/run/openshell/gateway/gateway.sock"));
        assert_eq!(endpoint.to_string(), "unix:///run/openshell/gateway/gateway.sock");
    }

    #[test]
    fn a_gateway_on_a_network_is_named_by_its_host_and_port() {
        for (text, host, port) in [
            ("https://gateway.example:17671", "gateway.example", 17671),
            ("https://10.0.0.1:1", "10.0.0.1", 1),
            ("https://[fd00::1]:443", "fd00::1", 443),
        ] {
            let endpoint = Endpoint::parse(text).expect(text);
            assert_eq!(endpoint.to_string(), text);
            let Endpoint::Network(network) = endpoint else { panic!("{text}") };
            assert_eq!((network.name.to_str().as_ref(), network.port), (host, port));
        }
    }

    #[test]
    fn all_else_is_refused_in_words() {
        for text in [
            "",
            "unix://",
            "unix://gateway.sock",
            "/run/gateway.sock",
            "unix:/run/gateway.sock",
            "https://host",
            "https://host:0",
            "https://host:70000",
            "https://:1",
            "https://ho st:1",
            "https://fd00::1:443",
            "https://host:1/path",
            "https://[host]:1",
        ] {
            assert_eq!(Endpoint::parse(text), Err(EndpointError::Unknown(text.to_owned())), "{text}");
        }
        let refused = Endpoint::parse("http://10.0.0.1:17670").expect_err("no TLS");
        assert!(refused.to_string().contains("`https://HOST:PORT`"), "{refused}");
    }
}
