//! Every phase and every end, as it is told.

use openshell_driver_api::ConditionStatus;
use openshell_driver_api::conditions::{READY, ReasonClass, SUSPENDED, Wanted, classify, find};

use super::*;
use crate::record::Run;

fn record(ended: Option<Ended>) -> Record {
    Record {
        version: Record::VERSION,
        id: "s".into(),
        name: "n".into(),
        workspace: "w".into(),
        labels: [].into(),
        created_ms: 7,
        image: "a:1".into(),
        digest: "sha256:0".into(),
        disk_size: 1,
        cpus: 1,
        memory: 1,
        network: false,
        supervised: false,
        run: Run::default(),
        ended,
    }
}

fn observe(known: &Known) -> ObservedSandbox {
    known.observe(&SandboxId::new("s").expect("an id"), &Scope { gateway_id: "gw".into() })
}

fn known(phase: Phase) -> Known {
    Known { record: record(None), phase, since_ms: 951_782_400_000, deleting: false }
}

fn ready(known: &Known) -> Condition {
    find(&observe(known).status.conditions, READY).expect("Ready").clone()
}

fn exited(code: i32, out_of_memory: bool) -> End {
    End { cause: Cause::Exited { code, out_of_memory }, message: String::new() }
}

fn end(cause: Cause) -> End {
    End { cause, message: "why".into() }
}

#[test]
fn every_phase_has_its_reason() {
    for (phase, reason) in [
        (Phase::Preparing, "Provisioning"),
        (Phase::Booting, "ContainerStarting"),
        (Phase::Stopping, "Stopping"),
    ] {
        let condition = ready(&known(phase));
        assert_eq!((condition.status, condition.reason.as_str()), (ConditionStatus::False, reason));
        assert_eq!(classify(reason, Wanted::Running), ReasonClass::Transient);
        assert_eq!(condition.last_transition_time, "2000-02-29T00:00:00Z");
    }
    let seen = observe(&known(Phase::Running));
    assert_eq!(find(&seen.status.conditions, READY).map(|c| c.status), Some(ConditionStatus::True));
    assert_eq!((seen.name.as_str(), seen.workspace.as_str(), seen.status.deleting), ("n", "w", false));
    assert_eq!(
        (seen.status.sandbox_name.as_str(), seen.status.instance_id.as_str()),
        ("openshell-gw.s", "7")
    );
    let going = Known { deleting: true, ..known(Phase::Running) };
    assert_eq!((ready(&going).reason.as_str(), observe(&going).status.deleting), ("Terminating", true));
}

#[test]
fn every_end_has_its_reason() {
    for (end, asked, reason, message) in [
        (exited(7, false), false, "ContainerExited", "the main process ended with exit code 7"),
        (exited(0, true), false, "ContainerExited", "the main process ended with exit code 0"),
        (exited(137, true), false, "OOMKilled", "out of memory; exit code 137"),
        (exited(7, false), true, "Stopped", "stopped; the main process ended with exit code 7"),
        (end(Cause::Stopped), false, "Stopped", "stopped"),
        (end(Cause::Hung), true, "Stopped", "stopped"),
        (end(Cause::Panicked), false, "ContainerDead", "why"),
        (end(Cause::Hung), false, "ContainerDead", "why"),
        (end(Cause::Qemu), false, "ContainerDead", "why"),
        (end(Cause::Failed), false, "ContainerStartFailed", "why"),
    ] {
        let ended = Ended::of(&end, asked, 5);
        let known = known(Phase::Ended(ended));
        let condition = ready(&known);
        assert_eq!((condition.reason.as_str(), condition.message.as_str()), (reason, message));
        let suspended = find(&observe(&known).status.conditions, SUSPENDED).is_some();
        assert_eq!(suspended, reason == "Stopped");
    }
}

#[test]
fn after_its_driver_an_end_is_what_it_was_and_a_run_is_stopped() {
    let ended = Ended::of(&exited(7, false), false, 5);
    assert!(ready(&Known::found(record(Some(ended.clone())), 9)).message.ends_with("exit code 7"));
    let found = Known::found(record(None), 9);
    assert_eq!(ready(&found).message, "stopped: its driver ended");
    assert_eq!(found.since_ms, 9);

    let stopped = ended.stopped();
    assert_eq!(stopped.message, "stopped; the main process ended with exit code 7");
    assert_eq!(stopped.clone().stopped(), stopped, "once");
}
