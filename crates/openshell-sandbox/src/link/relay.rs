//! Channels: what a `RelayOpen` asks for is looked at, answered, joined by a RelayStream, and carried until both sides are done.
//!
//! Each channel is a task with queues of its own, so that one whose client does not read holds up itself alone. The gateway's
//! end of its half says that no more input comes; everything else that ends a stream early ends what runs behind it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openshell_proto::openshell::v1::relay_frame::Payload;
use openshell_proto::openshell::v1::relay_open::Target;
use openshell_proto::openshell::v1::supervisor_message::Payload as ToGateway;
use openshell_proto::openshell::v1::{
    RelayClose, RelayFrame, RelayInit, RelayOpen, RelayOpenResult, SupervisorMessage,
};
use openshell_proto::relay::v1alpha1::{
    Failed, FromSupervisor, Start, ToSupervisor, from_supervisor, to_supervisor,
};
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::channels::Place;
use super::session::Replies;
use super::wire::Wire;
use super::{Shared, tcp};
use crate::service::{self, QUEUE, SERVICE, Sandbox};

/// How long the gateway may take to join a channel that it asked for.
const JOIN: Duration = Duration::from_secs(15);
/// How long a channel may be open before it says what it is for.
const START: Duration = Duration::from_secs(30);
/// How long the gateway may take to end its half of a channel that is no more.
const FAREWELL: Duration = Duration::from_secs(30);
/// What the code of a shell is for a program that it cannot run (sh(1)).
const NOT_RUN: i32 = 126;

/// Why a channel is not opened, or has ended early, in words.
pub(super) type Reason = String;

/// Looks at what is asked for, and opens it in a task of its own; gives the answer at once when it is refused.
pub(super) fn open(
    shared: &Arc<Shared>,
    wire: &Wire,
    replies: Replies,
    open: RelayOpen,
) -> Option<RelayOpenResult> {
    let RelayOpen { channel_id, service_id, target } = open;
    let refuse =
        |error: String| Some(RelayOpenResult { channel_id: channel_id.clone(), success: false, error });
    if let Err(error) = check(&service_id, target.as_ref()) {
        return refuse(error);
    }
    let (place, closing) = match shared.channels.take(&channel_id) {
        Ok(taken) => taken,
        // What is open under this id goes on.
        Err(refusal) => return refuse(refusal.to_string()),
    };
    let channel =
        Channel { place, closing, wire: wire.clone(), replies, sandbox: Arc::clone(&shared.sandbox) };
    tokio::spawn(channel.run(target));
    None
}

/// Whether there is such a thing here.
fn check(service_id: &str, target: Option<&Target>) -> Result<(), Reason> {
    match target {
        Some(Target::Ssh(_)) => {
            Err(format!("there is no SSH server in this sandbox; there is the service `{SERVICE}`"))
        }
        Some(Target::Tcp(target)) if !(1..=u32::from(u16::MAX)).contains(&target.port) => {
            Err(format!("{} is no port: ports are 1 to {}", target.port, u16::MAX))
        }
        Some(Target::Tcp(_)) => Ok(()),
        None if service_id == SERVICE => Ok(()),
        None => Err(format!("there is no service `{service_id}` in this sandbox; there is `{SERVICE}`")),
    }
}

/// A channel that is being opened.
struct Channel {
    place: Place,
    closing: oneshot::Receiver<Reason>,
    wire: Wire,
    replies: Replies,
    sandbox: Arc<Sandbox>,
}

