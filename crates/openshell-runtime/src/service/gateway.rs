//! The gRPC service `openshell.gateway.v1alpha1.Gateway`: what the project's own clients ask for, and `openshell.v1` has
//! no place for. The methods are only named here; each is where its subject is.

use std::sync::Arc;

use openshell_proto::gateway::v1alpha1 as proto;
use openshell_proto::gateway::v1alpha1::gateway_server::Gateway;
use tonic::{Request, Response, Streaming};

use super::unserved::unserved_path;
use super::{Answer, driver_status};
use crate::engine::Engine;
use crate::supervisor::ChannelFlow;

const OPEN_CHANNEL: &str = "openshell.gateway.v1alpha1.Gateway/OpenChannel";
const SIGNAL_SANDBOX: &str = "openshell.gateway.v1alpha1.Gateway/SignalSandbox";

/// The methods, on the runtime's engine.
pub(super) struct GatewayApi {
    engine: Arc<Engine>,
}

impl GatewayApi {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

#[tonic::async_trait]
impl Gateway for GatewayApi {
    async fn get_status(&self, _: Request<proto::GetStatusRequest>) -> Answer<proto::GetStatusResponse> {
        Ok(Response::new(driver_status::of(&self.engine)))
    }

    type OpenChannelStream = ChannelFlow;

    async fn open_channel(
        &self,
        request: Request<Streaming<proto::ChannelFrame>>,
    ) -> Answer<Self::OpenChannelStream> {
        self.engine.supervision(|| unserved_path(OPEN_CHANNEL))?;
        self.engine.open_channel(request.into_inner()).await.map(Response::new)
    }

    async fn signal_sandbox(
        &self,
        request: Request<proto::SignalSandboxRequest>,
    ) -> Answer<proto::SignalSandboxResponse> {
        self.engine.supervision(|| unserved_path(SIGNAL_SANDBOX))?;
        self.engine.signal(request.into_inner()).await?;
        Ok(Response::new(proto::SignalSandboxResponse {}))
    }
}
