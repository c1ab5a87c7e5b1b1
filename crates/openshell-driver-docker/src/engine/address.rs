//! Where an engine is: `unix://` and `tcp://` addresses, and the certificates that belong to the latter.
//!
//! Source: Docker's "Protect the Docker daemon socket" and the environment variables of `docker`.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use openshell_driver_api::ProbeEnv;

/// The variable that names an engine.
pub(crate) const HOST: &str = "DOCKER_HOST";

/// Where an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A socket on this host.
    Unix(PathBuf),
    /// A port, maybe of another host.
    Tcp(Tcp),
}

/// A port behind which an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tcp {
    /// A name or an address, an IPv6 one without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// How it is secured; `None` is plain HTTP.
    pub(crate) tls: Option<TlsFiles>,
}

/// Files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The certificate authorities that the engine's certificate has to come from.
    pub(crate) ca: PathBuf,
    /// The certificate and the key with which this client shows who it is.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
}

impl Address {
    /// Reads `unix:///path` or `tcp://host:port`.
    ///
    /// # Errors
    /// What is wrong with it, in words that go behind the address.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            Some(("unix", path)) if Path::new(path).is_absolute() => Ok(Self::Unix(path.into())),
            Some(("unix", _)) => Err("names no absolute path".to_owned()),
            Some(("tcp", place)) => Tcp::parse(place).map(Self::Tcp),
            Some((scheme, _)) => Err(format!("{} engines are not supported", scheme.escape_debug())),
            None => Err("is neither a `unix://` nor a `tcp://` address".to_owned()),
        }
    }

    /// The engine that the environment names, with the certificates that it names: as `docker` reads them.
    ///
    /// # Errors
    /// Why the variable names none, or none that may be used.
    pub(crate) fn of_environment(env: &ProbeEnv) -> Option<Result<Self, String>> {
        let address = match Self::parse(env.var(HOST)?) {
            Ok(Self::Tcp(tcp)) => tcp,
            Ok(Self::Unix(path)) => return Some(Ok(Self::Unix(env.path(&path.to_string_lossy())))),
            Err(problem) => return Some(Err(problem)),
        };
        let tls = env.var("DOCKER_TLS_VERIFY").filter(|value| !value.is_empty()).and_then(|_| {
            let directory = match env.var("DOCKER_CERT_PATH") {
                Some(directory) => env.path(directory),
                None => env.path(env.var("HOME")?).join(".docker"),
            };
            let client = (directory.join("cert.pem"), directory.join("key.pem"));
            let client = (client.0.exists() || client.1.exists()).then_some(client);
            Some(TlsFiles { ca: directory.join("ca.pem"), client })
        });
        let tcp = Tcp { tls, ..address };
        Some(if tcp.may_be_overheard() { Err(OVERHEARD.to_owned()) } else { Ok(Self::Tcp(tcp)) })
    }
}

/// Why a plain port of another host is not used.
pub(crate) const OVERHEARD: &str =
    "plain TCP beyond loopback, where whoever reaches it is root and whoever listens reads along";

impl Tcp {
    fn parse(place: &str) -> Result<Self, String> {
        let place = place.trim_end_matches('/');
        let (host, port) = place.rsplit_once(':').ok_or("names no port")?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or("names no port")?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
            None if is_host(host) => host,
            _ => return Err("names no host".to_owned()),
        };
        Ok(Self { host: host.to_owned(), port, tls: None })
    }

    /// Whether what is said to it leaves this host in the clear.
    pub(crate) fn may_be_overheard(&self) -> bool {
        let loopback = match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host == "localhost",
        };
        self.tls.is_none() && !loopback
    }

    /// `host:port`, as a URI has it.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }
}

fn is_host(host: &str) -> bool {
    !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(tcp) => write!(f, "tcp://{}", tcp.authority()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp(Tcp { host: host.into(), port, tls: None })
    }

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("unix:///run/d.sock", Ok(Address::Unix("/run/d.sock".into()))),
            ("unix://run/d.sock", Err("names no absolute path")),
            ("tcp://127.0.0.1:2375", Ok(tcp("127.0.0.1", 2375))),
            ("tcp://engine.example:2376/", Ok(tcp("engine.example", 2376))),
            ("tcp://[::1]:2375", Ok(tcp("::1", 2375))),
            ("tcp://engine", Err("names no port")),
            ("tcp://engine:0", Err("names no port")),
            ("tcp://engine:99999", Err("names no port")),
            ("tcp://:2375", Err("names no host")),
            ("tcp://::1:2375", Err("names no host")),
            ("tcp://a/b:1", Err("names no host")),
            ("tcp://user@engine:1", Err("names no host")),
            ("ssh://build@engine", Err("ssh engines are not supported")),
            ("/run/d.sock", Err("is neither a `unix://` nor a `tcp://` address")),
        ] {
            assert_eq!(Address::parse(text), expected.map_err(str::to_owned), "{text}");
        }
        for text in ["tcp://127.0.0.1:2375", "tcp://[::1]:2375"] {
            assert_eq!(Address::parse(text).expect("an address").to_string(), text);
        }
    }

    #[test]
    fn only_loopback_is_safe_in_the_clear() {
        for (host, overheard) in [
            ("127.0.0.1", false),
            ("127.8.8.8", false),
            ("::1", false),
            ("localhost", false),
            ("10.0.0.1", true),
            ("localhost.example", true),
            ("::", true),
        ] {
            let plain = Tcp { host: host.into(), port: 1, tls: None };
            assert_eq!(plain.may_be_overheard(), overheard, "{host}");
            let tls = TlsFiles { ca: "/ca".into(), client: None };
            assert!(!Tcp { tls: Some(tls), ..plain }.may_be_overheard());
        }
    }

    #[test]
    fn the_environment_is_read_as_docker_reads_it() {
        let root = tempfile::tempdir().expect("a directory");
        let of = |vars: &[(&str, &str)]| {
            let vars = vars.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            Address::of_environment(&ProbeEnv { vars, root: root.path().to_owned(), ..ProbeEnv::default() })
        };
        assert_eq!(of(&[]), None);
        let host = ("DOCKER_HOST", "tcp://10.0.0.1:2376");
        assert_eq!(of(&[host]), Some(Err(OVERHEARD.to_owned())));
        assert_eq!(of(&[host, ("DOCKER_TLS_VERIFY", ""), ("HOME", "/h")]), Some(Err(OVERHEARD.to_owned())));
        let files = |address: Option<Result<Address, String>>| match address {
            Some(Ok(Address::Tcp(tcp))) => tcp.tls.expect("certificates"),
            other => panic!("{other:?}"),
        };
        let usual = files(of(&[host, ("DOCKER_TLS_VERIFY", "1"), ("HOME", "/h")]));
        assert_eq!(usual, TlsFiles { ca: root.path().join("h/.docker/ca.pem"), client: None });
        std::fs::create_dir(root.path().join("certs")).expect("a directory");
        std::fs::write(root.path().join("certs/cert.pem"), "").expect("a file");
        let named = files(of(&[host, ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/certs")]));
        let at = |name: &str| root.path().join("certs").join(name);
        assert_eq!(named, TlsFiles { ca: at("ca.pem"), client: Some((at("cert.pem"), at("key.pem"))) });
    }
}
