//! The accepting side of a bound socket: the next peer that may come in.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{UnixListener, UnixStream};

use crate::bind::Entry;
use crate::{Listener, PeerCredentials, PeerPolicy};

/// A socket that peers are let in by; its file goes when this is dropped.
#[derive(Debug)]
pub struct Acceptor {
    // The file goes before the socket that pins its inode.
    _entry: Entry,
    socket: UnixListener,
    policy: PeerPolicy,
    path: PathBuf,
}

/// Somebody connected.
#[derive(Debug)]
pub enum Visitor {
    /// Who may come in.
    Guest(UnixStream, PeerCredentials),
    /// Who may not; it was logged, and told nothing.
    Refused,
}

impl Acceptor {
    /// Takes over a bound socket. Has to be called in a tokio runtime.
    ///
    /// # Errors
    /// When the runtime cannot wait for it.
    pub fn new(listener: Listener, policy: PeerPolicy) -> io::Result<Self> {
        let path = listener.path().to_owned();
        let (entry, socket) = listener.into_parts();
        Ok(Self { _entry: entry, socket: UnixListener::from_std(socket)?, policy, path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the next peer. Safe to cancel: nothing is lost between its waits.
    ///
    /// # Errors
    /// When the listening socket itself fails.
    pub async fn accept(&self) -> io::Result<Visitor> {
        let (stream, _) = patiently(&self.path.display(), || self.socket.accept()).await?;
        let path = self.path.display();
        Ok(match PeerCredentials::of(&stream) {
            Ok(peer) if self.policy.admits(&peer) => Visitor::Guest(stream, peer),
            Ok(peer) => {
                tracing::warn!(%path, uid = peer.uid, gid = peer.gid, pid = peer.pid, "refused a peer that is not allowed");
                Visitor::Refused
            }
            Err(error) => {
                tracing::warn!(%path, %error, "refused a peer whose credentials are not known");
                Visitor::Refused
            }
        })
    }
}

/// Accepts on any kind of listening socket until it gives a connection: one that was reset in the queue says nothing about
/// the listener, and being out of descriptors or memory passes. `shown` is the listener in a log's words.
///
/// # Errors
/// When the listening socket itself fails.
pub async fn patiently<T, F>(shown: &impl std::fmt::Display, mut accept: impl FnMut() -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut backoff = Duration::from_millis(10);
    loop {
        match accept().await {
            Err(error) if is_of_one_connection(&error) => {
                tracing::debug!(listener = %shown, %error, "a connection ended before it was accepted");
            }
            Err(error) if is_of_resources(&error) => {
                tracing::warn!(listener = %shown, %error, ?backoff, "cannot accept a connection now");
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(Duration::from_secs(1));
            }
            outcome => return outcome,
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// Out of descriptors or memory.
fn is_of_resources(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}
