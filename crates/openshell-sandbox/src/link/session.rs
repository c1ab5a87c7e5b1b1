//! One session: hello, signs of life both ways, and what the gateway asks for.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openshell_proto::numbered;
use openshell_proto::openshell::v1::gateway_message::Payload as FromGateway;
use openshell_proto::openshell::v1::supervisor_message::Payload as ToGateway;
use openshell_proto::openshell::v1::{
    GatewayMessage, SupervisorHeartbeat, SupervisorHello, SupervisorMessage,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::wire::Wire;
use super::{ANSWER, LinkError, Shared, relay};

/// How many messages may wait for the gateway to read them: a few for each of the channels that open at once.
const QUEUE: usize = 256;
/// How often signs of life are given when the gateway does not say.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// So many missing signs of life are an end.
const MISSED: u32 = 3;

/// Where channels say something in their session; when that is over, they keep nothing of it.
pub(super) type Replies = mpsc::WeakSender<SupervisorMessage>;

/// A session that the gateway has accepted.
#[derive(Debug)]
pub(super) struct Session {
    replies: mpsc::Sender<SupervisorMessage>,
    messages: Streaming<GatewayMessage>,
    heartbeat: Duration,
}

/// Says hello, and waits to be accepted.
pub(super) async fn begin(shared: &Shared, wire: &Wire) -> Result<Session, LinkError> {
    let asking = "for a session";
    tokio::time::timeout(ANSWER, greet(shared, wire, asking))
        .await
        .map_err(|_| LinkError::NoAnswer { asking })?
}

async fn greet(shared: &Shared, wire: &Wire, asking: &'static str) -> Result<Session, LinkError> {
    let refused = |status| shared.tokens.refused(asking, status);
    let (replies, queue) = mpsc::channel(QUEUE);
    let hello = SupervisorHello {
        sandbox_id: shared.sandbox_id.clone(),
        instance_id: shared.sandbox.instance_id.clone(),
    };
    say(&replies, ToGateway::Hello(hello))?;
    let mut client = wire.client();
    let answer = client.connect_supervisor(ReceiverStream::new(queue)).await.map_err(refused)?;
    shared.counts.store(answer.metadata().contains_key(numbered::COUNTS), Ordering::Relaxed);
    let mut messages = answer.into_inner();
    match messages.message().await.map_err(refused)?.and_then(|message| message.payload) {
        Some(FromGateway::SessionAccepted(accepted)) => {
            let heartbeat = match accepted.heartbeat_interval_secs {
                0 => HEARTBEAT,
                seconds => Duration::from_secs(seconds.into()),
            };
            Ok(Session { replies, messages, heartbeat })
        }
        Some(FromGateway::SessionRejected(rejected)) => Err(LinkError::Rejected(rejected.reason)),
        Some(_) => Err(LinkError::Protocol("its first message neither accepts nor rejects")),
        None => Err(LinkError::Ended),
    }
}

impl Session {
    /// Serves the session until it ends.
    pub(super) async fn hold(mut self, shared: &Arc<Shared>, wire: &Wire) -> Result<Infallible, LinkError> {
        let mut beat = tokio::time::interval(self.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                // First what was said: after a pause of this whole machine it is there, and no silence.
                biased;
                message = self.messages.message() => {
                    let message = message.map_err(|status| LinkError::Broken(Box::new(status)))?;
                    heard = Instant::now();
                    self.obey(shared, wire, message.ok_or(LinkError::Ended)?)?;
                }
                _ = beat.tick() => {
                    if heard.elapsed() > self.heartbeat * MISSED {
                        return Err(LinkError::Silent(self.heartbeat * MISSED));
                    }
                    say(&self.replies, ToGateway::Heartbeat(SupervisorHeartbeat {}))?;
                }
            }
        }
    }

    fn obey(&self, shared: &Arc<Shared>, wire: &Wire, message: GatewayMessage) -> Result<(), LinkError> {
        match message.payload {
            Some(FromGateway::RelayOpen(open)) => {
                match relay::open(shared, wire, self.replies.downgrade(), open) {
                    None => Ok(()),
                    Some(refusal) => say(&self.replies, ToGateway::RelayOpenResult(refusal)),
                }
            }
            Some(FromGateway::RelayClose(close)) => {
                shared.channels.close(&close.channel_id, close.reason);
                Ok(())
            }
            Some(FromGateway::SessionRejected(rejected)) => Err(LinkError::Rejected(rejected.reason)),
            // What a newer gateway may add asks nothing of this program.
            Some(FromGateway::Heartbeat(_) | FromGateway::SessionAccepted(_)) | None => Ok(()),
        }
    }
}

/// Sends without waiting: whoever reads the session must not wait for its other direction.
fn say(replies: &mpsc::Sender<SupervisorMessage>, payload: ToGateway) -> Result<(), LinkError> {
    replies.try_send(SupervisorMessage { payload: Some(payload) }).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => LinkError::Deaf,
        mpsc::error::TrySendError::Closed(_) => LinkError::Ended,
    })
}
