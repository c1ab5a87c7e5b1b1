//! The driver contract on a real cluster: the driver in this process, and the same driver as a program of its own. A pod
//! takes seconds to start and to go, so that each of the two is held to the groups that are about it; the other's are named.

use std::sync::Arc;
use std::time::Duration;

use openshell_driver_conformance::{Group, Options, Report, Selector, Target, hold_program, run};

use crate::bench::{Bench, PATIENCE, image};

/// Cases that run at a time; most of it is waiting for the kubelet.
const SIDE_BY_SIDE: usize = 8;
/// What is the same however the driver is served.
const IN_PROCESS: &[Group] =
    &[Group::Identity, Group::Validation, Group::Lifecycle, Group::Idempotency, Group::Watch, Group::Errors];
/// What depends on it.
const OF_A_PROGRAM: &[Group] = &[Group::Handshake, Group::Socket, Group::Secrets, Group::Restart];
/// The one case of the others that needs a second process.
const BESIDE: &str = "identity.gateways-apart";

fn options(groups: &[Group]) -> Options {
    let only = groups.iter().map(|group| Selector::parse(group.name()).expect("a group")).collect();
    Options {
        only,
        image: Some(image()),
        side_by_side: SIDE_BY_SIDE,
        timeout: Duration::from_secs(120),
        prompt: Duration::from_secs(10),
        ..Options::default()
    }
}

/// Says which groups are the other test's, and looks that nothing failed and nothing is left. The kubelet keeps what has
/// ended for a while.
async fn judge(report: &Report, elsewhere: &[Group], bench: &Bench) {
    println!("{report}");
    println!("of these groups nothing was run here: {elsewhere:?}");
    assert_eq!(report.failed().count(), 0, "{report}");
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
    let driver = Arc::clone(&bench.driver);
    let report = run(Target::Driver(driver), options(IN_PROCESS)).await.expect("a report");
    judge(&report, OF_A_PROGRAM, &bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drivers_program_keeps_what_a_program_adds() {
    let Some(bench) = Bench::new("").await else { return };
    let home = tempfile::tempdir().expect("a directory");
    let config = home.path().join("gateway.toml");
    let table =
        format!("[openshell.drivers.kubernetes]\nnamespace = \"{}\"\nstop_timeout = 1\n", bench.namespace);
    std::fs::write(&config, table).expect("a file");
    let mut options = options(OF_A_PROGRAM);
    options.only.push(Selector::parse(BESIDE).expect("a case"));
    let report = hold_program("kubernetes", &bench.gateway_id, options, move |command| {
        command.arg("--config").arg(&config);
    });
    let Some(report) = report.await else { return };
    judge(&report, IN_PROCESS, &bench).await;
}

#[test]
fn every_group_is_run_here_or_there() {
    for group in Group::ALL.into_iter().filter(|group| *group != Group::Cleanup) {
        assert_eq!(IN_PROCESS.contains(&group), !OF_A_PROGRAM.contains(&group), "{group}");
    }
}
