//! Detection: the probes of the drivers in this build, all at once and bounded, so that a backend which hangs, or a probe
//! which panics, costs the others nothing.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use openshell_driver_api::{Detection, ProbeEnv, Registration, Tried};
use serde_json::{Value, json};

use crate::catalog::{Arm, Catalog, DriverEntry};

/// How long a probe may take altogether.
pub const PROBE_LIMIT: Duration = Duration::from_millis(250);

/// What one probe came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The driver is not in this build.
    NotCompiledIn,
    /// It looked.
    Looked(Detection),
    /// It did not come back in time.
    TimedOut,
    /// It panicked, or could not be started.
    Failed,
}

/// What the probes of all drivers that can be detected came to, in the manifest's order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Probes(Vec<(String, Outcome)>);

impl Probes {
    /// Probes that were not run by [`run`], for tests.
    #[must_use]
    pub fn new(outcomes: Vec<(String, Outcome)>) -> Self {
        Self(outcomes)
    }

    /// Whether no driver can be detected at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first driver in order whose backend was found, and why it is believed to be here.
    #[must_use]
    pub fn winner(&self) -> Option<(&str, &str)> {
        self.0.iter().find_map(|(name, outcome)| match outcome {
            Outcome::Looked(Detection { found: Some(because), .. }) => {
                Some((name.as_str(), because.as_str()))
            }
            _ => None,
        })
    }

    /// What the probe of that driver came to; `None` when it has none.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&Outcome> {
        self.0.iter().find(|(probed, _)| probed == name).map(|(_, outcome)| outcome)
    }

    /// A line for every candidate: `driver: candidate: outcome`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0
            .iter()
            .flat_map(|(name, outcome)| {
                outcome.lines().into_iter().map(move |line| format!("{name}: {line}"))
            })
            .collect()
    }
}

impl Outcome {
    /// A line for every candidate: `candidate: outcome`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::NotCompiledIn => vec!["not compiled in".to_owned()],
            Self::TimedOut => vec![format!("the probe timed out after {} ms", PROBE_LIMIT.as_millis())],
            Self::Failed => vec!["the probe failed".to_owned()],
            Self::Looked(Detection { found: Some(because), .. }) => vec![format!("found: {because}")],
            Self::Looked(Detection { tried, .. }) if tried.is_empty() => {
                vec!["nothing to look at".to_owned()]
            }
            Self::Looked(Detection { tried, .. }) => {
                tried.iter().map(|Tried { candidate, outcome }| format!("{candidate}: {outcome}")).collect()
            }
        }
    }

    /// The same for machines.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::NotCompiledIn => json!({ "result": "not-compiled-in" }),
            Self::TimedOut => json!({ "result": "timed-out" }),
            Self::Failed => json!({ "result": "failed" }),
            Self::Looked(Detection { found: Some(because), tried: list }) => {
                json!({ "result": "found", "because": because, "tried": tried_json(list) })
            }
            Self::Looked(Detection { found: None, tried: list }) => {
                json!({ "result": "not-found", "tried": tried_json(list) })
            }
        }
    }
}

/// What was looked at, for machines.
pub(crate) fn tried_json(tried: &[Tried]) -> Value {
    let tried = tried.iter();
    tried.map(|tried| json!({ "candidate": tried.candidate, "outcome": tried.outcome })).collect()
}

/// Runs every probe of this build, each on a thread and a runtime of its own: one that blocks its thread, against all
/// rules, blocks nothing else, and is left behind when its time is up. Takes at most a little over [`PROBE_LIMIT`].
///
/// Blocks the caller; from a runtime, call it in `spawn_blocking`, or before the runtime is there.
#[must_use]
pub fn run(catalog: &Catalog, env: &ProbeEnv) -> Probes {
    run_within(catalog, env, PROBE_LIMIT)
}

