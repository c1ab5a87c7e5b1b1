//! The watch: a snapshot, then changes. How it ends, and whom it cuts, is the shared watch's and tested there.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use openshell_driver_api::WatchEvent;
use serde_json::json;

use crate::bench::{Bench, image, read_until, ready_reason, request, sandbox_id, waiting};
use crate::service::Service;

/// An event as a word and the sandbox that it is about.
fn word(event: &WatchEvent) -> String {
    match event {
        WatchEvent::Sandbox(sandbox) => format!("{} {}", sandbox.id, ready_reason(sandbox)),
        WatchEvent::Deleted(id) => format!("{id} deleted"),
        WatchEvent::Platform { id, event } => format!("{id} says {}", event.reason),
    }
}

#[tokio::test]
async fn the_snapshot_comes_first_and_then_every_change() {
    let Some(bench) = Bench::new("").await else { return };
    for id in ["a", "b"] {
        bench.driver.create(&waiting(id)).await.expect("create");
    }
    let mut events = bench.driver.watch().await.expect("a watch");
    let snapshot = read_until(&mut events, |event| word(event).starts_with("b ")).await;
    assert_eq!(snapshot.iter().map(word).collect::<Vec<_>>(), ["a Running", "b Running"]);

    bench.driver.create(&waiting("c")).await.expect("create");
    bench.driver.stop(&sandbox_id("a")).await.expect("stop");
    bench.driver.start(&sandbox_id("a")).await.expect("start");
    bench.driver.delete(&sandbox_id("b")).await.expect("delete");
    let changes: Vec<String> =
        read_until(&mut events, |event| word(event) == "b deleted").await.iter().map(word).collect();
    let of = |id: &str| -> Vec<&String> { changes.iter().filter(|word| word.starts_with(id)).collect() };
    // What the driver says and what the service does come by different ways, each in its order.
    let (said, done): (Vec<&String>, Vec<&String>) =
        of("c").into_iter().partition(|word| word.contains(" says "));
    assert_eq!(said, ["c says Created", "c says Started"], "{changes:?}");
    assert_eq!(done.last().map(|word| word.as_str()), Some("c Running"), "{changes:?}");
    let a = of("a");
    let stopped = a.iter().position(|word| *word == "a Stopped").expect("a stopped");
    assert!(a[stopped..].iter().any(|word| *word == "a Running"), "{changes:?}");
}

#[tokio::test]
async fn what_happens_by_itself_and_by_somebody_s_hand_is_seen() {
    let Some(bench) = Bench::new("").await else { return };
    let mut events = bench.driver.watch().await.expect("a watch");
    bench.driver.create(&request("brief", &["sh", "-c", "sleep 1; exit 7"])).await.expect("create");
    let seen = read_until(&mut events, |event| word(event) == "brief ContainerExited").await;
    let Some(WatchEvent::Sandbox(last)) = seen.last() else { panic!("a sandbox") };
    assert!(last.status.conditions[0].message.contains("exit code 7"), "{last:?}");
    let started = format!("/containers/{}/start", last.status.instance_id);
    bench.api.post(&started, &serde_json::Value::Null).await;
    read_until(&mut events, |event| word(event) == "brief Running").await;
    read_until(&mut events, |event| word(event) == "brief ContainerExited").await;
    // Stopping what had ended makes no event of the service's.
    bench.driver.stop(&sandbox_id("brief")).await.expect("stop");
    read_until(&mut events, |event| word(event) == "brief Stopped").await;
}

#[tokio::test]
async fn another_gateway_s_sandboxes_are_not_seen() {
    let (Some(one), Some(two)) = (Bench::new("").await, Bench::new("").await) else { return };
    let mut events = one.driver.watch().await.expect("a watch");
    two.driver.create(&waiting("theirs")).await.expect("create");
    two.driver.delete(&sandbox_id("theirs")).await.expect("delete");
    one.driver.create(&waiting("ours")).await.expect("create");
    let seen = read_until(&mut events, |event| word(event) == "ours Running").await;
    assert!(seen.iter().all(|event| word(event).starts_with("ours ")), "{seen:?}");
}

#[tokio::test]
async fn what_the_driver_does_is_told_at_once() {
    let Some(bench) = Bench::new("").await else { return };
    let mut events = bench.driver.watch().await.expect("a watch");
    bench.driver.create(&waiting("quick")).await.expect("create");
    read_until(&mut events, |event| word(event) == "quick Running").await;
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        bench.driver.stop(&sandbox_id("quick")).await.expect("stop");
        let done = tokio::time::Instant::now();
        read_until(&mut events, |event| word(event) == "quick Stopped").await;
        slowest = slowest.max(done.elapsed());
        bench.driver.start(&sandbox_id("quick")).await.expect("start");
        read_until(&mut events, |event| word(event) == "quick Running").await;
    }
    println!("slowest: {slowest:?}");
    // Not by the next list: they are ten seconds apart.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

