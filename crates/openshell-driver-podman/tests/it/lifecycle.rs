//! Stop, start, delete, list; and that each may be said twice.

use std::time::Duration;

use openshell_driver_api::conditions::{SUSPENDED, find};
use openshell_driver_api::{ConditionStatus, ErrorKind, Secret, WatchEvent};
use serde_json::{Value, json};

use crate::bench::{Bench, PATIENCE, read_until, ready_reason, request, sandbox_id, socket, waiting};

#[tokio::test]
async fn a_whole_life_keeps_the_workspace_until_the_end() {
    let Some(bench) = Bench::new("stop_timeout = 1").await else { return };
    let id = sandbox_id("life");
    let script = "echo run >> /sandbox/runs; cat /sandbox/runs; exec sleep 300";
    bench.driver.create(&request("life", &["sh", "-c", script])).await.expect("create");
    let first = bench.until("life", "Running").await;
    assert_eq!((first.name.as_str(), first.workspace.as_str()), ("name-of-life", "default"));

    bench.driver.stop(&id).await.expect("stop");
    let stopped = bench.driver.get(&id).await.expect("a sandbox");
    assert_eq!(ready_reason(&stopped), "Stopped");
    let suspended = find(&stopped.status.conditions, SUSPENDED).map(|condition| condition.status);
    assert_eq!(suspended, Some(ConditionStatus::True));

    bench.driver.start(&id).await.expect("start");
    let second = bench.until("life", "Running").await;
    assert_eq!(second.status.instance_id, first.status.instance_id, "the same container");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !bench.output("life").await.ends_with("run\nrun\n") {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", bench.output("life").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    assert!(bench.driver.delete(&id).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
    assert!(!bench.driver.delete(&id).await.expect("delete again"));
    assert_eq!(bench.driver.get(&id).await.expect_err("gone").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn everything_may_be_said_twice() {
    let Some(bench) = Bench::new("").await else { return };
    let id = sandbox_id("twice");
    for operation in [bench.driver.stop(&id).await, bench.driver.start(&id).await] {
        assert_eq!(operation.expect_err("nothing there").kind(), ErrorKind::NotFound);
    }
    bench.driver.create(&waiting("twice")).await.expect("create");
    bench.driver.start(&id).await.expect("start what runs");
    for _ in 0..2 {
        bench.driver.stop(&id).await.expect("stop");
        assert_eq!(ready_reason(&bench.driver.get(&id).await.expect("a sandbox")), "Stopped");
    }
    for _ in 0..2 {
        bench.driver.start(&id).await.expect("start");
        assert_eq!(ready_reason(&bench.driver.get(&id).await.expect("a sandbox")), "Running");
    }
    let deletes = tokio::join!(bench.driver.delete(&id), bench.driver.delete(&id));
    let deletes = [deletes.0.expect("delete"), deletes.1.expect("delete")];
    assert_eq!(deletes.iter().filter(|deleted| **deleted).count(), 1);
}

#[tokio::test]
async fn a_stop_and_an_exit_differ_also_after_a_restart_of_the_driver() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver.create(&waiting("stopped")).await.expect("create");
    bench.driver.create(&request("exited", &["sh", "-c", "exit 3"])).await.expect("create");
    bench.driver.stop(&sandbox_id("stopped")).await.expect("stop");
    let exited = bench.until("exited", "ContainerExited").await;
    assert!(exited.status.conditions[0].message.contains("exit code 3"), "{exited:?}");

    let reopened = bench.reopen().await;
    let listed = reopened.list().await.expect("a list");
    let reasons: Vec<&str> = listed.iter().map(ready_reason).collect();
    assert_eq!(reasons, ["ContainerExited", "Stopped"], "in the order of the ids");

    // A stop of what has ended by itself is a stop from then on, and a start forgets all of it.
    reopened.stop(&sandbox_id("exited")).await.expect("stop");
    bench.until("exited", "Stopped").await;
    reopened.start(&sandbox_id("exited")).await.expect("start");
    bench.until("exited", "ContainerExited").await;
}

#[tokio::test]
async fn a_paused_container_stops_and_starts() {
    let Some(bench) = Bench::new("stop_timeout = 1").await else { return };
    let id = sandbox_id("paused");
    bench.driver.create(&waiting("paused")).await.expect("create");
    let pause = format!("/containers/{}/pause", bench.container("paused").await);
    bench.api.post(&pause, &Value::Null).await;
    assert_eq!(ready_reason(&bench.driver.get(&id).await.expect("a sandbox")), "Suspended");
    bench.driver.start(&id).await.expect("start");
    assert_eq!(ready_reason(&bench.driver.get(&id).await.expect("a sandbox")), "Running");
    bench.api.post(&pause, &Value::Null).await;
    bench.driver.stop(&id).await.expect("stop");
    assert_eq!(ready_reason(&bench.driver.get(&id).await.expect("a sandbox")), "Stopped");
}

#[tokio::test]
async fn a_stopped_sandbox_starts_after_its_network_was_removed() {
    let Some(bench) = Bench::new("").await else { return };
    let id = sandbox_id("cut-off");
    bench.driver.create(&waiting("cut-off")).await.expect("create");
    bench.driver.stop(&id).await.expect("stop");
    let network = format!("/networks/openshell-{}.cut-off", bench.gateway_id);
    let (status, answer) = bench.api.call("DELETE", &network, None).await.expect("an answer");
    if status >= 300 {
        // A service that does not let go of what a stopped container is on has nothing to mend.
        println!("skipped: this service keeps the network: {}", String::from_utf8_lossy(&answer));
        return;
    }
    bench.driver.start(&id).await.expect("start");
    assert_eq!(ready_reason(&bench.driver.get(&id).await.expect("a sandbox")), "Running");
    assert!(bench.driver.delete(&id).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test]
async fn two_gateways_on_one_service_never_meet() {
    let (Some(one), Some(two)) = (Bench::new("").await, Bench::new("").await) else { return };
    let id = sandbox_id("same-id");
    one.driver.create(&waiting("same-id")).await.expect("create");
    assert!(two.driver.list().await.expect("a list").is_empty());
    assert_eq!(two.driver.get(&id).await.expect_err("not theirs").kind(), ErrorKind::NotFound);
    assert_eq!(two.driver.stop(&id).await.expect_err("not theirs").kind(), ErrorKind::NotFound);
    assert!(!two.driver.delete(&id).await.expect("delete"));
    two.driver.create(&waiting("same-id")).await.expect("create");
    assert!(two.driver.delete(&id).await.expect("delete"));
    assert_eq!(ready_reason(&one.driver.get(&id).await.expect("a sandbox")), "Running");
}

#[tokio::test]
async fn a_container_that_only_looks_like_ours_is_left_alone() {
    let Some(bench) = Bench::new("").await else { return };
    // Of the very name that a create would give, and without a label.
    let name = format!("openshell-{}.stranger", bench.gateway_id);
    bench
        .api
        .post(
            "/containers/create",
            &json!({"name": name, "image": crate::bench::image(), "command": ["true"]}),
        )
        .await;
    let id = sandbox_id("stranger");
    assert_eq!(bench.driver.get(&id).await.expect_err("no sandbox").kind(), ErrorKind::NotFound);
    let error = bench.driver.create(&waiting("stranger")).await.expect_err("taken");
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
    assert!(error.message().contains("is taken by something else"), "{error}");
    assert_eq!(bench.leftovers().await, Vec::<String>::new(), "what the create had made is gone");
    assert!(!bench.driver.delete(&id).await.expect("delete"));
    let there = bench.api.get(&format!("/containers/{name}/json")).await;
    bench.api.delete(&format!("/containers/{name}?force=true")).await;
    assert_eq!(there["Name"], name.as_str());
}

/// UUIDs on both sides are what a gateway has by itself; whatever else an operator thinks of has to do, too, also where one id
/// is the beginning of another.
#[tokio::test]
async fn ids_of_every_kind() {
    let Some(socket) = socket().await else { return };
    let process = std::process::id();
    let uuid = format!("c97db7be-83be-4825-8f1e-{process:012x}");
    let odd = format!("a=b,c d.é/{process}");
    let long = format!("{process:x}").repeat(64)[..64].to_owned();
    let gateways = [uuid.clone(), format!("{uuid}x"), odd, long];
    for gateway in gateways {
        let bench = Bench::of(gateway.clone(), &socket, "").await;
        let other = Bench::of(gateway.clone() + "-2", &socket, "").await;
        let mut events = bench.driver.watch().await.expect("a watch");
        for id in ["0b8c2a0e-55ab-4c8d-9d0e-3f3a2f0f7a11", "A.b_c/d e=f,g", &"x".repeat(100)] {
            let mut request = waiting(id);
            request.spec.token = Secret::new("s3cret");
            bench.driver.create(&request).await.unwrap_or_else(|error| panic!("{gateway} {id}: {error}"));
            other.driver.create(&request).await.expect("another gateway's of the same id");
            bench.driver.stop(&sandbox_id(id)).await.expect("stop");
            bench.driver.start(&sandbox_id(id)).await.expect("start");
            let listed = bench.driver.list().await.expect("a list");
            assert_eq!(listed.iter().map(|found| found.id.as_str()).collect::<Vec<_>>(), [id], "{gateway}");
            assert!(bench.driver.delete(&sandbox_id(id)).await.expect("delete"));
            read_until(&mut events, |event| *event == WatchEvent::Deleted(sandbox_id(id))).await;
            assert_eq!(bench.leftovers().await, Vec::<String>::new(), "{gateway} {id}");
            assert_eq!(ready_reason(&other.driver.get(&sandbox_id(id)).await.expect("there")), "Running");
            assert!(other.driver.delete(&sandbox_id(id)).await.expect("delete"));
        }
    }
}
