//! Commands: what the client asks for reaches the supervisor, what comes back reaches the client, and every end ends both
//! sides.

use std::time::{Duration, Instant};

use openshell_driver_api::conditions;
use openshell_proto::openshell::v1::exec_sandbox_event::Payload as Event;
use openshell_proto::openshell::v1::exec_sandbox_input::Payload as Input;
use openshell_proto::openshell::v1::gateway_message::Payload as Said;
use openshell_proto::openshell::v1::supervisor_message::Payload as Says;
use openshell_proto::openshell::v1::{self as proto};
use openshell_proto::relay::v1alpha1::from_supervisor::Frame as From;
use openshell_proto::relay::v1alpha1::start::What;
use openshell_proto::relay::v1alpha1::to_supervisor::Frame as To;
use openshell_proto::relay::v1alpha1::{
    Command, Exited, Failed, FromSupervisor, Started, ToSupervisor, WindowSize,
};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Response, Status, Streaming};

use super::harness::{PATIENCE, Relay, Supervisor, a_gateway, client, variables};
use crate::client::{Gateway, eventually, gateway, gateway_in, settings};
use crate::fake::Fake;

pub(super) fn request(id: &str, words: &[&str]) -> proto::ExecSandboxRequest {
    let command = words.iter().map(|word| (*word).to_owned()).collect();
    proto::ExecSandboxRequest { sandbox_id: id.to_owned(), command, ..Default::default() }
}

/// A sandbox that is ready, with its supervisor.
pub(super) async fn ready(gateway: &mut Gateway, name: &str) -> (String, Supervisor) {
    let id = crate::client::id_of(&gateway.create(name).await);
    let supervisor = Supervisor::connect(gateway, &id, "run-1").await;
    gateway.until(name, proto::SandboxPhase::Ready).await;
    (id, supervisor)
}

impl Relay {
    pub(super) async fn told(&mut self) -> Option<To> {
        let bytes = self.next().await.expect("no error")?;
        ToSupervisor::decode(bytes).expect("a message").frame
    }

    pub(super) async fn command(&mut self) -> Command {
        match self.told().await {
            Some(To::Start(start)) => match start.what {
                Some(What::Command(command)) => command,
                other => panic!("no command: {other:?}"),
            },
            other => panic!("no start: {other:?}"),
        }
    }

    pub(super) async fn tell(&self, frame: From) -> bool {
        self.send(FromSupervisor { frame: Some(frame) }.encode_to_vec()).await
    }
}

type Events = Streaming<proto::ExecSandboxEvent>;

/// Everything that a command prints, and its exit code.
async fn outcome(events: &mut Events) -> Result<(Vec<u8>, Vec<u8>, Option<i32>), Status> {
    let (mut out, mut err, mut code) = (Vec::new(), Vec::new(), None);
    while let Some(event) = tokio::time::timeout(PATIENCE, events.message()).await.expect("in time")? {
        assert_eq!(code, None, "the exit is the last");
        match event.payload.expect("a payload") {
            Event::Stdout(stdout) => out.extend_from_slice(&stdout.data),
            Event::Stderr(stderr) => err.extend_from_slice(&stderr.data),
            Event::Exit(exit) => code = Some(exit.exit_code),
        }
    }
    Ok((out, err, code))
}

fn channel_of<T>(response: &Response<T>) -> String {
    response
        .metadata()
        .get("x-openshell-channel-id")
        .expect("the header")
        .to_str()
        .expect("as prepared")
        .to_owned()
}

#[tokio::test]
async fn a_command_its_input_its_output_and_its_code() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let input = b"0123456789".repeat(60_000);
    let asked = proto::ExecSandboxRequest {
        workdir: "/w".to_owned(),
        environment: variables(&[("A", "b"), ("OPENSHELL_PYFUNC_B64", "c")]),
        timeout_seconds: 7,
        stdin: input.clone().into(),
        ..request(&id, &["cat", "-"])
    };
    let served = async {
        let mut relay = supervisor.open().await;
        let command = relay.command().await;
        assert_eq!((command.argv, command.workdir.as_str()), (vec!["cat".to_owned(), "-".to_owned()], "/w"));
        assert_eq!(command.environment.len(), 2);
        assert_eq!((command.timeout_seconds, command.stdin, command.terminal), (7, true, None));
        relay.tell(From::Started(Started { pid: 5 })).await;
        let mut came = Vec::new();
        loop {
            match relay.told().await {
                Some(To::Stdin(bytes)) => {
                    assert!(bytes.len() <= 256 * 1024);
                    came.extend_from_slice(&bytes);
                    relay.tell(From::Stdout(bytes)).await;
                }
                Some(To::StdinEnd(_)) => break,
                other => panic!("{other:?}"),
            }
        }
        relay.tell(From::Stderr("oh".into())).await;
        relay.tell(From::Exited(Exited { code: 3 })).await;
        assert_eq!(relay.next().await.unwrap(), None, "the gateway ends its half in order");
        came
    };
    let mut client = client(&gateway).await;
    let asking = async {
        let response = client.exec_sandbox(asked).await.unwrap();
        assert_eq!(channel_of(&response).len(), 32);
        outcome(&mut response.into_inner()).await.unwrap()
    };
    let (came, (out, err, code)) = tokio::join!(served, asking);
    assert!(came == input && out == input);
    assert_eq!((err.as_slice(), code), (b"oh".as_slice(), Some(3)));
    eventually("no channel is left", || gateway.runtime.stats().supervisors.unwrap().channels == 0).await;
    let stats = gateway.runtime.stats().supervisors.unwrap();
    assert_eq!((stats.sessions, stats.opened, stats.failed), (1, 1, 0));
    assert!(stats.sent >= 600_000 && stats.received >= 600_000, "{stats:?}");
}

