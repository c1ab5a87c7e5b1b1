//! What the service says of a container, as the contract's conditions: pure.
//!
//! ```text
//!   created ──▶ running ──▶ exited: Stopped (asked for) │ OOMKilled │ ContainerExited
//!                │   ▲          │
//!                ▼   │          └──▶ running again
//!               paused                                   removing: deleting; dead: ContainerDead
//! ```

use openshell_driver_api::conditions::{self, not_ready, reason};
use openshell_driver_api::{Condition, ObservedSandbox, SandboxId, SandboxStatus, labels};
use openshell_driver_common::container::names::Scope;

use crate::engine::{Container, State, Status};

/// How a main process ends that the kernel kills: 128 and the number of `SIGKILL`.
const KILLED: i64 = 137;

/// The sandbox that a container is, when it is one of this gateway's. `stopped` says whether the run of a sandbox that
/// started at a time was ended by a stop; `guesses_memory` is for services that do not tell who ran out of memory.
pub(crate) fn observe(
    scope: &Scope,
    container: &Container,
    guesses_memory: bool,
    stopped: impl Fn(&SandboxId, &str) -> bool,
) -> Option<ObservedSandbox> {
    let found = &container.config.labels;
    let id = scope.owner(found)?;
    // By its name, too, which is the driver's alone to give: whoever makes an image of a sandbox takes its labels along.
    if container.name != scope.container(&id) {
        return None;
    }
    let label = |key: &str| found.get(key).cloned().unwrap_or_default();
    let asked = stopped(&id, &container.state.started_at);
    let mut state = container.state.clone();
    // Nobody asked for a stop, and there is a limit: it is that, or somebody's `kill -9` on the host.
    state.oom_killed |= guesses_memory && container.host.memory > 0 && state.exit_code == KILLED;
    Some(ObservedSandbox {
        name: label(labels::SANDBOX_NAME),
        namespace: String::new(),
        workspace: label(labels::SANDBOX_WORKSPACE),
        status: SandboxStatus {
            sandbox_name: container.name.clone(),
            instance_id: container.id.clone(),
            conditions: conditions(&state, &container.created, asked),
            deleting: container.state.status == Status::Removing,
            ..SandboxStatus::default()
        },
        id,
    })
}

/// The same sandbox after the end of its run.
pub(crate) fn ended(
    running: &ObservedSandbox,
    exit_code: i64,
    started_at: &str,
    finished_at: &str,
    stop_asked: bool,
) -> ObservedSandbox {
    let state = State {
        status: Status::Exited,
        exit_code,
        started_at: started_at.to_owned(),
        finished_at: finished_at.to_owned(),
        ..State::default()
    };
    let mut ended = running.clone();
    // When it was made is told only of one that never ran.
    ended.status.conditions = conditions(&state, "", stop_asked);
    ended
}

/// Whether a container was made and never started.
pub(crate) fn never_ran(container: &Container) -> bool {
    let started = &container.state.started_at;
    let made = matches!(container.state.status, Status::Created | Status::Configured | Status::Initialized);
    // The service's word for never.
    made && (started.is_empty() || started.starts_with("0001-01-01T"))
}

