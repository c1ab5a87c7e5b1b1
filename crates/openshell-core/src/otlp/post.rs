//! How a batch of spans gets to the collector: an HTTP client on the exporter's own thread, with a runtime that does
//! nothing between batches. Nothing of it runs on a thread that answers requests.

use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Runtime;

/// How long one batch may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The most bytes of an answer that are read; a collector has next to nothing to say.
const MAX_ANSWER: usize = 64 * 1024;

/// The client. It blocks the thread that it is called on.
pub(super) struct Poster {
    runtime: Mutex<Runtime>,
    client: Client<HttpConnector, Full<Bytes>>,
    /// Whether the last batch was lost, so that a collector that is away is one line in the log.
    lost: AtomicBool,
}

impl Poster {
    /// Needs nothing but memory and a file descriptor or two.
    pub(super) fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = Client::builder(TokioExecutor::new())
            // Between batches nobody drives a connection: it would be found dead the next time.
            .pool_max_idle_per_host(0)
            .build_http();
        Ok(Self { runtime: Mutex::new(runtime), client, lost: AtomicBool::new(false) })
    }

    fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let exchange = async {
            let answer = self.client.request(request.map(Full::new)).await?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
            Result::<_, HttpError>::Ok(Response::from_parts(parts, body))
        };
        // The timer needs the runtime as much as the exchange does.
        runtime.block_on(async { tokio::time::timeout(LIMIT, exchange).await })?
    }

    fn note(&self, answer: &Result<Response<Bytes>, HttpError>) {
        let problem = match answer {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(response.status().to_string()),
            Err(error) => Some(with_causes(error.as_ref())),
        };
        let lost = self.lost.swap(problem.is_some(), Ordering::Relaxed);
        match problem {
            Some(problem) if !lost => {
                tracing::warn!(problem, "traces were not taken by the collector; no more is said of it");
            }
            None if lost => tracing::info!("traces are taken by the collector again"),
            _ => {}
        }
    }
}

/// An error with what caused it, on one line.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    text
}

impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poster").finish_non_exhaustive()
    }
}

#[openshell_driver_api::async_trait]
impl HttpClient for Poster {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.post(request);
        self.note(&answer);
        answer
    }
}