impl Channel {
    async fn run(self, target: Option<Target>) {
        let Self { place, mut closing, wire, replies, sandbox } = self;
        let socket = match target {
            Some(Target::Tcp(target)) => match tcp::connect(&target).await {
                Ok(socket) => Some(socket),
                Err(error) => {
                    return tell(&replies, result(&place, Some(error))).await;
                }
            },
            _ => None,
        };
        tell(&replies, result(&place, None)).await;
        let (to_gateway, mut from_gateway) = match join(wire, &place).await {
            Ok(joined) => joined,
            Err(reason) => return tell(&replies, close(&place, reason)).await,
        };
        let ended = match socket {
            Some(socket) => tcp::carry(socket, to_gateway, &mut from_gateway, &mut closing).await,
            None => serve(sandbox, to_gateway, &mut from_gateway, &mut closing).await,
        };
        match ended {
            // Its end is in its own stream, behind its last byte: a message would overtake it. To drop the stream before the
            // gateway has read that would cut it.
            Ok(()) => {
                tokio::select! {
                    () = drain(&mut from_gateway) => {}
                    _ = closed(&mut closing) => {}
                }
            }
            // Read on all the same: a gateway that is stuck in the middle of a message could not end its half.
            Err(reason) => {
                tell(&replies, close(&place, reason)).await;
                let _ = tokio::time::timeout(FAREWELL, drain(&mut from_gateway)).await;
            }
        }
    }
}

fn result(place: &Place, error: Option<Reason>) -> ToGateway {
    ToGateway::RelayOpenResult(RelayOpenResult {
        channel_id: place.id().to_owned(),
        success: error.is_none(),
        error: error.unwrap_or_default(),
    })
}

fn close(place: &Place, reason: Reason) -> ToGateway {
    ToGateway::RelayClose(RelayClose { channel_id: place.id().to_owned(), reason })
}

/// Says something in the session; when that is over, its gateway has heard all it wants to.
async fn tell(replies: &Replies, payload: ToGateway) {
    if let Some(replies) = replies.upgrade() {
        let _ = replies.send(SupervisorMessage { payload: Some(payload) }).await;
    }
}

/// Brings the channel's bytes to the gateway, on the connection that it was asked for on.
async fn join(
    wire: Wire,
    place: &Place,
) -> Result<(mpsc::Sender<RelayFrame>, Streaming<RelayFrame>), Reason> {
    // One in the queue, one in the stream: what else waits does so where it comes from.
    let (to_gateway, frames) = mpsc::channel(1);
    let init = RelayInit { channel_id: place.id().to_owned() };
    // The queue is empty.
    let _ = to_gateway.try_send(RelayFrame { payload: Some(Payload::Init(init)) });
    let mut client = wire.client();
    // Neither the client nor the connection is kept: a channel may outlive the connection's use for new ones.
    drop(wire);
    let joined = client.relay_stream(ReceiverStream::new(frames));
    match tokio::time::timeout(JOIN, joined).await {
        Ok(Ok(answer)) => Ok((to_gateway, answer.into_inner())),
        Ok(Err(status)) => Err(format!("the gateway did not take the channel: {}", status.message())),
        Err(_) => Err(format!("the gateway did not take the channel within {JOIN:?}")),
    }
}

/// Carries a channel of the service, until everything that was printed is on its way.
async fn serve(
    sandbox: Arc<Sandbox>,
    to_gateway: mpsc::Sender<RelayFrame>,
    from_gateway: &mut Streaming<RelayFrame>,
    closing: &mut oneshot::Receiver<Reason>,
) -> Result<(), Reason> {
    let start = tokio::select! {
        start = first(from_gateway) => start?,
        reason = closed(closing) => return Err(reason),
        () = tokio::time::sleep(START) => return Err(format!("nothing was asked for within {START:?}")),
    };
    let Some(start) = start else {
        let message = "the first message of a channel has to be `start`".to_owned();
        let failed = from_supervisor::Frame::Failed(Failed { message, code: NOT_RUN });
        let failed = FromSupervisor { frame: Some(failed) }.encode_to_vec();
        // One that is gone needs to be told nothing.
        let _ = to_gateway.send(data(failed.into())).await;
        return Ok(());
    };

    let (input, input_queue) = mpsc::channel(QUEUE);
    // One: output waits in its pipe as well, and each more is there a hundred times for a hundred that nobody reads.
    let (output_queue, output) = mpsc::channel(1);
    let served = service::serve(start, input_queue, output_queue, sandbox);
    tokio::pin!(served);
    let mut ended = false;
    let broken = {
        let feed = feed(from_gateway, input);
        let forward = forward(output, &to_gateway);
        tokio::pin!(feed, forward);
        let mut forwarded = false;
        loop {
            if ended && forwarded {
                break None;
            }
            tokio::select! {
                biased;
                reason = closed(closing) => break Some(reason),
                () = to_gateway.closed() => break Some("the gateway ended the stream".to_owned()),
                () = &mut forward, if !forwarded => forwarded = true,
                () = &mut served, if !ended => ended = true,
                reason = &mut feed => break Some(reason),
            }
        }
        // Here its input and its output are dropped: whatever is behind them ends.
    };
    let Some(reason) = broken else { return Ok(()) };
    drop(to_gateway);
    if !ended {
        // What ends may take two seconds; the gateway is read meanwhile, and may end its half.
        tokio::select! {
            () = served => {}
            () = async { drain(from_gateway).await; std::future::pending().await } => {}
        }
    }
    Err(reason)
}

