//! Stop, start, delete, list; and that each may be said twice.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::CreateContainerOptions;
use openshell_driver_api::conditions::{SUSPENDED, find};
use openshell_driver_api::{ConditionStatus, ErrorKind, labels};

use crate::bench::{Bench, PATIENCE, image, ready_reason, request, sandbox_id};

#[tokio::test]
async fn a_whole_life_keeps_the_workspace_until_the_end() {
    let Some(bench) = Bench::new("").await else { return };
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
    while bench.output("life").await.lines().count() < 3 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(bench.output("life").await, "run\nrun\nrun\n", "the second run found what the first wrote");

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
    bench.driver.create(&request("twice", &["sleep", "300"])).await.expect("create");
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
    bench.driver.create(&request("stopped", &["sleep", "300"])).await.expect("create");
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
    let Some(bench) = Bench::new("").await else { return };
    let id = sandbox_id("paused");
    bench.driver.create(&request("paused", &["sleep", "300"])).await.expect("create");
    let container = bench.driver.get(&id).await.expect("a sandbox").status.instance_id;
    bench.docker.pause_container(&container).await.expect("pause");
    assert_eq!(ready_reason(&bench.driver.get(&id).await.expect("a sandbox")), "Suspended");
    bench.driver.start(&id).await.expect("start");
    assert_eq!(ready_reason(&bench.driver.get(&id).await.expect("a sandbox")), "Running");
    bench.docker.pause_container(&container).await.expect("pause");
    bench.driver.stop(&id).await.expect("stop");
    assert_eq!(ready_reason(&bench.driver.get(&id).await.expect("a sandbox")), "Stopped");
}

#[tokio::test]
async fn a_stopped_sandbox_starts_after_its_network_was_pruned() {
    let Some(bench) = Bench::new("").await else { return };
    let network = format!("openshell-{}", bench.gateway_id);
    let (one, two) = (sandbox_id("pruned-1"), sandbox_id("pruned-2"));
    for id in ["pruned-1", "pruned-2"] {
        bench.driver.create(&request(id, &["sleep", "300"])).await.expect("create");
        bench.driver.stop(&sandbox_id(id)).await.expect("stop");
    }
    bench.docker.remove_network(&network).await.expect("what a prune does");
    // The first makes the network anew, the second finds one of the same name and another id.
    for id in [&one, &two] {
        bench.driver.start(id).await.expect("start");
        assert_eq!(ready_reason(&bench.driver.get(id).await.expect("a sandbox")), "Running");
    }
    let settings = bench.inspect("pruned-2").await.network_settings.expect("settings");
    let joined = settings.networks.expect("networks");
    assert_eq!(joined.keys().collect::<Vec<_>>(), [&network], "on its own network and on no other");
    for id in [&one, &two] {
        assert!(bench.driver.delete(id).await.expect("delete"));
    }
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_list_is_whole_however_long() {
    let Some(bench) = Bench::new("").await else { return };
    for number in 0..50 {
        let body = ContainerCreateBody {
            image: Some(image()),
            cmd: Some(vec!["true".to_owned()]),
            labels: Some(HashMap::from([
                (labels::MANAGED_BY.to_owned(), labels::MANAGED_BY_VALUE.to_owned()),
                (labels::GATEWAY_ID.to_owned(), bench.gateway_id.clone()),
                (labels::SANDBOX_ID.to_owned(), format!("many-{number:02}")),
            ])),
            ..ContainerCreateBody::default()
        };
        bench.docker.create_container(None::<CreateContainerOptions>, body).await.expect("a container");
    }
    let listed = bench.driver.list().await.expect("a list");
    let expected: Vec<String> = (0..50).map(|number| format!("many-{number:02}")).collect();
    assert_eq!(listed.iter().map(|sandbox| sandbox.id.as_str()).collect::<Vec<_>>(), expected);
    assert!(listed.iter().all(|sandbox| ready_reason(sandbox) == "ContainerCreated"));
}

#[tokio::test]
async fn two_gateways_on_one_engine_never_meet() {
    let (Some(one), Some(two)) = (Bench::new("").await, Bench::new("").await) else { return };
    let id = sandbox_id("same-id");
    one.driver.create(&request("same-id", &["sleep", "300"])).await.expect("create");
    assert!(two.driver.list().await.expect("a list").is_empty());
    assert_eq!(two.driver.get(&id).await.expect_err("not theirs").kind(), ErrorKind::NotFound);
    assert_eq!(two.driver.stop(&id).await.expect_err("not theirs").kind(), ErrorKind::NotFound);
    assert!(!two.driver.delete(&id).await.expect("delete"));
    two.driver.create(&request("same-id", &["sleep", "300"])).await.expect("create");
    assert!(two.driver.delete(&id).await.expect("delete"));
    assert_eq!(ready_reason(&one.driver.get(&id).await.expect("a sandbox")), "Running");
}
