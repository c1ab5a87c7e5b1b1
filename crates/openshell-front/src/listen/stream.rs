//! One type for the connections of every listener, so that the HTTP machinery is in the program once.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use openshell_uds::Mended;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::tls::Tls;

/// What has to be read of a connection before it counts as spoken on: the client's preface of HTTP/2 (RFC 9113,
/// section 3.4), and hardly more than the shortest request of HTTP/1.1.
const GREETING: usize = 24;

/// A connection, which notes when it has been spoken on: a byte is no greeting.
#[derive(Debug)]
pub(super) struct Stream {
    transport: Transport,
    read: usize,
    spoke: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Transport {
    Unix(Mended<UnixStream>),
    Tcp(TcpStream),
    /// Before its handshake.
    Bare(TcpStream, Tls),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(super) fn unix(stream: UnixStream) -> Self {
        Self::new(Transport::Unix(Mended::new(stream)))
    }

    pub(super) fn tcp(stream: TcpStream) -> Self {
        Self::new(Transport::Tcp(stream))
    }

    /// A connection that has yet to [`shake_hands`](Self::shake_hands).
    pub(super) fn for_tls(stream: TcpStream, tls: Tls) -> Self {
        Self::new(Transport::Bare(stream, tls))
    }

    fn new(transport: Transport) -> Self {
        Self { transport, read: 0, spoke: Arc::default() }
    }

    /// The connection after its TLS handshake, where it has one, and the session of TLS to look at.
    pub(super) async fn shake_hands(self) -> io::Result<Self> {
        let Transport::Bare(stream, tls) = self.transport else { return Ok(self) };
        let stream = tls.accept(stream).await?;
        Ok(Self { transport: Transport::Tls(Box::new(stream)), read: self.read, spoke: self.spoke })
    }

    /// What the client's end of TLS has shown.
    pub(super) fn session(&self) -> Option<&rustls::ServerConnection> {
        match &self.transport {
            Transport::Tls(stream) => Some(stream.get_ref().1),
            Transport::Unix(_) | Transport::Tcp(_) | Transport::Bare(..) => None,
        }
    }

    /// Whether it has been spoken on, also once the connection is in other hands.
    pub(super) fn spoke(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.spoke)
    }
}

/// The same call on whatever it is.
macro_rules! on {
    ($this:expr, $stream:ident => $call:expr) => {
        match &mut $this.get_mut().transport {
            Transport::Unix($stream) => $call,
            Transport::Tcp($stream) | Transport::Bare($stream, _) => $call,
            Transport::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let had = buffer.filled().len();
        let read = on!(self.as_mut(), stream => Pin::new(stream).poll_read(cx, buffer));
        if self.read < GREETING {
            self.read += buffer.filled().len() - had;
            if self.read >= GREETING {
                self.spoke.store(true, Ordering::Relaxed);
            }
        }
        read
    }
}

impl AsyncWrite for Stream {
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
        match &self.transport {
            Transport::Unix(stream) => stream.is_write_vectored(),
            Transport::Tcp(stream) | Transport::Bare(stream, _) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
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
