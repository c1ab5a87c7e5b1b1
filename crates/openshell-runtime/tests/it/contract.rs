//! The client contract, rule by rule: each test is named by its row of the table "What the client contract means", and
//! says what a client that knows nothing but that table may count on.

use openshell_driver_api::{ErrorKind, PlatformEvent, SandboxId, WatchEvent, conditions};
use openshell_proto::openshell::v1::sandbox_stream_event::Payload;
use openshell_proto::openshell::v1::{self as proto, SandboxPhase};
use tonic::{Code, Status};

use crate::client::{
    Gateway, eventually, gateway, gateway_with, hasty, id_of, name_of, phase_of, ready_of, settings,
};
use crate::fake::{Fake, Script};

fn named(name: &str) -> proto::CreateSandboxRequest {
    proto::CreateSandboxRequest { name: name.to_owned(), ..Default::default() }
}

async fn refused(gateway: &mut Gateway, request: proto::CreateSandboxRequest) -> Status {
    gateway.client.create_sandbox(request).await.expect_err("refused")
}

/// A sandbox of the phase's own name in lower case, in that phase. `slow` of the fake is on afterwards.
async fn in_phase(gateway: &mut Gateway, fake: &Fake, phase: SandboxPhase) -> (String, String) {
    let name = phase.as_str_name().trim_start_matches("SANDBOX_PHASE_").to_lowercase();
    if phase == SandboxPhase::Provisioning {
        fake.slow();
        let id = id_of(&gateway.create(&name).await);
        eventually("made", || fake.has(&id)).await;
        return (name, id);
    }
    let id = gateway.ready(&name).await;
    match phase {
        SandboxPhase::Ready => {}
        SandboxPhase::Error => fake.report(&id, vec![conditions::not_ready("OOMKilled", "too much")]),
        SandboxPhase::Unknown => {
            let mut unknown = conditions::not_ready("NodeLost", "");
            unknown.status = openshell_driver_api::ConditionStatus::Unknown;
            fake.report(&id, vec![unknown]);
        }
        SandboxPhase::Stopping => {
            fake.report(&id, vec![conditions::not_ready("Stopping", "")]);
        }
        SandboxPhase::Stopped => {
            gateway.stop_sandbox(&name).await.expect("stopped");
        }
        SandboxPhase::Starting => fake.report(&id, vec![conditions::not_ready("Resuming", "")]),
        SandboxPhase::Deleting => {
            fake.script("delete", std::iter::repeat_n(Script::Fail(ErrorKind::Aborted, "a conflict"), 1000));
            gateway.delete(&name).await.expect_err("a conflict");
        }
        other => panic!("{other:?}"),
    }
    gateway.until(&name, phase).await;
    (name, id)
}

#[tokio::test]
async fn name_given_is_checked() {
    let mut gateway = gateway(&Fake::new()).await;
    for good in ["a", "0", "a-b", "9-z", &"a".repeat(50)] {
        assert_eq!(name_of(&gateway.create(good).await), good);
    }
    for bad in ["-", "-a", "a-", "A", "a_b", "a.b", "a b", "ü", "a\n", "../../etc", "a/b", &"a".repeat(51)] {
        let status = refused(&mut gateway, named(bad)).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{bad:?}: {status:?}");
        assert!(status.message().contains("the name"), "{status:?}");
        assert_eq!(gateway.get(bad).await.unwrap_err().code(), Code::InvalidArgument, "{bad:?}");
    }
    assert_eq!(gateway.list(proto::ListSandboxesRequest::default()).await.len(), 5, "nothing else is stored");
}

#[tokio::test]
async fn name_empty_is_made_by_the_gateway() {
    let mut gateway = gateway(&Fake::new()).await;
    let (first, second) = (name_of(&gateway.create("").await), name_of(&gateway.create("").await));
    assert_ne!(first, second);
    assert!(
        first.len() <= 50 && first.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    );
    assert_eq!(name_of(&gateway.get(&first).await.unwrap()), first);
}

#[tokio::test]
async fn name_taken_in_that_workspace_is_already_exists() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    gateway.ready("one").await;
    let status = refused(&mut gateway, named("one")).await;
    assert_eq!(status.code(), Code::AlreadyExists);
    assert_eq!(status.message(), "the name `one` is taken in the workspace `default`");
    let team = proto::CreateWorkspaceRequest { name: "team".to_owned(), ..Default::default() };
    gateway.client.create_workspace(team).await.unwrap();
    let elsewhere = proto::CreateSandboxRequest { workspace: "team".to_owned(), ..named("one") };
    gateway.client.create_sandbox(elsewhere).await.unwrap();
}

