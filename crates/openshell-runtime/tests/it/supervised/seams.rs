//! What the runtime is lent: tokens, doors, and the word on whose supervisor asks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use openshell_proto::openshell::v1::gateway_message::Payload as Said;
use openshell_proto::openshell::v1::open_shell_client::OpenShellClient;
use openshell_proto::openshell::v1::{self as proto, SandboxPhase};
use tonic::Code;

use super::exec::ready;
use super::harness::{Lent, PATIENCE, Supervisor, a_gateway, dial, supervised};
use crate::client::{db_path, eventually, gateway_in, gateway_with, id_of};
use crate::fake::Fake;

#[tokio::test]
async fn the_boot_token_goes_to_the_driver_and_nowhere_else() {
    let (directory, fake) = (tempfile::tempdir().unwrap(), Fake::new());
    let settings = supervised(&Arc::default(), PATIENCE);
    let mut gateway = gateway_in(directory.path(), &fake, settings).await;
    let id = id_of(&gateway.create("one").await);
    eventually("it is made", || fake.has(&id)).await;
    assert_eq!(fake.request(&id).unwrap().spec.token.expose(), format!("s3cret-Boot-{id}"));
    let shown = format!("{:?}", gateway.get("one").await.unwrap());
    assert!(!shown.contains("s3cret"), "{shown}");
    gateway.stop().await;
    for entry in std::fs::read_dir(db_path(directory.path()).parent().unwrap()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"s3cret"), "a token is stored");
    }
}

#[tokio::test]
async fn doors_are_open_before_the_driver_is_asked_and_closed_when_the_row_has_gone() {
    let (directory, fake, lent) = (tempfile::tempdir().unwrap(), Fake::new(), Arc::new(Lent::default()));
    let mut gateway = gateway_in(directory.path(), &fake, supervised(&lent, PATIENCE)).await;
    lent.stuck.store(true, Ordering::SeqCst);
    let id = id_of(&gateway.create("one").await);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(fake.calls("create", &id), 0, "the driver is not asked");
    lent.stuck.store(false, Ordering::SeqCst);
    eventually("it is made", || fake.has(&id)).await;
    assert_eq!(*lent.doors.lock().unwrap(), [format!("open {id}")]);
    gateway.crash().await;
    let mut gateway = gateway_in(directory.path(), &fake, supervised(&lent, PATIENCE)).await;
    assert_eq!(*lent.doors.lock().unwrap(), vec![format!("open {id}"); 2], "at the start, too");
    let mut supervisor = Supervisor::connect(&gateway, &id, "run-1").await;
    gateway.until("one", SandboxPhase::Ready).await;
    gateway.delete("one").await.unwrap();
    gateway.until_gone("one").await;
    eventually("it is closed", || lent.doors.lock().unwrap().last() == Some(&format!("close {id}"))).await;
    assert_eq!(supervisor.hear().await.unwrap_err().message(), "the sandbox is gone");
}

#[tokio::test]
async fn without_proof_the_supervisors_methods_are_nobody_s() {
    let gateway = a_gateway(&Fake::new()).await;
    let mut rpc = OpenShellClient::new(dial(&gateway, None).await);
    let refused = [
        rpc.connect_supervisor(tokio_stream::empty()).await.map(|_| ()),
        rpc.relay_stream(tokio_stream::empty()).await.map(|_| ()),
        rpc.push_sandbox_logs(tokio_stream::empty()).await.map(|_| ()),
        rpc.report_main_process_exit(proto::ReportMainProcessExitRequest::default()).await.map(|_| ()),
        rpc.refresh_sandbox_token(proto::RefreshSandboxTokenRequest::default()).await.map(|_| ()),
    ];
    for refused in refused {
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    }
}

#[tokio::test]
async fn a_supervisor_speaks_for_its_own_sandbox_which_there_is() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (one, _one) = ready(&mut gateway, "one").await;
    let (two, mut supervisor) = ready(&mut gateway, "two").await;
    for (of, hello, run, says) in [
        (two.as_str(), one.as_str(), "run-1", "another sandbox"),
        ("nobody", "nobody", "run-1", "no such sandbox"),
        (two.as_str(), two.as_str(), "", "`instance_id`"),
    ] {
        let (_, answer) = Supervisor::greet(&gateway, of, hello, run).await;
        match answer {
            Some(Said::SessionRejected(rejected)) => assert!(rejected.reason.contains(says), "{rejected:?}"),
            other => panic!("{says}: {other:?}"),
        }
    }
    assert_eq!(gateway.runtime.stats().supervisors.unwrap().sessions, 2, "nobody was pushed out");
    let report = proto::ReportMainProcessExitRequest {
        sandbox_id: one.clone(),
        instance_id: "run-1".to_owned(),
        exit_code: 1,
    };
    let status = supervisor.rpc.report_main_process_exit(report).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let refresh = proto::RefreshSandboxTokenRequest::default();
    let token = supervisor.rpc.refresh_sandbox_token(refresh).await.unwrap().into_inner();
    assert_eq!((token.token, token.expires_at_ms), (format!("s3cret-Session-{two}"), 77));
    let mut stranger = OpenShellClient::new(dial(&gateway, Some("nobody")).await);
    let status =
        stranger.refresh_sandbox_token(proto::RefreshSandboxTokenRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

/// A sandbox from before there was supervision, whose supervisor turns up all the same.
#[tokio::test]
async fn whoever_connects_proves_that_there_is_a_supervisor() {
    let (directory, fake) = (tempfile::tempdir().unwrap(), Fake::new());
    let settings = || supervised(&Arc::default(), PATIENCE);
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    let (id, _supervisor) = ready(&mut gateway, "one").await;
    gateway.stop().await;
    let mut gateway = gateway_in(directory.path(), &fake, crate::client::settings()).await;
    gateway.until("one", SandboxPhase::Ready).await;
    gateway.stop().await;
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    let request = super::exec::request(&id, &["a"]);
    let status = gateway.client.exec_sandbox(request.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    let mut supervisor = Supervisor::connect(&gateway, &id, "run-1").await;
    let mut client = super::harness::client(&gateway).await;
    let stored = async {
        while client.exec_sandbox(request.clone()).await.is_err_and(|s| s.code() == Code::FailedPrecondition)
        {
        }
    };
    tokio::select! {
        _ = supervisor.asked() => {}
        () = stored => panic!("no channel is asked for"),
    }
}

#[tokio::test]
async fn a_door_that_stays_shut_is_an_error_in_words() {
    let (fake, lent) = (Fake::new(), Arc::new(Lent::default()));
    lent.stuck.store(true, Ordering::SeqCst);
    let mut settings = supervised(&lent, PATIENCE);
    settings.provisioning_timeout = std::time::Duration::from_secs(2);
    let mut gateway = gateway_with(&fake, settings).await;
    gateway.create("one").await;
    let sandbox = gateway.until("one", SandboxPhase::Error).await;
    let said = crate::client::ready_of(&sandbox).1;
    assert!(said.contains("the door is stuck"), "{said}");
}
