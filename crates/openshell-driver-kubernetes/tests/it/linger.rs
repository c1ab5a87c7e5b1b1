//! Pods that do not go: what is removed by force, and what never. The server is made up (`fake.rs`), and has no kubelet.

use std::time::Duration;

use openshell_driver_api::DriverError;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::bench::{PATIENCE, request, sandbox_id};
use crate::fake::Fake;

const OLD: &str = "v1.20.2";
const NEW: &str = "v1.33.0";

/// A cluster of a version with a pod that runs, as its kubelet said.
async fn running(version: &'static str) -> Fake {
    let fake = Fake::of_version("", &[], version).await.unwrap_or_else(|error| panic!("a driver: {error:?}"));
    fake.driver.create(&request("one", &["sleep", "300"])).await.expect("create");
    fake.world().silent_nodes = true;
    status(&fake, &json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } }));
    fake
}

fn status(fake: &Fake, state: &serde_json::Value) {
    let mut world = fake.world();
    let mut pod = world.only("pods");
    pod["status"] = json!({ "phase": "Running", "containerStatuses": [{ "name": "sandbox", "ready": true,
        "restartCount": 0, "image": "", "imageID": "", "state": state }] });
    world.put("pods", pod);
}

/// The kubelet says that it kills the pod.
fn kill(fake: &Fake) {
    let mut world = fake.world();
    let pod = world.only("pods");
    let event = json!({ "apiVersion": "v1", "kind": "Event", "metadata": { "name": "killing" }, "reason": "Killing",
        "involvedObject": { "kind": "Pod", "uid": pod["metadata"]["uid"] } });
    world.put("events", event);
}

fn delete(fake: &Fake) -> JoinHandle<Result<bool, DriverError>> {
    let driver = std::sync::Arc::clone(&fake.driver);
    tokio::spawn(async move { driver.delete(&sandbox_id("one")).await })
}

async fn stays(fake: &Fake, time: Duration) {
    sleep(time).await;
    fake.world().only("pods");
    // What it holds goes after it, and its record last.
    fake.world().only("configmaps");
}

async fn ends(deleting: JoinHandle<Result<bool, DriverError>>) {
    let deleted = timeout(PATIENCE, deleting).await.expect("an end").expect("a task");
    assert!(deleted.expect("delete"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_s_pod_stays_until_its_kubelet_has_killed_it() {
    let fake = running(OLD).await;
    let deleting = delete(&fake);
    stays(&fake, Duration::from_secs(5)).await;
    // The time that it is given begins now, however long it was asked before.
    kill(&fake);
    let killed = Instant::now();
    stays(&fake, Duration::from_millis(2500)).await;
    ends(deleting).await;
    assert!(killed.elapsed() >= Duration::from_secs(3));
    assert!(fake.world().objects.keys().all(|(kind, _)| kind == "events"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_has_the_time_that_somebody_else_has_given_it() {
    let fake = running(OLD).await;
    {
        let mut world = fake.world();
        let mut pod = world.only("pods");
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(5);
        world.put("pods", pod);
    }
    kill(&fake);
    let deleting = delete(&fake);
    stays(&fake, Duration::from_millis(6500)).await;
    ends(deleting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_whose_processes_have_ended_is_not_waited_for() {
    let fake = running(OLD).await;
    status(&fake, &json!({ "terminated": { "exitCode": 0 } }));
    ends(delete(&fake)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_kubelets_are_left_to_their_work() {
    let fake = running(NEW).await;
    kill(&fake);
    status(&fake, &json!({ "terminated": { "exitCode": 0 } }));
    let deleting = delete(&fake);
    stays(&fake, Duration::from_secs(5)).await;
    let name = fake.world().only("pods")["metadata"]["name"].as_str().expect("a name").to_owned();
    fake.world().remove("pods", &name);
    ends(deleting).await;
}
