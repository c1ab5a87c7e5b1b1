//! One connection, from its first byte to its end.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use pin_project_lite::pin_project;
use tokio::sync::watch;
use tokio::time::Instant;
use tower_service::Service;

use super::room::{Place, Visit};
use super::stream::Stream;
use super::{BoxError, Limits};
use crate::tls;
use crate::{Closed, DoorCounters, Peer};

/// How long a connection that is shown out may take to hear of it, or to fetch its last answer.
const FAREWELL: Duration = Duration::from_secs(1);
/// The same for one of which nobody knows whose it is.
const CURT_FAREWELL: Duration = Duration::from_millis(200);
/// The most that the headers of a request may come to, over however many CONTINUATION frames (CVE-2024-27316): the
/// longest token four times over, and what gRPC's own servers take.
const HEADER_BYTES: u32 = 16 * 1024;
/// Streams that a peer may open and reset before they are dealt with (CVE-2023-44487).
const PENDING_RESETS: usize = 32;
/// Streams that a peer may have us reset by breaking the rules on them (CVE-2025-8671).
const OWN_RESETS: usize = 64;
/// The smallest window that is given: what HTTP/2 itself has (RFC 9113, section 6.9.2).
const SMALLEST_WINDOW: u32 = 64 * 1024 - 1;
/// The largest window there is (RFC 9113, section 6.9.1).
const LARGEST_WINDOW: u32 = (1 << 31) - 1;
/// The largest frame that a peer may send, where its window has room for it: what a file comes in by the piece, with the
/// few bytes around it, in as few as may be. A connection may hold one that is not all there, whoever it is.
const FRAME: u32 = 320 * 1024;
/// What an answer may hold back for a peer that does not read it.
const SEND_BUFFER: usize = 64 * 1024;
/// What an HTTP/1 connection reads ahead. Only the probes are asked over it.
const HTTP1_BUFFER: usize = 16 * 1024;

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
            () = place.cut() => return counters.closed(Closed::Displaced),
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
        let mut leaving: Option<Leaving> = None;
        let mut patience = pin!(tokio::time::sleep(limits.first_byte));
        let mut unknown = pin!(stays_unknown(limits.introduction, &place));
        let mut introduced = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    let Some(Leaving { why, .. }) = leaving else {
                        let Err(error) = &ended else { return Closed::Ended };
                        tracing::debug!(%peer, error = error.as_ref() as &dyn std::error::Error, "a connection ended with an error");
                        return Closed::Failed;
                    };
                    return why;
                }
                () = patience.as_mut() => {
                    if let Some(leaving) = &leaving {
                        match leaving.patience(&place) {
                            Some(more) => patience.as_mut().reset(Instant::now() + more),
                            None => return leaving.why,
                        }
                        continue;
                    }
                    let (idle, spoke) = (place.idle(), spoke.load(Ordering::Relaxed));
                    let limit = if spoke { limits.idle } else { limits.first_byte };
                    match idle {
                        Some(idle) if idle >= limit => {
                            tracing::debug!(%peer, ?idle, spoke, "a connection that nobody uses is closed");
                            // It keeps its place, so a request that was on its way may take its time.
                            let why = if spoke { Closed::Idle } else { Closed::Silent };
                            leaving = Some(Leaving { why, until: None });
                            connection.as_mut().graceful_shutdown();
                            patience.as_mut().reset(Instant::now() + farewell(&place));
                        }
                        idle => {
                            let left = limit.saturating_sub(idle.unwrap_or_default());
                            patience.as_mut().reset(Instant::now() + left.max(CURT_FAREWELL));
                        }
                    }
                }
                () = place.cut() => return leaving.map_or(Closed::Displaced, |leaving| leaving.why),
                is_unknown = unknown.as_mut(), if !introduced => {
                    if is_unknown {
                        tracing::debug!(%peer, "a connection of somebody unknown is closed");
                        return leaving.map_or(Closed::Silent, |leaving| leaving.why);
                    }
                    introduced = true;
                }
                // It comes once.
                () = place.displaced() => {
                    tracing::debug!(%peer, "a connection made room for another");
                    // A request that was on its way when it lost its place is answered, if anybody knows whose it is.
                    let more = if place.is_welcome() { limits.drain } else { Duration::ZERO };
                    leaving = Some(Leaving { why: Closed::Displaced, until: Some(Instant::now() + more) });
                    connection.as_mut().graceful_shutdown();
                    patience.as_mut().reset(Instant::now() + farewell(&place));
                }
                _ = stopping.wait_for(|stop| *stop), if leaving.is_none() => {
                    // The drain of the whole server bounds it from here on.
                    leaving = Some(Leaving { why: Closed::Stopped, until: None });
                    connection.as_mut().graceful_shutdown();
                    if !spoke.load(Ordering::Relaxed) {
                        return Closed::Stopped;
                    }
                    patience.as_mut().reset(Instant::now() + farewell(&place));
                }
            }
        }
    }
}