pub(crate) fn run_within(catalog: &Catalog, env: &ProbeEnv, limit: Duration) -> Probes {
    let started: Vec<(&DriverEntry, Option<mpsc::Receiver<Detection>>)> = catalog
        .drivers
        .iter()
        .filter(|entry| entry.detect)
        .map(|entry| {
            let probe = match (catalog.arm)(entry.name) {
                Some(Arm::Crate { registration, .. }) => Some(start(registration, env.clone())),
                // Neither kind has a probe; the manifest refuses `detect` for them.
                Some(Arm::Process { .. } | Arm::Socket { .. }) | None => None,
            };
            (entry, probe)
        })
        .collect();
    let deadline = Instant::now() + limit;
    let outcome = |probe: mpsc::Receiver<Detection>| {
        match probe.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(detection) => Outcome::Looked(detection),
            Err(RecvTimeoutError::Timeout) => Outcome::TimedOut,
            // The sender went with its thread.
            Err(RecvTimeoutError::Disconnected) => Outcome::Failed,
        }
    };
    Probes(
        started
            .into_iter()
            .map(|(entry, probe)| (entry.name.to_owned(), probe.map_or(Outcome::NotCompiledIn, outcome)))
            .collect(),
    )
}

fn start(registration: &'static Registration, env: ProbeEnv) -> mpsc::Receiver<Detection> {
    let (sender, receiver) = mpsc::channel();
    let probe = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let detection = runtime.block_on(registration.factory.detect(&env));
        // Nobody waits any more when the time is up.
        let _ = sender.send(detection);
    };
    // Where no thread can be had the sender is dropped, which reads as a failed probe.
    let _ = std::thread::Builder::new().name("probe".to_owned()).spawn(probe);
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Build, FakeProbe};

    /// More than a probe gets, so that a busy machine does not fail a test.
    const LIMIT: Duration = Duration::from_secs(1);

    fn found(because: &str) -> Outcome {
        Outcome::Looked(Detection { found: Some(because.to_owned()), tried: Vec::new() })
    }

    #[test]
    fn the_first_in_order_wins_not_the_fastest() {
        let build =
            Build::of(&[("kubernetes", FakeProbe::FoundAfter(60)), ("docker", FakeProbe::FoundAfter(0))]);
        let probes = run_within(&build.catalog(), &ProbeEnv::default(), LIMIT);
        assert_eq!(probes.winner(), Some(("kubernetes", "a fake answered")));
        assert_eq!(probes.of("docker"), Some(&found("a fake answered")));
        assert_eq!(probes.of("podman"), Some(&Outcome::NotCompiledIn));
        assert_eq!(probes.of("vm"), None, "it has no probe");
    }

    #[test]
    fn neither_a_panic_nor_a_hang_stops_the_next() {
        for broken in [FakeProbe::Panics, FakeProbe::Hangs, FakeProbe::Blocks] {
            let build = Build::of(&[("kubernetes", broken), ("docker", FakeProbe::FoundAfter(0))]);
            let start = Instant::now();
            let probes = run_within(&build.catalog(), &ProbeEnv::default(), LIMIT);
            assert!(start.elapsed() < LIMIT * 2, "{broken:?}");
            assert_eq!(probes.winner().map(|(name, _)| name), Some("docker"), "{broken:?}");
            let expected = if broken == FakeProbe::Panics { Outcome::Failed } else { Outcome::TimedOut };
            assert_eq!(probes.of("kubernetes"), Some(&expected), "{broken:?}");
        }
    }

    #[test]
    fn hanging_probes_hang_together() {
        let hang = FakeProbe::Hangs;
        let build = Build::of(&[("kubernetes", hang), ("podman", hang), ("docker", hang)]);
        let start = Instant::now();
        let probes = run_within(&build.catalog(), &ProbeEnv::default(), LIMIT);
        assert!(start.elapsed() < LIMIT * 2);
        assert_eq!(
            probes.lines(),
            [
                "kubernetes: the probe timed out after 250 ms",
                "podman: the probe timed out after 250 ms",
                "docker: the probe timed out after 250 ms"
            ]
        );
    }
}
