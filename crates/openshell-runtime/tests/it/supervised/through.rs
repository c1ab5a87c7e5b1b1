//! Channels that the gateway does not read, ports, and signals.

use openshell_proto::gateway::v1alpha1::channel_frame::Payload as Frame;
use openshell_proto::gateway::v1alpha1::{ChannelFrame, ChannelOpen, SignalSandboxRequest};
use openshell_proto::openshell::v1::tcp_forward_frame::Payload as Tcp;
use openshell_proto::openshell::v1::{self as proto, relay_open, tcp_forward_init};
use openshell_proto::relay::v1alpha1::from_supervisor::Frame as From;
use openshell_proto::relay::v1alpha1::start::What;
use openshell_proto::relay::v1alpha1::to_supervisor::Frame as To;
use openshell_proto::relay::v1alpha1::{Command, Exited, Start, Started, ToSupervisor};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::exec::{ready, request};
use super::harness::{PATIENCE, a_gateway, client, gateway_client};
use crate::client::eventually;
use crate::fake::Fake;

fn open(id: &str, service: &str) -> ChannelFrame {
    let open = ChannelOpen { sandbox_id: id.to_owned(), service_id: service.to_owned() };
    ChannelFrame { payload: Some(Frame::Open(open)) }
}

fn data(bytes: impl Into<prost::bytes::Bytes>) -> ChannelFrame {
    ChannelFrame { payload: Some(Frame::Data(bytes.into())) }
}

#[tokio::test]
async fn a_channel_passes_data_through_unread() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let mut client = gateway_client(&gateway).await;
    let (frames, queue) = mpsc::channel(4);
    frames.send(open(&id, "openshell.process.v1alpha1")).await.unwrap();
    let (answer, mut relay) =
        tokio::join!(client.open_channel(ReceiverStream::new(queue)), supervisor.open());
    let mut answer = answer.unwrap().into_inner();
    match answer.message().await.unwrap().unwrap().payload {
        Some(Frame::Opened(opened)) => assert_eq!(opened.channel_id.len(), 32),
        other => panic!("{other:?}"),
    }
    let large = prost::bytes::Bytes::from(vec![7_u8; 1024 * 1024]);
    for bytes in ["not even a message".into(), large] {
        frames.send(data(bytes.clone())).await.unwrap();
        assert_eq!(relay.next().await.unwrap(), Some(bytes.clone()));
        assert!(relay.send(bytes.clone()).await);
        assert_eq!(answer.message().await.unwrap(), Some(data(bytes)));
    }
    // The client has said everything; what it asked for goes on, to the supervisor's end.
    drop(frames);
    relay.send("later").await;
    assert_eq!(answer.message().await.unwrap(), Some(data("later")));
    relay.frames = None;
    assert_eq!(answer.message().await.unwrap(), None);
    assert_eq!(relay.next().await.unwrap(), None);
    eventually("it is over", || gateway.runtime.stats().supervisors.unwrap().channels == 0).await;
}

/// Whoever is root in a sandbox may keep its supervisor from ending what has a time.
#[tokio::test]
async fn a_command_that_does_not_end_in_its_time_is_ended_for_its_client() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let (mut exec, mut client) = (client(&gateway).await, gateway_client(&gateway).await);
    let command = Command { argv: vec!["sleep".to_owned()], timeout_seconds: 1, ..Command::default() };
    let start = ToSupervisor { frame: Some(To::Start(Start { what: Some(What::Command(command)) })) };
    let (frames, queue) = mpsc::channel(4);
    frames.send(open(&id, "openshell.process.v1alpha1")).await.unwrap();
    frames.send(data(start.encode_to_vec())).await.unwrap();
    let (answer, mut first) =
        tokio::join!(client.open_channel(ReceiverStream::new(queue)), supervisor.open());
    let mut channel = answer.unwrap().into_inner();
    assert!(channel.message().await.unwrap().is_some(), "it is opened");
    let timed = proto::ExecSandboxRequest { timeout_seconds: 1, ..request(&id, &["sleep"]) };
    let (answer, mut second) = tokio::join!(exec.exec_sandbox(timed), supervisor.open());
    let mut events = answer.unwrap().into_inner();
    let began = std::time::Instant::now();
    let ended = async { (channel.message().await.unwrap_err(), events.message().await.unwrap_err()) };
    let (one, other) = tokio::time::timeout(2 * PATIENCE, ended).await.expect("it is ended");
    for status in [one, other] {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.message().contains("the time of the command is over"), "{status:?}");
    }
    assert!(began.elapsed() > std::time::Duration::from_secs(9), "the supervisor has some grace");
    first.command().await;
    second.command().await;
    assert!(first.next().await.is_err() && second.next().await.is_err(), "the supervisor is told");
}

#[tokio::test]
async fn a_channel_begins_with_its_name_and_with_nothing_larger() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (_, supervisor) = ready(&mut gateway, "one").await;
    let status = supervisor.join(&"x".repeat(5000)).await.map(|_| ()).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("the first frame is no init"), "{status:?}");
    let status = supervisor.join(&"x".repeat(4000)).await.map(|_| ()).unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status:?}");
}

