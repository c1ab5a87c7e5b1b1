//! What the engine says of a container, as the contract's conditions: pure.
//!
//! ```text
//!   created ──▶ running ──▶ exited: Stopped (asked for) │ OOMKilled │ ContainerExited
//!                │   ▲          │
//!                ▼   │          └──▶ running again
//!               paused                                   removing: deleting; dead: ContainerDead
//! ```

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum as Status};
use openshell_driver_api::conditions::{self, not_ready, reason};
use openshell_driver_api::{Condition, ObservedSandbox, SandboxId, SandboxStatus, labels};
use openshell_driver_common::container::names::Scope;

/// The sandbox that a container is, when it is one of this gateway's. `stopped` says whether the run of a sandbox that
/// started at a time was ended by a stop.
pub(crate) fn observe(
    scope: &Scope,
    container: &ContainerInspectResponse,
    stopped: impl Fn(&SandboxId, &str) -> bool,
) -> Option<ObservedSandbox> {
    let found = container.config.as_ref()?.labels.as_ref()?;
    let id = scope.owner(found)?;
    let name = container.name.as_deref().unwrap_or_default();
    if scope.is_files_container(name) {
        return None;
    }
    let label = |key: &str| found.get(key).cloned().unwrap_or_default();
    let state = container.state.clone().unwrap_or_default();
    let asked = stopped(&id, started_at(container));
    let conditions = conditions(&state, container.created.as_deref().unwrap_or_default(), asked);
    Some(ObservedSandbox {
        name: label(labels::SANDBOX_NAME),
        namespace: String::new(),
        workspace: label(labels::SANDBOX_WORKSPACE),
        status: SandboxStatus {
            sandbox_name: name.trim_start_matches('/').to_owned(),
            instance_id: container.id.clone().unwrap_or_default(),
            conditions,
            deleting: state.status == Some(Status::REMOVING),
            ..SandboxStatus::default()
        },
        id,
    })
}

/// When the present or the last run started: what tells runs of one container apart.
pub(crate) fn started_at(container: &ContainerInspectResponse) -> &str {
    container.state.as_ref().and_then(|state| state.started_at.as_deref()).unwrap_or_default()
}

/// Whether a container was made and never started.
pub(crate) fn never_ran(container: &ContainerInspectResponse) -> bool {
    let state = container.state.as_ref();
    let started = state.and_then(|state| state.started_at.as_deref()).unwrap_or_default();
    // The engine's word for never.
    let never = started.is_empty() || started.starts_with("0001-01-01T");
    never && state.and_then(|state| state.status) == Some(Status::CREATED)
}

