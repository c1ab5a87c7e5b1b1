//! The methods of the gateway of the tests, by hand: the generated server wants all of the API's.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use tonic::Status;
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::answers::State;

/// The methods, by their paths.
#[derive(Clone)]
pub(crate) struct Methods(pub(crate) Arc<State>);

impl Service<http::Request<Incoming>> for Methods {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Incoming>) -> Self::Future {
        let state = Arc::clone(&self.0);
        Box::pin(async move {
            let method = request.uri().path().trim_start_matches("/openshell.v1.OpenShell/").to_owned();
            if let Err(status) = state.admit(&method, request.headers()) {
                return Ok(status.into_http());
            }
            Ok(match method.as_str() {
                "ConnectSupervisor" => {
                    let method = Method(move |request| Arc::clone(&state).connect(request));
                    grpc().streaming(method, request).await
                }
                "RelayStream" => {
                    let method = Method(move |request| Arc::clone(&state).relay(request));
                    grpc().streaming(method, request).await
                }
                "PushSandboxLogs" => {
                    let method = Method(move |request| Arc::clone(&state).logs(request));
                    grpc().client_streaming(method, request).await
                }
                "ReportMainProcessExit" => {
                    let method = Method(move |request| Arc::clone(&state).exit(request));
                    grpc().unary(method, request).await
                }
                "RefreshSandboxToken" => {
                    let method = Method(move |request| Arc::clone(&state).refresh(request));
                    grpc().unary(method, request).await
                }
                _ => Status::unimplemented(method).into_http(),
            })
        })
    }
}

fn grpc<T, U>() -> tonic::server::Grpc<ProstCodec<T, U>>
where
    T: prost::Message + 'static,
    U: prost::Message + Default + 'static,
{
    tonic::server::Grpc::new(ProstCodec::default())
}

/// A function as what serves a method.
struct Method<F>(F);

impl<F, R, A, T> Service<R> for Method<F>
where
    F: FnMut(R) -> A,
    A: Future<Output = Result<T, Status>>,
{
    type Response = T;
    type Error = Status;
    type Future = A;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> A {
        (self.0)(request)
    }
}
