//! Serving HTTP/2 on a bound socket: who connects is checked, how many is bounded, and the end is orderly.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower_service::Service;

use crate::accept::{Acceptor, Visitor};
use crate::authority::Mended;
use crate::{Listener, PeerCredentials, PeerPolicy};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What one listener takes on, and how long it waits for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Requests at a time on one connection.
    pub streams: u32,
    /// How long a connection may be open before its first byte.
    pub first_byte: Duration,
    /// How often a peer is asked for a sign of life, and how long it may take to give one.
    pub keep_alive: (Duration, Duration),
    /// How long requests may take to end once the server shall stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            streams: 256,
            first_byte: Duration::from_secs(10),
            keep_alive: (Duration::from_secs(30), Duration::from_secs(20)),
            drain: Duration::from_secs(10),
        }
    }
}

/// Serves with the default [`Limits`] but for `drain`; see [`serve_with`].
///
/// # Errors
/// See [`serve_with`].
pub async fn serve<S, B>(
    listener: Listener,
    policy: PeerPolicy,
    service: S,
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    serve_with(listener, policy, service, shutdown, Limits { drain, ..Limits::default() }).await
}

/// Serves `service` over HTTP/2 to every peer that `policy` admits, until `shutdown` is ready; then the socket's file
/// is removed, no further connection is accepted, requests under way have `limits.drain` to end, and the rest is cut.
///
/// Every request carries the [`PeerCredentials`] of its connection as an extension. A refused peer is logged with its
/// uid and pid and told nothing.
///
/// # Errors
/// When the listening socket itself fails; what goes wrong with one connection is logged.
pub async fn serve_with<S, B>(
    listener: Listener,
    policy: PeerPolicy,
    service: S,
    shutdown: impl Future<Output = ()>,
    limits: Limits,
) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let door = Door {
        acceptor: Acceptor::new(listener, policy)?,
        slots: Arc::new(Semaphore::new(limits.connections)),
        limit: limits.connections,
    };
    let graceful = GracefulShutdown::new();
    let (closing, closed) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);

    let end = loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break Ok(()),
            Some(ended) = connections.join_next() => report_panic(ended),
            admitted = door.admit() => match admitted {
                Ok(guest) => {
                    connections.spawn(converse(guest, service.clone(), graceful.watcher(), closed.clone(), limits));
                }
                Err(error) => break Err(error),
            },
        }
    };

    // Nobody new finds the door from here on.
    drop(door);
    drop((closing, closed));
    let drained = tokio::time::timeout(limits.drain, async {
        graceful.shutdown().await;
        while let Some(ended) = connections.join_next().await {
            report_panic(ended);
        }
    });
    if drained.await.is_err() {
        tracing::warn!(drain = ?limits.drain, connections = connections.len(), "requests were cut at the end of the drain");
        connections.shutdown().await;
    }
    end
}

/// The accepting side: how many may come in.
struct Door {
    acceptor: Acceptor,
    slots: Arc<Semaphore>,
    limit: usize,
}

/// A connection that was let in.
struct Guest {
    stream: UnixStream,
    peer: PeerCredentials,
    _slot: OwnedSemaphorePermit,
}

impl Door {
    /// Waits for the next peer that may come in. Safe to cancel: nothing is lost between its waits.
    async fn admit(&self) -> io::Result<Guest> {
        loop {
            let slot = self.slot().await;
            if let Visitor::Guest(stream, peer) = self.acceptor.accept().await? {
                return Ok(Guest { stream, peer, _slot: slot });
            }
        }
    }

    async fn slot(&self) -> OwnedSemaphorePermit {
        if self.slots.available_permits() == 0 {
            let path = self.acceptor.path().display();
            tracing::warn!(%path, limit = self.limit, "all connections are taken, further ones wait");
        }
        match Arc::clone(&self.slots).acquire_owned().await {
            Ok(slot) => slot,
            // Nobody closes this semaphore.
            Err(_) => std::future::pending().await,
        }
    }
}

/// One connection, from its first byte to its end.
async fn converse<S, B>(
    guest: Guest,
    service: S,
    watcher: Watcher,
    mut closing: watch::Receiver<()>,
    limits: Limits,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let Guest { stream, peer, _slot } = guest;
    // HTTP/2 has no deadline for its preface: without this a silent peer would hold its slot for good.
    tokio::select! {
        spoke = first_byte(&stream) => if spoke.is_err() { return },
        () = tokio::time::sleep(limits.first_byte) => {
            tracing::debug!(%peer, "a silent connection was closed");
            return;
        }
        // The sender is dropped when the server stops; nothing was asked yet.
        _ = closing.changed() => return,
    }
    drop(closing);
    let (interval, timeout) = limits.keep_alive;
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .keep_alive_interval(interval)
        .keep_alive_timeout(timeout)
        .serve_connection(
            TokioIo::new(Mended::new(stream)),
            TowerToHyperService::new(WithPeer { inner: service, peer }),
        );
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%peer, %error, "a connection ended with an error");
    }
}

/// Waits until there is something to read, and leaves it there. Readiness alone is no proof: it may be a guess.
async fn first_byte(stream: &UnixStream) -> io::Result<()> {
    loop {
        stream.readable().await?;
        let peeked = stream
            .try_io(Interest::READABLE, || Ok(rustix::net::recv(stream, &mut [0_u8; 1], RecvFlags::PEEK)?));
        match peeked {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Puts the peer's credentials into every request.
#[derive(Clone)]
struct WithPeer<S> {
    inner: S,
    peer: PeerCredentials,
}

impl<S, B> Service<Request<B>> for WithPeer<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        self.inner.call(request)
    }
}

fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}
