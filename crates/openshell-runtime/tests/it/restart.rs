//! A gateway that goes away between any two steps takes up what it owed.

use std::sync::Arc;

use openshell_driver_api::ErrorKind;
use openshell_driver_api::conditions;
use openshell_proto::openshell::v1::{self as proto, SandboxPhase};
use openshell_runtime::{Runtime, RuntimeError, Store};
use tonic::Code;

use crate::client::{db_path, eventually, gateway_in, id_of, phase_of, ready_of, settings};
use crate::fake::{Fake, Script};

#[tokio::test]
async fn between_the_row_and_the_create() {
    let (directory, fake) = (tempfile::tempdir().unwrap(), Fake::new());
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    fake.script("create", [Script::Hang]);
    let id = id_of(&gateway.create("one").await);
    eventually("asked", || fake.calls("create", &id) == 1).await;
    gateway.crash().await;
    assert!(!fake.has(&id));
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    let sandbox = gateway.until("one", SandboxPhase::Ready).await;
    assert_eq!(id_of(&sandbox), id);
    assert_eq!(fake.calls("create", &id), 2);
}

#[tokio::test]
async fn between_the_create_and_its_answer() {
    let (directory, fake) = (tempfile::tempdir().unwrap(), Fake::new());
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    fake.slow();
    fake.script("create", [Script::WorkAndHang]);
    let id = id_of(&gateway.create("one").await);
    eventually("made", || fake.has(&id)).await;
    gateway.crash().await;
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    gateway.until("one", SandboxPhase::Ready).await;
    assert_eq!(fake.calls("start", &id), 1, "what was made and not started is started");
}

#[tokio::test]
async fn between_a_request_and_its_answer() {
    let (directory, fake) = (tempfile::tempdir().unwrap(), Fake::new());
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    let (first, second, third) =
        (gateway.ready("a").await, gateway.ready("b").await, gateway.ready("c").await);
    gateway.stop_sandbox("b").await.unwrap();
    gateway.until("b", SandboxPhase::Stopped).await;
    fake.script("stop", [Script::Hang]);
    fake.script("start", [Script::Hang]);
    fake.script("delete", [Script::Hang]);
    let (mut one, mut two, mut three) =
        (gateway.client.clone(), gateway.client.clone(), gateway.client.clone());
    let name = |name: &str| name.to_owned();
    let (a, b, c) = (name("a"), name("b"), name("c"));
    let asked = tokio::spawn(async move {
        let _ended = tokio::join!(
            one.stop_sandbox(proto::StopSandboxRequest { name: a, ..Default::default() }),
            two.start_sandbox(proto::StartSandboxRequest { name: b, ..Default::default() }),
            three.delete_sandbox(proto::DeleteSandboxRequest { name: c, ..Default::default() }),
        );
    });
    eventually("all are under way", || {
        fake.calls("stop", &first) == 1
            && fake.calls("start", &second) == 1
            && fake.calls("delete", &third) == 1
    })
    .await;
    gateway.crash().await;
    asked.abort();
    // The first answers after the restart are failures that a retry mends.
    fake.script("stop", [Script::Fail(ErrorKind::Unavailable, "away")]);
    fake.script("start", [Script::Fail(ErrorKind::Unavailable, "away")]);
    fake.script("delete", [Script::Fail(ErrorKind::Unavailable, "away")]);
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    gateway.until("a", SandboxPhase::Stopped).await;
    gateway.until("b", SandboxPhase::Ready).await;
    gateway.until_gone("c").await;
    assert!(!fake.has(&third));
}

#[tokio::test]
async fn a_clean_up_is_owed_too() {
    let (directory, fake) = (tempfile::tempdir().unwrap(), Fake::new());
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    fake.script("create", [Script::WorkAndFail(ErrorKind::Internal)]);
    fake.script("delete", [Script::Hang]);
    let id = id_of(&gateway.create("one").await);
    eventually("cleaning", || fake.calls("delete", &id) == 1).await;
    gateway.crash().await;
    assert!(fake.has(&id));
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    eventually("cleaned", || !fake.has(&id)).await;
    assert_eq!(phase_of(&gateway.get("one").await.unwrap()), SandboxPhase::Error);
}

