//! What comes at once, too early, too often or in the wrong order.

use std::collections::BTreeMap;
use std::time::Duration;

use openshell_driver_api::{ErrorKind, SandboxId, WatchEvent, conditions};
use openshell_proto::openshell::v1::{self as proto, SandboxPhase};
use tonic::Code;

use crate::client::{
    eventually, gateway, gateway_in, gateway_with, hasty, id_of, phase_of, ready_of, settings,
};
use crate::fake::{Fake, Script};

fn version_of(sandbox: &proto::Sandbox) -> u64 {
    sandbox.metadata.as_ref().expect("metadata").resource_version
}

fn named(name: &str) -> proto::CreateSandboxRequest {
    proto::CreateSandboxRequest { name: name.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn gone_before_the_create_is_answered() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    fake.script("create", [Script::WorkAndLose]);
    gateway.create("one").await;
    let lost = gateway.until("one", SandboxPhase::Error).await;
    assert_eq!(ready_of(&lost).0, "BackendGone");
    gateway.start_sandbox("one").await.unwrap();
    gateway.until("one", SandboxPhase::Ready).await;
}

#[tokio::test]
async fn the_driver_s_reason_reaches_the_client() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    fake.script("create", [Script::FailFor(ErrorKind::FailedPrecondition, "ImagePullFailed")]);
    gateway.create("one").await;
    let failed = gateway.until("one", SandboxPhase::Error).await;
    assert_eq!(ready_of(&failed), ("ImagePullFailed".to_owned(), "the driver's words".to_owned()));
}

#[tokio::test]
async fn a_driver_that_says_gone_a_thousand_times_is_asked_once() {
    let fake = Fake::new();
    // The call is to be under way until all of them are heard, however busy the machine is.
    let mut long = settings();
    long.deadlines.stop = Duration::from_secs(10);
    let mut gateway = gateway_with(&fake, long).await;
    let id = gateway.ready("one").await;
    fake.script("stop", [Script::Hang]);
    let mut client = gateway.client.clone();
    let request = proto::StopSandboxRequest { name: "one".to_owned(), ..Default::default() };
    let stopping = tokio::spawn(async move { client.stop_sandbox(request).await });
    eventually("a call is under way", || fake.calls("stop", &id) == 1).await;
    let seen = gateway.runtime.stats().events;
    for _ in 0..1000 {
        fake.send(WatchEvent::Deleted(SandboxId::new(id.as_str()).unwrap()));
    }
    eventually("all are heard", || gateway.runtime.stats().events == seen + 1000).await;
    assert_eq!(stopping.await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
    eventually("asked", || fake.calls("get", &id) > 0).await;
    // Stops in a lane of its own are behind whoever asks.
    gateway.stop_sandbox("one").await.unwrap();
    gateway.until("one", SandboxPhase::Stopped).await;
    assert!(fake.calls("get", &id) <= 2, "{}", fake.calls("get", &id));
}

/// What was owed when the gateway went away is asked for a few at a time, and a client in a hurry does not wait for that.
#[tokio::test]
async fn a_start_with_much_owed_does_not_run_over_the_driver() {
    const OWED: usize = 60;
    let (directory, fake) = (tempfile::tempdir().unwrap(), Fake::new());
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    fake.script("create", std::iter::repeat_n(Script::Hang, OWED * 2));
    for number in 0..OWED {
        gateway.create(&format!("s{number}")).await;
    }
    eventually("asked", || fake.made(&["create"]).len() == OWED).await;
    gateway.crash().await;
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    eventually("asked again", || fake.made(&["create"]).len() == OWED + 16).await;
    for name in ["s0", "s30", "s59"] {
        gateway.delete(name).await.unwrap();
        gateway.until_gone(name).await;
    }
    let asked = fake.made(&["create"]).len() - OWED;
    assert!(asked <= 16 + 3, "{asked} at once");
}

#[tokio::test]
async fn a_driver_that_came_back_is_asked_again_to_prepare() {
    let fake = Fake::new();
    fake.knows_workspaces();
    let mut gateway = gateway(&fake).await;
    gateway.ready("one").await;
    gateway.ready("two").await;
    assert_eq!(fake.calls("ensure_workspace", "default"), 1);
    let watches = fake.calls("watch", "");
    fake.cut(Some(ErrorKind::Unavailable));
    eventually("back", || fake.calls("watch", "") > watches).await;
    gateway.ready("three").await;
    assert_eq!(fake.calls("ensure_workspace", "default"), 2, "it may be another one");
}

/// Reads go over a connection of their own: what was answered is in them all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_read() {
    let fake = Fake::new();
    let gateway = gateway(&fake).await;
    let clients = (0..8).map(|client| {
        let mut api = gateway.client.clone();
        tokio::spawn(async move {
            for number in 0..25 {
                let name = format!("s-{client}-{number}");
                let created = api.create_sandbox(named(&name)).await.unwrap().into_inner().sandbox.unwrap();
                let get = || proto::GetSandboxRequest { name: name.clone(), ..Default::default() };
                let found =
                    api.get_sandbox(get()).await.expect("it was created").into_inner().sandbox.unwrap();
                assert!(id_of(&found) == id_of(&created) && version_of(&found) >= version_of(&created));
                let delete = proto::DeleteSandboxRequest { name: name.clone(), ..Default::default() };
                api.delete_sandbox(delete).await.expect("it is there");
                // Gone, or going: never as it was before.
                if let Ok(found) = api.get_sandbox(get()).await {
                    assert_eq!(phase_of(&found.into_inner().sandbox.unwrap()), SandboxPhase::Deleting);
                }
            }
        })
    });
    for client in futures_util::future::join_all(clients).await {
        client.unwrap();
    }
}

