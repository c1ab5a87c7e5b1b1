//! From a path to a service, without a router: one service by its prefix, and a worded refusal for everything else.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::FutureExt;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use openshell_proto::openshell::v1::open_shell_server::OpenShellServer;
use tonic::body::Body;
use tonic::codegen::{Body as HttpBody, Bytes, Service, StdError};
use tonic::{Code, Status};
use tracing::Instrument;

use super::Api;
use super::unserved::{SERVICE, unserved_path};
use crate::engine::Engine;

/// The most bytes of a request, and of an answer: a list of a thousand sandboxes may be long.
const MAX_REQUEST: usize = 4 * 1024 * 1024;
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// The gateway's API as a tower service for HTTP/2 requests. Clones share everything.
#[derive(Clone)]
pub struct Gateway {
    open_shell: OpenShellServer<Api>,
    requests: Arc<AtomicU64>,
}

impl Gateway {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        let open_shell = OpenShellServer::new(Api::new(engine))
            .max_decoding_message_size(MAX_REQUEST)
            .max_encoding_message_size(MAX_ANSWER);
        Self { open_shell, requests: Arc::default() }
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
        let id = self.requests.fetch_add(1, Ordering::Relaxed);
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let span = tracing::debug_span!("request", id, method = path.escape_debug().to_string());
        let open_shell = self.open_shell.clone();
        let answer = async move {
            let began = Instant::now();
            let answer = AssertUnwindSafe(route(open_shell, &path, request)).catch_unwind().await;
            let response = answer.unwrap_or_else(|_| {
                tracing::error!("the method panicked");
                Status::internal("the gateway failed").into_http()
            });
            // The code of an answer that has a body comes after it.
            let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
            tracing::debug!(?code, http = response.status().as_u16(), took = ?began.elapsed(), "answered");
            Ok(response)
        };
        Box::pin(answer.instrument(span))
    }
}

async fn route<B>(mut open_shell: OpenShellServer<Api>, path: &str, request: Request<B>) -> Response<Body>
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
    let ours = path.strip_prefix(SERVICE).is_some_and(|rest| rest.starts_with('/'));
    if !ours {
        return unserved_path(path).into_http();
    }
    let Ok(response) = open_shell.call(request).await;
    // The generated server answers a method that it does not know without a word.
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() == Code::Unimplemented && status.message().is_empty() => {
            unserved_path(path).into_http()
        }
        _ => response,
    }
}
