//! Between the front and the runtime: whose supervisor asks, in the words of each.

use std::task::{Context, Poll};

use http::Request;
use openshell_driver_api::SandboxId;
use openshell_front::Sandbox;
use openshell_runtime::{Gateway, SupervisorOf};
use tower_service::Service;

/// The runtime's services, which are told for which sandbox a request speaks that came in by its door.
#[derive(Debug, Clone)]
pub(crate) struct Supervised(pub(crate) Gateway);

impl<B> Service<Request<B>> for Supervised
where
    Gateway: Service<Request<B>>,
{
    type Response = <Gateway as Service<Request<B>>>::Response;
    type Error = <Gateway as Service<Request<B>>>::Error;
    type Future = <Gateway as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let sandbox = request.extensions().get::<Sandbox>();
        // The front has it from a door, whose id is no empty one.
        if let Some(id) = sandbox.and_then(|Sandbox(id)| SandboxId::new(&**id).ok()) {
            request.extensions_mut().insert(SupervisorOf(id));
        }
        self.0.call(request)
    }
}
