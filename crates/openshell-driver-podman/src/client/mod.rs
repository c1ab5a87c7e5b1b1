//! HTTP over the service's Unix socket: one connection a call, every one of them bounded in time.
//!
//! ```text
//!   Client ─ call ─▶ connect ─▶ request ─▶ head ─┬─ refused ─▶ Failure, in the service's words
//!                                                ├─ json / bytes: whole, bounded in size, before a deadline
//!                                                └─ Lines (lines.rs): as they come, without one
//! ```
//!
//! A connection of its own for each call, since a local socket costs a tenth of a millisecond and a kept connection may
//! be closed by the service in the moment that a create is written to it. Dropped, a call takes its connection along, and
//! with that the service ends what it was doing.

mod call;
mod lines;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

pub(crate) use self::call::Call;
pub(crate) use self::lines::Lines;
use crate::error::Failure;

/// What a refusal may have to say.
const MAX_REFUSAL: usize = 64 * 1024;
/// How large any other answer may be. A container is about one kilobyte of a list, and lists have no end of their own.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// A service's socket, and the version of the API that is spoken there.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    socket: Arc<Path>,
    /// What stands before every path: `/v4.0.0/libpod`.
    base: Arc<str>,
}

impl Client {
    /// A client of the service at `socket`; nothing is asked yet.
    pub(crate) fn new(socket: &Path, base: &str) -> Self {
        Self { socket: socket.into(), base: base.into() }
    }

    /// Where the service is.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Calls, and reads the answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, Failure> {
        let operation = call.operation;
        let body = self.bytes(call, MAX_ANSWER).await?;
        serde_json::from_slice(&body).map_err(|error| {
            // Where it ends to make sense, and not what stands there: an answer may hold what no log should.
            let (line, column) = (error.line(), error.column());
            let what = if error.is_data() { "is not what was expected" } else { "is not JSON" };
            Failure::nonsense(operation, format!("it {what} (line {line}, column {column})"))
        })
    }

    /// Calls, and has no use for the answer.
    pub(crate) async fn done(&self, call: Call) -> Result<(), Failure> {
        self.bytes(call, MAX_ANSWER).await.map(|_| ())
    }

    /// Calls, and reads the answer as it is, at most `limit` bytes of it.
    pub(crate) async fn bytes(&self, call: Call, limit: usize) -> Result<Bytes, Failure> {
        let (operation, patience) = (call.operation, call.patience);
        let exchange = async {
            let answer = self.open(call).await?;
            let (_connection, body) = answer.accepted(operation).await?;
            collect(operation, body, limit).await
        };
        let exchanged = tokio::time::timeout(patience, exchange).await;
        exchanged.unwrap_or_else(|_| Err(Failure::late(operation, patience)))
    }

    /// Calls, and gives the answer's lines as they come. Only the time until the request is sent is bounded: of a stream
    /// that has nothing to say yet, some services do not even send the head.
    pub(crate) async fn lines(&self, call: Call) -> Result<Lines, Failure> {
        let (operation, patience) = (call.operation, call.patience);
        let opened = tokio::time::timeout(patience, self.send(call)).await;
        let pending = opened.unwrap_or_else(|_| Err(Failure::late(operation, patience)))?;
        Ok(Lines::new(pending))
    }

    async fn open(&self, call: Call) -> Result<Answer, Failure> {
        self.send(call).await?.answer().await
    }

    async fn send(&self, call: Call) -> Result<Pending, Failure> {
        let operation = call.operation;
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| Failure::away(operation, Box::new(error)))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| Failure::http(operation, error))?;
        let task = tokio::spawn(async move {
            // What is wrong with a connection is told to whoever reads from it.
            let _ = connection.await;
        });
        let mut connection = Connection { task, _sender: None };
        let request = call.request(&self.base)?;
        sender.ready().await.map_err(|error| Failure::http(operation, error))?;
        let head = Box::pin(sender.send_request(request));
        connection._sender = Some(sender);
        Ok(Pending { operation, head, connection })
    }
}

/// A connection's task, which ends with this.
struct Connection {
    task: JoinHandle<()>,
    /// Without it the connection takes itself for no longer wanted.
    _sender: Option<SendRequest<Full<Bytes>>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Head = std::pin::Pin<Box<dyn Future<Output = hyper::Result<http::Response<Incoming>>> + Send>>;

/// A request that was sent and not answered yet.
struct Pending {
    operation: &'static str,
    head: Head,
    connection: Connection,
}

impl Pending {
    async fn answer(self) -> Result<Answer, Failure> {
        let response = self.head.await.map_err(|error| Failure::http(self.operation, error))?;
        Ok(Answer { response, connection: self.connection })
    }
}

/// An answer's head, with its body still to come.
struct Answer {
    response: http::Response<Incoming>,
    connection: Connection,
}

impl Answer {
    /// The body of an answer that is no refusal.
    async fn accepted(self, operation: &'static str) -> Result<(Connection, Incoming), Failure> {
        let status = self.response.status();
        let body = self.response.into_body();
        if is_accepted(status) {
            return Ok((self.connection, body));
        }
        // What does not fit or breaks off says less, and the status says enough.
        let words = collect(operation, body, MAX_REFUSAL).await.unwrap_or_default();
        Err(Failure::refused(operation, status.as_u16(), &words))
    }
}

/// "Not modified" is a service's way to say that it is so already.
fn is_accepted(status: StatusCode) -> bool {
    status.is_success() || status == StatusCode::NOT_MODIFIED
}

async fn collect(operation: &'static str, body: Incoming, limit: usize) -> Result<Bytes, Failure> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => Err(Failure::http(operation, *error)),
            Err(_) => Err(Failure::nonsense(operation, format!("it is larger than {limit} bytes"))),
        },
    }
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
