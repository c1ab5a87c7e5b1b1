//! One connection, from its first byte to its end.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use pin_project_lite::pin_project;
use tokio::sync::watch;
use tower_service::Service;

use super::room::{Place, Visit};
use super::stream::Stream;
use super::{BoxError, Limits};
use crate::tls;
use crate::{Closed, DoorCounters, Peer};

/// How long a connection that is shown out may take to hear of it.
const FAREWELL: Duration = Duration::from_millis(200);
/// The most that the headers of a request may come to.
const HEADER_BYTES: u32 = 64 * 1024;
/// Streams that a peer may open and reset before they are dealt with (CVE-2023-44487).
const PENDING_RESETS: usize = 32;

/// A connection that was let in.
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) peer: Peer,
    pub(super) place: Arc<Place>,
    pub(super) counters: Arc<DoorCounters>,
    pub(super) limits: Limits,
    pub(super) stopping: watch::Receiver<bool>,
}

impl Connection {
    /// Serves it to its end, which is counted.
    pub(super) async fn converse<S, B>(mut self, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let counters = Arc::clone(&self.counters);
        let place = Arc::clone(&self.place);
        let mut stopping = self.stopping.clone();
        let handshake = tokio::time::timeout(self.limits.handshake, self.stream.shake_hands());
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            () = place.displaced() => return counters.closed(Closed::Displaced),
            _ = stopping.wait_for(|stop| *stop) => return counters.closed(Closed::Stopped),
        };
        self.stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tls::report(&self.peer, &error);
                return counters.closed(Closed::Handshake);
            }
            Err(_) => {
                tracing::debug!(peer = %self.peer, "a connection without a TLS handshake was closed");
                return counters.closed(Closed::Handshake);
            }
        };
        if let (Peer::Tls { certificate, .. }, Some(session)) = (&mut self.peer, self.stream.session()) {
            *certificate = tls::certificate_of(session);
        }
        let closed = self.serve(service).await;
        counters.closed(closed);
    }

    async fn serve<S, B>(self, service: S) -> Closed
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let Self { stream, peer, place, limits, mut stopping, .. } = self;
        let spoke = stream.spoke();
        let builder = builder(&limits);
        let guarded = Guarded { inner: service, peer: peer.clone(), place: Arc::clone(&place) };
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(guarded));
        let mut connection = pin!(connection);
        let mut why = None;
        let mut patience = pin!(tokio::time::sleep(limits.first_byte));
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let (Err(error), None) = (&ended, why) {
                        tracing::debug!(%peer, error = error.as_ref() as &dyn std::error::Error, "a connection ended with an error");
                    }
                    return why.unwrap_or(if ended.is_ok() { Closed::Ended } else { Closed::Failed });
                }
                () = patience.as_mut() => {
                    if let Some(why) = why {
                        return why;
                    }
                    let (idle, spoke) = (place.idle(), spoke.load(Ordering::Relaxed));
                    let limit = if spoke { limits.idle } else { limits.first_byte };
                    match idle {
                        Some(idle) if idle >= limit => {
                            tracing::debug!(%peer, ?idle, spoke, "a connection that nobody uses is closed");
                            why = Some(if spoke { Closed::Idle } else { Closed::Silent });
                            connection.as_mut().graceful_shutdown();
                            patience.as_mut().reset(tokio::time::Instant::now() + FAREWELL);
                        }
                        idle => {
                            let left = limit.saturating_sub(idle.unwrap_or_default());
                            patience.as_mut().reset(tokio::time::Instant::now() + left.max(FAREWELL));
                        }
                    }
                }
                () = place.displaced(), if why.is_none() => {
                    tracing::debug!(%peer, "a connection that nobody uses made room for another");
                    why = Some(Closed::Displaced);
                    connection.as_mut().graceful_shutdown();
                    patience.as_mut().reset(tokio::time::Instant::now() + FAREWELL);
                }
                _ = stopping.wait_for(|stop| *stop), if why.is_none() => {
                    why = Some(Closed::Stopped);
                    connection.as_mut().graceful_shutdown();
                    if !spoke.load(Ordering::Relaxed) {
                        return Closed::Stopped;
                    }
                    // The drain of the whole server bounds it from here on.
                    patience.as_mut().reset(tokio::time::Instant::now() + limits.drain);
                }
            }
        }
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let (interval, timeout) = limits.keep_alive;
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.first_byte).max_headers(64);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(HEADER_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .keep_alive_interval(interval)
        .keep_alive_timeout(timeout);
    builder
}

/// Puts the peer into every request, and knows how many there are.
#[derive(Clone)]
struct Guarded<S> {
    inner: S,
    peer: Peer,
    place: Arc<Place>,
}

impl<S, B> Service<Request<Incoming>> for Guarded<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    type Response = Response<Counted<B>>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        let visit = self.place.visit();
        if let Peer::Unix(credentials) = &self.peer {
            request.extensions_mut().insert(*credentials);
        }
        request.extensions_mut().insert(self.peer.clone());
        Answer { answer: self.inner.call(request), visit: Some(visit) }
    }
}

pin_project! {
    /// An answer that is being made.
    struct Answer<F> {
        #[pin]
        answer: F,
        visit: Option<Visit>,
    }
}

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Counted<B>>, E>;

    fn poll(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = std::task::ready!(this.answer.poll(cx));
        let visit = this.visit.take();
        Poll::Ready(answer.map(|response| {
            if let Some(visit) = &visit
                && !is_refusal(response.status(), response.headers())
            {
                visit.welcome();
            }
            response.map(|body| Counted { body, visit })
        }))
    }
}

/// Whether the front did not know who asks.
fn is_refusal(status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::UNAUTHORIZED
        || headers.get("grpc-status").is_some_and(|code| code.as_bytes() == b"16")
}

pin_project! {
    /// A body that counts as a request under way until it is out.
    struct Counted<B> {
        #[pin]
        body: B,
        visit: Option<Visit>,
    }
}

impl<B: Body> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
