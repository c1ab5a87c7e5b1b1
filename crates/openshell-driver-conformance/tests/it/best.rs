//! A driver that keeps the contract.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use openshell_driver_conformance::{Options, Report, RunError, Selector, Target, Verdict, cases, run};
use openshell_driver_fake::{Fault, Scenario};

use crate::bench::{Bench, hold_at_leisure, patient, red};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_in_a_driver_at_its_best() {
    let report = hold_at_leisure(Scenario::default()).await;
    let passed = |verdict: &Verdict| matches!(verdict, Verdict::Passed);
    let others: Vec<_> = report
        .outcomes
        .iter()
        .filter(|outcome| !passed(&outcome.verdict))
        .map(|outcome| (outcome.case.id, &outcome.verdict))
        .collect();
    // It has every optional method, so that there is nothing to be said of missing ones.
    let skipped = Verdict::Skipped("the driver has every optional method".to_owned());
    let not_root = Verdict::Skipped("it needs to be root, to dial as somebody else".to_owned());
    let mut expected = vec![("handshake.unimplemented-message", &skipped)];
    if !rustix::process::geteuid().is_root() {
        expected.push(("socket.foreign-user", &not_root));
    }
    assert_eq!(others, expected);
    assert!(report.holds());
    assert_eq!(report.outcomes.len(), cases().count());
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_side_by_side_find_nothing_in_it_either_and_are_reported_in_order() {
    let bench = Bench::start(Scenario::default());
    let options = Options { side_by_side: 8, ..patient(&bench) };
    let report = run(Target::Socket(bench.path()), options).await.expect("a report");
    assert_eq!(report.failed().count(), 0, "{report}");
    let ids = |report: &Report| report.outcomes.iter().map(|outcome| outcome.case.id).collect::<Vec<_>>();
    assert_eq!(ids(&report), ids(&hold_at_leisure(Scenario::default()).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_makes_one_sandbox_at_a_time_is_asked_one_thing_at_a_time() {
    let bench = Bench::start(Scenario::with(Fault::ConcurrentCreatesFail));
    let options = Options { side_by_side: 8, ..patient(&bench) };
    let report = run(Target::Socket(bench.path()), options).await.expect("a report");
    assert_eq!(red(&report), ["lifecycle.create-at-once"], "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_driver_has_not_is_skipped_and_said() {
    let faults = [Fault::NoListeners, Fault::NoStart, Fault::NoStop, Fault::NoWorkspaces];
    let report = hold_at_leisure(Scenario { faults: BTreeSet::from(faults), ..Scenario::default() }).await;
    assert_eq!(red(&report), [""; 0]);
    for (id, said) in [
        ("handshake.listeners", "`GetGatewayListenerRequirements` is UNIMPLEMENTED"),
        ("lifecycle.stop", "`StopSandbox` is UNIMPLEMENTED"),
        ("idempotency.start-running", "`StartSandbox` is UNIMPLEMENTED"),
        ("idempotency.ensure-workspace", "`EnsureWorkspace` is UNIMPLEMENTED"),
    ] {
        let outcome = report.outcome(id).expect(id);
        assert_eq!(outcome.verdict, Verdict::Skipped(said.to_owned()), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_chosen_runs_and_the_cleanup() {
    let bench = Bench::start(Scenario::default());
    let only = ["secrets.get", "handshake"].map(|name| Selector::parse(name).expect(name)).to_vec();
    let options = Options { only, restart: None, many: None, ..patient(&bench) };
    let report = run(Target::Socket(bench.path()), options).await.expect("a report");
    let groups: BTreeSet<&str> = report.outcomes.iter().map(|outcome| outcome.case.group().name()).collect();
    assert_eq!(groups, BTreeSet::from(["cleanup", "handshake", "secrets"]));
    assert!(report.outcome("secrets.list").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_more_than_a_socket_is_skipped_with_the_way_to_have_it() {
    let bench = Bench::start(Scenario::default());
    let only = ["restart", "lifecycle.list-whole"].map(|name| Selector::parse(name).expect(name)).to_vec();
    let options = Options { only, restart: None, many: None, ..patient(&bench) };
    let report = run(Target::Socket(bench.path()), options).await.expect("a report");
    for outcome in report.outcomes.iter().filter(|outcome| outcome.case.id != "cleanup.nothing-left") {
        let Verdict::Skipped(why) = &outcome.verdict else { panic!("{outcome:?}") };
        assert!(why.contains("--restart-command") || why.contains("--many"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_socket_is_waited_for_and_an_absent_one_is_no_report() {
    let late = Scenario { socket_late: Duration::from_millis(300), ..Scenario::default() };
    let bench = Bench::start(late);
    let only = vec![Selector::parse("handshake.capabilities").expect("a case")];
    let options = Options { only, ..patient(&bench) };
    let report = run(Target::Socket(bench.path()), options.clone()).await.expect("a report");
    assert!(report.holds());

    let nowhere = bench.path().with_extension("none");
    let options = Options { connect_timeout: Duration::from_millis(200), ..options };
    let error = run(Target::Socket(nowhere), options).await.expect_err("nobody");
    assert!(matches!(error, RunError::Connect { waited: Some(_), .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_run_is_bounded() {
    let bench = Bench::start(Scenario::with(Fault::ListHangs));
    let options = Options { whole: Duration::from_millis(100), restart: None, many: None, ..patient(&bench) };
    let began = Instant::now();
    let report = run(Target::Socket(bench.path()), options).await.expect("a report");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert!(!report.holds(), "what was not tested is not passed");
}
