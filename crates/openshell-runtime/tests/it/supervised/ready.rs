//! When a sandbox with a supervisor is ready.

use std::time::{Duration, Instant};

use openshell_driver_api::conditions;
use openshell_proto::openshell::v1::gateway_message::Payload as Said;
use openshell_proto::openshell::v1::supervisor_message::Payload as Says;
use openshell_proto::openshell::v1::{self as proto, SandboxPhase};
use tonic::Code;

use super::exec::{ready, request};
use super::harness::{PATIENCE, Supervisor, a_gateway, a_gateway_in, client, supervised};
use crate::client::{eventually, gateway_in, gateway_with, id_of, phase_of, ready_of, settings};
use crate::fake::Fake;

/// Long enough to be seen.
const GRACE: Duration = Duration::from_millis(300);

fn status_of(sandbox: &proto::Sandbox) -> (String, Option<i32>) {
    let status = sandbox.status.as_ref().expect("a status");
    (status.main_process_instance_id.clone(), status.exit_code)
}

fn exit(id: &str, run: &str, exit_code: i32) -> proto::ReportMainProcessExitRequest {
    proto::ReportMainProcessExitRequest { sandbox_id: id.to_owned(), instance_id: run.to_owned(), exit_code }
}

#[tokio::test]
async fn backend_and_session_make_it_ready() {
    let fake = Fake::new();
    let mut gateway = a_gateway(&fake).await;
    let id = id_of(&gateway.create("one").await);
    eventually("it is made", || fake.has(&id)).await;
    let mut sandbox = gateway.get("one").await.unwrap();
    while ready_of(&sandbox).0 != "SupervisorNotConnected" {
        tokio::time::sleep(Duration::from_millis(5)).await;
        sandbox = gateway.get("one").await.unwrap();
    }
    assert_eq!(phase_of(&sandbox), SandboxPhase::Provisioning);
    let _supervisor = Supervisor::connect(&gateway, &id, "run-1").await;
    let sandbox = gateway.until("one", SandboxPhase::Ready).await;
    assert_eq!(status_of(&sandbox), ("run-1".to_owned(), None));
}

/// Plays a scene that has to be quicker than a time of the gateway's, with longer and longer times until this machine is.
/// The scene says whether it was; what it saw counts only then.
async fn in_time(scene: impl AsyncFn(Duration) -> bool) {
    for times in [1, 10, 100] {
        if scene(GRACE * times).await {
            return;
        }
    }
    panic!("this machine is never in time");
}

#[tokio::test]
async fn a_session_that_is_lost_has_some_grace() {
    in_time(async |grace| {
        let fake = Fake::new();
        let mut gateway = gateway_with(&fake, supervised(&Default::default(), grace)).await;
        let (id, supervisor) = ready(&mut gateway, "one").await;
        let lost = Instant::now();
        drop(supervisor);
        eventually("it is gone", || gateway.runtime.stats().supervisors.unwrap().sessions == 0).await;
        let meanwhile = phase_of(&gateway.get("one").await.unwrap());
        let supervisor = Supervisor::connect(&gateway, &id, "run-1").await;
        if lost.elapsed() >= grace {
            return false;
        }
        assert_eq!(meanwhile, SandboxPhase::Ready);
        tokio::time::sleep(grace * 2).await;
        assert_eq!(phase_of(&gateway.get("one").await.unwrap()), SandboxPhase::Ready, "it came back in time");
        drop(supervisor);
        let sandbox = gateway.until("one", SandboxPhase::Provisioning).await;
        assert_eq!(ready_of(&sandbox).0, "SupervisorNotConnected");
        let _supervisor = Supervisor::connect(&gateway, &id, "run-1").await;
        gateway.until("one", SandboxPhase::Ready).await;
        true
    })
    .await;
}

#[tokio::test]
async fn a_restart_of_the_gateway_has_some_grace_too_and_forgets_nothing() {
    in_time(async |grace| {
        let (directory, fake) = (tempfile::tempdir().unwrap(), Fake::new());
        let mut gateway = a_gateway_in(directory.path(), &fake, grace).await;
        let (back, mut supervisor) = ready(&mut gateway, "back").await;
        let (_, _other) = ready(&mut gateway, "away").await;
        supervisor.rpc.report_main_process_exit(exit(&back, "run-1", 42)).await.unwrap();
        gateway.stop().await;
        let started = Instant::now();
        let mut gateway = a_gateway_in(directory.path(), &fake, grace).await;
        let (first, second) = (gateway.get("back").await.unwrap(), gateway.get("away").await.unwrap());
        let _supervisor = Supervisor::connect(&gateway, &back, "run-1").await;
        if started.elapsed() >= grace {
            return false;
        }
        assert_eq!((phase_of(&first), phase_of(&second)), (SandboxPhase::Ready, SandboxPhase::Ready));
        assert_eq!(status_of(&first), ("run-1".to_owned(), Some(42)));
        gateway.until("away", SandboxPhase::Provisioning).await;
        assert_eq!(phase_of(&gateway.get("back").await.unwrap()), SandboxPhase::Ready);
        gateway.stop().await;
        // Without supervision it is as it was before there was any.
        let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
        gateway.until("away", SandboxPhase::Ready).await;
        true
    })
    .await;
}

