//! The way to a driver: one HTTP/2 connection at a time over its socket, made when something is asked and none is there.
//!
//! hyper's client is used bare. tonic's own transport hands every request to a task of its own before the connection's task
//! has it; on a socket of the same host these two turns are as long as all the rest of a call.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::header::{HeaderValue, USER_AGENT};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use openshell_uds::{ConnectError, PeerPolicy};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tonic::body::Body;
use tower_service::Service;

/// Who asks, for a driver's log.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("openshell-gateway/", env!("CARGO_PKG_VERSION")));
/// What one answer may have on its way here before it is read: a list of many sandboxes comes without a pause.
const STREAM_WINDOW: u32 = 1 << 20;
/// What all answers together may have: no limit, so that a watch that is read slowly holds up no call.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// Why a request did not get through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// Nobody could be asked.
    #[error("no connection to the driver's socket")]
    Connect(#[source] ConnectError),
    /// The connection could not be begun, or broke.
    #[error("the connection to the driver's socket failed")]
    Http(#[source] hyper::Error),
}

/// The connections to one socket; its copies are the same.
#[derive(Clone)]
pub(crate) struct Wire(Arc<Line>);

struct Line {
    path: PathBuf,
    policy: PeerPolicy,
    /// A connection that was made by whoever looked what is at the socket.
    first: Mutex<Option<UnixStream>>,
    /// The connection that is used as long as it stands.
    standing: Mutex<Option<SendRequest<Body>>>,
    /// Held while a connection is made, so that many requests make one.
    connecting: tokio::sync::Mutex<()>,
    /// How many have been made.
    connected: watch::Sender<u64>,
}

impl Wire {
    /// Prepares the connections to the socket at `path`. Nothing is connected yet, unless `first` is a connection that
    /// exists already. What it gives besides counts the connections.
    pub(crate) fn new(
        path: PathBuf,
        policy: PeerPolicy,
        first: Option<UnixStream>,
    ) -> (Self, watch::Receiver<u64>) {
        let (connected, connections) = watch::channel(0);
        let (first, standing) = (Mutex::new(first), Mutex::default());
        let line =
            Line { path, policy, first, standing, connecting: tokio::sync::Mutex::default(), connected };
        (Self(Arc::new(line)), connections)
    }
}

impl Line {
    /// The connection, where it still takes requests.
    fn standing(&self) -> Option<SendRequest<Body>> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.as_ref().filter(|requests| !requests.is_closed()).cloned()
    }

    /// The connection, which is made where there is none.
    async fn connection(&self) -> Result<SendRequest<Body>, WireError> {
        let _alone = self.connecting.lock().await;
        if let Some(requests) = self.standing() {
            return Ok(requests);
        }
        let ready = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stream = match ready {
            Some(stream) => stream,
            None => openshell_uds::connect(&self.path, &self.policy).await.map_err(WireError::Connect)?,
        };
        let (requests, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(WireError::Http)?;
        // How it ends is seen by whoever asks something on it.
        tokio::spawn(connection);
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = Some(requests.clone());
        self.connected.send_modify(|count| *count += 1);
        Ok(requests)
    }
}

impl Service<http::Request<Body>> for Wire {
    type Response = http::Response<Incoming>;
    type Error = WireError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Whether there is a connection is known when it is used.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        request.headers_mut().insert(USER_AGENT, AGENT);
        match self.0.standing() {
            Some(mut requests) => {
                let answer = requests.send_request(request);
                Box::pin(async move { answer.await.map_err(WireError::Http) })
            }
            None => {
                let line = Arc::clone(&self.0);
                Box::pin(async move {
                    line.connection().await?.send_request(request).await.map_err(WireError::Http)
                })
            }
        }
    }
}