#[tokio::test]
async fn what_cannot_be_started_ends_as_a_shell_has_it() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let served = async {
        let mut relay = supervisor.open().await;
        assert!(!relay.command().await.stdin);
        relay.tell(From::Failed(Failed { message: "no such program `x`".to_owned(), code: 127 })).await;
        relay
    };
    let mut client = client(&gateway).await;
    let (_relay, response) = tokio::join!(served, client.exec_sandbox(request(&id, &["x"])));
    let (out, err, code) = outcome(&mut response.unwrap().into_inner()).await.unwrap();
    assert_eq!((out.len(), err.as_slice(), code), (0, b"no such program `x`\n".as_slice(), Some(127)));
}

#[tokio::test]
async fn an_interactive_command_has_its_input_and_its_terminal_s_size() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let (inputs, queue) = mpsc::channel(16);
    let say = |payload| proto::ExecSandboxInput { payload: Some(payload) };
    let start = proto::ExecSandboxRequest { tty: true, cols: 100, rows: 30, ..request(&id, &["sh"]) };
    inputs.send(say(Input::Start(start))).await.unwrap();
    let mut client = client(&gateway).await;
    let asking = client.exec_sandbox_interactive(ReceiverStream::new(queue));
    let (response, mut relay) = tokio::join!(asking, supervisor.open());
    let mut events = response.unwrap().into_inner();
    let command = relay.command().await;
    assert_eq!((command.stdin, command.terminal), (true, Some(WindowSize { columns: 100, rows: 30 })));
    let resize = |cols, rows| say(Input::Resize(proto::ExecSandboxWindowResize { cols, rows }));
    inputs.send(resize(0, 0)).await.unwrap();
    inputs.send(resize(90, 20)).await.unwrap();
    assert_eq!(relay.told().await, Some(To::Resize(WindowSize { columns: 90, rows: 20 })));
    inputs.send(say(Input::Stdin("ls\n".into()))).await.unwrap();
    assert_eq!(relay.told().await, Some(To::Stdin("ls\n".into())));
    relay.tell(From::Stdout("a\r\n".into())).await;
    drop(inputs);
    assert!(matches!(relay.told().await, Some(To::StdinEnd(_))));
    relay.tell(From::Exited(Exited { code: 0 })).await;
    assert_eq!(outcome(&mut events).await.unwrap(), (b"a\r\n".to_vec(), Vec::new(), Some(0)));
}

#[tokio::test]
async fn a_second_start_and_a_terminal_beyond_size_end_it() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let mut client = client(&gateway).await;
    let start = Input::Start(proto::ExecSandboxRequest { tty: true, ..request(&id, &["sh"]) });
    let resize = Input::Resize(proto::ExecSandboxWindowResize { cols: 70_000, rows: 1 });
    for bad in [start.clone(), resize] {
        let inputs = [start.clone(), bad].map(|payload| proto::ExecSandboxInput { payload: Some(payload) });
        let asking = client.exec_sandbox_interactive(tokio_stream::iter(inputs));
        let (response, mut relay) = tokio::join!(asking, supervisor.open());
        let ended = outcome(&mut response.unwrap().into_inner()).await.unwrap_err();
        assert_eq!(ended.code(), Code::InvalidArgument, "{ended:?}");
        relay.command().await;
        while let Ok(more) = relay.next().await {
            assert!(more.is_some(), "it breaks, and does not merely end");
        }
    }
    let inputs = [proto::ExecSandboxInput { payload: Some(Input::Stdin("x".into())) }];
    let status = client.exec_sandbox_interactive(tokio_stream::iter(inputs)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "the first message is no `start`"));
}

