//! The watch on a real cluster: what is there, what changes, what the cluster says of it.

use futures_util::StreamExt;
use openshell_driver_api::{WatchEvent, labels};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams};

use crate::bench::{Bench, read_until, ready, request, sandbox_id, tells};

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_life_is_told_in_its_order() {
    let Some(bench) = Bench::new("").await else { return };
    let other = bench.beside().await;
    other.driver.create(&request("theirs", &["sleep", "300"])).await.expect("create");
    bench.driver.create(&request("before", &["sleep", "300"])).await.expect("create");
    bench.until("before", "Running").await;
    let mut events = bench.driver.watch().await.expect("a watch");
    let first = events.next().await.expect("an item").expect("an event");
    assert!(tells(&first, "before", "Running"), "{first:?}");

    let id = sandbox_id("told");
    bench.driver.create(&request("told", &["sleep", "300"])).await.expect("create");
    let seen = read_until(&mut events, |event| tells(event, "told", "Running")).await;
    let said: Vec<&str> = seen
        .iter()
        .filter_map(|event| match event {
            WatchEvent::Platform { id, event } if id.as_str() == "told" => Some(event.reason.as_str()),
            _ => None,
        })
        .collect();
    assert!(said.contains(&"Scheduled"), "{said:?}");
    bench.driver.stop(&id).await.expect("stop");
    let seen = read_until(&mut events, |event| tells(event, "told", "Stopped")).await;
    let ended = seen
        .iter()
        .any(|event| tells(event, "told", "ContainerExited") || tells(event, "told", "Terminating"));
    assert!(!ended, "a stop is told as one from its beginning: {seen:#?}");
    bench.driver.start(&id).await.expect("start");
    let seen = read_until(&mut events, |event| tells(event, "told", "Running")).await;
    assert!(!seen.iter().any(|event| tells(event, "told", "ContainerExited")), "{seen:#?}");
    bench.driver.delete(&id).await.expect("delete");
    let seen =
        read_until(&mut events, |event| matches!(event, WatchEvent::Deleted(gone) if *gone == id)).await;
    let going = seen.iter().any(|event| {
        matches!(event, WatchEvent::Sandbox(seen) if seen.status.deleting && ready(seen).reason == "Terminating")
    });
    assert!(going, "{seen:#?}");
    let strange =
        seen.iter().any(|event| matches!(event, WatchEvent::Sandbox(seen) if seen.id.as_str() == "theirs"));
    assert!(!strange, "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_somebody_removes_is_told() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver.create(&request("hand", &["sleep", "300"])).await.expect("create");
    bench.until("hand", "Running").await;
    let mut events = bench.driver.watch().await.expect("a watch");
    read_until(&mut events, |event| tells(event, "hand", "Running")).await;
    let pods: Api<Pod> = bench.api();
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    let ours = kube::api::ListParams::default().labels(&format!("{}={}", labels::SANDBOX_ID, "hand"));
    pods.delete_collection(&now, &ours).await.expect("somebody's delete");
    read_until(&mut events, |event| tells(event, "hand", "ContainerExited")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_pull_is_told_step_by_step() {
    let Some(bench) = Bench::new("").await else { return };
    let mut events = bench.driver.watch().await.expect("a watch");
    let mut wanted = request("no-image", &["true"]);
    wanted.spec.template.image = "127.0.0.1:1/no/such:image".to_owned();
    bench.driver.create(&wanted).await.expect("create");
    let mut said = Vec::new();
    read_until(&mut events, |event| {
        if let WatchEvent::Platform { event, .. } = event {
            said.push((event.kind.clone(), event.reason.clone()));
        }
        tells(event, "no-image", "ImagePullFailed") || said.len() > 30
    })
    .await;
    let has = |kind: &str, reason: &str| said.contains(&(kind.to_owned(), reason.to_owned()));
    assert!(has("Normal", "Pulling") && has("Warning", "Failed"), "{said:?}");
}
