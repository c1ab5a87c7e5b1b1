//! `grpc.reflection.v1.ServerReflection`, and `v1alpha`, which has the same messages under an older name: what tools
//! such as grpcurl ask for instead of the protos.
//!
//! Decoding the descriptors takes more memory than everything else that an idle gateway holds of its API, and most
//! gateways are never asked: it is done at the first request.

use std::convert::Infallible;
use std::sync::LazyLock;

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic_reflection::server::{Builder, Error};
use tower::util::BoxCloneSyncService;

/// The service, by its present name.
pub(super) const V1: &str = "grpc.reflection.v1.ServerReflection";
/// By its older one.
pub(super) const V1ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// The most bytes of a question.
const MAX_QUESTION: usize = 64 * 1024;

type Reflection = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

static REFLECTION: LazyLock<Option<Reflection>> = LazyLock::new(|| {
    let built = build();
    let log = |error: &Error| tracing::error!(error = error as &dyn std::error::Error, "no reflection");
    built.inspect_err(log).ok()
});

/// What this gateway serves, its descriptors in order.
fn build() -> Result<Reflection, Error> {
    let server = Builder::configure()
        .register_encoded_file_descriptor_set(openshell_proto::openshell::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(openshell_proto::gateway::v1alpha1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Ok(BoxCloneSyncService::new(server.max_decoding_message_size(MAX_QUESTION)))
}

/// Answers a request for either name.
pub(super) async fn call(mut request: Request<Body>, method: &str) -> Response<Body> {
    let Some(mut server) = REFLECTION.clone() else {
        return Status::internal("this gateway cannot read its own descriptors").into_http();
    };
    match format!("/{V1}/{method}").parse() {
        Ok(uri) => *request.uri_mut() = uri,
        // It came in the path of a request.
        Err(_) => return super::unserved::unserved_path(method).into_http(),
    }
    let Ok(response) = server.call(request).await;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptors_can_be_read() {
        assert!(build().is_ok());
    }
}
