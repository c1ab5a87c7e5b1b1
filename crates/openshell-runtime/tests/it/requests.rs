//! Requests that a driver refuses, delays or breaks on.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openshell_driver_api::ErrorKind;
use openshell_driver_api::conditions;
use openshell_proto::openshell::v1::{self as proto, SandboxPhase};
use openshell_runtime::{UsageAction, UsageEvent, UsageOutcome, UsageSink};
use tonic::Code;

use crate::client::{eventually, gateway, gateway_with, hasty, id_of, phase_of, ready_of, settings};
use crate::fake::{Fake, Script};

#[tokio::test]
async fn what_validation_refuses_is_not_stored() {
    let fake = Fake::new();
    let mut gateway = gateway_with(&fake, hasty()).await;
    for (kind, code) in [
        (ErrorKind::InvalidArgument, Code::InvalidArgument),
        (ErrorKind::FailedPrecondition, Code::FailedPrecondition),
        (ErrorKind::ResourceExhausted, Code::ResourceExhausted),
        (ErrorKind::Unavailable, Code::Unavailable),
        (ErrorKind::Unimplemented, Code::Unimplemented),
    ] {
        fake.script("validate", [Script::Fail(kind, "a GPU is not to be had")]);
        let request = proto::CreateSandboxRequest { name: "one".to_owned(), ..Default::default() };
        let status = gateway.client.create_sandbox(request).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, "a GPU is not to be had"));
    }
    fake.script("validate", [Script::Hang, Script::Panic]);
    for code in [Code::DeadlineExceeded, Code::Internal] {
        let request = proto::CreateSandboxRequest { name: "one".to_owned(), ..Default::default() };
        assert_eq!(gateway.client.create_sandbox(request).await.unwrap_err().code(), code);
    }
    assert!(gateway.list(proto::ListSandboxesRequest::default()).await.is_empty());
    gateway.ready("one").await;
    let request = proto::CreateSandboxRequest { name: "one".to_owned(), ..Default::default() };
    let status = gateway.client.create_sandbox(request).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert!(status.message().contains("`one`"));
}

#[tokio::test]
async fn two_at_once_for_one_name() {
    let fake = Fake::new();
    let gateway = gateway(&fake).await;
    let create = || {
        let mut client = gateway.client.clone();
        async move {
            let request = proto::CreateSandboxRequest { name: "one".to_owned(), ..Default::default() };
            client.create_sandbox(request).await.map_err(|status| status.code())
        }
    };
    let (a, b, c) = tokio::join!(create(), create(), create());
    let taken = [a, b, c].into_iter().filter(|answer| matches!(answer, Err(Code::AlreadyExists))).count();
    assert_eq!(taken, 2);
}

#[tokio::test]
async fn a_failed_create_stays_and_says_why_and_start_retries() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    fake.script("create", [Script::Fail(ErrorKind::FailedPrecondition, "no such image `x`")]);
    let id = id_of(&gateway.create("one").await);
    let failed = gateway.until("one", SandboxPhase::Error).await;
    assert_eq!(ready_of(&failed), ("ProvisioningFailed".to_owned(), "no such image `x`".to_owned()));
    assert_eq!(fake.calls("delete", &id), 0, "a driver that says no has left nothing");
    let status = gateway.stop_sandbox("one").await.unwrap_err();
    assert!(status.code() == Code::FailedPrecondition && status.message().contains("ERROR"), "{status:?}");
    let started = gateway.start_sandbox("one").await.unwrap();
    assert!(matches!(phase_of(&started), SandboxPhase::Starting | SandboxPhase::Ready));
    gateway.until("one", SandboxPhase::Ready).await;
    assert_eq!(fake.calls("create", &id), 2);
}

#[tokio::test]
async fn a_create_that_may_have_left_something_is_cleaned_up() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    fake.script("create", [Script::WorkAndFail(ErrorKind::Internal)]);
    fake.script("delete", [Script::Fail(ErrorKind::Unavailable, "away")]);
    let id = id_of(&gateway.create("one").await);
    eventually("cleaned up", || fake.calls("delete", &id) == 2 && !fake.has(&id)).await;
    gateway.until("one", SandboxPhase::Error).await;
    assert!(gateway.delete("one").await.unwrap());
    gateway.until_gone("one").await;
}

#[tokio::test]
async fn a_driver_that_panics_in_create() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    fake.script("create", [Script::Panic]);
    gateway.create("one").await;
    let failed = gateway.until("one", SandboxPhase::Error).await;
    assert_eq!(ready_of(&failed).1, "the driver panicked");
}

#[tokio::test]
async fn a_driver_that_is_away_is_asked_again() {
    let fake = Fake::new();
    let mut gateway = gateway_with(&fake, hasty()).await;
    fake.script("create", [Script::Fail(ErrorKind::Unavailable, "away"), Script::WorkAndHang]);
    let id = gateway.ready("one").await;
    eventually("adopted", || fake.calls("create", &id) == 3 && fake.calls("start", &id) == 1).await;
}

