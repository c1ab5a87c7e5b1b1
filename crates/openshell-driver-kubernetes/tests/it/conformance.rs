//! The driver contract on a real cluster: the driver in this process, and the same driver as a program of its own. A pod
//! takes seconds to start and to go, so of the program only what a program adds is looked at.

use std::sync::Arc;
use std::time::Duration;

use openshell_driver_conformance::{Options, Selector, Target, hold_program, run};

use crate::bench::{Bench, PATIENCE, image};

/// Cases that run at a time; most of it is waiting for the kubelet.
const SIDE_BY_SIDE: usize = 8;
/// What depends on how the driver is served.
const OF_A_PROGRAM: &[&str] = &["handshake", "socket", "secrets", "restart"];

fn options() -> Options {
    Options {
        image: Some(image()),
        side_by_side: SIDE_BY_SIDE,
        timeout: Duration::from_secs(120),
        ..Options::default()
    }
}

/// The kubelet keeps what has ended for a while.
async fn nothing_is_left(bench: &Bench) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let left = bench.leftovers().await;
        if left.is_empty() {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{left:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_in_this_process_keeps_the_contract() {
    let Some(bench) = Bench::new("").await else { return };
    let report = run(Target::Driver(Arc::clone(&bench.driver)), options()).await.expect("a report");
    assert_eq!(report.failed().count(), 0, "{report}");
    nothing_is_left(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drivers_program_keeps_what_a_program_adds() {
    let Some(bench) = Bench::new("").await else { return };
    let home = tempfile::tempdir().expect("a directory");
    let config = home.path().join("gateway.toml");
    let table =
        format!("[openshell.drivers.kubernetes]\nnamespace = \"{}\"\nstop_timeout = 1\n", bench.namespace);
    std::fs::write(&config, table).expect("a file");
    let only = OF_A_PROGRAM.iter().map(|name| Selector::parse(name).expect("a group")).collect();
    let options = Options { only, ..options() };
    let report = hold_program("kubernetes", &bench.gateway_id, options, move |command| {
        command.arg("--config").arg(&config);
    });
    let Some(report) = report.await else { return };
    assert_eq!(report.failed().count(), 0, "{report}");
    nothing_is_left(&bench).await;
}
