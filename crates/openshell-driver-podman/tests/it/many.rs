//! Six hundred containers, made and not started, on a service of the test's own: none is lost, and nothing waits for a buffer
//! that nobody empties.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use openshell_driver_api::{WatchEvent, labels};
use serde_json::json;

use crate::bench::{Bench, PATIENCE, image, read_until, request, sandbox_id};
use crate::service::Service;

const MANY: usize = 600;

/// Makes containers as the driver labels them, without asking it.
async fn make(bench: &Bench, range: std::ops::Range<usize>) {
    let mut nth = range.clone();
    // A few at a time, as a service takes them.
    let makes = std::iter::from_fn(|| nth.next()).map(|number| async move {
        let id = format!("many-{number:03}");
        let body = json!({
            "name": format!("openshell-{}.{id}", bench.gateway_id),
            "image": image(),
            "entrypoint": ["sleep", "300"],
            "netns": {"nsmode": "none"},
            "labels": {
                labels::MANAGED_BY: labels::MANAGED_BY_VALUE,
                labels::GATEWAY_ID: bench.gateway_id,
                labels::SANDBOX_ID: id,
                labels::SANDBOX_NAME: id,
                labels::SANDBOX_WORKSPACE: "default",
            },
        });
        bench.api.post("/containers/create", &body).await;
    });
    futures_util::stream::iter(makes).buffer_unordered(4).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_hundred_that_never_ran() {
    let Some(service) = Service::new().await else { return };
    let bench = Bench::at(&service.socket(), "network = 'none'\nstop_timeout = 0").await;
    make(&bench, 0..MANY - 50).await;

    // Nobody reads this one: it holds up neither the service nor the driver.
    let _unread = bench.driver.watch().await.expect("a watch");
    let begin = Instant::now();
    let mut events = bench.driver.watch().await.expect("a watch");
    // Read slowly at first, while more are made: what happens during the snapshot is in it or comes after it.
    let first = events.next().await.expect("an item").expect("an event");
    make(&bench, MANY - 50..MANY).await;
    let mut seen = BTreeSet::new();
    let mut note = |event: &WatchEvent| {
        if let WatchEvent::Sandbox(sandbox) = event {
            seen.insert(sandbox.id.as_str().to_owned());
        }
        seen.len() == MANY
    };
    note(&first);
    read_until(&mut events, note).await;
    println!("{MANY} seen by a watch after {:?}", begin.elapsed());

    let begin = Instant::now();
    let list = tokio::time::timeout(PATIENCE, bench.driver.list()).await.expect("in time").expect("a list");
    println!("{MANY} listed in {:?}", begin.elapsed());
    assert_eq!(list.len(), MANY);
    assert!(begin.elapsed() < Duration::from_secs(30));

    // All of them go at once, and each is told of.
    let api = bench.api.clone();
    let removal = tokio::spawn(async move {
        let removals = list.into_iter().map(|sandbox| {
            let (api, container) = (api.clone(), sandbox.status.instance_id);
            async move { api.delete(&format!("/containers/{container}?force=true&timeout=0")).await }
        });
        futures_util::stream::iter(removals).buffer_unordered(4).collect::<Vec<()>>().await
    });
    let mut gone = BTreeSet::new();
    read_until(&mut events, |event| {
        if let WatchEvent::Deleted(id) = event {
            gone.insert(id.clone());
        }
        gone.len() == MANY
    })
    .await;
    assert_eq!(bench.driver.list().await.expect("a list"), []);
    removal.await.expect("a task");
    assert_eq!(bench.leftovers().await, Vec::<String>::new());

    // And the service is as good as before.
    bench.driver.create(&request("after", &["true"])).await.expect("create");
    assert!(bench.driver.delete(&sandbox_id("after")).await.expect("delete"));
}
