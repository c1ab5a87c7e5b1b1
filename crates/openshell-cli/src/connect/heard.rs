//! A TLS stream that remembers why the other side has hung up.
//!
//! With TLS 1.3 a server refuses the client's certificate, or the lack of one, after the client has finished its
//! handshake (RFC 8446, section 4.4.2.4): the alert is read, or a write fails, in the middle of the first call. By then
//! the connection belongs to a task that tells nobody, so it is noted here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::certificate_refused;

/// The stream.
pub(super) struct Heard<S> {
    stream: S,
    /// Set when our certificate was refused.
    refused: Arc<AtomicBool>,
    /// The error of a write, while what the other side said before it is still to be read.
    broken: Option<io::Error>,
}

impl<S> Heard<S> {
    pub(super) fn new(stream: S, refused: Arc<AtomicBool>) -> Self {
        Self { stream, refused, broken: None }
    }

    fn hear(&self, error: &io::Error) {
        if certificate_refused(error) {
            self.refused.store(true, Ordering::Relaxed);
        }
    }
}

impl<S: AsyncRead + Unpin> Heard<S> {
    /// Reads to the end after a write has failed, and gives that write's error then.
    fn last_words(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let mut bytes = [0; 256];
        loop {
            let mut rest = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut rest)) {
                Ok(()) if !rest.filled().is_empty() => {}
                Ok(()) => break,
                Err(error) => {
                    self.hear(&error);
                    break;
                }
            }
        }
        Poll::Ready(self.broken.take().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()))
    }

    fn after_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.broken.is_none() {
            match ready!(write(Pin::new(&mut self.stream), cx)) {
                Ok(done) => return Poll::Ready(Ok(done)),
                Err(error) => self.broken = Some(error),
            }
        }
        self.last_words(cx).map(Err)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Poll::Ready(Err(error)) = &read {
            self.hear(error);
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.after_write(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.after_write(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
