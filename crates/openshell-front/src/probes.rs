//! `/healthz`, `/readyz` and `/metrics`: what an orchestrator and Prometheus ask, in plain HTTP.
//!
//! `/healthz` says `ok` as long as the process serves. `/readyz` says `ok`, or with 503 what speaks against it, a line a
//! reason. What the gateway's other parts have to say to that has to come within a second.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use tokio::sync::Mutex;

use crate::observe::{self, Family, FrontBody, Metrics};

/// How long a page waits for the gateway's other parts.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long what was found of the gateway's readiness counts, and how often it is looked for at most: everybody may ask,
/// and to look may cost a question to the store.
const FRESH: Duration = Duration::from_millis(250);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What the front asks the rest of the gateway.
#[async_trait::async_trait]
pub trait Backend: Send + Sync + 'static {
    /// What speaks against asking the gateway now, a line each; nothing: it is ready.
    async fn readiness(&self) -> Vec<String>;

    /// What the rest of the gateway counts, for `/metrics`.
    async fn families(&self) -> Vec<Family>;
}

/// A page of the front's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    Health,
    Readiness,
    Metrics,
}

impl Page {
    /// The page of a path.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            "/healthz" => Some(Self::Health),
            "/readyz" => Some(Self::Readiness),
            "/metrics" => Some(Self::Metrics),
            _ => None,
        }
    }
}

/// Answers the three pages.
#[derive(Clone)]
pub(crate) struct Probes {
    metrics: Arc<Metrics>,
    backend: Arc<dyn Backend>,
    found: Arc<Mutex<Option<Found>>>,
}

/// What spoke against asking the gateway, and when.
struct Found {
    at: Instant,
    reasons: Vec<String>,
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").finish_non_exhaustive()
    }
}

impl Probes {
    pub(crate) fn new(metrics: Arc<Metrics>, backend: Arc<dyn Backend>) -> Self {
        Self { metrics, backend, found: Arc::default() }
    }

    /// Answers a request for a page.
    pub(crate) async fn answer(self, page: Page, method: Method) -> Response<FrontBody> {
        if method != Method::GET && method != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "this page can only be read\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let mut response = match page {
            Page::Health => text(StatusCode::OK, "ok\n"),
            Page::Readiness => self.readiness().await,
            Page::Metrics => self.metrics().await,
        };
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if method == Method::HEAD {
            *response.body_mut() = FrontBody::default();
        }
        response
    }

    async fn readiness(&self) -> Response<FrontBody> {
        let reasons = self.reasons().await;
        if reasons.is_empty() {
            return text(StatusCode::OK, "ok\n");
        }
        // A line a reason, whatever a reason holds.
        let lines: String = reasons.iter().map(|reason| reason.replace(['\r', '\n'], " ") + "\n").collect();
        text(StatusCode::SERVICE_UNAVAILABLE, lines)
    }

    /// Those who ask at once wait for one answer.
    async fn reasons(&self) -> Vec<String> {
        let mut found = self.found.lock().await;
        if let Some(found) = found.as_ref().filter(|found| found.at.elapsed() < FRESH) {
            return found.reasons.clone();
        }
        let reasons = match tokio::time::timeout(PATIENCE, self.backend.readiness()).await {
            Ok(reasons) => reasons,
            Err(_) => vec!["the gateway does not say in time whether it is ready".to_owned()],
        };
        *found = Some(Found { at: Instant::now(), reasons: reasons.clone() });
        reasons
    }

    async fn metrics(&self) -> Response<FrontBody> {
        let mut families = self.metrics.families();
        match tokio::time::timeout(PATIENCE, self.backend.families()).await {
            Ok(others) => families.extend(others),
            Err(_) => tracing::warn!("metrics are incomplete: the gateway did not give its own in time"),
        }
        let mut response = text(StatusCode::OK, observe::render(&families));
        let kind = HeaderValue::from_static(observe::CONTENT_TYPE);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}

/// A page of text.
pub(crate) fn text(status: StatusCode, text: impl Into<bytes::Bytes>) -> Response<FrontBody> {
    let mut response = Response::new(FrontBody::page(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}
