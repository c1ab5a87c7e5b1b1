//! What a pod and its record come to, as the contract's conditions: pure.
//!
//! ```text
//!   no pod   making: Provisioning │ starting: Starting │ stopped: Stopped │ running: ContainerExited, somebody removed it
//!   pending  Unschedulable │ ContainerStarting │ ImagePullFailed │ ContainerCreateFailed │ ContainerStartFailed
//!   running  Ready │ ContainerRestarting │ OOMKilled │ ContainerExited
//!   going    Stopping │ Terminating                                     deleting: whatever the pod does
//! ```

use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use openshell_driver_api::conditions::{self, not_ready, reason};
use openshell_driver_api::{Condition, ObservedSandbox, SandboxStatus};
use serde_json::Value;

use crate::plan::MAIN;
use crate::record::{Record, State};

/// The scheduler has no node for it. Not a word of the contract: like any such it is waited for, since a node may come.
const UNSCHEDULABLE: &str = "Unschedulable";
/// How long after its pod was placed a first failed pull is taken for one that the kubelet's next try may mend.
const FIRST_PULLS: Duration = Duration::from_secs(10);

/// What the controller of agent-sandbox says of its object.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Backend {
    /// The reason and the message of `Ready`, when that is not true.
    unready: Option<(String, String)>,
}

