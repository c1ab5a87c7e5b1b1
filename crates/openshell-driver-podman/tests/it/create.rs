//! Creates that fail leave nothing, and a second one disturbs nothing.

use std::sync::Arc;
use std::time::Duration;

use openshell_driver_api::ErrorKind;

use crate::bench::{Bench, ready_reason, request, sandbox_id, waiting};

#[tokio::test]
async fn a_second_create_disturbs_nothing() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver.create(&waiting("taken")).await.expect("create");
    let before = bench.driver.get(&sandbox_id("taken")).await.expect("a sandbox");
    let left = bench.leftovers().await;
    let mut again = request("taken", &["true"]);
    again.name = "another-name".to_owned();
    assert_eq!(bench.driver.create(&again).await.expect_err("taken").kind(), ErrorKind::AlreadyExists);
    // Another process with the same gateway id knows nothing of this one's locks.
    let other = bench.reopen().await;
    assert_eq!(other.create(&again).await.expect_err("taken").kind(), ErrorKind::AlreadyExists);
    assert_eq!(bench.driver.get(&sandbox_id("taken")).await.expect("a sandbox"), before);
    assert_eq!(bench.leftovers().await, left);
}

#[tokio::test]
async fn of_many_creates_at_once_one_wins() {
    let Some(bench) = Bench::new("").await else { return };
    let creates = (0..6).map(|_| {
        let driver = Arc::clone(&bench.driver);
        async move { driver.create(&waiting("race")).await.map_err(|error| error.kind()) }
    });
    let results = futures_util::future::join_all(creates).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert!(
        results.iter().all(|result| matches!(result, Ok(()) | Err(ErrorKind::AlreadyExists))),
        "{results:?}"
    );
    assert_eq!(ready_reason(&bench.driver.get(&sandbox_id("race")).await.expect("a sandbox")), "Running");
}

#[tokio::test]
async fn a_create_that_fails_half_way_leaves_nothing() {
    for config in ["user = 'nobody-here'", "network = 'no-such-network'"] {
        let Some(bench) = Bench::new(config).await else { return };
        let error = bench.driver.create(&waiting("half")).await.expect_err(config);
        assert!(
            matches!(error.kind(), ErrorKind::FailedPrecondition | ErrorKind::InvalidArgument),
            "{config}: {error:?}"
        );
        assert_eq!(bench.leftovers().await, Vec::<String>::new(), "{config}");
    }
}

#[tokio::test]
async fn a_command_that_does_not_exist_leaves_nothing_and_is_named() {
    let Some(bench) = Bench::new("").await else { return };
    let created = bench.driver.create(&request("no-command", &["/no/such/program"])).await;
    match created {
        // Where the service's host has an init, that one starts and finds nothing to run.
        Ok(()) => {
            let seen = bench.until("no-command", "ContainerExited").await;
            assert!(seen.status.conditions[0].message.contains("exit code 127"), "{seen:?}");
            assert!(bench.driver.delete(&sandbox_id("no-command")).await.expect("delete"));
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
            assert!(error.message().contains("/no/such/program"), "{error}");
        }
    }
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_empty_command_is_a_shell_that_waits() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver.create(&request("shell", &[])).await.expect("create");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(ready_reason(&bench.driver.get(&sandbox_id("shell")).await.expect("a sandbox")), "Running");
    assert_eq!(bench.inspect("shell").await["Path"], "/bin/sh");
}

#[tokio::test]
async fn the_argv_is_exact() {
    let Some(bench) = Bench::new("").await else { return };
    let words = ["printf", "[%s]", "a  b", "", "$HOME", "'\"\\"];
    assert_eq!(bench.printed(&request("exact", &words)).await, "[a  b][][$HOME]['\"\\]");
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_half_sandbox() {
    let Some(bench) = Bench::new("").await else { return };
    for wait in [1, 20, 60, 120] {
        let id = format!("left-{wait}");
        let request = waiting(&id);
        let gone = tokio::time::timeout(Duration::from_millis(wait), bench.driver.create(&request));
        let _ = gone.await;
        assert!(bench.driver.delete(&sandbox_id(&id)).await.is_ok());
    }
    // Whatever the deletes came upon, nothing is left, once the last create has come to its end.
    bench.until_nothing_is_left().await;
}
