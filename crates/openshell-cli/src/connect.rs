//! From a target to a connection: the Unix socket with the peer looked at, TCP on loopback, TLS with the server verified.
//!
//! ```text
//!   Target ─▶ Unix:  openshell_uds::connect, credentials of who listens
//!          ─▶ http:  TCP; with a token to loopback addresses only
//!          ─▶ https: TCP ─▶ rustls on ring: the context's CA or the system's, the client's certificate
//! ```
//!
//! Dialled here rather than by tonic, so that what is wrong keeps its type and gets its hint.

mod error;
mod heard;
mod tls;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use openshell_uds::PeerPolicy;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::metadata::AsciiMetadataValue;

pub(crate) use self::error::DialError;
use self::heard::Heard;
pub(crate) use self::tls::{check_ca, check_identity};
use crate::endpoint::Endpoint;
use crate::target::Target;

/// A connection of any kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects, and checks who listens as far as the kind of connection lets it. `refused` is set when the other side turns
/// out to want another certificate: with TLS 1.3 that is heard after the handshake, in the middle of the first call.
pub(crate) async fn dial(
    target: &Target,
    policy: &PeerPolicy,
    refused: &Arc<AtomicBool>,
) -> Result<Box<dyn Stream>, DialError> {
    match &target.endpoint {
        Endpoint::Unix(path) => {
            let stream = openshell_uds::connect(path, policy).await.map_err(DialError::Unix)?;
            Ok(Box::new(stream))
        }
        Endpoint::Tcp { host, port, tls: false } => {
            // Whatever `localhost` may resolve to.
            let loopback_only = target.token.is_some();
            Ok(Box::new(tcp(&target.endpoint, host, *port, loopback_only).await?))
        }
        Endpoint::Tcp { host, port, tls: true } => {
            let config = tls::config(target)?;
            let stream = tcp(&target.endpoint, host, *port, false).await?;
            let stream = tls::handshake(&target.endpoint, host, config, stream).await?;
            Ok(Box::new(Heard::new(stream, refused.clone())))
        }
    }
}

/// Tries one address of the host after the other; the last one's error is told.
async fn tcp(
    endpoint: &Endpoint,
    host: &str,
    port: u16,
    loopback_only: bool,
) -> Result<TcpStream, DialError> {
    let unresolved = |source| DialError::Unresolved { host: host.to_owned(), source };
    let addresses: Vec<SocketAddr> =
        tokio::net::lookup_host((host, port)).await.map_err(unresolved)?.collect();
    if loopback_only && let Some(address) = addresses.iter().find(|address| !address.ip().is_loopback()) {
        return Err(DialError::NotLoopback { host: host.to_owned(), address: address.ip() });
    }
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Small requests go at once.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    let endpoint = endpoint.clone();
    Err(match last.kind() {
        io::ErrorKind::ConnectionRefused => DialError::Refused { endpoint },
        _ => DialError::Unreachable { endpoint, source: last },
    })
}

/// `authorization: Bearer …`, which no `Debug` shows.
#[derive(Clone)]
pub(crate) struct Bearer(pub(crate) AsciiMetadataValue);

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(…)")
    }
}

/// Reads the token of a file.
pub(crate) fn bearer(path: &Path) -> Result<Bearer, DialError> {
    let text = std::fs::read_to_string(path).map_err(|source| DialError::File {
        what: "the token",
        path: path.to_owned(),
        source,
    })?;
    token_header(&text).map_err(|why| DialError::BadFile {
        what: "token",
        path: path.to_owned(),
        why: why.to_owned(),
    })
}

/// A token as a header; the text around it is trimmed.
pub(crate) fn token_header(text: &str) -> Result<Bearer, &'static str> {
    let token = text.trim();
    if token.is_empty() {
        return Err("it is empty");
    }
    // RFC 6750, section 2.1: no spaces; visible ASCII is what a header may hold.
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it holds more than one line of visible ASCII");
    }
    let mut value =
        AsciiMetadataValue::try_from(format!("Bearer {token}")).map_err(|_| "it cannot be a header")?;
    value.set_sensitive(true);
    Ok(Bearer(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_visible_word() {
        let bearer = token_header(" abc-._~+/= \n").expect("a token");
        assert_eq!(bearer.0, "Bearer abc-._~+/=");
        assert!(!format!("{bearer:?}").contains("abc"));
        for text in ["", "\n", "a b", "a\nb", "ä", "a\u{0}"] {
            assert!(token_header(text).is_err(), "{text:?}");
        }
    }
}
