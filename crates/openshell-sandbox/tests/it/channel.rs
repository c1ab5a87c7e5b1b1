//! The gateway's end of a channel, and what goes over it.

use bytes::Bytes;
use openshell_proto::openshell::v1::relay_frame::Payload;
use openshell_proto::openshell::v1::relay_open::Target;
use openshell_proto::openshell::v1::{RelayFrame, RelayOpen, TcpRelayTarget};
use openshell_proto::relay::v1alpha1::from_supervisor::Frame as Out;
use openshell_proto::relay::v1alpha1::start::What;
use openshell_proto::relay::v1alpha1::to_supervisor::Frame as In;
use openshell_proto::relay::v1alpha1::{Command, FromSupervisor, Start, StdinEnd, ToSupervisor};
use prost::Message as _;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::gateway::{Gateway, PATIENCE};

pub(crate) const SERVICE: &str = "openshell.process.v1alpha1";

/// A channel.
pub(crate) struct Channel {
    pub(crate) id: String,
    /// Dropped, it ends the gateway's half.
    pub(crate) to_sandbox: Option<mpsc::Sender<Result<RelayFrame, Status>>>,
    pub(crate) from_sandbox: Streaming<RelayFrame>,
}

/// What a process left.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// None: the channel ended before the process.
    pub(crate) code: Option<i32>,
}

impl Channel {
    pub(crate) fn new(
        id: String,
        to_sandbox: mpsc::Sender<Result<RelayFrame, Status>>,
        from_sandbox: Streaming<RelayFrame>,
    ) -> Self {
        Self { id, to_sandbox: Some(to_sandbox), from_sandbox }
    }

    pub(crate) async fn send(&self, bytes: impl Into<Bytes>) {
        let frame = RelayFrame { payload: Some(Payload::Data(bytes.into())) };
        self.to_sandbox
            .as_ref()
            .expect("an open half")
            .send(Ok(frame))
            .await
            .expect("a channel that is open");
    }

    pub(crate) async fn frame(&self, frame: In) {
        self.send(ToSupervisor { frame: Some(frame) }.encode_to_vec()).await;
    }

    pub(crate) async fn stdin(&self, bytes: &'static [u8]) {
        self.frame(In::Stdin(Bytes::from_static(bytes))).await;
    }

    pub(crate) async fn stdin_end(&self) {
        self.frame(In::StdinEnd(StdinEnd {})).await;
    }

    /// The next bytes; nothing at the end, however it comes.
    pub(crate) async fn bytes(&mut self) -> Option<Bytes> {
        let next =
            tokio::time::timeout(PATIENCE, self.from_sandbox.message()).await.expect("a frame in time");
        match next {
            Ok(Some(RelayFrame { payload: Some(Payload::Data(bytes)) })) => Some(bytes),
            Ok(Some(other)) => panic!("no data: {other:?}"),
            Ok(None) | Err(_) => None,
        }
    }

    pub(crate) async fn next(&mut self) -> Option<Out> {
        let bytes = self.bytes().await?;
        FromSupervisor::decode(bytes).expect("a message").frame
    }

    /// Waits for the process to be started, and gives its number.
    pub(crate) async fn started(&mut self) -> i32 {
        match self.next().await {
            Some(Out::Started(started)) => started.pid,
            other => panic!("not started: {other:?}"),
        }
    }

    /// Reads until the process has printed `text`.
    pub(crate) async fn printed(&mut self, text: &str) {
        let mut printed = Vec::new();
        while !String::from_utf8_lossy(&printed).contains(text) {
            match self.next().await {
                Some(Out::Stdout(bytes)) => printed.extend_from_slice(&bytes),
                other => panic!("no `{text}` but {other:?} after {:?}", String::from_utf8_lossy(&printed)),
            }
        }
    }

    /// Reads to the end of the channel.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        while let Some(frame) = self.next().await {
            match frame {
                Out::Started(_) => {}
                Out::Stdout(bytes) => outcome.stdout.extend_from_slice(&bytes),
                Out::Stderr(bytes) => outcome.stderr.extend_from_slice(&bytes),
                Out::Exited(exited) => outcome.code = Some(exited.code),
                Out::Failed(failed) => panic!("not started: {failed:?}"),
            }
        }
        outcome
    }
}

impl Gateway {
    /// A channel of the service, of which nothing was asked yet.
    pub(crate) async fn service(&self) -> Channel {
        let open = RelayOpen { channel_id: self.channel_id(), service_id: SERVICE.to_owned(), target: None };
        self.open(open).await.expect("a channel")
    }

    /// Starts a command, with an open standard input.
    pub(crate) async fn exec(&self, argv: &[&str]) -> Channel {
        let channel = self.service().await;
        let command = Command {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            stdin: true,
            ..Command::default()
        };
        channel.frame(In::Start(Start { what: Some(What::Command(command)) })).await;
        channel
    }

    /// A channel to a port.
    pub(crate) async fn tcp(&self, host: &str, port: u32) -> Result<Channel, String> {
        let target = Some(Target::Tcp(TcpRelayTarget { host: host.to_owned(), port }));
        self.open(RelayOpen { channel_id: self.channel_id(), service_id: String::new(), target }).await
    }
}
