//! A gateway with supervision, and supervisors that dial it over HTTP/2 in memory, each on a connection of its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use openshell_driver_api::{SandboxId, Secret};
use openshell_proto::gateway::v1alpha1::gateway_client::GatewayClient;
use openshell_proto::openshell::v1::gateway_message::Payload as Said;
use openshell_proto::openshell::v1::open_shell_client::OpenShellClient;
use openshell_proto::openshell::v1::supervisor_message::Payload as Says;
use openshell_proto::openshell::v1::{self as proto};
use openshell_runtime::{
    Gateway as Service, SandboxDoors, SandboxToken, SandboxTokens, Settings, Supervision, SupervisorOf,
    TokenUse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tonic::{Status, Streaming};

use crate::client::{Gateway, gateway_in, gateway_with, settings};
use crate::fake::Fake;

/// As the doors of a gateway have them, so that a stream that is not read holds its own window alone.
const STREAM: u32 = 1 << 20;
const CONNECTION: u32 = (1 << 31) - 1;

/// How long a test waits for what has to come.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What the runtime was lent, and what it did with it.
#[derive(Default)]
pub(super) struct Lent {
    /// `open id` and `close id`, in order.
    pub(super) doors: Mutex<Vec<String>>,
    /// Whether doors cannot be opened.
    pub(super) stuck: std::sync::atomic::AtomicBool,
}

impl SandboxTokens for Lent {
    fn issue(&self, sandbox_id: &str, token_use: TokenUse) -> SandboxToken {
        let text = Secret::new(format!("s3cret-{token_use:?}-{sandbox_id}"));
        SandboxToken { text, expires_at_ms: 77 }
    }
}

#[tonic::async_trait]
impl SandboxDoors for Lent {
    async fn open(&self, sandbox_id: &SandboxId) -> io::Result<()> {
        if self.stuck.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(io::Error::other("the door is stuck"));
        }
        self.doors.lock().expect("as prepared").push(format!("open {sandbox_id}"));
        Ok(())
    }

    async fn close(&self, sandbox_id: &SandboxId) {
        self.doors.lock().expect("as prepared").push(format!("close {sandbox_id}"));
    }
}

/// Settings with supervision, with beats that no test has to keep up and the grace that is given.
pub(super) fn supervised(lent: &Arc<Lent>, grace: Duration) -> Settings {
    let mut settings = settings();
    let tokens: Arc<dyn SandboxTokens> = lent.clone();
    let doors: Arc<dyn SandboxDoors> = lent.clone();
    settings.supervision =
        Some(Supervision { grace, heartbeat: PATIENCE, ..Supervision::new(tokens, doors) });
    settings
}

pub(super) async fn a_gateway(fake: &Fake) -> Gateway {
    gateway_with(fake, supervised(&Arc::default(), PATIENCE)).await
}

pub(super) async fn a_gateway_in(directory: &Path, fake: &Fake, grace: Duration) -> Gateway {
    gateway_in(directory, fake, supervised(&Arc::default(), grace)).await
}

/// The gateway as a supervisor finds it behind its door: who it is has been proved.
#[derive(Clone)]
struct Door {
    gateway: Service,
    of: Option<SandboxId>,
}

impl tonic::codegen::Service<http::Request<Body>> for Door {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = <Service as tonic::codegen::Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if let Some(of) = &self.of {
            request.extensions_mut().insert(SupervisorOf(of.clone()));
        }
        self.gateway.call(request)
    }
}

/// A connection to the gateway, by the door of `of` or by that of clients.
pub(super) async fn dial(gateway: &Gateway, of: Option<&str>) -> Channel {
    let door = Door {
        gateway: gateway.runtime.service(),
        of: of.map(|id| SandboxId::new(id).expect("as prepared")),
    };
    let (ours, theirs) = tokio::io::duplex(256 * 1024);
    let incoming = stream::once(async { Ok::<_, io::Error>(theirs) }).chain(stream::pending());
    tokio::spawn(
        Server::builder()
            .initial_connection_window_size(CONNECTION)
            .initial_stream_window_size(STREAM)
            .serve_with_incoming(door, incoming),
    );
    let mut ours = Some(TokioIo::new(ours));
    let connector = tower::service_fn(move |_: Uri| {
        let ours = ours.take().ok_or_else(|| io::Error::other("it is gone"));
        async move { ours }
    });
    Endpoint::from_static("http://gateway")
        .initial_connection_window_size(CONNECTION)
        .initial_stream_window_size(STREAM)
        .connect_with_connector(connector)
        .await
        .expect("connects")
}

pub(super) async fn client(gateway: &Gateway) -> OpenShellClient<Channel> {
    OpenShellClient::new(dial(gateway, None).await)
}

