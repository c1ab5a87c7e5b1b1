//! The listeners: one loop that accepts, for each of them a bounded room of connections, and an orderly end.
//!
//! A room that is full makes place by closing a connection, first of all one of which nobody knows whose it is, and of these
//! one of the user who has most; so strangers keep nobody out, whether they lie there or ask without end, and rooms are
//! apart, so what they do to the TCP listener does nothing to the Unix socket.

mod connection;
mod room;
mod stream;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use openshell_uds::{Acceptor, Listener, PeerPolicy, Visitor, patiently};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_service::Service;

use crate::tls::Tls;
use crate::{Closed, DoorCounters, Peer};
use connection::Connection;
pub use room::Guest;
#[cfg(test)]
pub(crate) use room::guests_for_tests;
use room::{Origin, Room};
pub(crate) use room::{Seat, Taken};
use stream::Stream;

/// How often it is worth a line in the log that a room is full: whoever has filled it may connect on and on.
const FULL_EVERY: Duration = Duration::from_secs(10);

/// The largest window on a Unix socket. More than the pieces that files come in is no faster there, and is held of
/// everything that nobody reads.
const LOCAL_WINDOW: u32 = 256 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a listener takes on, and how long it waits for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, of each listener.
    pub connections: usize,
    /// Connections at a time, of each listener, of those who have said who they are: of more, the newest stay.
    pub known: usize,
    /// Requests at a time on one connection.
    pub streams: u32,
    /// What a peer may send ahead of those who read it, on each request, in bytes: as much as is on its way over the
    /// distance to it. Where there is none, on a Unix socket, it is a quarter of a MiB at most.
    pub window: u32,
    /// How long a connection may be open before its first byte, and how long the head of an HTTP/1 request may take.
    pub first_byte: Duration,
    /// How long a connection may be open before somebody says on it who they are; `None`: for as long as it likes.
    pub introduction: Option<Duration>,
    /// How long TLS may take to come about.
    pub handshake: Duration,
    /// How long a connection may be open without a request on it.
    pub idle: Duration,
    /// How often a peer is asked for a sign of life while it has requests, and how long it may take to give one.
    pub keep_alive: (Duration, Duration),
    /// How long requests may take to end once the server shall stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            known: usize::MAX,
            streams: 256,
            window: 1024 * 1024,
            first_byte: Duration::from_secs(10),
            introduction: None,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            keep_alive: (Duration::from_secs(30), Duration::from_secs(20)),
            drain: Duration::from_secs(10),
        }
    }
}

/// A bound listener, and what counts its connections.
#[derive(Debug)]
pub struct Entrance {
    kind: Kind,
    counters: Arc<DoorCounters>,
    /// Connections at a time, where that changes.
    places: Option<Arc<AtomicUsize>>,
}

#[derive(Debug)]
enum Kind {
    Unix { listener: Listener, policy: PeerPolicy },
    Tcp { listener: TcpListener, tls: Option<Tls> },
}

impl Entrance {
    /// A Unix socket; `policy` says whose processes may connect.
    #[must_use]
    pub fn unix(listener: Listener, policy: PeerPolicy, counters: Arc<DoorCounters>) -> Self {
        Self { kind: Kind::Unix { listener, policy }, counters, places: None }
    }

    /// The same with so many connections at a time, which may change, instead of what the limits say.
    #[must_use]
    pub fn with_places(self, places: Arc<AtomicUsize>) -> Self {
        Self { places: Some(places), ..self }
    }

    /// Serves this entrance alone, as [`serve`] does those it is given, until `stopping` holds `true` or its sender is gone;
    /// then until its last connection has ended, which is for the caller to wait for: to drop the future cuts them.
    ///
    /// # Errors
    /// When the listening socket itself fails.
    pub async fn serve<S, B>(
        self,
        service: S,
        stopping: watch::Receiver<bool>,
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
        Door::open(self, limits)?.serve(service, stopping).await
    }

    /// A TCP port without TLS.
    #[must_use]
    pub fn tcp(listener: TcpListener, counters: Arc<DoorCounters>) -> Self {
        Self { kind: Kind::Tcp { listener, tls: None }, counters, places: None }
    }

    /// A TCP port with TLS.
    #[must_use]
    pub fn tls(listener: TcpListener, tls: Tls, counters: Arc<DoorCounters>) -> Self {
        Self { kind: Kind::Tcp { listener, tls: Some(tls) }, counters, places: None }
    }
}

