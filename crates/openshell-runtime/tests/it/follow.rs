//! The driver's watch and the clients' watches.

use std::time::Duration;

use openshell_driver_api::{ErrorKind, PlatformEvent, SandboxId, WatchEvent, conditions};
use openshell_proto::openshell::v1::sandbox_stream_event::Payload;
use openshell_proto::openshell::v1::{self as proto, SandboxPhase, ServiceStatus};
use tonic::{Code, Status, Streaming};

use crate::client::{eventually, gateway, gateway_in, gateway_with, id_of, phase_of, ready_of, settings};
use crate::fake::{Fake, Script};

fn watch(id: &str) -> proto::WatchSandboxRequest {
    proto::WatchSandboxRequest { id: id.to_owned(), follow_status: true, ..Default::default() }
}

async fn next(events: &mut Streaming<proto::SandboxStreamEvent>) -> Result<Option<Payload>, Status> {
    let message = tokio::time::timeout(Duration::from_secs(60), events.message()).await.expect("in time")?;
    Ok(message.map(|event| event.payload.expect("a payload")))
}

async fn next_phase(events: &mut Streaming<proto::SandboxStreamEvent>) -> SandboxPhase {
    match next(events).await {
        Ok(Some(Payload::Sandbox(sandbox))) => phase_of(&sandbox),
        other => panic!("no state: {other:?}"),
    }
}

fn platform(id: &str, reason: &str) -> WatchEvent {
    let event =
        PlatformEvent { reason: reason.to_owned(), message: "m".repeat(2000), ..PlatformEvent::default() };
    WatchEvent::Platform { id: SandboxId::new(id).expect("an id"), event }
}

#[tokio::test]
async fn the_first_event_is_the_present_state_and_the_last_the_end() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    let id = gateway.ready("one").await;
    let mut events = gateway.watch(watch(&id)).await;
    assert_eq!(next_phase(&mut events).await, SandboxPhase::Ready);
    gateway.stop_sandbox("one").await.unwrap();
    // That the create is answered is a change of its own, and may be stored after the backend's report.
    let mut phase = next_phase(&mut events).await;
    while phase == SandboxPhase::Ready {
        phase = next_phase(&mut events).await;
    }
    assert_eq!(phase, SandboxPhase::Stopping);
    while next_phase(&mut events).await != SandboxPhase::Stopped {}
    gateway.delete("one").await.unwrap();
    loop {
        match next(&mut events).await.unwrap() {
            Some(Payload::Sandbox(sandbox)) => {
                assert!(
                    matches!(phase_of(&sandbox), SandboxPhase::Stopped | SandboxPhase::Deleting),
                    "{sandbox:?}"
                );
            }
            Some(other) => panic!("{other:?}"),
            None => break,
        }
    }
}

#[tokio::test]
async fn a_watch_that_stops_on_a_terminal_phase() {
    let fake = Fake::new();
    fake.slow();
    let mut gateway = gateway(&fake).await;
    let id = id_of(&gateway.create("one").await);
    let request = proto::WatchSandboxRequest { stop_on_terminal: true, ..watch(&id) };
    let mut events = gateway.watch(request.clone()).await;
    assert_eq!(next_phase(&mut events).await, SandboxPhase::Provisioning);
    eventually("made", || fake.has(&id)).await;
    fake.report(&id, vec![conditions::not_ready("ImagePullFailed", "no such image")]);
    while next_phase(&mut events).await != SandboxPhase::Error {}
    assert_eq!(next(&mut events).await.unwrap(), None);
    let mut events = gateway.watch(request).await;
    assert_eq!(next_phase(&mut events).await, SandboxPhase::Error);
    assert_eq!(next(&mut events).await.unwrap(), None);
}

#[tokio::test]
async fn platform_events_go_to_those_who_follow_them() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    let id = gateway.ready("one").await;
    for reason in ["First", "Second", "Third"] {
        fake.send(platform(&id, reason));
    }
    fake.send(platform("nobody", "Unheard"));
    let mut live = gateway.watch(proto::WatchSandboxRequest { follow_events: true, ..watch(&id) }).await;
    assert_eq!(next_phase(&mut live).await, SandboxPhase::Ready);
    fake.send(platform(&id, "Fourth"));
    loop {
        let Some(Payload::Event(event)) = next(&mut live).await.unwrap() else { panic!("no event") };
        if event.reason == "Fourth" {
            break;
        }
    }
    let mut tail =
        gateway.watch(proto::WatchSandboxRequest { follow_events: true, event_tail: 2, ..watch(&id) }).await;
    assert_eq!(next_phase(&mut tail).await, SandboxPhase::Ready);
    for reason in ["Third", "Fourth"] {
        let Some(Payload::Event(event)) = next(&mut tail).await.unwrap() else { panic!("no event") };
        assert_eq!(event.reason, reason);
    }
    // Past events are for whoever asks for them, also without those to come.
    let mut past = gateway
        .watch(proto::WatchSandboxRequest { stop_on_terminal: true, event_tail: 1, ..watch(&id) })
        .await;
    assert_eq!(next_phase(&mut past).await, SandboxPhase::Ready);
    let Some(Payload::Event(event)) = next(&mut past).await.unwrap() else { panic!("no event") };
    assert_eq!(event.reason, "Fourth");
    assert_eq!(next(&mut past).await.unwrap(), None);
    let mut logs = gateway.watch(proto::WatchSandboxRequest { follow_logs: true, ..watch(&id) }).await;
    assert_eq!(next_phase(&mut logs).await, SandboxPhase::Ready);
    assert!(matches!(next(&mut logs).await.unwrap(), Some(Payload::Warning(_))), "no logs, and it says so");
}

