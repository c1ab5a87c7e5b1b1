//! From a path to a service, without a router: the service by the path's prefix, and a worded refusal for everything
//! else. A method that panics is an error like any other.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use openshell_proto::gateway::v1alpha1::gateway_server::{GatewayServer, SERVICE_NAME as GATEWAY};
use openshell_proto::openshell::v1::open_shell_server::OpenShellServer;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tonic::{Code, Status};
use tonic_health::pb::health_server::{HealthServer, SERVICE_NAME as HEALTH};

use super::first_frame::FirstFrame;
use super::gateway::GatewayApi;
use super::health::Probe;
use super::unserved::{SERVICE, unserved_path};
use super::{Api, pushed, reflection};
use crate::engine::Engine;

/// The most bytes of an answer: a list of a thousand sandboxes may be long, and is bounded where it is read.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// The most bytes of what a supervisor says on its session, or tells: all of it is small.
const MAX_WORD: usize = 16 * 1024;

/// The most bytes of a frame of a supervisor's channel, with what is around its 1 MiB of data. It is no client's request,
/// whose size is the operator's to bound.
const MAX_RELAY_FRAME: usize = 1024 * 1024 + 64;

/// How tonic says that a message is larger than it may be; it has no other mark.
const TOO_LARGE: &str = "Error, decoded message length too large";

/// The gateway's API as a tower service for HTTP/2 requests. Clones share everything.
#[derive(Clone)]
pub struct Gateway {
    services: Services,
}

#[derive(Clone)]
struct Services {
    open_shell: OpenShellServer<Api>,
    /// The same service, for channels of supervisors.
    relays: OpenShellServer<Api>,
    /// The same service, for what else supervisors say.
    words: OpenShellServer<Api>,
    api: Api,
    gateway: GatewayServer<GatewayApi>,
    health: HealthServer<Probe>,
}

impl Gateway {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        let max_request_bytes = engine.settings.max_request_bytes;
        let health =
            HealthServer::new(Probe::new(Arc::clone(&engine))).max_decoding_message_size(max_request_bytes);
        let gateway = GatewayServer::new(GatewayApi::new(Arc::clone(&engine)))
            .max_decoding_message_size(max_request_bytes);
        let api = Api::new(engine);
        let served = || OpenShellServer::new(api.clone());
        let relays = served().max_decoding_message_size(MAX_RELAY_FRAME);
        let words = served().max_decoding_message_size(MAX_WORD);
        let open_shell =
            served().max_decoding_message_size(max_request_bytes).max_encoding_message_size(MAX_ANSWER);
        Self { services: Services { open_shell, relays, words, api, gateway, health } }
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for Gateway
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let services = self.services.clone();
        Box::pin(async move {
            let answer = AssertUnwindSafe(services.answer(request)).catch_unwind().await;
            Ok(answer.unwrap_or_else(|_| {
                tracing::error!("the method panicked");
                Status::internal("the gateway failed").into_http()
            }))
        })
    }
}

impl Services {
    async fn answer<B>(self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        let grpc = |value: &HeaderValue| value.as_bytes().starts_with(b"application/grpc");
        if !request.headers().get(CONTENT_TYPE).is_some_and(grpc) {
            // As the gRPC specification has it: "gRPC over HTTP2", Requests, Content-Type.
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return response;
        }
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let response = self.route(&path, request).await;
        match Status::from_header_map(response.headers()) {
            // The generated servers answer a method that they do not know without a word.
            Some(status) if status.code() == Code::Unimplemented && status.message().is_empty() => {
                unserved_path(&path).into_http()
            }
            Some(status) if is_too_large(&status) => Status::resource_exhausted(format!(
                "the message is too large: it has {}, and this gateway takes {} at most",
                size_after(": found ", &status),
                size_after("the limit is: ", &status)
            ))
            .into_http(),
            _ => response,
        }
    }

    async fn route<B>(mut self, path: &str, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError> + Send + 'static,
    {
        let Ok(response) = match path.split_once('/') {
            Some((SERVICE, "RelayStream")) => {
                self.relays.call(request.map(|body| FirstFrame::new(Body::new(body)))).await
            }
            Some((SERVICE, "PushSandboxLogs")) => Ok(pushed::answer(self.api, request).await),
            Some((SERVICE, "ConnectSupervisor" | "RefreshSandboxToken" | "ReportMainProcessExit")) => {
                self.words.call(request).await
            }
            Some((SERVICE, _)) => self.open_shell.call(request).await,
            Some((GATEWAY, _)) => self.gateway.call(request).await,
            Some((HEALTH, _)) => self.health.call(request).await,
            Some((reflection::V1 | reflection::V1ALPHA, method)) => {
                Ok(reflection::call(request.map(Body::new), method).await)
            }
            _ => Ok(unserved_path(path).into_http()),
        };
        response
    }
}

/// Whether the library has refused a message for its size. gRPC's own word for that is `RESOURCE_EXHAUSTED`
/// ("Status codes and their use in gRPC"), and not the library's `OUT_OF_RANGE`.
fn is_too_large(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.message().starts_with(TOO_LARGE)
}

/// A size that the library says after `words`, in its own: `5242880 bytes`.
fn size_after<'a>(words: &str, status: &'a Status) -> &'a str {
    let found = status.message().split_once(words).map(|(_, rest)| rest);
    found.and_then(|rest| rest.split(',').next()).unwrap_or("more")
}
