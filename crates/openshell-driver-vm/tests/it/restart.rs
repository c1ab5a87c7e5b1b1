//! Drivers that end, in order and not, and those that come after them.

use std::time::Duration;

use openshell_driver_api::ErrorKind;

use crate::bench::{Bench, ready_message, ready_reason, request, sandbox_id, script};

const SCRIPT: &str =
    "test -f /sandbox/mark && exit 7; echo > /sandbox/mark; sync; echo MARKED; exec sleep 300";

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_is_stopped_what_had_ended_is_what_it_was_and_a_start_finds_the_disk() {
    let Some(mut bench) = Bench::new("").await else { return };
    bench.driver().create(&request("runs", &["sh", "-c", SCRIPT])).await.expect("create");
    bench.driver().create(&request("ended", &["sh", "-c", "exit 3"])).await.expect("create");
    bench.until("runs", "Running").await;
    bench.until("ended", "ContainerExited").await;
    let before = bench.driver().get(&sandbox_id("runs")).await.expect("a sandbox");
    bench.until_shown("runs", "MARKED").await;

    // Without a word: as when it is killed.
    bench.driver = None;
    // What a crash may leave of sandboxes in the making and going.
    let sandboxes = bench.directory("");
    for name in [".new-half", ".gone-half"] {
        std::fs::create_dir_all(sandboxes.join(name).join("deep")).expect("a directory");
    }
    bench.open().await;
    assert_eq!(bench.machines(""), Vec::<u32>::new(), "machines end with their driver");
    let listed = bench.driver().list().await.expect("a list");
    let told: Vec<(&str, &str)> = listed.iter().map(|s| (s.id.as_str(), ready_reason(s))).collect();
    assert_eq!(told, [("ended", "ContainerExited"), ("runs", "Stopped")]);
    assert_eq!(ready_message(&listed[0]), "the main process ended with exit code 3");
    assert_eq!(listed[1].status.instance_id, before.status.instance_id);
    assert_eq!(std::fs::read_dir(&sandboxes).expect("a directory").count(), 2, "nothing half-made");

    bench.driver().start(&sandbox_id("runs")).await.expect("start");
    let seen = bench.until("runs", "ContainerExited").await;
    assert_eq!(ready_message(&seen), "the main process ended with exit code 7", "{}", bench.console("runs"));
    for id in ["runs", "ended"] {
        assert!(bench.driver().delete(&sandbox_id(id)).await.expect("delete"));
    }
    assert_eq!(bench.leftovers(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_guests_in_order_and_starts_none() {
    let Some(mut bench) = Bench::new("").await else { return };
    // Without a sync of its own: an orderly end is what writes it.
    let script = "test -f /sandbox/mark && exit 7; trap 'echo > /sandbox/mark; exit 5' TERM; echo TRAPPED; sleep 300 & wait";
    bench.driver().create(&request("order", &["sh", "-c", script])).await.expect("create");
    bench.until_shown("order", "TRAPPED").await;
    bench.driver().shutdown(Duration::from_secs(20)).await;
    assert_eq!(bench.machines(""), Vec::<u32>::new());
    let seen = bench.driver().get(&sandbox_id("order")).await.expect("a sandbox");
    assert_eq!(ready_message(&seen), "stopped; the main process ended with exit code 5");
    let error = bench.driver().start(&sandbox_id("order")).await.expect_err("it is ending");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    bench.driver = None;
    bench.open().await;
    bench.driver().start(&sandbox_id("order")).await.expect("start");
    let seen = bench.until("order", "ContainerExited").await;
    assert_eq!(ready_message(&seen), "the main process ended with exit code 7");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_drivers_of_two_gateways_share_images_and_nothing_else() {
    let root = tempfile::tempdir().expect("a directory");
    let config = format!("hang_after = 600\nqemu_path = \"{}\"", script(root.path()).display());
    let Some(first) = Bench::new(&config).await else { return };
    let Some(second) = Bench::closed(&config) else { return };
    let mut second = second.at(first.state_dir());
    second.open().await;
    first.driver().create(&request("a", &["sleep", "300"])).await.expect("create");
    assert_eq!(second.driver().list().await.expect("a list"), []);
    second.driver().create(&request("a", &["true"])).await.expect("the same id");
    second.until("a", "Running").await;
    assert!(second.driver().delete(&sandbox_id("a")).await.expect("delete"));
    first.until("a", "Running").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_driver_of_one_gateway_is_refused_and_harms_nothing() {
    let root = tempfile::tempdir().expect("a directory");
    let config = format!("hang_after = 600\nqemu_path = \"{}\"", script(root.path()).display());
    let Some(bench) = Bench::new(&config).await else { return };
    bench.driver().create(&request("first", &["true"])).await.expect("create");
    bench.until("first", "Running").await;
    let Err(error) = bench.try_open().await else { panic!("it opened") };
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
    assert!(error.message().starts_with("another driver of this gateway holds `"), "{error}");
    bench.until("first", "Running").await;
}