pub(super) async fn gateway_client(gateway: &Gateway) -> GatewayClient<Channel> {
    GatewayClient::new(dial(gateway, None).await)
}

/// A supervisor that is connected.
pub(super) struct Supervisor {
    pub(super) rpc: OpenShellClient<Channel>,
    pub(super) says: mpsc::Sender<proto::SupervisorMessage>,
    pub(super) hears: Streaming<proto::GatewayMessage>,
}

/// One end of a channel, the supervisor's.
pub(super) struct Relay {
    pub(super) frames: Option<mpsc::Sender<proto::RelayFrame>>,
    pub(super) from: Streaming<proto::RelayFrame>,
}

impl Supervisor {
    /// Says hello, and hears what becomes of it.
    pub(super) async fn greet(gateway: &Gateway, of: &str, hello: &str, run: &str) -> (Self, Option<Said>) {
        let mut rpc = OpenShellClient::new(dial(gateway, Some(of)).await);
        let (says, messages) = mpsc::channel(16);
        let hello = proto::SupervisorHello { sandbox_id: hello.to_owned(), instance_id: run.to_owned() };
        let hello = proto::SupervisorMessage { payload: Some(Says::Hello(hello)) };
        says.send(hello).await.expect("as prepared");
        let hears =
            rpc.connect_supervisor(ReceiverStream::new(messages)).await.expect("as prepared").into_inner();
        let mut supervisor = Self { rpc, says, hears };
        let answer = supervisor.hear().await.expect("as prepared");
        (supervisor, answer)
    }

    /// Connects.
    pub(super) async fn connect(gateway: &Gateway, of: &str, run: &str) -> Self {
        let (supervisor, answer) = Self::greet(gateway, of, of, run).await;
        match answer {
            Some(Said::SessionAccepted(accepted)) => {
                assert_eq!(u64::from(accepted.heartbeat_interval_secs), PATIENCE.as_secs());
                supervisor
            }
            other => panic!("not accepted: {other:?}"),
        }
    }

    /// The next message, heartbeats aside.
    pub(super) async fn hear(&mut self) -> Result<Option<Said>, Status> {
        loop {
            let message =
                tokio::time::timeout(PATIENCE, self.hears.message()).await.expect("something is said")?;
            match message.map(|message| message.payload.expect("a payload")) {
                Some(Said::Heartbeat(_)) => {}
                other => return Ok(other),
            }
        }
    }

    pub(super) async fn say(&self, payload: Says) {
        self.says.send(proto::SupervisorMessage { payload: Some(payload) }).await.expect("a session");
    }

    /// The next channel that the gateway asks for.
    pub(super) async fn asked(&mut self) -> proto::RelayOpen {
        loop {
            match self.hear().await.expect("as prepared") {
                Some(Said::RelayOpen(open)) => return open,
                Some(Said::RelayClose(_)) => {}
                other => panic!("no channel is asked for: {other:?}"),
            }
        }
    }

    /// Joins a channel.
    pub(super) async fn join(&self, channel_id: &str) -> Result<Relay, Status> {
        let (frames, queue) = mpsc::channel(4);
        let init = proto::RelayInit { channel_id: channel_id.to_owned() };
        let init = proto::RelayFrame { payload: Some(proto::relay_frame::Payload::Init(init)) };
        frames.send(init).await.expect("as prepared");
        let from = self.rpc.clone().relay_stream(ReceiverStream::new(queue)).await?.into_inner();
        Ok(Relay { frames: Some(frames), from })
    }

    /// Opens the next channel that is asked for.
    pub(super) async fn open(&mut self) -> Relay {
        let open = self.asked().await;
        let result = proto::RelayOpenResult {
            channel_id: open.channel_id.clone(),
            success: true,
            error: String::new(),
        };
        self.say(Says::RelayOpenResult(result)).await;
        self.join(&open.channel_id).await.expect("joined")
    }
}

impl Relay {
    pub(super) async fn send(&self, bytes: impl Into<prost::bytes::Bytes>) -> bool {
        let payload = Some(proto::relay_frame::Payload::Data(bytes.into()));
        let frames = self.frames.as_ref().expect("open");
        frames.send(proto::RelayFrame { payload }).await.is_ok()
    }

    /// The next bytes.
    pub(super) async fn next(&mut self) -> Result<Option<prost::bytes::Bytes>, Status> {
        let frame = tokio::time::timeout(PATIENCE, self.from.message()).await.expect("in time")?;
        Ok(frame.map(|frame| match frame.payload {
            Some(proto::relay_frame::Payload::Data(bytes)) => bytes,
            other => panic!("no data: {other:?}"),
        }))
    }
}

/// Environment, as a request has it.
pub(super) fn variables(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    let pairs: HashMap<&str, &str> = pairs.iter().copied().collect();
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
