//! The bytes between the supervisor and its gateway, over a Unix socket or over TLS. One type for both, so that HTTP/2 is in
//! the program once.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::endpoint::{Endpoint, Network};
use super::names;
use super::trust::Trust;

/// How long one of several addresses may take.
const ONE_ADDRESS: Duration = Duration::from_secs(3);
/// Between two tries at a socket whose queue is full.
const AGAIN: Duration = Duration::from_millis(2);

/// A connection to the gateway.
#[derive(Debug)]
pub(super) enum Transport {
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// Connects, and makes sure who is there; also gives another descriptor of the socket. It takes as long as the other end
    /// does.
    pub(super) async fn dial(endpoint: &Endpoint, trust: Option<&Trust>) -> io::Result<(Self, OwnedFd)> {
        match endpoint {
            Endpoint::Socket(socket) => {
                let stream = knock(socket.path()).await?;
                let socket = stream.as_fd().try_clone_to_owned()?;
                Ok((Self::Unix(stream), socket))
            }
            Endpoint::Network(network) => {
                let Some(Trust(config)) = trust else {
                    return Err(io::Error::other("nobody said which CA the gateway has"));
                };
                let stream = connect(network).await?;
                // Small messages are not to wait for the acknowledgement of those before.
                stream.set_nodelay(true)?;
                // For a network that forgets what is not used: the link's own signs of life want something open.
                sockopt::set_socket_keepalive(&stream, true)?;
                let socket = stream.as_fd().try_clone_to_owned()?;
                let tls = TlsConnector::from(config.clone()).connect(network.name.clone(), stream).await?;
                if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
                    return Err(io::Error::other("what listens there does not speak HTTP/2"));
                }
                Ok((Self::Tls(Box::new(tls)), socket))
            }
        }
    }
}

/// Connects to a socket, also while others fill its queue: then there is room now and again, for whoever asks often.
async fn knock(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(AGAIN).await,
            connected => return connected,
        }
    }
}

/// Connects to the first address that answers.
async fn connect(network: &Network) -> io::Result<TcpStream> {
    let addresses = match &network.name {
        ServerName::IpAddress(address) => vec![(*address).into()],
        ServerName::DnsName(name) => names::resolve(name.as_ref()).await?,
        _ => Vec::new(),
    };
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in addresses {
        let tried = TcpStream::connect(SocketAddr::new(address, network.port));
        match tokio::time::timeout(ONE_ADDRESS, tried).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")),
        }
    }
    Err(failed)
}

/// The same call on whatever it is.
macro_rules! on {
    ($this:expr, $stream:ident => $call:expr) => {
        match $this.get_mut() {
            Transport::Unix($stream) => $call,
            Transport::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_that_is_full_is_waited_for() {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("s");
        let listening = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
        bind(&listening, &SocketAddrUnix::new(&path).expect("an address")).expect("bound");
        listen(&listening, 1).expect("it listens");
        let mut waiting = Vec::new();
        while let Ok(stream) = UnixStream::connect(&path).await {
            waiting.push(stream);
        }
        let listening = std::os::unix::net::UnixListener::from(listening);
        let connecting = tokio::spawn(async move { knock(&path).await });
        tokio::time::sleep(10 * AGAIN).await;
        let _first = listening.accept().expect("somebody waits");
        let connected =
            tokio::time::timeout(Duration::from_secs(30), connecting).await.expect("there is room");
        connected.expect("no panic").expect("connected");
    }
}