/// Whether nobody has said who they are, once that was to be said.
async fn stays_unknown(introduction: Option<Duration>, place: &Place) -> bool {
    match introduction {
        Some(introduction) => tokio::time::sleep(introduction).await,
        None => std::future::pending().await,
    }
    !place.is_welcome()
}

/// A connection that was told to go (GOAWAY; RFC 9113, section 6.8). It ends by itself once the client has heard of it and
/// has its answers; one that does not listen is cut.
#[derive(Debug)]
struct Leaving {
    why: Closed,
    /// When it goes although requests are under way.
    until: Option<Instant>,
}

impl Leaving {
    /// How much longer to wait for it; `None`: no longer.
    fn patience(&self, place: &Place) -> Option<Duration> {
        let farewell = farewell(place);
        // Who does not acknowledge that it is to go may begin requests without end.
        if self.until.is_some_and(|until| until + farewell <= Instant::now()) {
            return None;
        }
        match place.idle() {
            Some(idle) => farewell.checked_sub(idle).filter(|more| !more.is_zero()),
            None if self.until.is_some_and(|until| until <= Instant::now()) => None,
            None => Some(farewell),
        }
    }
}

fn farewell(place: &Place) -> Duration {
    if place.is_welcome() { FAREWELL } else { CURT_FAREWELL }
}

/// HTTP within bounds. Every one is set here, so that none changes with the library's defaults.
fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let (interval, timeout) = limits.keep_alive;
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.first_byte)
        .max_headers(64)
        .max_buf_size(HTTP1_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(HEADER_BYTES)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(OWN_RESETS)
        .initial_stream_window_size(stream_window(limits))
        .initial_connection_window_size(connection_window(limits))
        .max_frame_size(FRAME.min(stream_window(limits)))
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(interval)
        .keep_alive_timeout(timeout);
    builder
}

fn stream_window(limits: &Limits) -> u32 {
    limits.window.clamp(SMALLEST_WINDOW, LARGEST_WINDOW)
}

/// As much as the windows of all streams together, so that one which nobody reads holds up no other (RFC 9113, section
/// 5.2.1); nobody can make a connection hold more. What is refused holds nothing: nobody waits for the rest of it.
fn connection_window(limits: &Limits) -> u32 {
    let window = stream_window(limits);
    window.saturating_mul(limits.streams).clamp(window, LARGEST_WINDOW)
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
        request.extensions_mut().insert(self.peer.clone());
        request.extensions_mut().insert(self.place.guest());
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
        Poll::Ready(answer.map(|response| response.map(|body| Counted { body, visit })))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stream_can_use_up_the_window_of_all() {
        const WINDOW: u32 = 128 * 1024;
        let of = |streams, window| connection_window(&Limits { streams, window, ..Limits::default() });
        assert_eq!(of(0, WINDOW), WINDOW);
        assert_eq!(of(1, WINDOW), WINDOW);
        assert_eq!(of(256, WINDOW), 256 * WINDOW);
        assert_eq!(of(u32::MAX, WINDOW), LARGEST_WINDOW);
        assert_eq!(of(2, 0), 2 * SMALLEST_WINDOW);
        assert_eq!(of(1, u32::MAX), LARGEST_WINDOW);
    }
}