/// The counted phases are those of the rows, whatever came in which order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_counted_phases_are_those_of_the_rows() {
    let fake = Fake::new();
    let gateway = gateway_with(&fake, hasty()).await;
    fake.script(
        "create",
        [Script::WorkAndLose, Script::Fail(ErrorKind::Internal, "no"), Script::Panic, Script::WorkAndHang],
    );
    fake.script(
        "delete",
        [Script::Fail(ErrorKind::Aborted, "a conflict"), Script::WorkAndFail(ErrorKind::Aborted)],
    );
    let clients = (0..40_u32).map(|number| {
        let (mut api, fake) = (gateway.client.clone(), fake.clone());
        tokio::spawn(async move {
            let name = format!("s{number}");
            let created = api.create_sandbox(named(&name)).await.unwrap().into_inner().sandbox.unwrap();
            let id = id_of(&created);
            match number % 4 {
                0 => {
                    drop(api.delete_sandbox(proto::DeleteSandboxRequest { name, ..Default::default() }).await)
                }
                1 => drop(api.stop_sandbox(proto::StopSandboxRequest { name, ..Default::default() }).await),
                2 => fake.lose(&id, true),
                _ => fake.report(&id, vec![conditions::not_ready("OOMKilled", "too much")]),
            }
        })
    });
    for client in futures_util::future::join_all(clients).await {
        client.unwrap();
    }
    let mut api = gateway.client.clone();
    for _ in 0..10_000 {
        let before = gateway.runtime.stats().sandboxes;
        let list = proto::ListSandboxesRequest { limit: 1000, ..Default::default() };
        let mut rows = BTreeMap::new();
        for sandbox in api.list_sandboxes(list).await.unwrap().into_inner().sandboxes {
            *rows.entry(phase_of(&sandbox).as_str_name().to_owned()).or_insert(0_u64) += 1;
        }
        let counted = before.iter().filter(|(_, count)| *count > 0);
        let counted: BTreeMap<String, u64> =
            counted.map(|(phase, count)| (format!("SANDBOX_PHASE_{}", phase.as_str()), *count)).collect();
        let at_rest =
            !rows.contains_key("SANDBOX_PHASE_DELETING") && !rows.contains_key("SANDBOX_PHASE_PROVISIONING");
        if at_rest && gateway.runtime.stats().sandboxes == before {
            assert_eq!(counted, rows);
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it does not come to rest");
}

/// What a list holds in memory, and sends at once, is bounded, and it is said what to do.
#[tokio::test]
async fn a_list_that_is_too_large_is_refused_and_a_smaller_one_is_not() {
    let fake = Fake::new();
    let gateway = gateway(&fake).await;
    let mut api = gateway.client.clone();
    for number in 0..34 {
        let policy = Some(vec![0; 1_000_000].into());
        let spec = proto::SandboxSpec { policy, ..Default::default() };
        let request = proto::CreateSandboxRequest { spec: Some(spec), ..named(&format!("s{number}")) };
        api.create_sandbox(request).await.unwrap();
    }
    let list = |limit| proto::ListSandboxesRequest { limit, ..Default::default() };
    let status = api.list_sandboxes(list(0)).await.unwrap_err();
    assert!(status.code() == Code::ResourceExhausted && status.message().contains("`limit`"), "{status:?}");
    assert_eq!(api.list_sandboxes(list(30)).await.unwrap().into_inner().sandboxes.len(), 30);
}