#[tokio::test]
async fn provisioning_ends_after_its_time_and_not_for_ever() {
    let fake = Fake::new();
    fake.slow();
    let mut settings = settings();
    let timeout = Duration::from_millis(300);
    settings.provisioning_timeout = timeout;
    let mut gateway = gateway_with(&fake, settings).await;
    let began = Instant::now();
    let id = id_of(&gateway.create("one").await);
    fake.report(&id, vec![conditions::not_ready("Bewildered", "by everything")]);
    let failed = gateway.until("one", SandboxPhase::Error).await;
    assert!(began.elapsed() >= timeout, "what it reports has ended it: {failed:?}");
    assert!(
        ready_of(&failed).1.contains("by everything") || ready_of(&failed).1.contains("slowly"),
        "{failed:?}"
    );
    fake.report(&id, vec![conditions::ready()]);
    gateway.until("one", SandboxPhase::Ready).await;
}

#[tokio::test]
async fn a_refused_stop_or_start_keeps_it_as_it_was_and_reaches_the_client() {
    let fake = Fake::new();
    let mut gateway = gateway_with(&fake, hasty()).await;
    gateway.ready("one").await;
    let kinds = [
        (ErrorKind::Unimplemented, Code::Unimplemented),
        (ErrorKind::FailedPrecondition, Code::FailedPrecondition),
        (ErrorKind::Unavailable, Code::Unavailable),
    ];
    for (kind, code) in kinds {
        fake.script("stop", [Script::Fail(kind, "cannot")]);
        let status = gateway.stop_sandbox("one").await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, "cannot"));
        assert_eq!(phase_of(&gateway.get("one").await.unwrap()), SandboxPhase::Ready);
    }
    fake.script("stop", [Script::Hang]);
    assert_eq!(gateway.stop_sandbox("one").await.unwrap_err().code(), Code::DeadlineExceeded);
    gateway.stop_sandbox("one").await.unwrap();
    gateway.until("one", SandboxPhase::Stopped).await;
    for (kind, code) in kinds {
        fake.script("start", [Script::Fail(kind, "cannot")]);
        assert_eq!(gateway.start_sandbox("one").await.unwrap_err().code(), code);
        assert_eq!(phase_of(&gateway.get("one").await.unwrap()), SandboxPhase::Stopped);
    }
}

#[tokio::test]
async fn while_it_is_being_made_it_can_be_deleted_and_nothing_else() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    fake.script("create", [Script::WorkAndHang]);
    fake.slow();
    let id = id_of(&gateway.create("one").await);
    for status in
        [gateway.stop_sandbox("one").await.unwrap_err(), gateway.start_sandbox("one").await.unwrap_err()]
    {
        assert!(
            status.code() == Code::FailedPrecondition && status.message().contains("PROVISIONING"),
            "{status:?}"
        );
    }
    // The create would hang for longer than this waits.
    assert!(gateway.delete("one").await.unwrap());
    gateway.until_gone("one").await;
    assert!(!fake.has(&id), "nothing is left behind");
}

#[tokio::test]
async fn a_driver_that_hangs_is_in_nobody_else_s_way() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    gateway.ready("stops").await;
    fake.script("create", std::iter::repeat_n(Script::Hang, 40));
    for number in 0..40 {
        gateway.create(&format!("hangs-{number}")).await;
    }
    fake.script("stop", [Script::Hang]);
    let mut client = gateway.client.clone();
    let stop = tokio::spawn(async move {
        client
            .stop_sandbox(proto::StopSandboxRequest { name: "stops".to_owned(), ..Default::default() })
            .await
    });
    gateway.until("stops", SandboxPhase::Stopping).await;
    assert_eq!(gateway.list(proto::ListSandboxesRequest::default()).await.len(), 41);
    stop.abort();
}

#[tokio::test]
async fn a_delete_that_fails_is_told_and_goes_on_until_it_is_gone() {
    let fake = Fake::new();
    let mut gateway = gateway_with(&fake, hasty()).await;
    let id = gateway.ready("one").await;
    fake.script(
        "delete",
        [
            Script::Fail(ErrorKind::Aborted, "a conflict"),
            Script::Fail(ErrorKind::Aborted, "a conflict"),
            Script::Hang,
        ],
    );
    let status = gateway.delete("one").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Aborted, "a conflict"));
    let going = gateway.get("one").await.unwrap();
    assert_eq!(phase_of(&going), SandboxPhase::Deleting);
    assert!(going.metadata.as_ref().unwrap().deletion_timestamp_ms > 0);
    assert!(gateway.delete("one").await.unwrap(), "a second call while deleting");
    let taken = proto::CreateSandboxRequest { name: "one".to_owned(), ..Default::default() };
    assert_eq!(gateway.client.create_sandbox(taken).await.unwrap_err().code(), Code::AlreadyExists);
    let status = gateway.start_sandbox("one").await.unwrap_err();
    assert!(status.message().contains("DELETING"), "{status:?}");
    gateway.until_gone("one").await;
    assert!(!fake.has(&id));
}

