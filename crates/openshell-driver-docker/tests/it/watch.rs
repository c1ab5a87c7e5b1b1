//! The watch: a snapshot, then changes, then an end that says why.

use std::time::Duration;

use futures_util::StreamExt;
use openshell_driver_api::{ErrorKind, WatchEvent};

use crate::bench::{Bench, PATIENCE, read_until, ready_reason, request, sandbox_id};

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
        bench.driver.create(&request(id, &["sleep", "300"])).await.expect("create");
    }
    let mut events = bench.driver.watch().await.expect("a watch");
    let snapshot = read_until(&mut events, |event| word(event).starts_with("b ")).await;
    assert_eq!(snapshot.iter().map(word).collect::<Vec<_>>(), ["a Running", "b Running"]);

    bench.driver.create(&request("c", &["sleep", "300"])).await.expect("create");
    bench.driver.stop(&sandbox_id("a")).await.expect("stop");
    bench.driver.start(&sandbox_id("a")).await.expect("start");
    bench.driver.delete(&sandbox_id("b")).await.expect("delete");
    let changes: Vec<String> =
        read_until(&mut events, |event| word(event) == "b deleted").await.iter().map(word).collect();
    let of = |id: &str| -> Vec<&String> { changes.iter().filter(|word| word.starts_with(id)).collect() };
    // What the driver says and what the engine does come by different ways, each in its order.
    let (said, done): (Vec<&String>, Vec<&String>) =
        of("c").into_iter().partition(|word| word.contains(" says "));
    assert_eq!(said, ["c says Created", "c says Started"], "{changes:?}");
    assert_eq!(done.last().map(|word| word.as_str()), Some("c Running"), "{changes:?}");
    let a = of("a");
    let stopped = a.iter().position(|word| *word == "a Stopped").expect("a stopped");
    assert!(a[stopped..].iter().any(|word| *word == "a Running"), "{changes:?}");
    assert_eq!(changes.last().map(String::as_str), Some("b deleted"));
}

#[tokio::test]
async fn an_exit_is_seen() {
    let Some(bench) = Bench::new("").await else { return };
    let mut events = bench.driver.watch().await.expect("a watch");
    bench.driver.create(&request("brief", &["sh", "-c", "exit 7"])).await.expect("create");
    let seen = read_until(&mut events, |event| word(event) == "brief ContainerExited").await;
    let Some(WatchEvent::Sandbox(last)) = seen.last() else { panic!("a sandbox") };
    assert!(last.status.conditions[0].message.contains("exit code 7"), "{last:?}");
}

#[tokio::test]
async fn a_stop_of_what_had_ended_is_seen() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver.create(&request("ended", &["true"])).await.expect("create");
    bench.until("ended", "ContainerExited").await;
    let mut events = bench.driver.watch().await.expect("a watch");
    read_until(&mut events, |event| word(event) == "ended ContainerExited").await;
    bench.driver.stop(&sandbox_id("ended")).await.expect("stop");
    read_until(&mut events, |event| word(event) == "ended Stopped").await;
}

#[tokio::test]
async fn another_gateway_s_sandboxes_are_not_seen() {
    let (Some(one), Some(two)) = (Bench::new("").await, Bench::new("").await) else { return };
    let mut events = one.driver.watch().await.expect("a watch");
    two.driver.create(&request("theirs", &["sleep", "300"])).await.expect("create");
    two.driver.delete(&sandbox_id("theirs")).await.expect("delete");
    one.driver.create(&request("ours", &["sleep", "300"])).await.expect("create");
    let seen = read_until(&mut events, |event| word(event) == "ours Running").await;
    assert!(seen.iter().all(|event| word(event).starts_with("ours ")), "{seen:?}");
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_cut_with_a_reason() {
    let Some(bench) = Bench::new("").await else { return };
    let mut events = bench.driver.watch().await.expect("a watch");
    // Each of these makes two events; the buffer holds a thousand or so.
    let creates = (0..1200).map(|number| {
        let mut request = request(&format!("behind-{number}"), &["true"]);
        request.spec.template.image = "127.0.0.1:1/no:1".to_owned();
        let driver = std::sync::Arc::clone(&bench.driver);
        async move { driver.create(&request).await }
    });
    let failed = futures_util::stream::iter(creates)
        .buffer_unordered(8)
        .filter(|r| std::future::ready(r.is_err()))
        .count();
    assert_eq!(failed.await, 1200);
    let mut count = 0;
    let end = tokio::time::timeout(PATIENCE, async {
        loop {
            match events.next().await.expect("a reason before the end") {
                Ok(_) => count += 1,
                Err(error) => return error,
            }
        }
    });
    assert_eq!(end.await.expect("an end").kind(), ErrorKind::ResourceExhausted);
    assert!(events.next().await.is_none());
    assert!(count >= 1000, "what was taken in is still told: {count}");
}

#[tokio::test]
async fn watchers_that_are_dropped_disturb_nobody() {
    let Some(bench) = Bench::new("").await else { return };
    let mut stays = bench.driver.watch().await.expect("a watch");
    for _ in 0..20 {
        drop(bench.driver.watch().await.expect("a watch"));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    bench.driver.create(&request("after", &["sleep", "300"])).await.expect("create");
    read_until(&mut stays, |event| word(event) == "after Running").await;
}
