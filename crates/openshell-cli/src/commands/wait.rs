//! `--wait`: follows a sandbox until it is where it was sent, or can no longer get there.

use std::time::Duration;

use openshell_proto::openshell::v1::sandbox_stream_event::Payload;
use openshell_proto::openshell::v1::{Sandbox, SandboxPhase, WatchSandboxRequest};

use super::watch::Watch;
use crate::args::OneArgs;
use crate::error::CliError;
use crate::gateway::Gateway;
use crate::view;

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

/// Waits, and gives back the last state that was seen with the outcome.
pub(crate) async fn until(
    gateway: &Gateway,
    one: &OneArgs,
    sandbox: Sandbox,
    goal: Goal,
    limit: Duration,
) -> (Sandbox, Result<(), CliError>) {
    let mut last = sandbox;
    let outcome = tokio::time::timeout(limit, follow(gateway, one, &mut last, goal)).await;
    let result = outcome.unwrap_or_else(|_| {
        Err(CliError::TooLate {
            name: one.name.clone(),
            phase: view::phase_word(view::phase(&last)),
            limit,
            hint: format!("keep watching it: {}", one.command("watch")),
        })
    });
    (last, result)
}

async fn follow(gateway: &Gateway, one: &OneArgs, last: &mut Sandbox, goal: Goal) -> Result<(), CliError> {
    // What the call itself answered may be there already.
    if judge(goal, view::phase(last)) == Verdict::Reached {
        return Ok(());
    }
    let request =
        WatchSandboxRequest { id: view::id(last), follow_status: true, ..WatchSandboxRequest::default() };
    let mut watch = Watch::open(gateway, one, request).await?;
    while let Some(payload) = watch.next().await? {
        let Payload::Sandbox(sandbox) = payload else { continue };
        *last = sandbox;
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

fn missed(one: &OneArgs, why: String, command: &str) -> CliError {
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