#[tokio::test]
async fn workspace_empty_is_default_which_always_exists() {
    let mut gateway = gateway(&Fake::new()).await;
    let default = proto::GetWorkspaceRequest { name: "default".to_owned() };
    gateway.client.get_workspace(default).await.unwrap();
    let created = gateway.create("one").await;
    assert_eq!(created.metadata.unwrap().workspace, "default");
    let request = proto::GetSandboxRequest { name: "one".to_owned(), workspace: "default".to_owned() };
    gateway.client.get_sandbox(request).await.unwrap();
    let delete = proto::DeleteWorkspaceRequest { name: "default".to_owned() };
    let status = gateway.client.delete_workspace(delete).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn workspace_that_holds_sandboxes_in_any_phase_is_not_deleted() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    let team = proto::CreateWorkspaceRequest { name: "team".to_owned(), ..Default::default() };
    gateway.client.create_workspace(team).await.unwrap();
    fake.script("create", [Script::Fail(ErrorKind::FailedPrecondition, "no")]);
    let request = proto::CreateSandboxRequest { workspace: "team".to_owned(), ..named("one") };
    gateway.client.create_sandbox(request).await.unwrap();
    let delete = proto::DeleteWorkspaceRequest { name: "team".to_owned() };
    let status = gateway.client.delete_workspace(delete).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("`team` holds 1 sandbox;"), "{status:?}");
}

#[tokio::test]
async fn list_limits_offsets_and_order() {
    let mut gateway = gateway(&Fake::new()).await;
    // Many in one millisecond: the id decides then.
    let creates = (0..103).map(|number| {
        let mut client = gateway.client.clone();
        async move { client.create_sandbox(named(&format!("s{number}"))).await.expect("created") }
    });
    futures_util::future::join_all(creates).await;
    let page = |limit, offset| proto::ListSandboxesRequest { limit, offset, ..Default::default() };
    for (limit, offset, count) in [
        (0, 0, 100),
        (100, 0, 100),
        (0, 100, 3),
        (1000, 0, 103),
        (5000, 0, 103),
        (1, 102, 1),
        (0, 103, 0),
        (0, u32::MAX, 0),
    ] {
        assert_eq!(gateway.list(page(limit, offset)).await.len(), count, "{limit} {offset}");
    }
    let answer = gateway.client.list_sandboxes(page(1000, 0)).await.unwrap().into_inner();
    let keys: Vec<(i64, String)> = answer
        .sandboxes
        .iter()
        .map(|sandbox| (sandbox.metadata.as_ref().unwrap().created_at_ms, id_of(sandbox)))
        .collect();
    assert!(keys.is_sorted(), "creation, then id");
}

#[tokio::test]
async fn list_selector_and_junk() {
    let mut gateway = gateway(&Fake::new()).await;
    for (name, labels) in [("a", "k=v k2=x k3="), ("b", "k=v k2=v2 k3="), ("c", "k=v"), ("d", "k=w k3=")] {
        let labels = labels.split(' ').filter_map(|pair| pair.split_once('='));
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let request = proto::CreateSandboxRequest { labels, ..named(name) };
        gateway.client.create_sandbox(request).await.unwrap();
    }
    let select = |selector: &str| proto::ListSandboxesRequest {
        label_selector: selector.to_owned(),
        ..Default::default()
    };
    assert_eq!(gateway.list(select("k=v,k2!=v2,k3")).await, ["a"]);
    assert_eq!(gateway.list(select("k2!=v2,k=v")).await.len(), 2, "what has no such label differs, too");
    for junk in ["k in (v)", "a,,b", "=v", "k=a b", "k>1", "!k", "k=v\u{0}", &"k,".repeat(10_000)] {
        let status = gateway.client.list_sandboxes(select(junk)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{junk}");
        assert!(status.message().contains("label selector"), "{status:?}");
    }
}

#[tokio::test]
async fn create_returns_at_once_in_provisioning_with_an_id() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    fake.script("create", [Script::Hang]);
    let created = gateway.create("one").await;
    assert_eq!((phase_of(&created), id_of(&created).len()), (SandboxPhase::Provisioning, 36));
}

#[tokio::test]
async fn create_refused_by_validation_has_that_code_and_message_and_stores_nothing() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    for kind in ErrorKind::ALL {
        fake.script("validate", [Script::Fail(kind, "a GPU is not to be had")]);
        let status = refused(&mut gateway, named("one")).await;
        assert_eq!((status.code() as i32, status.message()), (kind.code(), "a GPU is not to be had"));
    }
    assert!(gateway.list(proto::ListSandboxesRequest::default()).await.is_empty());
    assert!(fake.made(&["create", "ensure_workspace"]).is_empty(), "nobody was asked to make it");
}

