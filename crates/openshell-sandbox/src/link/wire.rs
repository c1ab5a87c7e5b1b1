//! One connection to the gateway: HTTP/2 over its Unix socket or over TLS, with the sandbox's token in every request.
//!
//! hyper's client is used bare. tonic's own transport would add queues, balancing and reconnecting, all of which is done
//! here in another way, and half a megabyte.

use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use openshell_proto::openshell::v1::open_shell_client::OpenShellClient;
use rustix::net::{Shutdown, shutdown};
use tonic::body::Body;
use tower_service::Service;

use super::endpoint::Endpoint;
use super::token::Tokens;
use super::transport::Transport;
use super::trust::Trust;
use super::{ANSWER, LinkError};

/// What all channels together may have on its way here: no limit, so that one that is stuck holds up no other.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// What one channel may have on its way here.
const STREAM_WINDOW: u32 = 1 << 20;
/// What one frame may have.
const FRAME: u32 = 256 << 10;
/// What one channel keeps for the gateway while it waits for its window.
const SEND_BUFFER: usize = 64 << 10;
/// How many channels that were given up are remembered for what is still on its way to them.
const RESETS: usize = 1024;
/// Who asks; a gateway of another version says so in its log.
const PROGRAM: HeaderValue =
    HeaderValue::from_static(concat!("openshell-sandbox/", env!("CARGO_PKG_VERSION")));
/// How often a sign of life is asked for while anything is open, and how long it may take. The session has its heartbeats;
/// this is for a connection that has lost its session and still carries channels.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(20));
/// The largest message: what a frame of a channel may have, and what is around it.
const MESSAGE: usize = (1 << 20) + (64 << 10);

/// A connection; its copies are the same one.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    requests: SendRequest<Body>,
    tokens: Arc<Tokens>,
    origin: Uri,
    /// Another descriptor of the socket, for [`Wire::cut`].
    socket: Arc<OwnedFd>,
}

impl Wire {
    /// Connects; `trust` says whom to believe on a network.
    pub(super) async fn dial(
        endpoint: &Endpoint,
        trust: Option<&Trust>,
        tokens: Arc<Tokens>,
    ) -> Result<Self, LinkError> {
        let unreachable = |source| LinkError::Unreachable { endpoint: endpoint.clone(), source };
        let dialled = tokio::time::timeout(ANSWER, Transport::dial(endpoint, trust)).await;
        let dialled = dialled.map_err(|_| LinkError::NoAnswer { asking: "to be let in" })?;
        let (stream, socket) = dialled.map_err(unreachable)?;
        let (requests, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW)
            .max_frame_size(FRAME)
            .max_send_buf_size(SEND_BUFFER)
            // Both limits are there against a hostile peer, and counted for as long as the connection lives, which may be weeks.
            .max_concurrent_reset_streams(RESETS)
            .max_local_error_reset_streams(None)
            .keep_alive_interval(KEEP_ALIVE.0)
            .keep_alive_timeout(KEEP_ALIVE.1)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(LinkError::Handshake)?;
        // How it ends is seen by whoever uses it.
        tokio::spawn(connection);
        Ok(Self { requests, tokens, origin: endpoint.origin(), socket: Arc::new(socket) })
    }

    /// The gateway's methods over this connection.
    pub(super) fn client(&self) -> OpenShellClient<Self> {
        OpenShellClient::with_origin(self.clone(), self.origin.clone()).max_decoding_message_size(MESSAGE)
    }

    /// Whether it takes no further request.
    pub(super) fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// Whether the two are one connection.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.socket, &other.socket)
    }

    /// Ends it with everything on it, whatever the gateway does.
    pub(super) fn cut(&self) {
        // One that is gone already needs no end.
        let _ = shutdown(&self.socket, Shutdown::Both);
    }
}

impl Service<http::Request<Body>> for Wire {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.requests.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        request.headers_mut().insert(USER_AGENT, PROGRAM);
        request.headers_mut().insert(AUTHORIZATION, self.tokens.current().header());
        Box::pin(self.requests.send_request(request))
    }
}
