//! Create, stop, start, delete, list, watch; and that each may be said twice.

use openshell_driver_api::conditions::{SUSPENDED, find};
use openshell_driver_api::{ConditionStatus, ErrorKind, WatchEvent};

use crate::bench::{Bench, read_until, ready_message, ready_reason, request, sandbox_id};

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_life_keeps_the_workspace_until_the_end() {
    let Some(bench) = Bench::new("").await else { return };
    let (driver, id) = (bench.driver(), sandbox_id("life"));
    let mut events = driver.watch().await.expect("a watch");
    let script = "test -f /sandbox/mark && exit 7; id -u > /sandbox/mark; echo MARKED; exec sleep 300";
    driver.create(&request("life", &["sh", "-c", script])).await.expect("create");
    let first = bench.until("life", "Running").await;
    assert_eq!((first.name.as_str(), first.workspace.as_str()), ("name-of-life", "default"));
    assert_eq!(bench.machines("life").len(), 1);
    bench.until_shown("life", "MARKED").await;

    driver.stop(&id).await.expect("stop");
    let stopped = driver.get(&id).await.expect("a sandbox");
    assert_eq!(ready_reason(&stopped), "Stopped");
    let suspended = find(&stopped.status.conditions, SUSPENDED).map(|condition| condition.status);
    assert_eq!(suspended, Some(ConditionStatus::True));
    assert_eq!(bench.machines("life"), Vec::<u32>::new());

    driver.start(&id).await.expect("start");
    let second = bench.until("life", "ContainerExited").await;
    assert_eq!(second.status.instance_id, first.status.instance_id, "the same sandbox");
    assert_eq!(ready_message(&second), "the main process ended with exit code 7");

    assert!(driver.delete(&id).await.expect("delete"));
    assert_eq!(bench.leftovers(), Vec::<String>::new());
    assert!(!driver.delete(&id).await.expect("delete again"));
    assert_eq!(driver.get(&id).await.expect_err("gone").kind(), ErrorKind::NotFound);

    let seen = read_until(&mut events, |event| *event == WatchEvent::Deleted(id.clone())).await;
    let mut reasons: Vec<&str> = seen
        .iter()
        .filter_map(|event| match event {
            WatchEvent::Sandbox(sandbox) => Some(ready_reason(sandbox)),
            _ => None,
        })
        .collect();
    reasons.dedup();
    for reason in ["ContainerStarting", "Running", "Stopped", "ContainerExited"] {
        assert!(reasons.contains(&reason), "`{reason}` is not in {reasons:?}");
    }
    let told = |word: &str| {
        seen.iter().any(|event| matches!(event, WatchEvent::Platform { event, .. } if event.reason == word))
    };
    assert!(told("Created") && told("Booting") && told("Started"), "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_may_be_said_twice() {
    let Some(bench) = Bench::new("").await else { return };
    let (driver, id) = (bench.driver(), sandbox_id("twice"));
    for operation in [driver.stop(&id).await, driver.start(&id).await] {
        assert_eq!(operation.expect_err("nothing there").kind(), ErrorKind::NotFound);
    }
    let asked = request("twice", &["sleep", "300"]);
    let creates = tokio::join!(driver.create(&asked), driver.create(&asked));
    let refused: Vec<ErrorKind> = [creates.0, creates.1]
        .into_iter()
        .filter_map(|create| create.err().map(|error| error.kind()))
        .collect();
    assert_eq!(refused, [ErrorKind::AlreadyExists], "one of the two");
    driver.start(&id).await.expect("start what boots");
    bench.until("twice", "Running").await;
    driver.start(&id).await.expect("start what runs");
    assert_eq!(driver.create(&asked).await.expect_err("there").kind(), ErrorKind::AlreadyExists);
    assert_eq!(bench.machines("twice").len(), 1);
    for _ in 0..2 {
        driver.stop(&id).await.expect("stop");
        assert_eq!(ready_reason(&driver.get(&id).await.expect("a sandbox")), "Stopped");
    }
    let deletes = tokio::join!(driver.delete(&id), driver.delete(&id));
    let deletes = [deletes.0.expect("delete"), deletes.1.expect("delete")];
    assert_eq!(deletes.iter().filter(|deleted| **deleted).count(), 1);
    assert_eq!(bench.leftovers(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_and_a_delete_do_not_wait_for_a_boot() {
    let Some(bench) = Bench::new("stop_timeout = 1").await else { return };
    let driver = bench.driver();
    for id in ["stopped", "deleted"] {
        driver.create(&request(id, &["sleep", "300"])).await.expect("create");
    }
    assert!(driver.delete(&sandbox_id("deleted")).await.expect("delete"));
    driver.stop(&sandbox_id("stopped")).await.expect("stop");
    assert_eq!(ready_reason(&driver.get(&sandbox_id("stopped")).await.expect("a sandbox")), "Stopped");
    assert_eq!(bench.machines(""), Vec::<u32>::new());
    driver.start(&sandbox_id("stopped")).await.expect("start");
    bench.until("stopped", "Running").await;
}
