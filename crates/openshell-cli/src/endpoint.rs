//! Where a gateway listens, as people write it: `unix:///PATH`, `http://HOST:PORT`, `https://HOST:PORT`.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use http::Uri;

/// Where a gateway listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// TCP.
    Tcp {
        /// Its name or address, an IPv6 address without brackets.
        host: String,
        /// Its port.
        port: u16,
        /// Whether TLS is spoken there.
        tls: bool,
    },
}

impl Endpoint {
    /// Whether what is sent there can be read on the way: plain HTTP to anywhere but this machine.
    pub(crate) fn is_exposed(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Tcp { tls: true, .. } => false,
            Self::Tcp { host, .. } => !is_loopback(host),
        }
    }

    /// The Unix socket, when it is one.
    pub(crate) fn socket(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Tcp { .. } => None,
        }
    }
}

/// `localhost` and the loopback addresses. What `localhost` resolves to is looked at again when it is dialled.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, tls } => {
                let scheme = if *tls { "https" } else { "http" };
                if host.contains(':') {
                    write!(f, "{scheme}://[{host}]:{port}")
                } else {
                    write!(f, "{scheme}://{host}:{port}")
                }
            }
        }
    }
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` {why}")]
pub(crate) struct NoEndpoint {
    text: String,
    why: &'static str,
}

impl FromStr for Endpoint {
    type Err = NoEndpoint;

    fn from_str(text: &str) -> Result<Self, NoEndpoint> {
        let wrong = |why| NoEndpoint { text: crate::text::clean(text), why };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') {
                return Err(wrong("does not name a socket by its whole path: unix:///PATH"));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let uri: Uri = text.parse().map_err(|_| wrong("is no endpoint"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("does not begin with unix://, http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("holds a user or password; a token goes into a file: --token-file"));
        }
        if uri.query().is_some() || !matches!(uri.path(), "" | "/") {
            return Err(wrong("has a path, and a gateway has none"));
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong("names no host"));
        }
        let port = match uri.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().trim_end_matches(']').contains(':')
                && !authority.as_str().ends_with(']') =>
            {
                return Err(wrong("has a port that is no number up to 65535"));
            }
            None if tls => 443,
            None => 80,
        };
        Ok(Self::Tcp { host: host.to_owned(), port, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_printed() {
        for (text, shown) in [
            ("unix:///run/a.sock", "unix:///run/a.sock"),
            ("unix:/run/a.sock", "unix:///run/a.sock"),
            ("http://127.0.0.1:17670", "http://127.0.0.1:17670"),
            ("http://[::1]:17670/", "http://[::1]:17670"),
            ("https://gw.example.org", "https://gw.example.org:443"),
            ("http://localhost", "http://localhost:80"),
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(shown.parse(), Ok(endpoint));
        }
    }

    #[test]
    fn what_is_no_endpoint_says_why() {
        for (text, why) in [
            ("unix://run/a.sock", "whole path"),
            ("127.0.0.1:80", "begin with"),
            ("ftp://host", "begin with"),
            ("https://user:secret@host", "--token-file"),
            ("https://host/path", "has a path"),
            ("https://host?x=1", "has a path"),
            ("https://host:99999", "no number up to 65535"),
            ("https://", "no endpoint"),
            ("a b", "no endpoint"),
        ] {
            let error = text.parse::<Endpoint>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn plain_http_is_exposed_beyond_this_machine() {
        for (text, exposed) in [
            ("unix:///a", false),
            ("http://127.0.0.1:1", false),
            ("http://127.9.9.9:1", false),
            ("http://[::1]:1", false),
            ("http://LOCALHOST:1", false),
            ("http://localhost.example.org:1", true),
            ("http://10.0.0.1:1", true),
            ("https://10.0.0.1:1", false),
        ] {
            assert_eq!(text.parse::<Endpoint>().expect(text).is_exposed(), exposed, "{text}");
        }
    }
}
