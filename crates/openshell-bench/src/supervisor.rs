//! A supervisor as the gateway sees one, without a sandbox: it keeps a session, and commands are words that it knows.

use std::path::Path;
use std::time::Duration;

use futures_util::stream;
use openshell_driver_api::Secret;
use openshell_proto::openshell::v1 as proto;
use openshell_proto::openshell::v1::gateway_message::Payload as Heard;
use openshell_proto::openshell::v1::relay_frame::Payload as Framed;
use openshell_proto::openshell::v1::supervisor_message::Payload as Says;
use openshell_proto::relay::v1alpha1::{
    Command, Exited, FromSupervisor, Start, Started, ToSupervisor, from_supervisor, start, to_supervisor,
};
use prost::Message as _;
use tokio::sync::mpsc;
use tonic::Request;

use crate::Result;
use crate::client::{self, Client};

/// What a command that says something prints.
pub(crate) const WORD: &[u8] = b"hello\n";
/// The command that prints without an end; any other says [`WORD`] and is over.
pub(crate) const FLOOD: &str = "flood";
/// What a flood prints at once.
const PIECE: usize = 256 << 10;
/// Answers that wait.
const QUEUE: usize = 64;

/// Keeps the session of a sandbox, until the gateway ends it.
pub(crate) async fn attend(door: &Path, sandbox: &str, boot: &Secret) -> Result<()> {
    let mut client = client::connect(door).await?;
    let asked = authorized(proto::RefreshSandboxTokenRequest::default(), boot)?;
    let token = Secret::new(client.refresh_sandbox_token(asked).await?.into_inner().token);
    let (says, mut queue) = mpsc::channel(QUEUE);
    let hello = proto::SupervisorHello { sandbox_id: sandbox.to_owned(), instance_id: "bench".to_owned() };
    says.send(message(Says::Hello(hello))).await?;
    let messages = stream::poll_fn(move |context| queue.poll_recv(context));
    let mut session = client.connect_supervisor(authorized(messages, &token)?).await?.into_inner();
    let first = session.message().await?.and_then(|message| message.payload);
    let Some(Heard::SessionAccepted(accepted)) = first else {
        return Err(format!("the session of sandbox `{sandbox}` is refused: {first:?}").into());
    };
    let mut beat = tokio::time::interval(Duration::from_secs(accepted.heartbeat_interval_secs.max(1).into()));
    loop {
        tokio::select! {
            heard = session.message() => match heard?.map(|message| message.payload) {
                Some(Some(Heard::RelayOpen(open))) => {
                    let (client, token, says) = (client.clone(), token.clone(), says.clone());
                    tokio::spawn(async move {
                        let channel_id = open.channel_id;
                        let result =
                            proto::RelayOpenResult { channel_id: channel_id.clone(), success: true, error: String::new() };
                        // Who does not hear of it has given the channel up, as one whose stream breaks.
                        let _gone = says.send(message(Says::RelayOpenResult(result))).await;
                        let _broken = serve(client, channel_id, &token).await;
                    });
                }
                Some(_) => {}
                None => return Ok(()),
            },
            _ = beat.tick() => says.send(message(Says::Heartbeat(proto::SupervisorHeartbeat {}))).await?,
        }
    }
}

/// One command, from its channel's first frame to its last.
async fn serve(mut client: Client, channel_id: String, token: &Secret) -> Result<()> {
    let (frames, mut queue) = mpsc::channel(1);
    frames.send(proto::RelayFrame { payload: Some(Framed::Init(proto::RelayInit { channel_id })) }).await?;
    let stream = stream::poll_fn(move |context| queue.poll_recv(context));
    let mut asked = client.relay_stream(authorized(stream, token)?).await?.into_inner();
    let Some(Framed::Data(data)) = asked.message().await?.and_then(|frame| frame.payload) else {
        return Err("a channel without a start".into());
    };
    let Some(to_supervisor::Frame::Start(Start { what: Some(start::What::Command(Command { argv, .. })) })) =
        ToSupervisor::decode(data)?.frame
    else {
        return Err("a channel without a command".into());
    };
    let say = async |frame| {
        let data = FromSupervisor { frame: Some(frame) }.encode_to_vec();
        frames.send(proto::RelayFrame { payload: Some(Framed::Data(data.into())) }).await
    };
    say(from_supervisor::Frame::Started(Started { pid: 1 })).await?;
    while argv.first().is_some_and(|program| program == FLOOD) {
        say(from_supervisor::Frame::Stdout(vec![0; PIECE].into())).await?;
    }
    say(from_supervisor::Frame::Stdout(WORD.into())).await?;
    say(from_supervisor::Frame::Exited(Exited { code: 0 })).await?;
    drop(frames);
    while asked.message().await?.is_some() {}
    Ok(())
}

fn message(payload: Says) -> proto::SupervisorMessage {
    proto::SupervisorMessage { payload: Some(payload) }
}

fn authorized<T>(message: T, token: &Secret) -> Result<Request<T>> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {}", token.expose()).parse()?);
    Ok(request)
}
