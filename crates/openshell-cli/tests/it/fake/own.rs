//! The service that is this project's own, beside `openshell.v1`: channels and signals.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use openshell_proto::gateway::v1alpha1::channel_frame::Payload;
use openshell_proto::gateway::v1alpha1::gateway_server::{Gateway, GatewayServer};
use openshell_proto::gateway::v1alpha1::{
    ChannelFrame, ChannelOpened, GetStatusRequest, GetStatusResponse, SignalSandboxRequest,
    SignalSandboxResponse,
};
use openshell_proto::openshell::v1::open_shell_server::OpenShellServer;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::{Request, Response, Status, Streaming};

use super::{Answer, BoxStream, Service, State, process};

/// Both services behind one socket.
#[derive(Clone)]
pub(crate) struct Both {
    pub(crate) shell: OpenShellServer<Service>,
    pub(crate) own: GatewayServer<Own>,
}

impl<B> tower::Service<http::Request<B>> for Both
where
    B: tonic::codegen::Body + Send + 'static,
    B::Error: Into<tonic::codegen::StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if request.uri().path().starts_with("/openshell.gateway.") {
            self.own.call(request)
        } else {
            self.shell.call(request)
        }
    }
}

/// What answers calls.
pub(crate) struct Own {
    state: Arc<Mutex<State>>,
}

pub(crate) fn service(state: &Arc<Mutex<State>>) -> GatewayServer<Own> {
    GatewayServer::new(Own { state: state.clone() })
}

#[tonic::async_trait]
impl Gateway for Own {
    type OpenChannelStream = BoxStream<ChannelFrame>;

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Answer<GetStatusResponse> {
        Err(Status::unimplemented("no test needs it"))
    }

    async fn open_channel(
        &self,
        request: Request<Streaming<ChannelFrame>>,
    ) -> Answer<Self::OpenChannelStream> {
        let mut input = request.into_inner();
        let open = match input.message().await?.and_then(|frame| frame.payload) {
            Some(Payload::Open(open)) => open,
            other => return Err(Status::invalid_argument(format!("no open, but {other:?}"))),
        };
        assert_eq!(open.service_id, "openshell.process.v1alpha1");
        if let Some(refusal) = self.state.lock().expect("no panic").refusal.clone() {
            return Err(refusal);
        }
        let (output, frames) = mpsc::channel(2);
        let opened = Payload::Opened(ChannelOpened { channel_id: "c-1".to_owned() });
        output.send(Ok(ChannelFrame { payload: Some(opened) })).await.expect("room");
        tokio::spawn(process::serve(self.state.clone(), input, output));
        Ok(Response::new(Box::pin(ReceiverStream::new(frames))))
    }

    async fn signal_sandbox(&self, request: Request<SignalSandboxRequest>) -> Answer<SignalSandboxResponse> {
        self.state.lock().expect("no panic").signals.push(request.into_inner());
        Ok(Response::new(SignalSandboxResponse {}))
    }
}
