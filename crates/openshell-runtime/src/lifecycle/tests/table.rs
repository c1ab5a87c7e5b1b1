//! Every situation with everything that can happen in it, as a table that is committed beside this file.
//!
//! A change of the machine is a change of `table.txt`, to be read in review; the test prints the table that is right.
//! The changes of phase in it are those that the module's own doc comment lists, neither more nor fewer.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const TABLE: &str = include_str!("table.txt");
const DRAWING: &str = include_str!("../../lifecycle.rs");

/// A situation by its name.
fn situations() -> Vec<(&'static str, Life)> {
    let ask = |mut life: Life, request| {
        life.request(request, 4).unwrap();
        life
    };
    let take = |mut life: Life, step| {
        assert_eq!(answer(&mut life, step, Ok(Answer::Done)), Turn::Next);
        life
    };
    let fail = |mut life: Life, step, kind| {
        let _turn = answer(&mut life, step, failed(kind));
        life
    };
    let stopping = || ask(ready(), Request::Stop);
    let starting = || ask(at_rest(), Request::Start);
    let see = |mut life: Life, report| {
        life.observe(report, 2);
        life
    };
    let timed_out = || {
        let mut life = see(made(), because(word::STARTING));
        life.expire(TIMEOUT, TIMEOUT);
        life
    };
    let run = |mut life: Life| {
        life.observe(running(), 2);
        life
    };
    let connect = |mut life: Life| {
        life.connected("run-1", 3);
        life
    };
    let lose = |mut life: Life| {
        life.disconnected(4);
        life
    };
    let made_supervised = || take(Life::new(0).supervised(), Step::Create);
    let supervised = || connect(run(made_supervised()));
    let given_up = || {
        let mut life = run(made_supervised());
        life.expire(TIMEOUT, TIMEOUT);
        life
    };
    let rests_supervised = || see(take(ask(supervised(), Request::Stop), Step::Stop), stopped());
    let starting_supervised = || take(ask(rests_supervised(), Request::Start), Step::Start);
    vec![
        ("to be created", Life::new(0)),
        ("to be adopted", fail(Life::new(0), Step::Create, ErrorKind::AlreadyExists)),
        ("created", made()),
        ("created and found stopped", see(made(), stopped())),
        ("ready", ready()),
        ("to be stopped", stopping()),
        ("being stopped", take(stopping(), Step::Stop)),
        ("stopped", at_rest()),
        ("to be started", starting()),
        ("being started", take(starting(), Step::Start)),
        ("being started and found stopped", see(take(starting(), Step::Start), stopped())),
        ("to be made anew", fail(starting(), Step::Start, ErrorKind::NotFound)),
        ("stopped by itself", see(ready(), stopped())),
        ("failed", in_error()),
        ("timed out", timed_out()),
        ("to be cleaned up", fail(Life::new(0), Step::Create, ErrorKind::Internal)),
        ("to be started from failure", ask(in_error(), Request::Start)),
        ("unknown", see(ready(), unknown())),
        ("going by itself", see(ready(), because(word::TERMINATING))),
        ("to be deleted", ask(ready(), Request::Delete)),
        ("created, supervised", made_supervised()),
        ("created, connected and not reported", connect(made_supervised())),
        ("created, supervisor awaited", run(made_supervised())),
        ("ready, supervised", supervised()),
        ("ready, and its supervisor lost", lose(supervised())),
        ("given up without a supervisor", given_up()),
        ("being stopped, supervised", take(ask(supervised(), Request::Stop), Step::Stop)),
        ("stopped, supervised", lose(rests_supervised())),
        ("being started, supervised", starting_supervised()),
        ("being started, supervisor awaited", run(starting_supervised())),
        ("to be deleted, supervised", ask(supervised(), Request::Delete)),
    ]
}

/// The phase, and for an ERROR of the gateway's own word its reason.
fn shown(life: &Life) -> String {
    let own = life.own.as_ref().filter(|own| own.terminal && life.phase == Phase::Error);
    let reason = own.map_or_else(String::new, |own| format!(" ({})", own.reason));
    format!("{}{reason}", life.phase.as_str())
}

