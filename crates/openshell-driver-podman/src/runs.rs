//! What is known of the runs that go on, so that the end of one can be told by the service's event alone.
//!
//! An inspection waits for the container's lock. Whoever clears an ended container away holds that, for as long as it takes to
//! take down a network and file systems: where many end at once, seconds. The event is written before, with the exit code and
//! the time. So that is what is told, and whatever else an inspection has to say comes when the clearing away is over.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use openshell_driver_api::{ObservedSandbox, SandboxId};

use crate::engine::{Container, Status};
use crate::{moment, state};

/// The runs that go on, by their containers' ids.
#[derive(Debug, Default)]
pub(crate) struct Runs(Mutex<HashMap<String, Run>>);

#[derive(Debug)]
struct Run {
    sandbox: ObservedSandbox,
    started_at: String,
    /// Whether there is a limit of memory, and its end may be that.
    limited: bool,
}

/// What an event of an end comes to.
#[derive(Debug, PartialEq)]
pub(crate) enum End {
    /// All that there is to tell.
    Told(Box<ObservedSandbox>),
    /// To be looked at when the container is cleared away, of which there is an event.
    Later,
    /// Of a run that is not known, or not the one that has ended.
    Unknown,
}

impl Runs {
    fn runs(&self) -> MutexGuard<'_, HashMap<String, Run>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what an inspection has found.
    pub(crate) fn note(&self, container: &Container, sandbox: &ObservedSandbox) {
        if container.state.status != Status::Running {
            return self.forget(&container.id);
        }
        let run = Run {
            sandbox: sandbox.clone(),
            started_at: container.state.started_at.clone(),
            limited: container.host.memory > 0,
        };
        self.runs().insert(container.id.clone(), run);
    }

    /// A container's run is over.
    pub(crate) fn forget(&self, container: &str) {
        self.runs().remove(container);
    }

    /// What a container has become by an end at `at`, in nanoseconds since 1970; `stopped` says whether the run of a sandbox
    /// that started at a time was ended by a stop.
    pub(crate) fn end(
        &self,
        container: &str,
        code: i64,
        at: i64,
        stopped: impl Fn(&SandboxId, &str) -> bool,
    ) -> End {
        let runs = self.runs();
        let Some(run) = runs.get(container) else { return End::Unknown };
        match moment::nanos(&run.started_at) {
            None => return End::Unknown,
            // The event is about a run before this one: it comes late, or again.
            Some(started) if at <= started => return End::Unknown,
            // Its memory may have been the reason, which an inspection knows; now it would wait, and others behind it.
            Some(_) if run.limited && code != 0 => return End::Later,
            Some(_) => {}
        }
        let asked = stopped(&run.sandbox.id, &run.started_at);
        End::Told(Box::new(state::ended(&run.sandbox, code, &run.started_at, &moment::text(at), asked)))
    }
}

#[cfg(test)]
mod tests {
    use openshell_driver_api::conditions::{READY, find};
    use openshell_driver_api::{SandboxStatus, conditions};

    use super::*;
    use crate::engine::State;

    const START: i64 = 1_767_225_600_000_000_000;

    fn known(memory: i64) -> Runs {
        let sandbox = ObservedSandbox {
            id: SandboxId::new("s").expect("an id"),
            name: "n".into(),
            namespace: String::new(),
            workspace: "w".into(),
            status: SandboxStatus { conditions: vec![conditions::ready()], ..SandboxStatus::default() },
        };
        let mut container = Container {
            id: "c".into(),
            state: State { status: Status::Running, started_at: moment::text(START), ..State::default() },
            ..Container::default()
        };
        container.host.memory = memory;
        let runs = Runs::default();
        runs.note(&container, &sandbox);
        runs
    }

    #[test]
    fn an_end_is_told_with_its_code_and_its_time() {
        for (asked, reason) in [(false, "ContainerExited"), (true, "Stopped")] {
            let End::Told(ended) = known(0).end("c", 7, START + 1, |_, _| asked) else {
                panic!("nothing told")
            };
            assert_eq!((ended.id.as_str(), ended.workspace.as_str()), ("s", "w"));
            let ready = find(&ended.status.conditions, READY).expect("Ready");
            assert_eq!(
                (ready.reason.as_str(), &ready.last_transition_time),
                (reason, &moment::text(START + 1))
            );
            assert!(ready.message.ends_with("exit code 7"), "{}", ready.message);
        }
    }

    #[test]
    fn what_takes_an_inspection() {
        let end = |runs: &Runs, container, code, at| runs.end(container, code, at, |_, _| false);
        assert_eq!(end(&known(0), "other", 0, START + 1), End::Unknown);
        assert_eq!(end(&known(0), "c", 0, START), End::Unknown, "a run before");
        assert_eq!(end(&known(1 << 20), "c", 137, START + 1), End::Later, "out of memory, maybe");
        assert!(matches!(end(&known(1 << 20), "c", 0, START + 1), End::Told(_)));
        let gone = known(0);
        gone.forget("c");
        assert_eq!(end(&gone, "c", 0, START + 1), End::Unknown);
    }
}