#[tokio::test]
async fn what_happened_meanwhile_is_seen() {
    let (directory, fake) = (tempfile::tempdir().unwrap(), Fake::new());
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    let (lost, stopped, failed) =
        (gateway.ready("lost").await, gateway.ready("stopped").await, gateway.ready("failed").await);
    gateway.stop().await;
    fake.lose(&lost, false);
    fake.report_unseen(&stopped, conditions::stopped("by somebody"));
    fake.report_unseen(&failed, vec![conditions::not_ready("OOMKilled", "too much")]);
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    let sandbox = gateway.until("lost", SandboxPhase::Error).await;
    assert_eq!(ready_of(&sandbox).0, "BackendGone");
    gateway.until("stopped", SandboxPhase::Stopped).await;
    let sandbox = gateway.until("failed", SandboxPhase::Error).await;
    assert_eq!(ready_of(&sandbox), ("OOMKilled".to_owned(), "too much".to_owned()));
    assert!(gateway.delete("lost").await.unwrap());
    gateway.until_gone("lost").await;
}

#[tokio::test]
async fn what_should_run_is_started_where_the_driver_leaves_that_to_the_gateway() {
    let (directory, fake) = (tempfile::tempdir().unwrap(), Fake::new());
    fake.managed();
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    let (wanted, exited, rests) =
        (gateway.ready("wanted").await, gateway.ready("exited").await, gateway.ready("rests").await);
    gateway.stop_sandbox("rests").await.unwrap();
    gateway.until("rests", SandboxPhase::Stopped).await;
    gateway.stop().await;
    fake.report_unseen(&wanted, conditions::stopped("the host went down"));
    fake.report_unseen(&exited, vec![conditions::not_ready("ContainerExited", "137")]);
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    gateway.until("wanted", SandboxPhase::Ready).await;
    gateway.until("exited", SandboxPhase::Ready).await;
    assert_eq!(phase_of(&gateway.get("rests").await.unwrap()), SandboxPhase::Stopped);
    assert_eq!(
        (fake.calls("start", &wanted), fake.calls("start", &exited), fake.calls("start", &rests)),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn sandboxes_of_another_driver_are_shown_and_left_alone() {
    let (directory, fake) = (tempfile::tempdir().unwrap(), Fake::new());
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    let id = gateway.ready("one").await;
    gateway.stop().await;
    let (other, mut settings) = (Fake::new(), settings());
    settings.driver_name = "other".to_owned();
    let mut gateway = gateway_in(directory.path(), &other, settings.clone()).await;
    let sandbox = gateway.get("one").await.unwrap();
    assert_eq!(phase_of(&sandbox), SandboxPhase::Unknown);
    assert!(ready_of(&sandbox).1.contains("`fake`"), "{sandbox:?}");
    for status in [
        gateway.stop_sandbox("one").await.unwrap_err(),
        gateway.start_sandbox("one").await.unwrap_err(),
        gateway.delete("one").await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(status.message().contains("UNKNOWN") && status.message().contains("`fake`"), "{status:?}");
    }
    assert_eq!(other.calls("delete", &id), 0);
    let request = proto::WatchSandboxRequest { id: id.clone(), stop_on_terminal: true, ..Default::default() };
    let mut events = gateway.watch(request).await;
    assert!(events.message().await.unwrap().is_some());
    assert!(events.message().await.unwrap().is_none());
    gateway.stop().await;
    let mut gateway = gateway_in(directory.path(), &fake, self::settings()).await;
    assert_eq!(phase_of(&gateway.get("one").await.unwrap()), SandboxPhase::Ready);
}

#[tokio::test]
async fn orphans_are_left_alone() {
    let fake = Fake::new();
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut gateway = gateway_in(first.path(), &fake, settings()).await;
    let id = gateway.ready("one").await;
    gateway.stop().await;
    let mut gateway = gateway_in(second.path(), &fake, settings()).await;
    gateway.ready("two").await;
    assert!(fake.has(&id));
    assert_eq!(gateway.list(proto::ListSandboxesRequest::default()).await, ["two"]);
}

#[tokio::test]
async fn a_driver_that_does_not_say_who_it_is_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let fake = Fake::new();
    fake.nameless();
    let store = Store::open(&db_path(directory.path())).unwrap();
    let error = Runtime::start(settings(), store, Arc::new(fake)).await.unwrap_err();
    assert!(matches!(&error, RuntimeError::Driver { name, .. } if name == "fake"), "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("empty"), "{source}");
}
