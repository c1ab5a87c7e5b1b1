//! Pods as a cluster tells of them, and what becomes of them.

use openshell_driver_api::conditions::{READY, ReasonClass, SUSPENDED, Wanted, classify, find};
use openshell_driver_api::{ConditionStatus, SandboxId};
use serde_json::json;

use super::*;
use crate::names::Identity;

fn record(state: State) -> Record {
    let id = SandboxId::new("s").expect("an id");
    Record {
        identity: Identity { id, name: "n".to_owned(), workspace: "w".to_owned() },
        name: "openshell-s".to_owned(),
        namespace: "ns".to_owned(),
        uid: "r".to_owned(),
        state,
        since: "2026-01-01T00:00:00Z".to_owned(),
        maker: String::new(),
        going: false,
        backend: None,
    }
}

fn pod(status: Value) -> Pod {
    let pod = json!({ "metadata": { "uid": "p" }, "status": status });
    serde_json::from_value(pod).expect("a pod")
}

/// A pod whose container is in a state.
fn contained(phase: &str, state: Value) -> Pod {
    pod(json!({
        "phase": phase,
        "startTime": "2026-01-02T00:00:00Z",
        "conditions": [{ "type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-02T00:00:00Z" }],
        "containerStatuses": [{ "name": "sandbox", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": state }],
    }))
}

/// A time some seconds after the pods above were placed.
fn after(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_312_000 + seconds)
}

fn seen(state: State, pod: Option<&Pod>) -> Condition {
    let seen = observe(&record(state), pod, after(60));
    find(&seen.status.conditions, READY).expect("Ready").clone()
}

#[test]
fn identity_comes_from_the_record() {
    let seen = observe(&record(State::Running), Some(&pod(json!({}))), after(0));
    assert_eq!((seen.id.as_str(), seen.name.as_str(), seen.workspace.as_str()), ("s", "n", "w"));
    assert_eq!((seen.namespace.as_str(), seen.status.sandbox_name.as_str()), ("ns", "openshell-s"));
    assert_eq!(seen.status.instance_id, "p");
}

#[test]
fn every_state_has_its_reason() {
    let waiting =
        |word: &str| contained("Pending", json!({ "waiting": { "reason": word, "message": "why" } }));
    let ended = |code: i32, word: &str| {
        contained(
            "Failed",
            json!({ "terminated": { "exitCode": code, "reason": word, "finishedAt": "2026-01-03T00:00:00Z" } }),
        )
    };
    let unplaced = pod(json!({
        "phase": "Pending",
        "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes" }],
    }));
    let evicted = |start: Option<&str>| {
        let mut status =
            json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on memory" });
        if let Some(start) = start {
            status["startTime"] = json!(start);
        }
        pod(status)
    };
    let step = |state: Value, phase: &str| {
        let mut pod = contained(phase, json!({ "waiting": { "reason": "PodInitializing" } }));
        let step = json!({ "name": "first", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": state });
        pod.status.as_mut().expect("a status").init_container_statuses =
            Some(vec![serde_json::from_value(step).expect("a step")]);
        pod
    };
    use ReasonClass::{Stopped, Terminal, Transient, Unknown};
    for (pod, reason, class, words) in [
        (pod(json!({})), "Starting", Transient, ""),
        (unplaced, "Unschedulable", Unknown, "0/1 nodes"),
        (waiting("ContainerCreating"), "ContainerStarting", Transient, ""),
        (waiting("ErrImagePull"), "ImagePullFailed", Terminal, "ErrImagePull: why"),
        (waiting("ImagePullBackOff"), "ImagePullFailed", Terminal, "why"),
        (waiting("InvalidImageName"), "ImagePullFailed", Terminal, "why"),
        (waiting("ErrImageNeverPull"), "ImagePullFailed", Terminal, "why"),
        (waiting("CreateContainerError"), "ContainerCreateFailed", Terminal, "why"),
        (waiting("CreateContainerConfigError"), "ContainerCreateFailed", Terminal, "why"),
        (waiting("RunContainerError"), "ContainerStartFailed", Terminal, "why"),
        (waiting("CrashLoopBackOff"), "ContainerRestarting", Transient, "why"),
        (waiting("SomethingNew"), "ContainerStarting", Transient, "SomethingNew: why"),
        (ended(3, "Error"), "ContainerExited", Terminal, "exit code 3"),
        (ended(0, "Completed"), "ContainerExited", Terminal, "exit code 0"),
        (ended(137, "OOMKilled"), "OOMKilled", Terminal, "exit code 137"),
        (ended(127, "ContainerCannotRun"), "ContainerStartFailed", Terminal, ""),
        (ended(128, "StartError"), "ContainerStartFailed", Terminal, ""),
        (evicted(Some("2026-01-02T00:00:00Z")), "ContainerExited", Terminal, "Evicted: The node was low"),
        (evicted(None), "ProvisioningFailed", Terminal, "Evicted"),
        (
            step(json!({ "waiting": { "reason": "ImagePullBackOff" } }), "Pending"),
            "ImagePullFailed",
            Terminal,
            "",
        ),
        (step(json!({ "running": {} }), "Pending"), "ContainerStarting", Transient, ""),
        (step(json!({ "terminated": { "exitCode": 0 } }), "Pending"), "ContainerStarting", Transient, ""),
        (
            step(json!({ "terminated": { "exitCode": 2 } }), "Pending"),
            "ContainerStartFailed",
            Terminal,
            "`first`",
        ),
        (
            step(json!({ "terminated": { "exitCode": 2 } }), "Failed"),
            "ContainerStartFailed",
            Terminal,
            "exit code 2",
        ),
    ] {
        let condition = seen(State::Running, Some(&pod));
        assert_eq!(
            (condition.status, condition.reason.as_str()),
            (ConditionStatus::False, reason),
            "{condition:?}"
        );
        assert!(condition.message.contains(words), "`{words}` in {condition:?}");
        assert_eq!(classify(reason, Wanted::Running), class, "{reason}");
        assert_ne!(class, Stopped);
    }
}

#[test]
fn a_first_failed_pull_may_be_mended() {
    let pod = contained("Pending", json!({ "waiting": { "reason": "ErrImagePull", "message": "refused" } }));
    for (age, reason) in [(0, "ContainerStarting"), (9, "ContainerStarting"), (10, "ImagePullFailed")] {
        let seen = observe(&record(State::Running), Some(&pod), after(age));
        assert_eq!(
            find(&seen.status.conditions, READY).map(|ready| ready.reason.as_str()),
            Some(reason),
            "{age}"
        );
    }
}

#[test]
fn running_is_ready_since_its_start() {
    let pod = contained("Running", json!({ "running": { "startedAt": "2026-01-02T00:00:05Z" } }));
    for state in [State::Making, State::Starting, State::Running] {
        let condition = seen(state, Some(&pod));
        assert_eq!(condition.status, ConditionStatus::True);
        assert_eq!(condition.last_transition_time, "2026-01-02T00:00:05Z");
        assert!(is_settled(&pod) && !is_over(&pod));
    }
}

#[test]
fn without_a_pod_the_record_says() {
    for (state, reason) in [
        (State::Making, "Provisioning"),
        (State::Starting, "Starting"),
        (State::Running, "ContainerExited"),
        (State::Stopped, "Stopped"),
        (State::Deleting, "Terminating"),
    ] {
        assert_eq!(seen(state, None).reason, reason);
    }
    let stopped = observe(&record(State::Stopped), None, after(0)).status;
    assert_eq!(find(&stopped.conditions, SUSPENDED).map(|found| found.status), Some(ConditionStatus::True));
    assert_eq!(stopped.conditions[0].last_transition_time, "2026-01-01T00:00:00Z");
    assert!(!stopped.deleting && observe(&record(State::Deleting), None, after(0)).status.deleting);
    let going = Record { going: true, ..record(State::Running) };
    assert!(observe(&going, None, after(0)).status.deleting);
}

#[test]
fn a_pod_on_its_way_out_is_no_end_of_its_own() {
    let mut pod = contained("Failed", json!({ "terminated": { "exitCode": 137 } }));
    assert_eq!(seen(State::Stopped, Some(&pod)).reason, "Stopped", "asked for after it had ended");
    pod.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-03T00:00:00Z")).expect("a time");
    assert_eq!(seen(State::Stopped, Some(&pod)).reason, "Stopping");
    assert_eq!(seen(State::Running, Some(&pod)).reason, "Terminating");
    // One that makes room for another is no removal of the sandbox.
    assert_eq!(seen(State::Making, Some(&pod)).reason, "Provisioning");
    assert_eq!(seen(State::Starting, Some(&pod)).reason, "Starting");
}

#[test]
fn an_image_without_a_command_is_the_create_s_to_mend() {
    let waiting = json!({ "waiting": { "reason": "CreateContainerError", "message": "Error response from daemon: No command specified" } });
    let pod = contained("Pending", waiting);
    assert!(lacks_command(&pod));
    assert_eq!(seen(State::Making, Some(&pod)).reason, "ContainerStarting");
    assert_eq!(seen(State::Starting, Some(&pod)).reason, "ContainerStarting");
    assert_eq!(seen(State::Running, Some(&pod)).reason, "ContainerCreateFailed");
    assert!(!lacks_command(&contained("Pending", json!({ "waiting": { "message": "other" } }))));
}

#[test]
fn a_controller_is_heard_where_there_is_no_pod() {
    let status = json!({ "conditions": [{ "type": "Ready", "status": "False", "reason": "ReconcilerError", "message": "no quota" }] });
    let backend = Backend::read(&json!({ "spec": {}, "status": status }));
    let said = Record { backend, ..record(State::Running) };
    let seen = observe(&said, None, after(0)).status;
    assert_eq!(seen.conditions[0].reason, "Provisioning");
    assert_eq!(seen.conditions[0].message, "ReconcilerError: no quota");
    let silent = Record { backend: Backend::read(&json!({ "spec": {} })), ..record(State::Running) };
    assert_eq!(observe(&silent, None, after(0)).status.conditions[0].reason, "Provisioning");
    assert_eq!(Backend::read(&Value::Null), None);
}
