//! The driver contract on a real engine: the driver in this process, and the same driver as a program of its own.

use std::sync::Arc;
use std::time::Duration;

use openshell_driver_conformance::{Options, Target, hold_program, run};

use crate::bench::{Bench, image};

/// Cases that run at a time: the engine is slow at several things at once, too.
const SIDE_BY_SIDE: usize = 4;

fn options() -> Options {
    Options {
        image: Some(image()),
        side_by_side: SIDE_BY_SIDE,
        // The engine has other things to do, and so has the machine.
        timeout: Duration::from_secs(120),
        prompt: Duration::from_secs(10),
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_in_this_process_keeps_the_contract() {
    let Some(bench) = Bench::new("").await else { return };
    let report = run(Target::Driver(Arc::clone(&bench.driver)), options()).await.expect("a report");
    assert_eq!(report.failed().count(), 0, "{report}");
    assert_eq!(bench.leftovers().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drivers_program_keeps_the_contract() {
    let Some(bench) = Bench::new("").await else { return };
    let engine = bench.table["socket_path"].as_str().expect("a path").to_owned();
    let report = hold_program("docker", &bench.gateway_id, options(), move |command| {
        command.env("DOCKER_HOST", format!("unix://{engine}"));
    });
    let Some(report) = report.await else { return };
    assert_eq!(report.failed().count(), 0, "{report}");
    assert_eq!(bench.leftovers().await, [""; 0]);
}