#[tokio::test]
async fn a_newer_session_replaces_the_older() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut older) = ready(&mut gateway, "one").await;
    let mut newer = Supervisor::connect(&gateway, &id, "run-1").await;
    let status = older.hear().await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted, "{status:?}");
    // What the older says is nobody's word any more, and its end is not the newer's.
    drop(older);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(gateway.runtime.stats().supervisors.unwrap().sessions, 1);
    let exec = request(&id, &["a"]);
    let mut client = client(&gateway).await;
    tokio::select! {
        open = newer.asked() => assert_eq!(open.service_id, "openshell.process.v1alpha1"),
        other = client.exec_sandbox(exec) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_run_of_the_main_process_ends_what_ran_with_the_one_before() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut older) = ready(&mut gateway, "one").await;
    older.rpc.report_main_process_exit(exit(&id, "run-1", 9)).await.unwrap();
    assert_eq!(status_of(&gateway.get("one").await.unwrap()), ("run-1".to_owned(), Some(9)));
    let mut client = client(&gateway).await;
    let (events, _relay) = tokio::join!(client.exec_sandbox(request(&id, &["a"])), older.open());
    let _newer = Supervisor::connect(&gateway, &id, "run-2").await;
    let status = events.unwrap().into_inner().message().await.unwrap_err();
    assert!(status.message().contains("started anew"), "{status:?}");
    eventually_status(&mut gateway, ("run-2", None)).await;
    // The end of the run before is old news.
    older.rpc.report_main_process_exit(exit(&id, "run-1", 1)).await.unwrap();
    assert_eq!(status_of(&gateway.get("one").await.unwrap()), ("run-2".to_owned(), None));
}

async fn eventually_status(gateway: &mut crate::client::Gateway, expected: (&str, Option<i32>)) {
    let wait = async {
        while status_of(&gateway.get("one").await.expect("as prepared"))
            != (expected.0.to_owned(), expected.1)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it is stored");
}

#[tokio::test]
async fn a_start_waits_for_a_session_of_its_own() {
    let fake = Fake::new();
    let mut gateway = a_gateway(&fake).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    gateway.stop_sandbox("one").await.unwrap();
    gateway.until("one", SandboxPhase::Stopped).await;
    // Its supervisor is still there, as if nobody had told it.
    gateway.start_sandbox("one").await.unwrap();
    assert_eq!(supervisor.hear().await.unwrap_err().code(), Code::Aborted);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(phase_of(&gateway.get("one").await.unwrap()), SandboxPhase::Starting);
    let _supervisor = Supervisor::connect(&gateway, &id, "run-2").await;
    gateway.until("one", SandboxPhase::Ready).await;
    fake.report(&id, vec![conditions::not_ready("OOMKilled", "too much")]);
    gateway.until("one", SandboxPhase::Error).await;
}

#[tokio::test]
async fn what_a_stop_breaks_says_so() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let mut client = client(&gateway).await;
    let (response, mut relay) = tokio::join!(client.exec_sandbox(request(&id, &["a"])), supervisor.open());
    relay.command().await;
    let stop = proto::StopSandboxRequest { name: "one".to_owned(), ..Default::default() };
    gateway.client.stop_sandbox(stop).await.unwrap();
    drop(relay);
    let status = response.unwrap().into_inner().message().await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    assert!(status.message().contains("sandbox `one` is in phase STOP"), "{status:?}");
}

#[tokio::test]
async fn silence_is_the_end_of_a_session_and_of_what_ran_through_it() {
    in_time(async |heartbeat| {
        let mut settings = supervised(&Default::default(), GRACE);
        if let Some(supervision) = &mut settings.supervision {
            supervision.heartbeat = heartbeat;
        }
        let mut gateway = gateway_with(&Fake::new(), settings).await;
        let id = id_of(&gateway.create("one").await);
        let mut said = Instant::now();
        let (mut supervisor, accepted) = Supervisor::greet(&gateway, &id, &id, "run-1").await;
        assert!(matches!(accepted, Some(Said::SessionAccepted(_))));
        // Longer than silence is borne; a machine that cannot keep the beat has not shown anything.
        let (mut beats, mut phase) = (0, SandboxPhase::Provisioning);
        while beats < 8 || phase != SandboxPhase::Ready {
            phase = phase_of(&gateway.get("one").await.unwrap());
            if said.elapsed() > heartbeat * 2 {
                return false;
            }
            supervisor.say(Says::Heartbeat(proto::SupervisorHeartbeat {})).await;
            said = Instant::now();
            tokio::time::sleep(heartbeat / 2).await;
            beats += 1;
            assert!(beats < 200, "it does not become ready: {phase:?}");
        }
        let mut client = client(&gateway).await;
        let (events, _relay) = tokio::join!(client.exec_sandbox(request(&id, &["a"])), supervisor.open());
        if said.elapsed() > heartbeat * 2 {
            return false;
        }
        let status = events.unwrap().into_inner().message().await.unwrap_err();
        assert!(status.message().contains("no sign of life"), "{status:?}");
        assert_eq!(supervisor.hear().await.unwrap_err().code(), Code::DeadlineExceeded);
        gateway.until("one", SandboxPhase::Provisioning).await;
        true
    })
    .await;
}
