//! Where the gateway is: `OPENSHELL_ENDPOINT` as a value.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where the gateway is dialled: an absolute path of a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(PathBuf);

/// Why a text names no gateway that this program could dial.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndpointError {
    /// A network address.
    #[error(
        "`{0}` is an address on a network, and this supervisor dials Unix sockets only: it needs `unix:///PATH`"
    )]
    Network(String),
    /// Neither that nor a socket.
    #[error("`{0}` names no gateway: `unix:///PATH` with an absolute path does")]
    Unknown(String),
}

impl Endpoint {
    /// Reads the text of `OPENSHELL_ENDPOINT`.
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix("unix://")
            && path.starts_with('/')
        {
            return Ok(Self(PathBuf::from(path)));
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return Err(EndpointError::Network(text.to_owned()));
        }
        Err(EndpointError::Unknown(text.to_owned()))
    }

    /// The socket.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_named_by_its_absolute_path_and_all_else_is_refused_in_words() {
        let endpoint = Endpoint::parse("unix:///run/openshell/gateway/gateway.sock").expect("an endpoint");
        assert_eq!(endpoint.path(), Path::new("/run/openshell/gateway/gateway.sock"));
        assert_eq!(endpoint.to_string(), "unix:///run/openshell/gateway/gateway.sock");
        for text in ["", "unix://", "unix://gateway.sock", "/run/gateway.sock", "unix:/run/gateway.sock"] {
            assert_eq!(Endpoint::parse(text), Err(EndpointError::Unknown(text.to_owned())), "{text}");
        }
        let refused = Endpoint::parse("https://10.0.0.1:17670").expect_err("no socket");
        assert!(refused.to_string().contains("dials Unix sockets only"), "{refused}");
    }
}
