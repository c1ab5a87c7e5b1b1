//! `--wait`: follows a sandbox until it is where it was sent, or can no longer get there.

use std::time::{Duration, Instant};

use openshell_proto::openshell::v1::sandbox_stream_event::Payload;
use openshell_proto::openshell::v1::{Sandbox, SandboxPhase, WatchSandboxRequest};

use super::watch::Watch;
use crate::error::CliError;
use crate::progress::Progress;
use crate::session::{One, Session};
use crate::view;

/// How much of what happened before the watch began is told: the start of a pull, above all.
const TAIL: u32 = 20;

/// How long all that one command waits for may take together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// As it was given.
    pub(crate) of: Duration,
    /// Since when.
    pub(crate) began: Instant,
}

impl Limit {
    /// From now on.
    pub(crate) fn new(of: Duration) -> Self {
        Self { of, began: Instant::now() }
    }
}

/// Where a sandbox is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// Running.
    Ready,
    /// Stopped.
    Stopped,
    /// Not there any more.
    Gone,
}

/// What a phase means for a goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Reached,
    OnItsWay,
    Missed,
}

fn judge(goal: Goal, phase: SandboxPhase) -> Verdict {
    match (goal, phase) {
        (Goal::Ready, SandboxPhase::Ready) | (Goal::Stopped, SandboxPhase::Stopped) => Verdict::Reached,
        // Only the end of the stream says that it is gone; a delete that failed once is tried again.
        (Goal::Gone, _) => Verdict::OnItsWay,
        (_, SandboxPhase::Error | SandboxPhase::Deleting) => Verdict::Missed,
        (Goal::Ready, SandboxPhase::Stopping | SandboxPhase::Stopped) => Verdict::Missed,
        (Goal::Stopped, SandboxPhase::Starting | SandboxPhase::Provisioning) => Verdict::Missed,
        _ => Verdict::OnItsWay,
    }
}

/// Waits, and gives back the last state that was seen with the outcome. Ctrl-C ends the waiting and nothing else.
pub(crate) async fn until(
    session: &Session,
    one: &One,
    sandbox: Sandbox,
    goal: Goal,
    limit: Limit,
) -> (Sandbox, Result<(), CliError>) {
    let mut last = sandbox;
    let outcome = {
        let mut progress = session.progress(one);
        let waiting = follow(session, one, &mut last, goal, &mut progress);
        tokio::select! {
            outcome = tokio::time::timeout(limit.of.saturating_sub(limit.began.elapsed()), waiting) => Some(outcome),
            // Where signals cannot be heard, the default holds: the program ends.
            Ok(()) = tokio::signal::ctrl_c() => None,
        }
    };
    let phase = view::phase_word(view::phase(&last));
    let result = match outcome {
        Some(Ok(result)) => result,
        Some(Err(_)) => Err(CliError::TooLate {
            name: one.name.clone(),
            phase,
            limit: limit.of,
            hint: format!("keep watching it: {}", one.command("watch")),
        }),
        None => {
            let mut hints = vec![format!("keep watching it: {}", one.command("watch"))];
            if goal == Goal::Ready {
                hints.push(format!("or remove it: {}", one.command("delete")));
            }
            Err(CliError::Interrupted { name: one.name.clone(), phase, hints })
        }
    };
    (last, result)
}

async fn follow(
    session: &Session,
    one: &One,
    last: &mut Sandbox,
    goal: Goal,
    progress: &mut Progress,
) -> Result<(), CliError> {
    // What the call itself answered may be there already.
    if judge(goal, view::phase(last)) == Verdict::Reached {
        return Ok(());
    }
    progress.state(last);
    let request = WatchSandboxRequest {
        id: view::id(last),
        follow_status: true,
        follow_events: goal == Goal::Ready,
        event_tail: if goal == Goal::Ready { TAIL } else { 0 },
        ..WatchSandboxRequest::default()
    };
    let mut watch = Watch::open(session, one, request).await?;
    while let Some(payload) = watch.next().await? {
        let sandbox = match payload {
            Payload::Sandbox(sandbox) => sandbox,
            Payload::Event(event) => {
                progress.event(&event);
                continue;
            }
            _ => continue,
        };
        *last = sandbox;
        progress.state(last);
        match judge(goal, view::phase(last)) {
            Verdict::Reached => return Ok(()),
            Verdict::OnItsWay => {}
            Verdict::Missed => {
                let why = view::why(last).map(|why| format!(": {why}")).unwrap_or_default();
                let became = match view::phase(last) {
                    SandboxPhase::Error => "has failed".to_owned(),
                    phase => format!("is {}", view::phase_word(phase)),
                };
                return Err(missed(one, format!("{became}{why}"), "get"));
            }
        }
    }
    if goal == Goal::Gone { Ok(()) } else { Err(missed(one, "is gone".to_owned(), "list")) }
}

fn missed(one: &One, why: String, command: &str) -> CliError {
    let hint = match command {
        "get" => format!("see why: {}", one.command("get")),
        _ => "see which there are: openshell sandbox list --all-workspaces".to_owned(),
    };
    CliError::Missed { name: one.name.clone(), why, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_a_meaning_for_every_goal() {
        use SandboxPhase::{Deleting, Error, Provisioning, Ready, Starting, Stopped, Stopping, Unknown};
        use Verdict::{Missed, OnItsWay, Reached};
        for (phase, ready, stopped) in [
            (Provisioning, OnItsWay, Missed),
            (Starting, OnItsWay, Missed),
            (Ready, Reached, OnItsWay),
            (Stopping, Missed, OnItsWay),
            (Stopped, Missed, Reached),
            (Error, Missed, Missed),
            (Deleting, Missed, Missed),
            (Unknown, OnItsWay, OnItsWay),
        ] {
            assert_eq!(judge(Goal::Ready, phase), ready, "{phase:?}");
            assert_eq!(judge(Goal::Stopped, phase), stopped, "{phase:?}");
            assert_eq!(judge(Goal::Gone, phase), OnItsWay, "{phase:?}");
        }
    }
}
