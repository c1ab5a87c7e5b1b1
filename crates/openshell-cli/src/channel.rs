//! A channel into a sandbox: a process there, or files on their way, through the gateway's `OpenChannel`.
//!
//! Not `ExecSandboxInteractive`, which has no frame for a signal, tells the end of the input by the end of the stream alone,
//! and cannot tell a program that is not there from one that ends with 127.

use bytes::Bytes;
use openshell_proto::gateway::v1alpha1::channel_frame::Payload;
use openshell_proto::gateway::v1alpha1::{ChannelFrame, ChannelOpen};
use openshell_proto::relay::v1alpha1::{
    Failed, FromSupervisor, Start, ToSupervisor, from_supervisor, start, to_supervisor,
};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::error::CliError;
use crate::session::{One, Session};
use crate::text;

/// The service that runs processes and moves files.
const SERVICE: &str = "openshell.process.v1alpha1";
/// How many frames may wait to be sent: the rest of what is to come waits where it is.
const QUEUE: usize = 4;

/// A channel that is open.
pub(crate) struct Channel<'a> {
    session: &'a Session,
    one: &'a One,
    /// Completes "cannot …".
    what: String,
    frames: Streaming<ChannelFrame>,
    sender: Sender,
}

/// The way into the sandbox; whatever has it may send.
#[derive(Debug, Clone)]
pub(crate) struct Sender(mpsc::Sender<ChannelFrame>);

impl Sender {
    /// Sends a frame when there is room for it; `false` when nobody takes any more.
    pub(crate) async fn send(&self, frame: to_supervisor::Frame) -> bool {
        self.0.send(data(frame)).await.is_ok()
    }

    /// The same from a thread that may wait.
    pub(crate) fn blocking_send(&self, frame: to_supervisor::Frame) -> bool {
        self.0.blocking_send(data(frame)).is_ok()
    }
}

fn data(frame: to_supervisor::Frame) -> ChannelFrame {
    let message = ToSupervisor { frame: Some(frame) };
    ChannelFrame { payload: Some(Payload::Data(Bytes::from(message.encode_to_vec()))) }
}

/// What became of a start.
pub(crate) enum Began<'a> {
    /// It runs.
    Running(Box<Channel<'a>>),
    /// It does not, and why not.
    Failed(Failed),
}

impl<'a> Channel<'a> {
    /// Opens a channel to the sandbox of that id and starts something, and waits until it runs; each within the deadline of
    /// a call. `what` completes "cannot …".
    pub(crate) async fn start(
        session: &'a Session,
        one: &'a One,
        id: &str,
        what: String,
        start: start::What,
    ) -> Result<Began<'a>, CliError> {
        let (sender, queue) = mpsc::channel(QUEUE);
        let open = ChannelOpen { sandbox_id: id.to_owned(), service_id: SERVICE.to_owned() };
        // The queue is empty yet, so that there is room.
        let _ = sender.try_send(ChannelFrame { payload: Some(Payload::Open(open)) });
        let mut client = session.gateway.own_client();
        let frames = session
            .gateway
            .within(what.as_str(), |code| one.hint(code), async {
                let mut frames = client.open_channel(ReceiverStream::new(queue)).await?.into_inner();
                match frames.message().await?.and_then(|frame| frame.payload) {
                    Some(Payload::Opened(_)) => Ok(frames),
                    _ => Err(Status::internal("the gateway opened no channel")),
                }
            })
            .await?;
        let mut channel = Self { session, one, what: what.clone(), frames, sender: Sender(sender) };
        channel.sender.send(to_supervisor::Frame::Start(Start { what: Some(start) })).await;
        let first = session.gateway.within(what, |code| one.hint(code), async { Ok(channel.next().await) });
        match first.await?? {
            from_supervisor::Frame::Started(_) => Ok(Began::Running(Box::new(channel))),
            from_supervisor::Frame::Failed(failed) => Ok(Began::Failed(failed)),
            _ => Err(channel.cut()),
        }
    }

    /// The way in, for whoever sends beside this.
    pub(crate) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// The next frame. The stream's end is an error: what goes on in the sandbox has an end of its own.
    pub(crate) async fn next(&mut self) -> Result<from_supervisor::Frame, CliError> {
        loop {
            let frame = match self.frames.message().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return Err(self.cut()),
                Err(status) => {
                    let what = self.what.clone();
                    return Err(self.session.gateway.failed(what, |code| self.one.hint(code), status));
                }
            };
            let Some(Payload::Data(data)) = frame.payload else { continue };
            match FromSupervisor::decode(data) {
                Ok(FromSupervisor { frame: Some(frame) }) => return Ok(frame),
                // A kind of frame that this program does not know.
                Ok(FromSupervisor { frame: None }) => {}
                Err(_) => return Err(self.cut()),
            }
        }
    }

    /// What somebody in the sandbox says has failed.
    pub(crate) fn said(&self, said: &str) -> CliError {
        said_by(self.one, &self.what, said)
    }

    fn cut(&self) -> CliError {
        CliError::Cut {
            what: self.what.clone(),
            hint: format!("see whether it still runs: {}", self.one.command("get")),
        }
    }
}

/// What somebody in a sandbox says has failed.
pub(crate) fn said_by(one: &One, what: &str, said: &str) -> CliError {
    let said = match text::clean(said.trim()) {
        said if said.is_empty() => "the sandbox does not say why".to_owned(),
        said => said,
    };
    let hints = vec![format!("look around there: {}", one.command("connect"))];
    CliError::Said { what: what.to_owned(), said, hints }
}
