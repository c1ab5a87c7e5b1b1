//! `grpc.health.v1.Health`: what load balancers and orchestrators ask; see "GRPC Health Checking Protocol" of gRPC.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use openshell_proto::gateway::v1alpha1::gateway_server::SERVICE_NAME as GATEWAY;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::unserved::SERVICE;
use crate::engine::Engine;

/// How often a watch asks the store, whose failures nobody announces.
const LOOK: Duration = Duration::from_secs(5);

/// The service.
pub(super) struct Probe {
    engine: Arc<Engine>,
}

impl Probe {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

type HealthStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Health for Probe {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !is_known(&service) {
            let message = format!("this gateway does not have the service `{}`", service.escape_debug());
            return Err(Status::not_found(message));
        }
        Ok(Response::new(answer(serving(&self.engine).await)))
    }

    type WatchStream = HealthStream;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthStream>, Status> {
        let known = is_known(&request.into_inner().service);
        let watching = Watching { engine: Arc::clone(&self.engine), known, told: None, over: false };
        Ok(Response::new(Box::pin(stream::unfold(watching, Watching::next))))
    }
}

/// The gateway as a whole is one service, and so is each half of its API.
fn is_known(service: &str) -> bool {
    service.is_empty() || service == SERVICE || service == GATEWAY
}

async fn serving(engine: &Engine) -> ServingStatus {
    if engine.readiness().await.is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

/// One watch: a state, then each change of it. It ends with the gateway.
struct Watching {
    engine: Arc<Engine>,
    known: bool,
    told: Option<ServingStatus>,
    over: bool,
}

impl Watching {
    async fn next(mut self) -> Option<(Result<HealthCheckResponse, Status>, Self)> {
        let mut links = self.engine.links();
        while !self.over {
            links.mark_unchanged();
            self.over = self.engine.hub.is_closed();
            // Of a service that is unknown the protocol has a state, for it may come; here none does.
            let status = if self.known { serving(&self.engine).await } else { ServingStatus::ServiceUnknown };
            if self.told != Some(status) {
                self.told = Some(status);
                return Some((Ok(answer(status)), self));
            }
            tokio::select! {
                _ = links.changed() => {}
                () = self.engine.hub.closed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        None
    }
}