#[tokio::test]
async fn what_is_no_channel() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let mut client = gateway_client(&gateway).await;
    for (first, code) in [
        (data("x"), Code::InvalidArgument),
        (open(&id, "shell"), Code::Unimplemented),
        (open("nobody", "openshell.process.v1alpha1"), Code::NotFound),
    ] {
        assert_eq!(client.open_channel(tokio_stream::iter([first])).await.unwrap_err().code(), code);
    }
    let frames = [open(&id, "openshell.process.v1alpha1"), data(vec![0_u8; 1024 * 1024 + 1])];
    let (answer, mut relay) =
        tokio::join!(client.open_channel(tokio_stream::iter(frames)), supervisor.open());
    let mut answer = answer.unwrap().into_inner();
    assert!(answer.message().await.unwrap().is_some());
    assert_eq!(answer.message().await.unwrap_err().code(), Code::InvalidArgument);
    assert!(relay.next().await.is_err());
}

#[tokio::test]
async fn a_connection_into_a_sandbox_has_two_halves() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let mut client = client(&gateway).await;
    let init = |target| {
        let init =
            proto::TcpForwardInit { sandbox_id: id.clone(), target: Some(target), ..Default::default() };
        proto::TcpForwardFrame { payload: Some(Tcp::Init(init)) }
    };
    let bytes = |bytes: &'static str| proto::TcpForwardFrame { payload: Some(Tcp::Data(bytes.into())) };
    let (frames, queue) = mpsc::channel(4);
    let port = proto::TcpRelayTarget { host: String::new(), port: 8080 };
    frames.send(init(tcp_forward_init::Target::Tcp(port.clone()))).await.unwrap();
    let joining = async {
        let open = supervisor.asked().await;
        assert_eq!((open.target, open.service_id.as_str()), (Some(relay_open::Target::Tcp(port)), ""));
        supervisor.join(&open.channel_id).await.unwrap()
    };
    let (answer, mut relay) = tokio::join!(client.forward_tcp(ReceiverStream::new(queue)), joining);
    let mut answer = answer.unwrap().into_inner();
    frames.send(bytes("GET /")).await.unwrap();
    assert_eq!(relay.next().await.unwrap(), Some("GET /".into()));
    drop(frames);
    assert_eq!(relay.next().await.unwrap(), None, "the client's half has ended, in order");
    relay.send("200").await;
    assert_eq!(answer.message().await.unwrap(), Some(bytes("200")));
    relay.frames = None;
    assert_eq!(answer.message().await.unwrap(), None);
    let ssh = init(tcp_forward_init::Target::Ssh(proto::SshRelayTarget {}));
    let status = client.forward_tcp(tokio_stream::iter([ssh])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("no SSH server"), "{status:?}");
}

#[tokio::test]
async fn signals_go_to_a_command_or_to_the_main_process() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let (two, _two) = ready(&mut gateway, "two").await;
    let (mut exec, mut client) = (client(&gateway).await, gateway_client(&gateway).await);
    let (answer, mut relay) = tokio::join!(exec.exec_sandbox(request(&id, &["a"])), supervisor.open());
    let answer = answer.unwrap();
    let channel = answer.metadata().get("x-openshell-channel-id").unwrap().to_str().unwrap().to_owned();
    let signal = |sandbox: &str, channel: &str, signal| SignalSandboxRequest {
        sandbox_id: sandbox.to_owned(),
        channel_id: channel.to_owned(),
        signal,
    };
    client.signal_sandbox(signal(&id, &channel, 15)).await.unwrap();
    relay.command().await;
    assert_eq!(relay.told().await, Some(To::Signal(15)));
    for (bad, code) in [
        (signal(&id, &channel, 0), Code::InvalidArgument),
        (signal(&id, &channel, 65), Code::InvalidArgument),
        (signal(&two, &channel, 9), Code::NotFound),
        (signal(&id, "made-up", 9), Code::NotFound),
    ] {
        assert_eq!(client.signal_sandbox(bad).await.unwrap_err().code(), code);
    }
    let serving = async {
        let mut relay = supervisor.open().await;
        match relay.told().await {
            Some(To::Start(start)) => assert!(matches!(start.what, Some(What::MainProcess(_)))),
            other => panic!("{other:?}"),
        }
        assert_eq!(relay.told().await, Some(To::Signal(1)));
        relay.tell(From::Started(Started { pid: 2 })).await;
        relay
    };
    let (signalled, _main) = tokio::join!(client.signal_sandbox(signal(&id, "", 1)), serving);
    signalled.unwrap();
    let ended = async {
        let relay = supervisor.open().await;
        relay.tell(From::Exited(Exited { code: 0 })).await;
        relay
    };
    let (signalled, _ended) = tokio::join!(client.signal_sandbox(signal(&id, "", 1)), ended);
    assert_eq!(signalled.unwrap_err().code(), Code::FailedPrecondition);
    drop(answer);
}