#[tokio::test]
async fn stop_and_start_are_allowed_from_their_phases_alone() {
    use SandboxPhase::{Deleting, Error, Provisioning, Ready, Starting, Stopped, Stopping, Unknown};
    for phase in [Ready, Error, Unknown, Stopping, Stopped, Starting, Provisioning, Deleting] {
        for stop in [true, false] {
            let fake = Fake::new();
            let mut gateway = gateway(&fake).await;
            let (name, _) = in_phase(&mut gateway, &fake, phase).await;
            let allowed: &[SandboxPhase] =
                if stop { &[Ready, Stopping, Stopped] } else { &[Stopped, Starting, Ready, Error] };
            let (answer, goal) = if stop {
                (gateway.stop_sandbox(&name).await, Stopped)
            } else {
                (gateway.start_sandbox(&name).await, Ready)
            };
            if allowed.contains(&phase) {
                answer.unwrap_or_else(|status| panic!("{phase:?} stop={stop}: {status:?}"));
                gateway.until(&name, goal).await;
                continue;
            }
            let word = name.to_uppercase();
            let can = if stop { "stopped in READY" } else { "started in STOPPED or ERROR" };
            let status = answer.expect_err("refused");
            assert_eq!(status.code(), Code::FailedPrecondition, "{phase:?} stop={stop}");
            let expected = format!("sandbox `{name}` is in phase {word}; it can be {can}");
            assert_eq!(status.message(), expected);
            assert_eq!(phase_of(&gateway.get(&name).await.unwrap()), phase, "and it is as it was");
        }
    }
}

#[tokio::test]
async fn stop_and_start_of_what_is_there_already_ask_nobody() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    let id = gateway.ready("one").await;
    assert_eq!(phase_of(&gateway.start_sandbox("one").await.unwrap()), SandboxPhase::Ready);
    gateway.stop_sandbox("one").await.unwrap();
    gateway.until("one", SandboxPhase::Stopped).await;
    assert_eq!(phase_of(&gateway.stop_sandbox("one").await.unwrap()), SandboxPhase::Stopped);
    assert_eq!((fake.calls("start", &id), fake.calls("stop", &id)), (0, 1));
}

#[tokio::test]
async fn error_says_why_and_start_retries_and_delete_works() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    fake.script("create", [Script::Fail(ErrorKind::FailedPrecondition, "no such image `x`")]);
    gateway.create("one").await;
    let failed = gateway.until("one", SandboxPhase::Error).await;
    assert_eq!(ready_of(&failed), ("ProvisioningFailed".to_owned(), "no such image `x`".to_owned()));
    gateway.start_sandbox("one").await.unwrap();
    let started = gateway.until("one", SandboxPhase::Ready).await;
    fake.report(&id_of(&started), vec![conditions::not_ready("OOMKilled", "too much")]);
    let failed = gateway.until("one", SandboxPhase::Error).await;
    assert_eq!(ready_of(&failed), ("OOMKilled".to_owned(), "too much".to_owned()));
    assert!(gateway.delete("one").await.unwrap());
    gateway.until_gone("one").await;
}

#[tokio::test]
async fn delete_is_idempotent_and_unknown_names_are_not_found() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    assert_eq!(gateway.delete("one").await.unwrap_err().code(), Code::NotFound);
    let (name, id) = in_phase(&mut gateway, &fake, SandboxPhase::Deleting).await;
    for _ in 0..3 {
        assert!(gateway.delete(&name).await.unwrap(), "while it is going");
    }
    assert!(fake.has(&id));
}

