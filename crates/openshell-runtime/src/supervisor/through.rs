//! `OpenChannel`: a channel whose data the gateway does not read, but for the time that is given to a command.

use std::sync::Arc;

use futures_util::stream;
use openshell_proto::gateway::v1alpha1::channel_frame::Payload;
use openshell_proto::gateway::v1alpha1::{ChannelFrame, ChannelOpened};
use openshell_proto::relay::v1alpha1::to_supervisor::Frame as To;
use openshell_proto::relay::v1alpha1::{Start, ToSupervisor, start::What};
use prost::Message as _;
use prost::bytes::Bytes;
use tonic::{Status, Streaming};

use super::channel::{Channel, Input};
use super::open::Target;
use super::{ChannelFlow, PROCESS_SERVICE};
use crate::engine::Engine;
use crate::task::AbortOnDrop;

/// The most bytes of a frame.
const MAX_FRAME: usize = 1024 * 1024;

/// What a client is still to be told.
enum Telling {
    Opened(Channel, AbortOnDrop<()>),
    Data(Channel, AbortOnDrop<()>),
}

impl Engine {
    /// Opens a channel to a service of a sandbox's supervisor; gives what comes from there.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, `UNIMPLEMENTED` for a service that there is not, and whatever is in the way of a channel.
    pub(crate) async fn open_channel(
        self: &Arc<Self>,
        mut frames: Streaming<ChannelFrame>,
    ) -> Result<ChannelFlow, Status> {
        let Some(ChannelFrame { payload: Some(Payload::Open(open)) }) = super::first(&mut frames).await?
        else {
            return Err(Status::invalid_argument("the first frame is no `open`"));
        };
        if open.service_id != PROCESS_SERVICE {
            let asked = open.service_id.escape_debug();
            return Err(Status::unimplemented(format!(
                "supervisors have no service `{asked}`, only `{PROCESS_SERVICE}`"
            )));
        }
        let record = self.reachable(&open.sandbox_id).await?;
        let channel = self.open(&record, &Target::Process, None).await?;
        let way_in = channel.input().ok_or_else(super::stopping)?;
        let feeding = AbortOnDrop(tokio::spawn(feed(frames, way_in)));
        let telling = Telling::Opened(channel, feeding);
        Ok(Box::pin(stream::unfold(Some(telling), |telling| async { telling?.next().await })))
    }
}

impl Telling {
    async fn next(self) -> Option<(Result<ChannelFrame, Status>, Option<Self>)> {
        let (payload, channel, feeding) = match self {
            Self::Opened(channel, feeding) => {
                let channel_id = channel.id().to_owned();
                (Payload::Opened(ChannelOpened { channel_id }), channel, feeding)
            }
            Self::Data(mut channel, feeding) => match channel.next().await {
                Ok(Some(bytes)) => (Payload::Data(bytes), channel, feeding),
                Ok(None) => {
                    channel.done();
                    return None;
                }
                Err(status) => return Some((Err(status), None)),
            },
        };
        Some((Ok(ChannelFrame { payload: Some(payload) }), Some(Self::Data(channel, feeding))))
    }
}

/// How long what a client starts may take, where it says so.
fn time_of(first: Bytes) -> Option<u32> {
    let Ok(ToSupervisor { frame: Some(To::Start(Start { what: Some(What::Command(command)) })) }) =
        ToSupervisor::decode(first)
    else {
        return None;
    };
    Some(command.timeout_seconds).filter(|seconds| *seconds > 0)
}

/// Passes a client's frames on. That it has no more to say ends nothing: the service has its own word for that, and the
/// end of the channel is the supervisor's.
async fn feed(mut frames: Streaming<ChannelFrame>, way_in: Input) {
    let mut is_first = true;
    loop {
        match frames.message().await {
            Ok(Some(ChannelFrame { payload: Some(Payload::Data(bytes)) })) if bytes.len() <= MAX_FRAME => {
                if std::mem::take(&mut is_first)
                    && let Some(seconds) = time_of(bytes.clone())
                {
                    way_in.ends_within(seconds);
                }
                if !way_in.send(bytes).await {
                    return;
                }
            }
            Ok(Some(ChannelFrame { payload: Some(Payload::Data(bytes)) })) => {
                let message = format!("a frame of {} bytes; it may have {MAX_FRAME}", bytes.len());
                return way_in.end(Status::invalid_argument(message));
            }
            Ok(Some(ChannelFrame { payload: Some(_) })) => {
                return way_in.end(Status::invalid_argument("a frame that is no data"));
            }
            // Of a newer client.
            Ok(Some(ChannelFrame { payload: None })) => {}
            Ok(None) => return,
            Err(status) => {
                return way_in
                    .end(Status::cancelled(format!("the client's half broke: {}", status.message())));
            }
        }
    }
}