#[tokio::test]
async fn a_client_that_goes_away_ends_what_it_ran() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let mut client = client(&gateway).await;
    let (response, mut relay) =
        tokio::join!(client.exec_sandbox(request(&id, &["sleep", "99"])), supervisor.open());
    relay.command().await;
    let response = response.unwrap();
    let channel = channel_of(&response);
    drop(response);
    let broke = relay.next().await.unwrap_err();
    assert_eq!(broke.code(), Code::Cancelled, "{broke:?}");
    match supervisor.hear().await.unwrap() {
        Some(Said::RelayClose(close)) => {
            assert_eq!((close.channel_id, close.reason.as_str()), (channel, "the client has gone away"));
        }
        other => panic!("{other:?}"),
    }
    // So does one that goes before there is a channel.
    let open = tokio::select! {
        open = supervisor.asked() => open,
        other = client.exec_sandbox(request(&id, &["a"])) => panic!("nobody has joined: {other:?}"),
    };
    eventually("it is forgotten", || gateway.runtime.stats().supervisors.unwrap().channels == 0).await;
    let late = supervisor.join(&open.channel_id).await.map(|_| ()).unwrap_err();
    assert_eq!(late.code(), Code::NotFound);
}

#[tokio::test]
async fn a_channel_that_breaks_is_an_error_and_the_next_one_works() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let mut client = client(&gateway).await;
    for in_order in [true, false] {
        let (response, mut relay) =
            tokio::join!(client.exec_sandbox(request(&id, &["a"])), supervisor.open());
        relay.command().await;
        if in_order {
            relay.frames = None;
        }
        // Without a word: the stream is reset.
        drop(relay);
        let status = outcome(&mut response.unwrap().into_inner()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }
    let served = async {
        let relay = supervisor.open().await;
        relay.tell(From::Exited(Exited { code: 0 })).await;
        relay
    };
    let (response, _relay) = tokio::join!(client.exec_sandbox(request(&id, &["a"])), served);
    assert_eq!(outcome(&mut response.unwrap().into_inner()).await.unwrap().2, Some(0));
}

#[tokio::test]
async fn a_supervisor_may_refuse_in_its_own_words() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let refusing = async {
        let channel_id = supervisor.asked().await.channel_id;
        let error = format!("no\nroom{}", "!".repeat(5000));
        supervisor
            .say(Says::RelayOpenResult(proto::RelayOpenResult { channel_id, success: false, error }))
            .await;
    };
    let mut client = client(&gateway).await;
    let (response, ()) = tokio::join!(client.exec_sandbox(request(&id, &["a"])), refusing);
    let status = response.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("`one`") && status.message().contains("no room!!"), "{status:?}");
    assert!(status.message().len() < 1200);
    assert_eq!(gateway.runtime.stats().supervisors.unwrap().failed, 1);
}

#[tokio::test]
async fn a_channel_is_its_sandbox_s_and_is_joined_once() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let (_, other) = ready(&mut gateway, "two").await;
    let joining = async {
        let open = supervisor.asked().await;
        let stolen = other.join(&open.channel_id).await.map(|_| ()).unwrap_err();
        assert_eq!(stolen.code(), Code::NotFound);
        let made_up = supervisor.join(&"0".repeat(32)).await.map(|_| ()).unwrap_err();
        assert_eq!(made_up.message(), stolen.message(), "whose it is is not told");
        // Before the answer on the session: either may come first.
        let relay = supervisor.join(&open.channel_id).await.unwrap();
        let again = supervisor.join(&open.channel_id).await.map(|_| ()).unwrap_err();
        assert_eq!(again.code(), Code::NotFound);
        // And another's session cannot refuse it.
        let channel_id = open.channel_id;
        let no = proto::RelayOpenResult { channel_id, success: false, error: "no".to_owned() };
        other.say(Says::RelayOpenResult(no)).await;
        relay.tell(From::Exited(Exited { code: 0 })).await;
        relay
    };
    let mut client = client(&gateway).await;
    let (response, _relay) = tokio::join!(client.exec_sandbox(request(&id, &["a"])), joining);
    assert_eq!(outcome(&mut response.unwrap().into_inner()).await.unwrap().2, Some(0));
}