#[tokio::test]
async fn a_backend_that_has_none_is_no_hindrance_to_a_delete() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    let id = gateway.ready("one").await;
    fake.lose(&id, false);
    assert!(gateway.delete("one").await.unwrap());
    gateway.until_gone("one").await;
    gateway.ready("two").await;
    fake.script("delete", [Script::Fail(ErrorKind::NotFound, "none")]);
    assert!(gateway.delete("two").await.unwrap());
    gateway.until_gone("two").await;
}

#[tokio::test]
async fn a_stop_and_a_start_of_what_the_backend_lost() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    let id = gateway.ready("one").await;
    fake.lose(&id, false);
    gateway.stop_sandbox("one").await.unwrap_err();
    let gone = gateway.until("one", SandboxPhase::Error).await;
    assert_eq!(ready_of(&gone).0, "BackendGone");
    gateway.start_sandbox("one").await.unwrap();
    gateway.until("one", SandboxPhase::Ready).await;
    assert!(fake.has(&id));
}

#[derive(Default)]
struct Seen(Mutex<Vec<(UsageAction, UsageOutcome)>>);

impl UsageSink for Seen {
    fn record(&self, event: UsageEvent) {
        self.0.lock().expect("no panic under it").push((event.action, event.outcome));
    }
}

#[tokio::test]
async fn usage_is_told() {
    let (fake, seen) = (Fake::new(), Arc::new(Seen::default()));
    let mut settings = settings();
    settings.usage = Arc::clone(&seen) as Arc<dyn UsageSink>;
    let mut gateway = gateway_with(&fake, settings).await;
    // What is in the store may be read a moment before it is told.
    let told = async |count| eventually("it is told", || seen.0.lock().unwrap().len() == count).await;
    gateway.create("one").await;
    gateway.until("one", SandboxPhase::Ready).await;
    told(1).await;
    gateway.stop_sandbox("one").await.unwrap();
    gateway.until("one", SandboxPhase::Stopped).await;
    gateway.start_sandbox("one").await.unwrap();
    gateway.until("one", SandboxPhase::Ready).await;
    gateway.delete("one").await.unwrap();
    gateway.until_gone("one").await;
    told(4).await;
    fake.script("create", [Script::Fail(ErrorKind::InvalidArgument, "no")]);
    gateway.create("two").await;
    gateway.until("two", SandboxPhase::Error).await;
    told(5).await;
    fake.script("validate", [Script::Fail(ErrorKind::InvalidArgument, "no")]);
    let three = proto::CreateSandboxRequest { name: "three".to_owned(), ..Default::default() };
    gateway.client.create_sandbox(three).await.unwrap_err();
    let id = id_of(&gateway.create("four").await);
    gateway.until("four", SandboxPhase::Ready).await;
    told(7).await;
    fake.lose(&id, true);
    gateway.until("four", SandboxPhase::Error).await;
    gateway.stop_sandbox("four").await.unwrap_err();
    let expected = [
        (UsageAction::Create, UsageOutcome::Ok),
        (UsageAction::Stop, UsageOutcome::Ok),
        (UsageAction::Start, UsageOutcome::Ok),
        (UsageAction::Delete, UsageOutcome::Ok),
        (UsageAction::Create, UsageOutcome::Failed),
        (UsageAction::Create, UsageOutcome::Refused),
        // What failed later was created all the same.
        (UsageAction::Create, UsageOutcome::Ok),
        (UsageAction::Stop, UsageOutcome::Refused),
    ];
    assert_eq!(*seen.0.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_start_does_not_wait_for_a_clean_up_that_pauses() {
    let fake = Fake::new();
    let mut settings = settings();
    let pause = Duration::from_secs(600);
    settings.backoff = openshell_runtime::Backoff { first: pause, longest: pause };
    let mut gateway = gateway_with(&fake, settings).await;
    fake.script("create", [Script::WorkAndFail(ErrorKind::Internal)]);
    fake.script("delete", [Script::Fail(ErrorKind::Aborted, "a conflict")]);
    let id = id_of(&gateway.create("one").await);
    eventually("it pauses", || fake.calls("delete", &id) == 1).await;
    gateway.until("one", SandboxPhase::Error).await;
    gateway.start_sandbox("one").await.unwrap();
    gateway.until("one", SandboxPhase::Ready).await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_half_done() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    for number in 0..20 {
        let mut client = gateway.client.clone();
        let request = proto::CreateSandboxRequest { name: format!("s{number}"), ..Default::default() };
        let create = tokio::spawn(async move { client.create_sandbox(request).await });
        tokio::time::sleep(Duration::from_millis(number % 4)).await;
        create.abort();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    for name in gateway.list(proto::ListSandboxesRequest::default()).await {
        gateway.until(&name, SandboxPhase::Ready).await;
    }
}