fn conditions(state: &State, created: &str, stop_asked: bool) -> Vec<Condition> {
    let (started, finished) = (state.started_at.as_str(), state.finished_at.as_str());
    let code = state.exit_code;
    let all = |conditions: Vec<Condition>, time: &str| -> Vec<Condition> {
        conditions.into_iter().map(|condition| condition.since(time)).collect()
    };
    let one = |condition: Condition, time: &str| all(vec![condition], time);
    if state.dead {
        return one(not_ready(reason::CONTAINER_DEAD, &state.error), finished);
    }
    match state.status {
        Status::Running => one(conditions::ready(), started),
        Status::Paused => {
            let text = "the container is paused";
            all(vec![not_ready(reason::SUSPENDED, text), conditions::suspended(reason::SUSPENDED, text)], "")
        }
        Status::Stopping => one(not_ready(reason::STOPPING, "the container is being stopped"), ""),
        Status::Removing => one(not_ready(reason::TERMINATING, "the container is being removed"), ""),
        Status::Created | Status::Configured | Status::Initialized if stop_asked => {
            all(conditions::stopped("stopped before it ran"), created)
        }
        Status::Created | Status::Configured | Status::Initialized if !state.error.is_empty() => {
            one(not_ready(reason::CONTAINER_START_FAILED, &state.error), created)
        }
        Status::Created | Status::Configured => {
            one(not_ready(reason::CONTAINER_CREATED, "the container was never started"), created)
        }
        Status::Initialized => one(not_ready(reason::CONTAINER_STARTING, ""), created),
        Status::Stopped | Status::Exited if stop_asked => all(
            conditions::stopped(format!("stopped; the main process ended with exit code {code}")),
            finished,
        ),
        // Said of a run in which any process was killed: a main process that outlived it and ended well is no such case.
        Status::Stopped | Status::Exited if state.oom_killed && code != 0 => {
            one(not_ready(reason::OOM_KILLED, format!("out of memory; exit code {code}")), finished)
        }
        Status::Stopped | Status::Exited => {
            let mut text = format!("the main process ended with exit code {code}");
            if !state.error.is_empty() {
                text = format!("{text}: {}", state.error);
            }
            one(not_ready(reason::CONTAINER_EXITED, text), finished)
        }
        Status::Unknown => one(not_ready(reason::INSPECT_FAILED, "the engine gives no state"), ""),
    }
}

#[cfg(test)]
mod tests {
    use openshell_driver_api::ConditionStatus;
    use openshell_driver_api::conditions::{READY, ReasonClass, SUSPENDED, Wanted, classify, find};

    use super::*;
    use crate::engine::ContainerConfig;

    fn scope() -> Scope {
        Scope { gateway_id: "gw".into() }
    }

    fn container(state: State) -> Container {
        let mut found = scope().labels();
        for (key, value) in
            [(labels::SANDBOX_ID, "s"), (labels::SANDBOX_NAME, "n"), (labels::SANDBOX_WORKSPACE, "w")]
        {
            found.insert(key.to_owned(), value.to_owned());
        }
        Container {
            id: "c0ffee".into(),
            name: "openshell-gw.s".into(),
            created: "2026-01-01T00:00:00Z".into(),
            config: ContainerConfig { labels: found, ..ContainerConfig::default() },
            state,
            ..Container::default()
        }
    }

    fn state(status: Status) -> State {
        State {
            status,
            started_at: "2026-01-02T00:00:00Z".into(),
            finished_at: "2026-01-03T00:00:00Z".into(),
            ..State::default()
        }
    }

    fn ready(state: State, asked: bool) -> Condition {
        let seen = observe(&scope(), &container(state), false, |_, _| asked).expect("ours");
        find(&seen.status.conditions, READY).expect("Ready").clone()
    }

    #[test]
    fn identity_comes_from_the_labels() {
        let seen = observe(&scope(), &container(state(Status::Running)), false, |_, _| false).expect("ours");
        assert_eq!((seen.id.as_str(), seen.name.as_str(), seen.workspace.as_str()), ("s", "n", "w"));
        let names = (seen.status.sandbox_name.as_str(), seen.status.instance_id.as_str());
        assert_eq!(names, ("openshell-gw.s", "c0ffee"));
        let other = Scope { gateway_id: "other".into() };
        assert_eq!(observe(&other, &container(state(Status::Running)), false, |_, _| false), None);
        let files = Container { name: "openshell-gw.s.files".into(), ..container(state(Status::Created)) };
        assert_eq!(observe(&scope(), &files, false, |_, _| false), None);
        assert_eq!(observe(&scope(), &Container::default(), false, |_, _| false), None);
    }