/// What can happen, each with what comes of it in words; `None` when nothing does.
fn outcomes(before: &Life) -> Vec<(String, Option<String>, Option<Phase>)> {
    let mut rows = Vec::new();
    let mut row = |event: &str, change: &dyn Fn(&mut Life) -> Option<&'static str>| {
        let mut life = before.clone();
        let said = change(&mut life);
        let owed =
            |life: &Life| life.owed.map_or_else(String::new, |step| format!(" owes {}", step.as_str()));
        let now = format!("{}{}", shown(&life), owed(&life));
        let was = format!("{}{}", shown(before), owed(before));
        let text = match said {
            Some(said) if now == was => Some(said.to_owned()),
            Some(said) => Some(format!("{now}, {said}")),
            None => (now != was).then_some(now),
        };
        rows.push((event.to_owned(), text, (life.phase != before.phase).then_some(life.phase)));
    };
    for (event, request) in [("stop", Request::Stop), ("start", Request::Start), ("delete", Request::Delete)]
    {
        row(event, &move |life| life.request(request, 9).err().map(|_| "refused"));
    }
    for (event, report) in [
        ("report running", running()),
        ("report on the way", because(word::STARTING)),
        ("report stopping", because(word::STOPPING)),
        ("report resuming", because(word::RESUMING)),
        ("report stopped", stopped()),
        ("report exited", because(word::CONTAINER_EXITED)),
        ("report failed", because(word::OOM_KILLED)),
        ("report unknown", unknown()),
        ("report deleting", because(word::TERMINATING)),
    ] {
        row(event, &move |life| {
            life.observe(report.clone(), 9);
            None
        });
    }
    row("gone", &|life| life.gone(9).then_some("the row goes"));
    row("timeout", &|life| {
        life.expire(TIMEOUT, TIMEOUT + 9);
        None
    });
    row("gateway came up", &|life| {
        life.restarted(9);
        life.revive(true, 9);
        None
    });
    if before.supervisor.is_some() {
        for (event, instance) in [("supervisor connected", "run-1"), ("another run connected", "run-2")] {
            row(event, &move |life| {
                life.connected(instance, 9);
                None
            });
        }
        row("supervisor lost", &|life| {
            life.disconnected(9);
            None
        });
        row("supervision is off", &|life| {
            life.unsupervised(9);
            None
        });
    }
    if let Some(step) = before.owed {
        use ErrorKind::{AlreadyExists, FailedPrecondition, Internal, NotFound, Unavailable, Unimplemented};
        let no_image = |kind| failed_for(kind, word::IMAGE_PULL_FAILED);
        let answers = [
            ("done", Ok(Answer::Done), Patience::Client, 9),
            ("gone already", Ok(Answer::Gone), Patience::Client, 9),
            ("already exists", failed(AlreadyExists), Patience::Client, 9),
            ("not found", failed(NotFound), Patience::Client, 9),
            ("unimplemented", failed(Unimplemented), Patience::Client, 9),
            ("refused", failed(FailedPrecondition), Patience::Client, 9),
            ("refused with reason", no_image(FailedPrecondition), Patience::Client, 9),
            ("broken", failed(Internal), Patience::Client, 9),
            ("away", failed(Unavailable), Patience::Client, 9),
            ("away, nobody waits", failed(Unavailable), Patience::Gateway, 9),
            ("away for too long", failed(Unavailable), Patience::Gateway, TIMEOUT + 9),
            ("away with reason", no_image(Unavailable), Patience::Gateway, TIMEOUT + 9),
        ];
        for (event, given, patience, now) in answers {
            // Only a delete can find nothing to do.
            if event == "gone already" && !matches!(step, Step::Delete | Step::CleanUp) {
                continue;
            }
            row(&format!("answer {event}"), &move |life| match life
                .answered(step, &given, patience, TIMEOUT, now)
            {
                Turn::Next => None,
                Turn::Again => Some("again"),
                Turn::Remove => Some("the row goes"),
            });
        }
    }
    rows
}

fn table() -> String {
    let mut text = String::new();
    for (name, life) in situations() {
        let owed = life.owed.map_or_else(String::new, |step| format!(" owes {}", step.as_str()));
        text += &format!("{name}: {}{owed}\n", shown(&life));
        let mut same = Vec::new();
        for (event, outcome, _) in outcomes(&life) {
            match outcome {
                Some(outcome) => text += &format!("    {event:<26} {outcome}\n"),
                None => same.push(event),
            }
        }
        if !same.is_empty() {
            text += &format!("    (no change)                {}\n", same.join("; "));
        }
        text.push('\n');
    }
    text
}

#[test]
fn the_table_is_the_committed_one() {
    let now = table();
    assert!(now == TABLE, "src/lifecycle/tests/table.txt should be:\n{now}");
}

#[test]
fn every_phase_has_its_situation() {
    let phases: BTreeSet<&str> = situations().iter().map(|(_, life)| life.phase.as_str()).collect();
    let all: BTreeSet<&str> = Phase::ALL.iter().map(|phase| phase.as_str()).collect();
    assert_eq!(phases, all);
}

#[test]
fn the_drawing_lists_every_change_of_phase() {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, life) in situations() {
        let to = found.entry(life.phase.as_str()).or_default();
        to.extend(outcomes(&life).iter().filter_map(|(_, _, phase)| phase.map(Phase::as_str)));
    }
    let mut drawn: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in DRAWING.lines() {
        let Some((from, to)) = line.trim_start_matches("//!").split_once('→') else { continue };
        drawn.insert(from.trim(), to.split_whitespace().collect());
    }
    assert_eq!(drawn, found, "the list in the doc comment of src/lifecycle.rs");
}
