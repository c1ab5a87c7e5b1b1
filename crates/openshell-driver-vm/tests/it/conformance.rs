//! The driver contract with real machines: the driver in this process, and the same driver as a program of its own. A machine
//! boots for seconds without KVM, so that each of the two is held to the groups that are about it; the other's are named.

use std::sync::Arc;
use std::time::Duration;

use openshell_driver_api::Table;
use openshell_driver_conformance::{Group, Options, Report, Selector, Target, hold_program, run};

use crate::bench::{Bench, IMAGE, PATIENCE};

/// Cases that run at a time: of more emulated machines each would boot more slowly.
const SIDE_BY_SIDE: usize = 2;
/// The host may have other things to do.
const CONFIG: &str = "boot_timeout = 120";
/// What is the same however the driver is served.
const IN_PROCESS: &[Group] = &[Group::Identity, Group::Lifecycle, Group::Idempotency, Group::Watch];
/// What depends on it, and what needs no machine.
const OF_A_PROGRAM: &[Group] =
    &[Group::Handshake, Group::Validation, Group::Errors, Group::Secrets, Group::Socket, Group::Restart];

/// Recommended, and not kept: a machine has whole processors, and `500m` of one is refused.
const WHOLE_CPUS: &str = "validation.quantities";
/// The one case of the others that needs a second process.
const BESIDE: &str = "identity.gateways-apart";

fn options(groups: &[Group]) -> Options {
    let only = groups.iter().map(|group| Selector::parse(group.name()).expect("a group")).collect();
    Options {
        image: Some(IMAGE.to_owned()),
        side_by_side: SIDE_BY_SIDE,
        timeout: PATIENCE,
        // Emulated machines take the processors.
        prompt: Duration::from_secs(10),
        only,
        ..Options::default()
    }
}

/// Says which groups are the other test's, and looks that nothing failed and nothing is left.
async fn judge(report: &Report, elsewhere: &[Group], bench: &Bench) {
    println!("{report}");
    println!("of these groups nothing was run here: {elsewhere:?}");
    assert_eq!(report.failed().filter(|case| case.id != WHOLE_CPUS).count(), 0, "{report}");
    bench.until_left(0).await;
}

/// A table of texts, numbers and such tables, as a file has it.
fn written(name: &str, table: &Table) -> String {
    let line = |(key, value): (&String, &toml::Value)| {
        let text = value.as_str().map(|text| format!("{text:?}"));
        let shown = text.or_else(|| value.as_integer().map(|number| number.to_string()))?;
        Some(format!("{key:?} = {shown}\n"))
    };
    let texts = table.iter().filter_map(line);
    let tables =
        table.iter().filter_map(|(key, value)| Some(written(&format!("{name}.{key}"), value.as_table()?)));
    format!("[{name}]\n{}{}", texts.collect::<String>(), tables.collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_in_this_process_keeps_the_contract() {
    let Some(bench) = Bench::new(CONFIG).await else { return };
    let driver = bench.driver.clone().expect("an open driver");
    let report = run(Target::Driver(Arc::clone(&driver)), options(IN_PROCESS)).await.expect("a report");
    judge(&report, OF_A_PROGRAM, &bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drivers_program_keeps_what_a_program_adds() {
    let Some(bench) = Bench::closed(CONFIG) else { return };
    let home = tempfile::tempdir().expect("a directory");
    let config = home.path().join("gateway.toml");
    std::fs::write(&config, written("openshell.drivers.vm", &bench.table)).expect("a file");
    let mut options = options(OF_A_PROGRAM);
    options.only.push(Selector::parse(BESIDE).expect("a case"));
    let report = hold_program("vm", &bench.gateway_id, options, move |command| {
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