/// The first message, if it is a start.
async fn first(from_gateway: &mut Streaming<RelayFrame>) -> Result<Option<Start>, Reason> {
    let Some(bytes) = next(from_gateway).await? else {
        return Err("the channel ended before anything was asked for".to_owned());
    };
    match ToSupervisor::decode(bytes) {
        Ok(ToSupervisor { frame: Some(to_supervisor::Frame::Start(start)) }) => Ok(Some(start)),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Hands on what comes from the gateway, as fast as it is taken; ends only when the stream breaks, and gives the reason.
async fn feed(from_gateway: &mut Streaming<RelayFrame>, input: mpsc::Sender<Bytes>) -> Reason {
    loop {
        match next(from_gateway).await {
            // Once what it was for has ended, the rest is for nobody.
            Ok(Some(bytes)) => drop(input.send(bytes).await),
            // Its input stays open: what reads it is not to be ended by this.
            Ok(None) => std::future::pending().await,
            Err(reason) => return reason,
        }
    }
}

/// Hands on what goes to the gateway, as fast as it reads.
async fn forward(mut output: mpsc::Receiver<Bytes>, to_gateway: &mpsc::Sender<RelayFrame>) {
    while let Some(bytes) = output.recv().await {
        if to_gateway.send(data(bytes)).await.is_err() {
            return;
        }
    }
}

/// Reads to the end of the gateway's half.
async fn drain(from_gateway: &mut Streaming<RelayFrame>) {
    while let Ok(Some(_)) = next(from_gateway).await {}
}

/// The next bytes from the gateway; nothing when it ends its half.
pub(super) async fn next(from_gateway: &mut Streaming<RelayFrame>) -> Result<Option<Bytes>, Reason> {
    match from_gateway.message().await {
        Ok(Some(RelayFrame { payload: Some(Payload::Data(bytes)) })) => Ok(Some(bytes)),
        Ok(Some(_)) => Err("the gateway sent something else than data".to_owned()),
        Ok(None) => Ok(None),
        Err(status) => Err(format!("the stream broke: {}", status.message())),
    }
}

/// Waits for the gateway to end the channel by the session.
pub(super) async fn closed(closing: &mut oneshot::Receiver<Reason>) -> Reason {
    match closing.await {
        Ok(reason) => reason,
        // It was told already, or the list of channels is gone with the program.
        Err(_) => std::future::pending().await,
    }
}

pub(super) fn data(bytes: Bytes) -> RelayFrame {
    RelayFrame { payload: Some(Payload::Data(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openshell_proto::openshell::v1::{SshRelayTarget, TcpRelayTarget};

    #[test]
    fn what_is_not_here_is_refused_in_words() {
        let tcp = |port| Some(Target::Tcp(TcpRelayTarget { host: String::new(), port }));
        for (service, target, refusal) in [
            (SERVICE, None, None),
            ("", tcp(80), None),
            ("", tcp(65_535), None),
            ("", tcp(0), Some("0 is no port")),
            ("", tcp(65_536), Some("65536 is no port")),
            ("", None, Some("there is no service ``")),
            ("another", None, Some("there is no service `another`")),
            (SERVICE, Some(Target::Ssh(SshRelayTarget {})), Some("there is no SSH server")),
        ] {
            let found = check(service, target.as_ref()).err();
            match refusal {
                None => assert_eq!(found, None),
                Some(text) => assert!(found.as_ref().is_some_and(|found| found.contains(text)), "{found:?}"),
            }
        }
    }
}