#[tokio::test]
async fn delete_works_in_every_phase() {
    use SandboxPhase::{Error, Provisioning, Ready, Starting, Stopped, Stopping, Unknown};
    for phase in [Ready, Error, Unknown, Stopping, Stopped, Starting, Provisioning] {
        let fake = Fake::new();
        let mut gateway = gateway(&fake).await;
        let (name, id) = in_phase(&mut gateway, &fake, phase).await;
        assert!(gateway.delete(&name).await.unwrap(), "{phase:?}");
        gateway.until_gone(&name).await;
        assert!(!fake.has(&id), "{phase:?}");
        assert_eq!(gateway.delete(&name).await.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test]
async fn watch_begins_with_the_state_and_ends_when_it_is_gone_or_terminal() {
    use SandboxPhase::{Error, Ready, Stopped};
    for phase in [Ready, Stopped, Error] {
        let fake = Fake::new();
        let mut gateway = gateway(&fake).await;
        let (name, id) = in_phase(&mut gateway, &fake, phase).await;
        let terminal =
            proto::WatchSandboxRequest { id: id.clone(), stop_on_terminal: true, ..Default::default() };
        let mut events = gateway.watch(terminal).await;
        let first = events.message().await.unwrap().unwrap().payload;
        assert!(matches!(first, Some(Payload::Sandbox(sandbox)) if phase_of(&sandbox) == phase));
        assert!(events.message().await.unwrap().is_none(), "{phase:?} is terminal");
        let mut events = gateway.watch(proto::WatchSandboxRequest { id, ..Default::default() }).await;
        assert!(events.message().await.unwrap().is_some());
        gateway.delete(&name).await.unwrap();
        while events.message().await.unwrap().is_some() {}
    }
}

#[tokio::test]
async fn watch_of_a_slow_reader_is_cut_with_resource_exhausted() {
    let fake = Fake::new();
    let mut settings = settings();
    settings.watch_buffer = 4;
    let mut gateway = gateway_with(&fake, settings).await;
    let id = gateway.ready("one").await;
    let request = proto::WatchSandboxRequest { id: id.clone(), follow_events: true, ..Default::default() };
    let mut events = gateway.watch(request).await;
    events.message().await.unwrap().unwrap();
    for number in 0..2000_u32 {
        let event =
            PlatformEvent { reason: number.to_string(), message: "m".repeat(4000), ..Default::default() };
        fake.send(WatchEvent::Platform { id: SandboxId::new(id.as_str()).unwrap(), event });
    }
    // The gateway is through with them when a later event has had its effect.
    fake.report(&id, conditions::stopped("after them"));
    gateway.until("one", SandboxPhase::Stopped).await;
    for expected in 0.. {
        match events.message().await {
            Ok(Some(event)) => {
                let Some(Payload::Event(event)) = event.payload else { panic!("{event:?}") };
                assert_eq!(event.reason, expected.to_string(), "a gap");
            }
            Ok(None) => panic!("a clean end after {expected}"),
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted);
                assert!(expected < 2000);
                break;
            }
        }
    }
}

#[tokio::test]
async fn codes_of_the_driver_reach_the_client_as_they_are() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    gateway.ready("one").await;
    gateway.ready("two").await;
    gateway.stop_sandbox("two").await.unwrap();
    gateway.until("two", SandboxPhase::Stopped).await;
    for kind in [
        ErrorKind::InvalidArgument,
        ErrorKind::FailedPrecondition,
        ErrorKind::ResourceExhausted,
        ErrorKind::Unavailable,
        ErrorKind::Unimplemented,
    ] {
        fake.script("stop", [Script::Fail(kind, "the driver's words")]);
        fake.script("start", [Script::Fail(kind, "the driver's words")]);
        for status in
            [gateway.stop_sandbox("one").await.unwrap_err(), gateway.start_sandbox("two").await.unwrap_err()]
        {
            assert_eq!((status.code() as i32, status.message()), (kind.code(), "the driver's words"));
        }
    }
    assert_eq!(phase_of(&gateway.get("one").await.unwrap()), SandboxPhase::Ready);
    assert_eq!(phase_of(&gateway.get("two").await.unwrap()), SandboxPhase::Stopped);
}

/// A deadline is `DEADLINE_EXCEEDED`, and the sandbox is in a phase from which everything goes on.
#[tokio::test]
async fn codes_of_a_deadline() {
    let fake = Fake::new();
    let mut gateway = gateway_with(&fake, hasty()).await;
    fake.script("validate", [Script::Hang]);
    assert_eq!(refused(&mut gateway, named("one")).await.code(), Code::DeadlineExceeded);
    let id = gateway.ready("one").await;
    fake.script("stop", [Script::Hang, Script::WorkAndHang]);
    assert_eq!(gateway.stop_sandbox("one").await.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(phase_of(&gateway.get("one").await.unwrap()), SandboxPhase::Ready, "as it was");
    assert_eq!(gateway.stop_sandbox("one").await.unwrap_err().code(), Code::DeadlineExceeded);
    gateway.until("one", SandboxPhase::Stopped).await;
    fake.script("start", [Script::Hang]);
    assert_eq!(gateway.start_sandbox("one").await.unwrap_err().code(), Code::DeadlineExceeded);
    gateway.until("one", SandboxPhase::Stopped).await;
    gateway.start_sandbox("one").await.unwrap();
    gateway.until("one", SandboxPhase::Ready).await;
    fake.script("create", [Script::Hang, Script::WorkAndHang]);
    let other = gateway.ready("two").await;
    assert!(fake.calls("create", &other) >= 2, "nobody waits for a create, which is asked again");
    fake.script("delete", [Script::Hang]);
    assert_eq!(gateway.delete("one").await.unwrap_err().code(), Code::DeadlineExceeded);
    gateway.until_gone("one").await;
    assert!(!fake.has(&id));
}
