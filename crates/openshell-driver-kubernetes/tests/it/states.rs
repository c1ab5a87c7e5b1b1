//! What goes wrong with a pod, told apart.

use openshell_driver_api::conditions::{READY, ReasonClass, Wanted, classify, find};

use crate::bench::{Bench, ready, request, sandbox_id};

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_has_its_code_and_a_start_runs_it_again() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver.create(&request("crash", &["sh", "-c", "sleep 1; exit 3"])).await.expect("create");
    let first = bench.until("crash", "ContainerExited").await;
    assert!(ready(&first).message.contains("exit code 3"), "{first:?}");
    bench.driver.start(&sandbox_id("crash")).await.expect("start");
    let second = bench.until("crash", "Running").await;
    assert_ne!(second.status.instance_id, first.status.instance_id);
    // A stop of what has ended by itself is a stop from then on.
    bench.until("crash", "ContainerExited").await;
    bench.driver.stop(&sandbox_id("crash")).await.expect("stop");
    bench.until("crash", "Stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_memory_is_told_apart() {
    let Some(bench) = Bench::new("").await else { return };
    let mut hungry = request("oom", &["sh", "-c", "tail /dev/zero"]);
    hungry.spec.template.resources.memory_limit = "24Mi".to_owned();
    bench.driver.create(&hungry).await.expect("create");
    let seen = bench.until("oom", "OOMKilled").await;
    assert!(ready(&seen).message.contains("out of memory"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_exist() {
    let Some(bench) = Bench::new("").await else { return };
    let mut wanted = request("no-image", &["true"]);
    // Nobody listens on port 1, so the pull fails at once.
    wanted.spec.template.image = "127.0.0.1:1/no/such:image".to_owned();
    bench.driver.create(&wanted).await.expect("create");
    let seen = bench.until("no-image", "ImagePullFailed").await;
    assert!(ready(&seen).message.contains("127.0.0.1:1"), "{seen:?}");
    assert!(bench.driver.delete(&sandbox_id("no-image")).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fits_no_node_is_waited_for() {
    let Some(bench) = Bench::new("ephemeral = true").await else { return };
    let mut large = request("large", &["true"]);
    large.spec.template.resources.cpu_request = "4000".to_owned();
    bench.driver.create(&large).await.expect("create");
    let seen = bench.until("large", "Unschedulable").await;
    let ready = find(&seen.status.conditions, READY).expect("Ready");
    assert!(ready.message.contains("nsufficient cpu"), "{ready:?}");
    assert_eq!(classify(&ready.reason, Wanted::Running), ReasonClass::Unknown, "a node may come");
    assert!(bench.driver.delete(&sandbox_id("large")).await.expect("delete"));
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_exist() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver.create(&request("no-program", &["/no/such/program"])).await.expect("create");
    let seen = bench.until("no-program", "ContainerStartFailed").await;
    assert!(ready(&seen).message.contains("/no/such/program"), "{seen:?}");
}