/// Serves `service` over HTTP/2 and HTTP/1.1 on every entrance, until `shutdown` is ready; then no further connection is
/// accepted, requests under way have `limits.drain` to end, and the rest is cut.
///
/// Every request carries the [`Peer`] of its connection as an extension, and its [`Guest`].
///
/// # Errors
/// When a listening socket itself fails; what goes wrong with one connection is logged.
pub async fn serve<S, B>(
    entrances: Vec<Entrance>,
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
    let (stop, stopping) = watch::channel(false);
    let mut doors = JoinSet::new();
    for entrance in entrances {
        let door = Door::open(entrance, limits)?;
        doors.spawn(door.serve(service.clone(), stopping.clone()));
    }
    drop(stopping);
    tokio::pin!(shutdown);
    let mut outcome = tokio::select! {
        () = &mut shutdown => Ok(()),
        Some(ended) = doors.join_next() => joined(ended),
    };
    stop.send_replace(true);
    let drained = tokio::time::timeout(limits.drain, async {
        while let Some(ended) = doors.join_next().await {
            outcome = std::mem::replace(&mut outcome, Ok(())).and(joined(ended));
        }
    });
    if drained.await.is_err() {
        tracing::warn!(drain = ?limits.drain, "requests were cut at the end of the drain");
        doors.shutdown().await;
    }
    outcome
}

/// One listener at work.
struct Door {
    acceptor: Accept,
    counters: Arc<DoorCounters>,
    room: Arc<Room>,
    limits: Limits,
}

enum Accept {
    Unix(Acceptor),
    Tcp { listener: TcpListener, tls: Option<Tls>, shown: String },
}

impl Door {
    fn open(entrance: Entrance, mut limits: Limits) -> io::Result<Self> {
        let acceptor = match entrance.kind {
            Kind::Unix { listener, policy } => {
                limits.window = limits.window.min(LOCAL_WINDOW);
                Accept::Unix(Acceptor::new(listener, policy)?)
            }
            Kind::Tcp { listener, tls } => {
                let shown = listener.local_addr()?.to_string();
                Accept::Tcp { listener, tls, shown }
            }
        };
        let places = entrance.places.unwrap_or_else(|| Arc::new(AtomicUsize::new(limits.connections)));
        let room = Arc::new(Room::new(places, limits.known));
        Ok(Self { acceptor, counters: entrance.counters, room, limits })
    }

    /// Accepts until told to stop, then waits for the connections; dropping this cuts them.
    async fn serve<S, B>(self, service: S, mut stopping: watch::Receiver<bool>) -> io::Result<()>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let mut connections = JoinSet::new();
        let told = stopping.clone();
        // When it was last said that there is no room.
        let mut full: Option<Instant> = None;
        let outcome = loop {
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => break Ok(()),
                Some(ended) = connections.join_next() => report_panic(ended),
                // Those that were cut end as soon as they run, so nobody waits here for long.
                accepted = self.accept(), if connections.len() < self.room.most() => match accepted {
                    Ok(None) => self.counters.refused(Closed::Peer),
                    Ok(Some((stream, peer))) => {
                        let Some(place) = self.room.enter(Origin::of(&peer)) else {
                            if full.is_none_or(|said| said.elapsed() >= FULL_EVERY) {
                                full = Some(Instant::now());
                                tracing::warn!(%peer, "no room for another connection: all of them are known and have requests under way");
                            }
                            self.counters.refused(Closed::Displaced);
                            continue;
                        };
                        self.counters.opened();
                        let connection = Connection {
                            stream,
                            peer,
                            place,
                            counters: Arc::clone(&self.counters),
                            limits: self.limits,
                            stopping: told.clone(),
                        };
                        connections.spawn(connection.converse(service.clone()));
                    }
                    Err(error) => break Err(error),
                },
            }
        };
        // Nobody new finds the door from here on.
        drop(self.acceptor);
        while let Some(ended) = connections.join_next().await {
            report_panic(ended);
        }
        outcome
    }

    /// The next connection; `None` for one that was refused. Safe to cancel.
    async fn accept(&self) -> io::Result<Option<(Stream, Peer)>> {
        match &self.acceptor {
            Accept::Unix(acceptor) => Ok(match acceptor.accept().await? {
                Visitor::Guest(stream, peer) => Some((Stream::unix(stream), Peer::Unix(peer))),
                Visitor::Refused => None,
            }),
            Accept::Tcp { listener, tls, shown } => {
                let (stream, address) = patiently(shown, || listener.accept()).await?;
                // Small answers are not to wait for the acknowledgement of those before; it fails on a dead one only.
                let _ = stream.set_nodelay(true);
                Ok(Some(match tls {
                    None => (Stream::tcp(stream), Peer::Tcp { address }),
                    Some(tls) => {
                        (Stream::for_tls(stream, tls.clone()), Peer::Tls { address, certificate: None })
                    }
                }))
            }
        }
    }
}

fn joined(ended: Result<io::Result<()>, tokio::task::JoinError>) -> io::Result<()> {
    ended.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn report_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}
