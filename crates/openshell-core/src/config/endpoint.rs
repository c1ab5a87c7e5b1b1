//! Where sandboxes on other hosts reach the gateway: what is listened on, and what they dial.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::value;

/// `https://HOST:PORT`, as a sandbox dials it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxEndpoint {
    /// A host's name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl From<SocketAddr> for SandboxEndpoint {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl fmt::Display for SandboxEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            host if host.contains(':') => write!(f, "https://[{host}]:{}", self.port),
            host => write!(f, "https://{host}:{}", self.port),
        }
    }
}

/// `https://HOST:PORT`, and nothing after it.
pub(crate) fn sandbox_endpoint(text: &str) -> Result<SandboxEndpoint, String> {
    let read = || {
        let (host, port) = text.strip_prefix("https://")?.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|host| is_v6(host))?,
            None if is_host(host) => host,
            None => return None,
        };
        Some(SandboxEndpoint { host: host.to_owned(), port })
    };
    let endpoint = read().ok_or_else(|| {
        "expected `https://HOST:PORT`, such as `https://gateway.example.com:17671`, and nothing after it"
            .to_owned()
    })?;
    match endpoint.host.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => {
            Err("expected the address of one host: this one means all of them".to_owned())
        }
        _ => Ok(endpoint),
    }
}

/// An address to listen on for sandboxes.
pub(crate) fn sandbox_address(text: &str) -> Result<SocketAddr, String> {
    match value::socket_address(text) {
        Ok(address) if address.port() == 0 => {
            Err("expected a port that stays: sandboxes dial it as long as they are there".to_owned())
        }
        Err(_) => {
            Err("expected an IP address and a port, such as `10.0.0.1:17671` or `[fd00::1]:17671`".to_owned())
        }
        address => address,
    }
}

fn is_v6(text: &str) -> bool {
    matches!(text.parse(), Ok(IpAddr::V6(_)))
}

/// An address of IPv4, or a host's name (RFC 1123, section 2.1).
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // What looks like an address and is none would be a host that nobody can reach.
    let is_number = |last: &str| last.bytes().all(|byte| byte.is_ascii_digit());
    matches!(text.parse(), Ok(IpAddr::V4(_)))
        || text.len() <= 253 && text.split('.').all(label) && !text.rsplit('.').next().is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port_over_tls() {
        for text in ["https://gateway.example.com:17671", "https://10.0.0.1:1", "https://[fd00::1]:65535"] {
            assert_eq!(sandbox_endpoint(text).expect(text).to_string(), text);
        }
        for text in [
            "",
            "gateway:1",
            "http://gateway:1",
            "https://gateway",
            "https://gateway:0",
            "https://gateway:1/",
            "https://gate way:1",
            "https://10.0.0.256:1",
            "https://[10.0.0.1]:1",
            "https://fd00::1:1",
            "https://-gateway:1",
            "https://user@gateway:1",
        ] {
            assert!(sandbox_endpoint(text).expect_err(text).contains("`https://HOST:PORT`"), "{text}");
        }
        for text in ["https://0.0.0.0:1", "https://[::]:1"] {
            assert!(sandbox_endpoint(text).expect_err(text).contains("all of them"), "{text}");
        }
    }

    #[test]
    fn an_address_has_a_port_that_stays() {
        assert_eq!(sandbox_address("[::]:17671"), Ok(SocketAddr::from(([0_u16; 8], 17671))));
        assert!(sandbox_address("0.0.0.0:0").expect_err("no port").contains("a port that stays"));
        assert!(sandbox_address("gateway:1").expect_err("a name").contains("`10.0.0.1:17671`"));
    }
}