impl Backend {
    /// Reads the object's status; `None` for an object that has neither a `spec` nor a `status`, such as a record of ours.
    pub(crate) fn read(object: &Value) -> Option<Self> {
        object.get("spec")?;
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        let text = |condition: &Value, key: &str| {
            condition.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let mut ready =
            conditions.into_iter().flatten().filter(|found| text(found, "type") == conditions::READY);
        let unready = ready.find(|found| text(found, "status") != "True");
        Some(Self { unready: unready.map(|found| (text(found, "reason"), text(found, "message"))) })
    }
}

/// The sandbox that a record and its pod are at a time.
pub(crate) fn observe(record: &Record, pod: Option<&Pod>, now: SystemTime) -> ObservedSandbox {
    ObservedSandbox {
        id: record.identity.id.clone(),
        name: record.identity.name.clone(),
        namespace: record.namespace.clone(),
        workspace: record.identity.workspace.clone(),
        status: SandboxStatus {
            sandbox_name: record.name.clone(),
            instance_id: pod.and_then(|pod| pod.metadata.uid.clone()).unwrap_or_default(),
            conditions: conditions(record, pod, now),
            deleting: record.is_deleting(),
            ..SandboxStatus::default()
        },
    }
}

/// What of a pod is looked at, and nothing else: a pod's description is some twenty times of that.
pub(crate) fn trim(mut pod: Pod) -> Pod {
    pod.spec = None;
    pod.metadata.managed_fields = None;
    pod
}

/// Whether a pod's processes have ended, or never began and never will.
pub(crate) fn is_over(pod: &Pod) -> bool {
    matches!(phase(pod), "Failed" | "Succeeded")
}

/// What the kubelet says of an image that brings no command to a sandbox that names none.
pub(crate) fn lacks_command(pod: &Pod) -> bool {
    let state = main(pod).and_then(|main| main.state.as_ref());
    let waiting = state.and_then(|state| state.waiting.as_ref());
    waiting
        .and_then(|waiting| waiting.message.as_deref())
        .is_some_and(|said| said.contains("o command specified"))
}

/// Whether it is clear what becomes of a pod: it runs, it ended, or something holds it that has a name.
pub(crate) fn is_settled(pod: &Pod) -> bool {
    let word = of_pod(pod, SystemTime::now()).reason;
    // A claim that is not bound yet is in the way of a schedule for a moment.
    !matches!(word.as_str(), reason::STARTING | reason::CONTAINER_STARTING | UNSCHEDULABLE)
}

/// Whether any container of a pod runs, as far as its kubelet has said.
pub(crate) fn runs(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let steps = status.and_then(|status| status.init_container_statuses.as_ref());
    let all = status.and_then(|status| status.container_statuses.as_ref());
    let mut states = steps.into_iter().chain(all).flatten().filter_map(|container| container.state.as_ref());
    states.any(|state| state.running.is_some())
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// The status of the sandbox's own container.
fn main(pod: &Pod) -> Option<&ContainerStatus> {
    let status = pod.status.as_ref()?;
    status.container_statuses.iter().flatten().find(|container| container.name == MAIN)
}

fn conditions(record: &Record, pod: Option<&Pod>, now: SystemTime) -> Vec<Condition> {
    if record.is_deleting() {
        return vec![not_ready(reason::TERMINATING, "the sandbox is being removed").since(&record.since)];
    }
    let going = pod.is_some_and(|pod| pod.metadata.deletion_timestamp.is_some());
    match (pod, record.state) {
        (Some(_), State::Stopped) if going => {
            vec![not_ready(reason::STOPPING, "the pod is being stopped").since(&record.since)]
        }
        // It makes room for one with a shell.
        (Some(_), State::Making) if going => {
            vec![absent(record, reason::PROVISIONING, "the pod is made again")]
        }
        (Some(_), State::Starting) if going => {
            vec![absent(record, reason::STARTING, "the pod is made again")]
        }
        (Some(_), _) if going => vec![not_ready(reason::TERMINATING, "the pod is being removed")],
        // A stop of what had ended by itself is a stop from then on.
        (Some(pod), State::Stopped) if is_over(pod) => stopped(record),
        // The create, or the start, is about to give it a shell.
        (Some(pod), State::Making | State::Starting) if lacks_command(pod) => {
            vec![not_ready(reason::CONTAINER_STARTING, "the image brings no command; it is given a shell")]
        }
        (Some(pod), _) => vec![of_pod(pod, now)],
        (None, State::Stopped) => stopped(record),
        (None, State::Making) => vec![absent(record, reason::PROVISIONING, "the pod is not made yet")],
        (None, State::Starting) => vec![absent(record, reason::STARTING, "the pod is not made yet")],
        (None, _) if record.backend.is_some() => {
            vec![absent(record, reason::PROVISIONING, "the controller has not made the pod")]
        }
        (None, _) => vec![
            not_ready(
                reason::CONTAINER_EXITED,
                "the pod is gone, and nobody asked for a stop; a start makes it again",
            )
            .since(""),
        ],
    }
}

fn stopped(record: &Record) -> Vec<Condition> {
    let all = conditions::stopped("stopped; the pod is gone and its workspace is kept").into_iter();
    all.map(|condition| condition.since(&record.since)).collect()
}

/// Why there is no pod yet, in the controller's words where it has any.
fn absent(record: &Record, reason: &str, message: &str) -> Condition {
    let said = record.backend.as_ref().and_then(|backend| backend.unready.as_ref());
    let condition = match said {
        // The controller's reasons are words of their own, and some are the contract's.
        Some((word, text)) if !word.is_empty() && !text.is_empty() => {
            not_ready(reason, format!("{word}: {text}"))
        }
        _ => not_ready(reason, message),
    };
    condition.since(&record.since)
}

fn time(time: Option<&Time>) -> String {
    time.map(|time| time.0.to_string()).unwrap_or_default()
}

/// A pod that nobody is removing.
fn of_pod(pod: &Pod, now: SystemTime) -> Condition {
    let empty = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&empty);
    let placed = status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled");
    if let Some(placed) = placed.filter(|placed| placed.status == "False") {
        let message = placed.message.clone().unwrap_or_default();
        return not_ready(UNSCHEDULABLE, message).since(time(placed.last_transition_time.as_ref()));
    }
    let state = main(pod).and_then(|main| main.state.clone()).unwrap_or_default();
    if let Some(ended) = &state.terminated {
        return exited(ended, status);
    }
    if is_over(pod) {
        return lost(status);
    }
    if let Some(running) = &state.running {
        return conditions::ready().since(time(running.started_at.as_ref()));
    }
    if let Some(failed) = first_failure(status) {
        return failed;
    }
    let since = time(placed.and_then(|placed| placed.last_transition_time.as_ref()));
    let early = status.start_time.as_ref().is_some_and(|start| {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(start.0.as_second().try_into().unwrap_or(0));
        now < start + FIRST_PULLS
    });
    waiting(&state, status, early).since(since)
}

/// The main process ended.
fn exited(ended: &ContainerStateTerminated, status: &PodStatus) -> Condition {
    let code = ended.exit_code;
    let said = ended.message.as_deref().unwrap_or_default().trim();
    let word = ended.reason.as_deref().unwrap_or_default();
    let condition = match word {
        "OOMKilled" => not_ready(reason::OOM_KILLED, format!("out of memory; exit code {code}")),
        // The runtime's words for a program that could not be run at all.
        "ContainerCannotRun" | "StartError" => not_ready(reason::CONTAINER_START_FAILED, said),
        _ => {
            let mut text = format!("the main process ended with exit code {code}");
            let pod_said = status.message.as_deref().unwrap_or_default().trim();
            for more in [status.reason.as_deref().unwrap_or_default(), pod_said, said] {
                if !more.is_empty() {
                    text = format!("{text}: {more}");
                }
            }
            not_ready(reason::CONTAINER_EXITED, text)
        }
    };
    condition.since(time(ended.finished_at.as_ref()))
}

/// A pod that ended and whose container says nothing: its node threw it out, or did not take it.
fn lost(status: &PodStatus) -> Condition {
    let word = status.reason.as_deref().unwrap_or("Failed");
    let text = format!("{word}: {}", status.message.as_deref().unwrap_or("the pod ended"));
    match status.start_time {
        Some(_) if first_failure(status).is_none() => not_ready(reason::CONTAINER_EXITED, text),
        _ => first_failure(status).unwrap_or_else(|| not_ready(reason::PROVISIONING_FAILED, text)),
    }
}

/// A step before the main process that ended badly, which is the end with no restarts.
fn first_failure(status: &PodStatus) -> Option<Condition> {
    let steps = status.init_container_statuses.iter().flatten();
    let mut ended = steps.filter_map(|step| {
        let ended = step.state.as_ref()?.terminated.as_ref()?;
        (ended.exit_code != 0).then_some((step.name.as_str(), ended))
    });
    let (name, ended) = ended.next()?;
    let said = ended.message.as_deref().unwrap_or_default().trim();
    let text = format!("the step `{name}` before the main process ended with exit code {}", ended.exit_code);
    let text = if said.is_empty() { text } else { format!("{text}: {said}") };
    Some(not_ready(reason::CONTAINER_START_FAILED, text).since(time(ended.finished_at.as_ref())))
}

/// The kubelet is at it. `early` says that what failed so far may have been a first try.
fn waiting(main: &ContainerState, status: &PodStatus, early: bool) -> Condition {
    // The container waits for the steps before it: what holds one of these holds it.
    let steps = status.init_container_statuses.iter().flatten();
    let held = steps.filter_map(|step| step.state.as_ref()?.waiting.as_ref());
    let held = held.chain(main.waiting.as_ref()).find(|waiting| {
        !matches!(waiting.reason.as_deref(), None | Some("PodInitializing" | "ContainerCreating"))
    });
    let Some(held) = held else {
        return match main.waiting.is_some() {
            true => not_ready(reason::CONTAINER_STARTING, "the container is being made"),
            false => not_ready(reason::STARTING, "the pod waits for its node"),
        };
    };
    let word = held.reason.as_deref().unwrap_or_default();
    let said = held.message.as_deref().unwrap_or_default().trim();
    let text = if said.is_empty() { word.to_owned() } else { format!("{word}: {said}") };
    match word {
        "ErrImagePull" if early => {
            not_ready(reason::CONTAINER_STARTING, format!("{text}; it is tried again"))
        }
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => not_ready(reason::IMAGE_PULL_FAILED, text),
        "CreateContainerError" | "CreateContainerConfigError" => {
            not_ready(reason::CONTAINER_CREATE_FAILED, text)
        }
        "RunContainerError" | "PostStartHookError" => not_ready(reason::CONTAINER_START_FAILED, text),
        "CrashLoopBackOff" => not_ready(reason::CONTAINER_RESTARTING, text),
        _ => not_ready(reason::CONTAINER_STARTING, text),
    }
}

#[cfg(test)]
#[path = "state/tests.rs"]
mod tests;