#[tokio::test]
async fn an_end_is_told_before_it_is_cleared_away() {
    let Some(bench) = Bench::new("").await else { return };
    let mut events = bench.driver.watch().await.expect("a watch");
    let ids: Vec<String> = (0..8).map(|number| format!("end-{number}")).collect();
    for id in &ids {
        bench.driver.create(&waiting(id)).await.expect("create");
        read_until(&mut events, |event| word(event) == format!("{id} Running")).await;
    }
    let begun = tokio::time::Instant::now();
    for id in &ids {
        bench
            .api
            .post(&format!("/containers/{}/kill", bench.container(id).await), &serde_json::Value::Null)
            .await;
    }
    let mut ended = std::collections::BTreeSet::new();
    let seen = read_until(&mut events, |event| {
        if let (WatchEvent::Sandbox(sandbox), true) = (event, word(event).ends_with(" ContainerExited")) {
            ended.insert(sandbox.id.clone());
        }
        ended.len() == ids.len()
    })
    .await;
    println!("{} ends told within {:?}", ids.len(), begun.elapsed());
    let Some(WatchEvent::Sandbox(last)) = seen.last() else { panic!("a sandbox") };
    assert!(last.status.conditions[0].message.contains("exit code 137"), "{last:?}");
    // A delete is the last word, whatever comes late of the service's.
    for id in &ids {
        assert!(bench.driver.delete(&sandbox_id(id)).await.expect("delete"));
        read_until(&mut events, |event| word(event) == format!("{id} deleted")).await;
    }
    bench.driver.create(&waiting("after")).await.expect("create");
    let late = read_until(&mut events, |event| word(event) == "after Running").await;
    assert!(late.iter().all(|event| !word(event).contains("ContainerExited")), "{late:?}");
}

#[tokio::test]
async fn what_no_event_tells_is_found_all_the_same() {
    let Some(service) = Service::new().await else { return };
    let bench = Bench::at(&service.socket(), "network = 'none'\nstop_timeout = 0").await;
    let mut events = bench.driver.watch().await.expect("a watch");
    bench.driver.create(&waiting("goes")).await.expect("create");
    read_until(&mut events, |event| word(event) == "goes Running").await;
    // The first list is that of the watch's beginning: it has to be in the next one.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let container = bench.container("goes").await;
    let mut remove = service.podman();
    remove.args(["--events-backend=none", "rm", "-f", "-t", "0", &container]);
    assert!(remove.output().expect("podman").status.success());
    read_until(&mut events, |event| word(event) == "goes deleted").await;
    bench.until_nothing_is_left().await;
}

#[tokio::test]
async fn a_log_of_events_that_begins_anew_is_not_the_end() {
    let Some(service) = Service::with("events_logfile_max_size = \"8k\"").await else { return };
    let bench = Bench::at(&service.socket(), "network = 'none'\nstop_timeout = 0").await;
    let mut events = bench.driver.watch().await.expect("a watch");
    bench.driver.create(&waiting("ends")).await.expect("create");
    read_until(&mut events, |event| word(event) == "ends Running").await;
    let container = bench.container("ends").await;
    let file = || std::fs::metadata(service.events_log()).expect("a log").ino();
    let (mut before, mut anew) = (file(), 0);
    // What somebody else does fills it.
    let other =
        json!({"name": "other", "image": image(), "entrypoint": ["true"], "netns": {"nsmode": "none"}});
    for _ in 0..100 {
        bench.api.post("/containers/create", &other).await;
        bench.api.delete("/containers/other").await;
        let now = file();
        anew += usize::from(now != before);
        before = now;
        if anew == 3 {
            break;
        }
    }
    assert_eq!(anew, 3, "times that the log began anew");
    let begun = tokio::time::Instant::now();
    bench.api.post(&format!("/containers/{container}/kill"), &serde_json::Value::Null).await;
    let told = read_until(&mut events, |event| word(event) == "ends ContainerExited").await;
    println!("an end told after {:?}", begun.elapsed());
    // By an event: lists are ten seconds apart.
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    assert!(told.iter().all(|event| word(event).starts_with("ends ")), "{told:?}");
}
