//! Traces in a build with them.

use std::sync::OnceLock;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use http::Request;
use opentelemetry::context::{FutureExt as _, WithContext};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tower_service::Service;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::{Layer, Registry};

use super::post::Poster;
use crate::environment::Environment;
use crate::logging::OURS;

/// Where traces go; the path `/v1/traces` is added. See "OpenTelemetry Protocol Exporter" of OpenTelemetry.
const ENV_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The same for traces alone, as it is. It goes before the other one.
const ENV_TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// `true`, of any case, and nothing is traced.
const ENV_DISABLED: &str = "OTEL_SDK_DISABLED";
/// Under which name; else that of the program.
const ENV_SERVICE: &str = "OTEL_SERVICE_NAME";
/// What makes the spans, as OpenTelemetry calls it: an instrumentation scope.
const SCOPE: &str = "openshell";

/// What sends, once there is something that does. There is one for a process, as there is one log.
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// What is to be traced, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    endpoint: String,
    service: String,
}

/// The layer that takes spans, where the environment names a collector, or what is wrong with what it says. Called once,
/// by what starts the log: whatever is wrong is to be told when there is one.
pub(crate) fn layers() -> (Vec<BoxedLayer>, Option<String>) {
    let target = match Target::of(&Environment::from_process()) {
        Ok(Some(target)) => target,
        Ok(None) => return (Vec::new(), None),
        Err(problem) => return (Vec::new(), Some(problem)),
    };
    match target.provider() {
        Ok(provider) => (vec![layer(PROVIDER.get_or_init(|| provider))], None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    }
}

/// Ours alone, and all of it: how much is logged has nothing to do with what is traced.
fn layer(provider: &SdkTracerProvider) -> BoxedLayer {
    let tracer = provider.tracer(SCOPE);
    let ours = Targets::new().with_target(OURS, LevelFilter::DEBUG);
    tracing_opentelemetry::layer().with_tracer(tracer).with_filter(ours).boxed()
}

/// Sends what waits, for as long as `deadline` allows. Spans that end afterwards are lost.
pub async fn shutdown(deadline: Duration) {
    let Some(provider) = PROVIDER.get().cloned() else { return };
    let flushed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(deadline));
    // The thread may be in the middle of a connect: it is not waited for longer than its caller said.
    if !matches!(tokio::time::timeout(deadline, flushed).await, Ok(Ok(Ok(())))) {
        tracing::warn!(?deadline, "the last traces could not be sent in time");
    }
}

impl Target {
    /// What the environment says; nothing without an endpoint.
    fn of(env: &Environment) -> Result<Option<Self>, String> {
        let text = |name| env.text(name).map_err(|error| error.to_string());
        if text(ENV_DISABLED)?.is_some_and(|value| value.trim().eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let (name, endpoint) = match (text(ENV_TRACES_ENDPOINT)?, text(ENV_ENDPOINT)?) {
            (Some(endpoint), _) => (ENV_TRACES_ENDPOINT, endpoint.to_owned()),
            (None, Some(base)) => (ENV_ENDPOINT, format!("{}/v1/traces", base.trim_end_matches('/'))),
            (None, None) => return Ok(None),
        };
        // What it says is not shown: there may be a password or a key in it.
        let uri: http::Uri = endpoint.parse().map_err(|_| format!("`{name}` is not a URL"))?;
        // There is no TLS of this crate's that everybody would have: a collector is on the host or beside the pod.
        if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
            return Err(format!(
                "`{name}` is not an `http://` URL; hint: run a collector beside the gateway, and have it forward by TLS"
            ));
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(format!(
                "`{name}` holds a user or a password, which is not sent; hint: give the collector's key in \
                 `OTEL_EXPORTER_OTLP_HEADERS`"
            ));
        }
        let service = text(ENV_SERVICE)?.map_or_else(program, str::to_owned);
        Ok(Some(Self { endpoint, service }))
    }

    fn provider(&self) -> Result<SdkTracerProvider, Box<dyn std::error::Error>> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Poster::new()?)
            .with_endpoint(&self.endpoint)
            .build()?;
        let resource = Resource::builder().with_service_name(self.service.clone()).build();
        Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
    }
}

/// The name of this program's file.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    path.file_name().map_or_else(|| SCOPE.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Has the spans of a service's requests continue the trace of the caller: `traceparent` and `tracestate`, as in W3C
/// "Trace Context".
pub fn continued<S>(service: S) -> Continued<S> {
    Continued { service }
}

/// See [`continued`].
#[derive(Debug, Clone)]
pub struct Continued<S> {
    service: S,
}

impl<S, B> Service<Request<B>> for Continued<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = WithContext<S::Future>;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let caller = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
        // The service may make its span here as well as when it is polled.
        let _current = caller.clone().attach();
        self.service.call(request).with_context(caller)
    }
}

#[cfg(test)]
mod tests;