#[tokio::test]
async fn a_session_that_is_away_is_waited_for_and_a_channel_is_asked_for_anew() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let back = async {
        // It goes between the wish and the stream: nothing has begun, so that the next session is asked.
        let lost = supervisor.asked().await.channel_id;
        drop(supervisor);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut supervisor = Supervisor::connect(&gateway, &id, "run-1").await;
        let open = supervisor.asked().await;
        assert_ne!(open.channel_id, lost);
        let relay = supervisor.join(&open.channel_id).await.unwrap();
        relay.tell(From::Exited(Exited { code: 0 })).await;
        (relay, supervisor)
    };
    let mut client = client(&gateway).await;
    let (response, kept) = tokio::join!(client.exec_sandbox(request(&id, &["a"])), back);
    assert_eq!(outcome(&mut response.unwrap().into_inner()).await.unwrap().2, Some(0));
    drop(kept);
    eventually("it is away", || gateway.runtime.stats().supervisors.unwrap().sessions == 0).await;
    let begun = Instant::now();
    let status = client.exec_sandbox(request(&id, &["a"])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("the supervisor of sandbox `one` is not connected"), "{status:?}");
    assert!(begun.elapsed() >= Duration::from_secs(5), "it was not waited for: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_supervisor_that_does_not_join_is_given_up() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let mut client = client(&gateway).await;
    let (response, open) = tokio::join!(client.exec_sandbox(request(&id, &["a"])), supervisor.asked());
    let status = response.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("within 10 s"), "{status:?}");
    let late = supervisor.join(&open.channel_id).await.map(|_| ()).unwrap_err();
    assert_eq!(late.code(), Code::NotFound);
    assert_eq!(gateway.runtime.stats().supervisors.unwrap().channels, 0);
}

#[tokio::test]
async fn what_cannot_be_worked_in_says_why() {
    let fake = Fake::new();
    let directory = tempfile::tempdir().unwrap();
    let mut without = gateway_in(directory.path(), &fake, settings()).await;
    let old = without.ready("old").await;
    let status = without.client.exec_sandbox(request(&old, &["a"])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("[openshell.drivers.fake] supervisor = \"builtin\""), "{status:?}");
    without.stop().await;
    let mut gateway = super::harness::a_gateway_in(directory.path(), &fake, PATIENCE).await;
    let id = crate::client::id_of(&gateway.create("new").await);
    eventually("it is made", || fake.has(&id)).await;
    let mut ask = async |asked| gateway.client.exec_sandbox(asked).await.map(|_| ()).unwrap_err();
    for (asked, code, says) in [
        (request("", &["a"]), Code::InvalidArgument, "id"),
        (request(&id, &[]), Code::InvalidArgument, "`command` is empty"),
        (request("nobody", &["a"]), Code::NotFound, "`nobody`"),
        (request(&id, &["a"]), Code::FailedPrecondition, "in phase PROVISIONING"),
        (request(&old, &["a"]), Code::FailedPrecondition, "has no supervisor"),
    ] {
        let status = ask(asked).await;
        assert_eq!(status.code(), code, "{status:?}");
        assert!(status.message().contains(says), "{says}: {status:?}");
    }
    fake.report(&old, conditions::stopped("asked"));
    gateway.until("old", proto::SandboxPhase::Stopped).await;
    let status = gateway.client.exec_sandbox(request(&old, &["a"])).await.unwrap_err();
    assert!(status.message().contains("in phase STOPPED"), "{status:?}");
}

#[tokio::test]
async fn a_gateway_that_stops_ends_channels_on_both_sides_and_begins_none() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let mut client = client(&gateway).await;
    let (response, mut relay) = tokio::join!(client.exec_sandbox(request(&id, &["a"])), supervisor.open());
    relay.command().await;
    gateway.runtime.end_watches();
    let status = client.exec_sandbox(request(&id, &["b"])).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the gateway is going away"));
    // What runs has a moment to end by itself.
    relay.tell(From::Stdout("last words".into())).await;
    let mut events = response.unwrap().into_inner();
    assert!(matches!(events.message().await.unwrap().unwrap().payload, Some(Event::Stdout(_))));
    let ended = outcome(&mut events).await.unwrap_err();
    assert_eq!((ended.code(), ended.message()), (Code::Unavailable, "the gateway is going away"));
    assert_eq!(relay.next().await.unwrap_err().message(), "the gateway is going away");
    assert!(matches!(supervisor.hear().await.unwrap(), Some(Said::RelayClose(_))));
    gateway.runtime.shutdown(Duration::from_secs(5)).await;
    assert_eq!(supervisor.hear().await.unwrap_err().message(), "the gateway is going away");
}

#[tokio::test]
async fn a_gateway_without_supervision_answers_as_it_did() {
    let mut gateway = gateway(&Fake::new()).await;
    let id = gateway.ready("one").await;
    let refresh = proto::RefreshSandboxTokenRequest::default();
    let status = gateway.client.refresh_sandbox_token(refresh).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let logs = proto::GetSandboxLogsRequest { sandbox_id: id, ..Default::default() };
    let status = gateway.client.get_sandbox_logs(logs).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(gateway.runtime.stats().supervisors, None);
}