    #[test]
    fn every_state_has_its_reason() {
        let failed = State { error: "no such program".into(), ..state(Status::Created) };
        let oom = State { oom_killed: true, exit_code: 137, ..state(Status::Exited) };
        let child_oom = State { oom_killed: true, exit_code: 0, ..state(Status::Exited) };
        let exited = State { exit_code: 3, ..state(Status::Exited) };
        let dead = State { dead: true, ..state(Status::Exited) };
        for (state, asked, reason, class) in [
            (state(Status::Created), false, "ContainerCreated", ReasonClass::Transient),
            (state(Status::Configured), false, "ContainerCreated", ReasonClass::Transient),
            (state(Status::Initialized), false, "ContainerStarting", ReasonClass::Transient),
            (state(Status::Created), true, "Stopped", ReasonClass::Stopped),
            (failed, false, "ContainerStartFailed", ReasonClass::Terminal),
            (state(Status::Paused), false, "Suspended", ReasonClass::Stopped),
            (state(Status::Stopping), true, "Stopping", ReasonClass::Transient),
            (state(Status::Removing), false, "Terminating", ReasonClass::Transient),
            (dead, false, "ContainerDead", ReasonClass::Terminal),
            (exited.clone(), false, "ContainerExited", ReasonClass::Terminal),
            (state(Status::Stopped), false, "ContainerExited", ReasonClass::Terminal),
            (exited, true, "Stopped", ReasonClass::Stopped),
            (oom.clone(), false, "OOMKilled", ReasonClass::Terminal),
            (oom, true, "Stopped", ReasonClass::Stopped),
            (child_oom, false, "ContainerExited", ReasonClass::Terminal),
            (State::default(), false, "InspectFailed", ReasonClass::Transient),
        ] {
            let condition = ready(state, asked);
            assert_eq!((condition.status, condition.reason.as_str()), (ConditionStatus::False, reason));
            assert_eq!(classify(&condition.reason, Wanted::Running), class, "{reason}");
        }
    }

    #[test]
    fn running_is_ready_since_its_start_and_an_exit_tells_its_code() {
        let condition = ready(state(Status::Running), true);
        assert_eq!(condition.status, ConditionStatus::True);
        assert_eq!(condition.last_transition_time, "2026-01-02T00:00:00Z");
        let condition = ready(State { exit_code: 3, ..state(Status::Exited) }, false);
        assert!(condition.message.contains("exit code 3"), "{}", condition.message);
        assert_eq!(condition.last_transition_time, "2026-01-03T00:00:00Z");
    }

    #[test]
    fn a_stop_is_suspended_and_removal_is_deleting() {
        let stopped = observe(&scope(), &container(state(Status::Exited)), false, |id, started| {
            assert_eq!((id.as_str(), started), ("s", "2026-01-02T00:00:00Z"));
            true
        });
        let conditions = stopped.expect("ours").status.conditions;
        let suspended = find(&conditions, SUSPENDED).map(|condition| condition.status);
        assert_eq!(suspended, Some(ConditionStatus::True));
        let going =
            observe(&scope(), &container(state(Status::Removing)), false, |_, _| false).expect("ours");
        assert!(going.status.deleting);
    }

    #[test]
    fn out_of_memory_where_the_service_does_not_tell() {
        let reason = |limit: i64, code: i64, guesses: bool, asked: bool| {
            let mut killed = container(State { exit_code: code, ..state(Status::Exited) });
            killed.host.memory = limit;
            let seen = observe(&scope(), &killed, guesses, |_, _| asked).expect("ours");
            find(&seen.status.conditions, READY).expect("Ready").reason.clone()
        };
        assert_eq!(reason(1 << 20, 137, true, false), "OOMKilled");
        assert_eq!(reason(1 << 20, 137, true, true), "Stopped");
        for (limit, code, guesses) in [(0, 137, true), (1 << 20, 1, true), (1 << 20, 137, false)] {
            assert_eq!(reason(limit, code, guesses, false), "ContainerExited");
        }
    }

    #[test]
    fn what_never_ran() {
        let mut fresh =
            container(State { started_at: "0001-01-01T00:00:00Z".into(), ..state(Status::Created) });
        assert!(never_ran(&fresh));
        fresh.state.status = Status::Exited;
        assert!(!never_ran(&fresh));
        assert!(!never_ran(&container(state(Status::Created))), "it ran once");
    }
}