fn conditions(state: &ContainerState, created: &str, stop_asked: bool) -> Vec<Condition> {
    let started = state.started_at.as_deref().unwrap_or_default();
    let finished = state.finished_at.as_deref().unwrap_or_default();
    let fault = state.error.as_deref().unwrap_or_default();
    let code = state.exit_code.unwrap_or_default();
    let all = |conditions: Vec<Condition>, time: &str| -> Vec<Condition> {
        conditions.into_iter().map(|condition| condition.since(time)).collect()
    };
    let one = |condition: Condition, time: &str| all(vec![condition], time);
    match state.status {
        Some(Status::RUNNING) => one(conditions::ready(), started),
        Some(Status::PAUSED) => {
            let text = "the container is paused";
            all(vec![not_ready(reason::SUSPENDED, text), conditions::suspended(reason::SUSPENDED, text)], "")
        }
        Some(Status::RESTARTING) => one(not_ready(reason::CONTAINER_RESTARTING, ""), finished),
        Some(Status::STOPPING) => one(not_ready(reason::STOPPING, "the container is being stopped"), ""),
        Some(Status::REMOVING) => one(not_ready(reason::TERMINATING, "the container is being removed"), ""),
        Some(Status::DEAD) => one(not_ready(reason::CONTAINER_DEAD, fault), finished),
        Some(Status::CREATED) if stop_asked => all(conditions::stopped("stopped before it ran"), created),
        Some(Status::CREATED) if !fault.is_empty() => {
            one(not_ready(reason::CONTAINER_START_FAILED, fault), created)
        }
        Some(Status::CREATED) => {
            one(not_ready(reason::CONTAINER_CREATED, "the container was never started"), created)
        }
        Some(Status::EXITED) if stop_asked => all(
            conditions::stopped(format!("stopped; the main process ended with exit code {code}")),
            finished,
        ),
        // The engine says so of a run in which any process was killed: a main process that outlived it and ended well is
        // no such case.
        Some(Status::EXITED) if state.oom_killed == Some(true) && code != 0 => {
            one(not_ready(reason::OOM_KILLED, format!("out of memory; exit code {code}")), finished)
        }
        Some(Status::EXITED) => {
            let mut text = format!("the main process ended with exit code {code}");
            if !fault.is_empty() {
                text = format!("{text}: {fault}");
            }
            one(not_ready(reason::CONTAINER_EXITED, text), finished)
        }
        Some(Status::EMPTY) | None => one(not_ready(reason::INSPECT_FAILED, "the engine gives no state"), ""),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::ContainerConfig;
    use openshell_driver_api::ConditionStatus;
    use openshell_driver_api::conditions::{READY, ReasonClass, SUSPENDED, Wanted, classify, find};

    use super::*;

    fn container(state: ContainerState) -> ContainerInspectResponse {
        let scope = scope();
        let mut labels: HashMap<String, String> = scope.labels();
        for (key, value) in
            [(labels::SANDBOX_ID, "s"), (labels::SANDBOX_NAME, "n"), (labels::SANDBOX_WORKSPACE, "w")]
        {
            labels.insert(key.to_owned(), value.to_owned());
        }
        ContainerInspectResponse {
            id: Some("c0ffee".into()),
            name: Some("/openshell-gw.s".into()),
            created: Some("2026-01-01T00:00:00Z".into()),
            config: Some(ContainerConfig { labels: Some(labels), ..ContainerConfig::default() }),
            state: Some(state),
            ..ContainerInspectResponse::default()
        }
    }

    fn scope() -> Scope {
        Scope { gateway_id: "gw".into() }
    }

    fn state(status: Status) -> ContainerState {
        ContainerState {
            status: Some(status),
            started_at: Some("2026-01-02T00:00:00Z".into()),
            finished_at: Some("2026-01-03T00:00:00Z".into()),
            ..ContainerState::default()
        }
    }

    fn ready(state: ContainerState, asked: bool) -> Condition {
        let seen = observe(&scope(), &container(state), |_, _| asked).expect("ours");
        find(&seen.status.conditions, READY).expect("Ready").clone()
    }

    #[test]
    fn identity_comes_from_the_labels() {
        let seen = observe(&scope(), &container(state(Status::RUNNING)), |_, _| false).expect("ours");
        assert_eq!((seen.id.as_str(), seen.name.as_str(), seen.workspace.as_str()), ("s", "n", "w"));
        assert_eq!(
            (seen.status.sandbox_name.as_str(), seen.status.instance_id.as_str()),
            ("openshell-gw.s", "c0ffee")
        );
        let other = Scope { gateway_id: "other".into() };
        assert_eq!(observe(&other, &container(state(Status::RUNNING)), |_, _| false), None);
        assert_eq!(observe(&scope(), &ContainerInspectResponse::default(), |_, _| false), None);
    }

    #[test]
    fn every_state_has_its_reason() {
        let failed = ContainerState { error: Some("no such program".into()), ..state(Status::CREATED) };
        let oom = ContainerState { oom_killed: Some(true), exit_code: Some(137), ..state(Status::EXITED) };
        let child_oom =
            ContainerState { oom_killed: Some(true), exit_code: Some(0), ..state(Status::EXITED) };
        let exited = ContainerState { exit_code: Some(3), ..state(Status::EXITED) };
        for (state, asked, reason, class) in [
            (state(Status::CREATED), false, "ContainerCreated", ReasonClass::Transient),
            (state(Status::CREATED), true, "Stopped", ReasonClass::Stopped),
            (failed, false, "ContainerStartFailed", ReasonClass::Terminal),
            (state(Status::PAUSED), false, "Suspended", ReasonClass::Stopped),
            (state(Status::RESTARTING), false, "ContainerRestarting", ReasonClass::Transient),
            (state(Status::STOPPING), true, "Stopping", ReasonClass::Transient),
            (state(Status::REMOVING), false, "Terminating", ReasonClass::Transient),
            (state(Status::DEAD), false, "ContainerDead", ReasonClass::Terminal),
            (exited.clone(), false, "ContainerExited", ReasonClass::Terminal),
            (exited, true, "Stopped", ReasonClass::Stopped),
            (oom.clone(), false, "OOMKilled", ReasonClass::Terminal),
            (oom, true, "Stopped", ReasonClass::Stopped),
            (child_oom, false, "ContainerExited", ReasonClass::Terminal),
            (ContainerState::default(), false, "InspectFailed", ReasonClass::Transient),
        ] {
            let condition = ready(state, asked);
            assert_eq!((condition.status, condition.reason.as_str()), (ConditionStatus::False, reason));
            assert_eq!(classify(&condition.reason, Wanted::Running), class, "{reason}");
        }
    }

    #[test]
    fn running_is_ready_since_its_start() {
        let condition = ready(state(Status::RUNNING), true);
        assert_eq!(condition.status, ConditionStatus::True);
        assert_eq!(condition.last_transition_time, "2026-01-02T00:00:00Z");
    }

    #[test]
    fn an_exit_tells_its_code_and_its_time() {
        let condition = ready(ContainerState { exit_code: Some(3), ..state(Status::EXITED) }, false);
        assert!(condition.message.contains("exit code 3"), "{}", condition.message);
        assert_eq!(condition.last_transition_time, "2026-01-03T00:00:00Z");
    }

    #[test]
    fn a_stop_is_suspended_and_removal_is_deleting() {
        let stopped = observe(&scope(), &container(state(Status::EXITED)), |id, started| {
            assert_eq!((id.as_str(), started), ("s", "2026-01-02T00:00:00Z"));
            true
        });
        let conditions = stopped.expect("ours").status.conditions;
        assert_eq!(
            find(&conditions, SUSPENDED).map(|condition| condition.status),
            Some(ConditionStatus::True)
        );
        let going = observe(&scope(), &container(state(Status::REMOVING)), |_, _| false).expect("ours");
        assert!(going.status.deleting);
    }
}