#[tokio::test]
async fn a_slow_reader_is_cut_and_never_fed_a_gap() {
    let fake = Fake::new();
    let mut settings = settings();
    settings.watch_buffer = 8;
    let mut gateway = gateway_with(&fake, settings).await;
    let id = gateway.ready("one").await;
    let mut slow = gateway.watch(proto::WatchSandboxRequest { follow_events: true, ..watch(&id) }).await;
    assert_eq!(next_phase(&mut slow).await, SandboxPhase::Ready);
    for number in 0..4000 {
        fake.send(platform(&id, &number.to_string()));
    }
    // Everybody else goes on.
    gateway.ready("two").await;
    gateway.stop_sandbox("one").await.unwrap();
    gateway.until("one", SandboxPhase::Stopped).await;
    let mut expected = 0;
    let end = loop {
        match next(&mut slow).await {
            Ok(Some(Payload::Event(event))) => {
                assert_eq!(event.reason, expected.to_string(), "a gap");
                expected += 1;
            }
            Ok(Some(_)) => {}
            Ok(None) => panic!("a clean end after {expected}"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::ResourceExhausted);
    assert!(expected < 4000);
}

#[tokio::test]
async fn any_end_of_the_driver_s_watch_brings_it_back_for_the_whole_state() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    for kind in [
        Some(ErrorKind::Aborted),
        Some(ErrorKind::DataLoss),
        Some(ErrorKind::ResourceExhausted),
        Some(ErrorKind::Unavailable),
        None,
    ] {
        let name =
            format!("s-{}", kind.map_or("clean".to_owned(), |kind| format!("{kind:?}").to_lowercase()));
        let lost = gateway.ready(&format!("{name}-lost")).await;
        let id = gateway.ready(&name).await;
        fake.script("list", [Script::Fail(ErrorKind::Unavailable, "not yet"), Script::Panic]);
        fake.script("watch", [Script::Fail(ErrorKind::Unavailable, "not yet")]);
        fake.cut(kind);
        fake.report_unseen(&id, conditions::stopped("unseen"));
        fake.lose(&lost, false);
        gateway.until(&name, SandboxPhase::Stopped).await;
        let gone = gateway.until(&format!("{name}-lost"), SandboxPhase::Error).await;
        assert_eq!(ready_of(&gone).0, "BackendGone");
        while gateway.health().await != ServiceStatus::Healthy {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn what_a_driver_lost_with_itself_is_started_again_and_nothing_else() {
    let fake = Fake::new();
    fake.managed();
    let mut gateway = gateway(&fake).await;
    let (ran, exited, rests, idle) = (
        gateway.ready("ran").await,
        gateway.ready("exited").await,
        gateway.ready("rests").await,
        gateway.ready("idle").await,
    );
    gateway.stop_sandbox("rests").await.unwrap();
    gateway.until("rests", SandboxPhase::Stopped).await;
    fake.report(&idle, conditions::stopped("by hand"));
    gateway.until("idle", SandboxPhase::Stopped).await;
    // Its program ends; the one that comes after it has the records, and none of the machines.
    fake.script("capabilities", [Script::Fail(ErrorKind::Unavailable, "not yet")]);
    fake.cut(Some(ErrorKind::Unavailable));
    fake.report_unseen(&ran, conditions::stopped("its machine is gone"));
    fake.report_unseen(&exited, vec![conditions::not_ready("ContainerExited", "137")]);
    eventually("started again", || fake.calls("start", &ran) == 1).await;
    gateway.until("ran", SandboxPhase::Ready).await;
    gateway.until("exited", SandboxPhase::Error).await;
    for name in ["rests", "idle"] {
        assert_eq!(phase_of(&gateway.get(name).await.unwrap()), SandboxPhase::Stopped, "{name}");
    }
    assert_eq!([&exited, &rests, &idle].map(|id| fake.calls("start", id)), [0, 0, 0]);
}

#[tokio::test]
async fn what_the_backend_does_by_itself_is_seen() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    let id = gateway.ready("one").await;
    fake.report(&id, conditions::stopped("by hand"));
    gateway.until("one", SandboxPhase::Stopped).await;
    fake.report(&id, vec![conditions::ready()]);
    gateway.until("one", SandboxPhase::Ready).await;
    fake.lose(&id, true);
    let gone = gateway.until("one", SandboxPhase::Error).await;
    assert_eq!(ready_of(&gone).0, "BackendGone");
}

#[tokio::test]
async fn a_word_that_it_is_gone_is_not_believed_of_what_is_there() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    let id = gateway.ready("one").await;
    fake.send(WatchEvent::Deleted(SandboxId::new(id.as_str()).unwrap()));
    eventually("asked", || fake.calls("get", &id) > 0).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(phase_of(&gateway.get("one").await.unwrap()), SandboxPhase::Ready);
}

#[tokio::test]
async fn a_question_that_is_not_answered_holds_up_neither_a_delete_nor_the_end() {
    let (fake, mut settings) = (Fake::new(), settings());
    settings.deadlines.get = Duration::from_secs(3600);
    settings.deadlines.listeners = settings.deadlines.get;
    fake.script("listener_requirements", [Script::Hang]);
    let mut gateway = gateway_with(&fake, settings).await;
    fake.script("get", [Script::Hang, Script::Hang]);
    for name in ["one", "two"] {
        let id = gateway.ready(name).await;
        fake.send(WatchEvent::Deleted(SandboxId::new(id.as_str()).unwrap()));
        eventually("asked", || fake.calls("get", &id) > 0).await;
    }
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, gateway.delete("one")).await.expect("in time").expect("deleted");
    gateway.until_gone("one").await;
    let end = gateway.runtime.shutdown(10 * patience);
    tokio::time::timeout(patience, end).await.expect("nobody waits for what only tells");
}

#[tokio::test]
async fn many_events_at_once_are_few_transactions_and_keep_their_order() {
    const EVENTS: usize = 500;
    let fake = Fake::new();
    let mut settings = settings();
    settings.watch_buffer = 2 * EVENTS;
    let mut gateway = gateway_with(&fake, settings).await;
    let id = gateway.ready("one").await;
    let request = proto::WatchSandboxRequest { follow_events: true, ..watch(&id) };
    let mut events = gateway.watch(request).await;
    next_phase(&mut events).await;
    let before = gateway.runtime.stats().store_writes.count;
    for number in 0..EVENTS / 2 {
        fake.report(&id, vec![conditions::not_ready("Starting", number.to_string())]);
        let event = PlatformEvent { reason: number.to_string(), ..PlatformEvent::default() };
        fake.send(WatchEvent::Platform { id: SandboxId::new(id.as_str()).unwrap(), event });
    }
    let mut version = 0;
    for number in 0..EVENTS / 2 {
        let Ok(Some(Payload::Sandbox(mut sandbox))) = next(&mut events).await else { panic!("no state") };
        // That the create is answered is a change of its own, and may be stored after the first look.
        while number == 0 && phase_of(&sandbox) == SandboxPhase::Ready {
            let Ok(Some(Payload::Sandbox(later))) = next(&mut events).await else { panic!("no state") };
            sandbox = later;
        }
        assert_eq!(ready_of(&sandbox).1, number.to_string());
        let now = sandbox.metadata.unwrap().resource_version;
        assert!(now > version, "each is a change of its own");
        version = now;
        let Ok(Some(Payload::Event(event))) = next(&mut events).await else { panic!("no event") };
        assert_eq!(event.reason, number.to_string());
    }
    let writes = gateway.runtime.stats().store_writes.count - before;
    assert!(writes <= 20, "{EVENTS} events took {writes} transactions");
}

#[tokio::test]
async fn watches_end_when_the_gateway_does() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    let id = gateway.ready("one").await;
    let mut events = gateway.watch(watch(&id)).await;
    assert_eq!(next_phase(&mut events).await, SandboxPhase::Ready);
    gateway.runtime.shutdown(Duration::from_secs(1)).await;
    assert_eq!(next(&mut events).await.unwrap_err().code(), Code::Unavailable);
    let request = proto::CreateSandboxRequest::default();
    assert_eq!(gateway.client.create_sandbox(request).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_thousand() {
    const ROWS: usize = 1100;
    let (directory, fake) = (tempfile::tempdir().unwrap(), Fake::new());
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    let creates = (0..ROWS).map(|number| {
        let mut client = gateway.client.clone();
        async move {
            let request = proto::CreateSandboxRequest { name: format!("s{number}"), ..Default::default() };
            client.create_sandbox(request).await.expect("created");
        }
    });
    futures_util::future::join_all(creates).await;
    let mut seen = Vec::new();
    for (offset, expected) in [(0, 1000), (1000, ROWS - 1000), (ROWS, 0)] {
        let offset = u32::try_from(offset).unwrap();
        let page =
            gateway.list(proto::ListSandboxesRequest { limit: 5000, offset, ..Default::default() }).await;
        assert_eq!(page.len(), expected);
        seen.extend(page);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), ROWS, "each once");
    gateway.until("s0", SandboxPhase::Ready).await;
    let last = gateway.until(&format!("s{}", ROWS - 1), SandboxPhase::Ready).await;
    // All of them change unseen, more than one transaction's worth.
    gateway.stop().await;
    fake.report_unseen(&id_of(&last), conditions::stopped("unseen"));
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    gateway.until(&format!("s{}", ROWS - 1), SandboxPhase::Stopped).await;
}
