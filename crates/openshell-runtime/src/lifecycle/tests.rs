//! The table of the state machine, row by row, and the answers that take more than one step.

mod reasons;
mod supervised;
mod table;

use openshell_driver_api::conditions::{self, reason as word};
use openshell_driver_api::{Condition, ConditionStatus, DriverError, ErrorKind, SandboxStatus};

use super::*;

const TIMEOUT: i64 = 300_000;

fn status(conditions: Vec<Condition>) -> SandboxStatus {
    SandboxStatus { conditions, ..SandboxStatus::default() }
}

fn running() -> SandboxStatus {
    status(vec![conditions::ready()])
}

fn stopped() -> SandboxStatus {
    status(conditions::stopped("asked"))
}

fn because(reason: &str) -> SandboxStatus {
    status(vec![conditions::not_ready(reason, "text")])
}

fn unknown() -> SandboxStatus {
    status(vec![Condition { status: ConditionStatus::Unknown, ..conditions::not_ready("NodeLost", "") }])
}

fn failed(kind: ErrorKind) -> Result<Answer, Failed> {
    Err(Failed { kind, message: "words".to_owned(), reason: None })
}

/// A failure of a driver that knows better why.
fn failed_for(kind: ErrorKind, reason: &'static str) -> Result<Answer, Failed> {
    Err(DriverError::new(kind, "pull image", "words").with_reason(reason).into())
}

fn answer(life: &mut Life, step: Step, answer: Result<Answer, Failed>) -> Turn {
    life.answered(step, &answer, Patience::Client, TIMEOUT, 10)
}

/// A sandbox whose create was taken.
fn made() -> Life {
    let mut life = Life::new(0);
    assert_eq!(answer(&mut life, Step::Create, Ok(Answer::Done)), Turn::Next);
    assert_eq!(life.owed, None);
    life
}

fn ready() -> Life {
    let mut life = made();
    life.observe(running(), 1);
    assert_eq!(life.phase, Phase::Ready);
    life
}

fn at_rest() -> Life {
    let mut life = ready();
    life.request(Request::Stop, 2).unwrap();
    assert_eq!((life.phase, life.owed), (Phase::Stopping, Some(Step::Stop)));
    assert_eq!(answer(&mut life, Step::Stop, Ok(Answer::Done)), Turn::Next);
    life.observe(stopped(), 3);
    assert_eq!((life.phase, life.owed), (Phase::Stopped, None));
    life
}

fn in_error() -> Life {
    let mut life = made();
    life.observe(because(word::IMAGE_PULL_FAILED), 1);
    assert_eq!(life.phase, Phase::Error);
    life
}

#[test]
fn what_is_wanted_and_what_is_reported_make_the_phase() {
    use Phase::{Deleting, Error, Provisioning, Ready, Starting, Stopped, Stopping, Unknown};
    let starting = || {
        let mut life = at_rest();
        life.request(Request::Start, 4).unwrap();
        assert_eq!(answer(&mut life, Step::Start, Ok(Answer::Done)), Turn::Next);
        life
    };
    let stopping = || {
        let mut life = ready();
        life.request(Request::Stop, 4).unwrap();
        assert_eq!(answer(&mut life, Step::Stop, Ok(Answer::Done)), Turn::Next);
        life
    };
    let deleting = || {
        let mut life = ready();
        life.request(Request::Delete, 4).unwrap();
        life
    };
    let going = SandboxStatus { deleting: true, ..running() };
    //                          made          ready         stopping  stopped   starting  deleting
    let table: &[(SandboxStatus, [Phase; 6])] = &[
        (running(), [Ready, Ready, Stopping, Ready, Ready, Deleting]),
        (stopped(), [Provisioning, Stopped, Stopped, Stopped, Starting, Deleting]),
        (because("Bewildered"), [Provisioning, Provisioning, Stopping, Provisioning, Starting, Deleting]),
        (
            because(word::SUPERVISOR_NOT_CONNECTED),
            [Provisioning, Provisioning, Stopping, Provisioning, Starting, Deleting],
        ),
        (because(word::STOPPING), [Provisioning, Stopping, Stopping, Stopping, Starting, Deleting]),
        (because(word::RESUMING), [Provisioning, Starting, Stopping, Starting, Starting, Deleting]),
        (because(word::TERMINATING), [Deleting; 6]),
        (because(word::OOM_KILLED), [Error, Error, Error, Error, Error, Deleting]),
        (because(word::CONTAINER_EXITED), [Error, Error, Stopped, Stopped, Error, Deleting]),
        (status(vec![]), [Provisioning, Provisioning, Stopping, Provisioning, Starting, Deleting]),
        (unknown(), [Provisioning, Unknown, Stopping, Unknown, Starting, Deleting]),
        (going, [Deleting; 6]),
    ];
    for (report, phases) in table {
        let lives = [made(), ready(), stopping(), at_rest(), starting(), deleting()];
        for (mut life, expected) in lives.into_iter().zip(phases) {
            let before = life.phase;
            life.observe(report.clone(), 5);
            assert_eq!(life.phase, *expected, "{before:?} and then {report:?}");
        }
    }
}

#[test]
fn what_may_be_asked_in_which_phase() {
    use Phase::{Deleting, Error, Provisioning, Ready, Starting, Stopped, Stopping, Unknown};
    let unknown = || {
        let mut life = ready();
        life.observe(unknown(), 2);
        life
    };
    let in_phase = |phase| match phase {
        Provisioning => made(),
        Ready => ready(),
        Error => in_error(),
        Stopped => at_rest(),
        Unknown => unknown(),
        Deleting => {
            let mut life = ready();
            life.request(Request::Delete, 2).unwrap();
            life
        }
        Stopping => {
            let mut life = ready();
            life.request(Request::Stop, 2).unwrap();
            life
        }
        Starting => {
            let mut life = at_rest();
            life.request(Request::Start, 4).unwrap();
            life
        }
    };
    for phase in [Provisioning, Ready, Error, Deleting, Unknown, Stopping, Stopped, Starting] {
        assert_eq!(in_phase(phase).phase, phase);
        let ask = |request| {
            let mut life = in_phase(phase);
            let before = life.clone();
            let asked = life.request(request, 9);
            if asked.is_err() {
                assert_eq!(life, before, "a refusal changes nothing");
            }
            asked.map(|()| life.phase).map_err(|refusal| refusal.phase)
        };
        assert_eq!(ask(Request::Delete), Ok(Deleting), "{phase:?}");
        let stop = match phase {
            Ready | Stopping => Ok(Stopping),
            Stopped => Ok(Stopped),
            other => Err(other),
        };
        assert_eq!(ask(Request::Stop), stop, "stop in {phase:?}");
        let start = match phase {
            Stopped | Starting | Error => Ok(Starting),
            Ready => Ok(Ready),
            other => Err(other),
        };
        assert_eq!(ask(Request::Start), start, "start in {phase:?}");
    }
}

#[test]
fn an_unknown_reason_is_an_error_after_the_timeout_only_and_not_for_ever() {
    let mut life = made();
    life.observe(because("Bewildered"), 1);
    life.expire(TIMEOUT, TIMEOUT - 1);
    assert_eq!(life.phase, Phase::Provisioning);
    life.expire(TIMEOUT, TIMEOUT);
    assert_eq!(life.phase, Phase::Error);
    let own = life.own.clone().unwrap();
    assert!(own.message.contains("300 s") && own.message.contains("Bewildered"), "{own:?}");
    assert_eq!(life.waiting_since_ms, None);
    life.observe(running(), TIMEOUT + 1);
    assert_eq!((life.phase, life.own), (Phase::Ready, None));
}

#[test]
fn the_time_away_does_not_count() {
    let mut life = made();
    life.restarted(1_000_000);
    life.expire(TIMEOUT, 1_000_000 + TIMEOUT - 1);
    assert_eq!(life.phase, Phase::Provisioning);
    let mut life = ready();
    life.restarted(1_000_000);
    assert_eq!(life.waiting_since_ms, None);
}

#[test]
fn a_call_that_is_owed_does_not_expire() {
    let mut life = Life::new(0);
    life.expire(TIMEOUT, TIMEOUT * 2);
    assert_eq!(life.phase, Phase::Provisioning);
}

#[test]
fn what_becomes_of_a_create() {
    use ErrorKind::{
        Aborted, DeadlineExceeded, FailedPrecondition, Internal, InvalidArgument, ResourceExhausted,
        Unavailable, Unimplemented,
    };
    for kind in [InvalidArgument, FailedPrecondition, ResourceExhausted, Unimplemented] {
        let mut life = Life::new(0);
        assert_eq!(answer(&mut life, Step::Create, failed(kind)), Turn::Next);
        assert_eq!((life.phase, life.owed, life.made), (Phase::Error, None, false), "{kind:?}");
        assert_eq!(life.own.unwrap().message, "words");
    }
    for kind in [Aborted, DeadlineExceeded, Unavailable] {
        let mut life = Life::new(0);
        assert_eq!(answer(&mut life, Step::Create, failed(kind)), Turn::Again);
        assert_eq!((life.phase, life.owed), (Phase::Provisioning, Some(Step::Create)), "{kind:?}");
        let late = life.answered(Step::Create, &failed(kind), Patience::Gateway, TIMEOUT, TIMEOUT);
        assert_eq!(
            (late, life.phase, life.owed),
            (Turn::Next, Phase::Error, Some(Step::CleanUp)),
            "{kind:?}"
        );
    }
    let mut life = Life::new(0);
    assert_eq!(answer(&mut life, Step::Create, failed(Internal)), Turn::Next);
    assert_eq!((life.phase, life.owed), (Phase::Error, Some(Step::CleanUp)));
    assert_eq!(answer(&mut life, Step::CleanUp, failed(Unavailable)), Turn::Again);
    assert_eq!(answer(&mut life, Step::CleanUp, Ok(Answer::Gone)), Turn::Next);
    assert_eq!((life.phase, life.owed, life.made), (Phase::Error, None, false));
    life.request(Request::Start, 20).unwrap();
    assert_eq!((life.phase, life.owed), (Phase::Starting, Some(Step::Create)), "start retries");
}

#[test]
fn an_id_that_is_there_already_is_adopted() {
    let adopted = || {
        let mut life = Life::new(0);
        assert_eq!(answer(&mut life, Step::Create, failed(ErrorKind::AlreadyExists)), Turn::Next);
        assert_eq!((life.owed, life.made), (Some(Step::Adopt), true));
        life
    };
    for done in [Ok(Answer::Done), failed(ErrorKind::Unimplemented)] {
        let mut life = adopted();
        assert_eq!(answer(&mut life, Step::Adopt, done), Turn::Next);
        assert_eq!((life.phase, life.owed), (Phase::Provisioning, None));
    }
    let mut life = adopted();
    assert_eq!(answer(&mut life, Step::Adopt, failed(ErrorKind::Unavailable)), Turn::Again);
    assert_eq!(answer(&mut life, Step::Adopt, failed(ErrorKind::NotFound)), Turn::Next);
    assert_eq!((life.phase, life.owed, life.made), (Phase::Error, None, false), "no endless circle");
}

#[test]
fn a_stop_or_start_that_the_driver_refuses_leaves_it_as_it_was() {
    for kind in [ErrorKind::Unimplemented, ErrorKind::FailedPrecondition, ErrorKind::Unavailable] {
        let mut life = ready();
        life.request(Request::Stop, 2).unwrap();
        assert_eq!(answer(&mut life, Step::Stop, failed(kind)), Turn::Next);
        assert_eq!((life.phase, life.desired, life.owed), (Phase::Ready, Desired::Running, None), "{kind:?}");

        let mut life = at_rest();
        life.request(Request::Start, 4).unwrap();
        assert_eq!(answer(&mut life, Step::Start, failed(kind)), Turn::Next);
        assert_eq!(
            (life.phase, life.desired, life.owed),
            (Phase::Stopped, Desired::Stopped, None),
            "{kind:?}"
        );

        let mut life = in_error();
        life.request(Request::Start, 4).unwrap();
        assert_eq!(answer(&mut life, Step::Start, failed(kind)), Turn::Next);
        assert_eq!((life.phase, life.owed), (Phase::Error, None), "{kind:?}");
        assert_eq!(life.own.unwrap().reason, reason::START_FAILED);
    }
}

#[test]
fn nobody_waits_so_the_gateway_asks_again() {
    let mut life = ready();
    life.request(Request::Stop, 2).unwrap();
    let again = life.answered(Step::Stop, &failed(ErrorKind::Unavailable), Patience::Gateway, TIMEOUT, 3);
    assert_eq!((again, life.owed), (Turn::Again, Some(Step::Stop)));
    let mut life = at_rest();
    life.request(Request::Start, 4).unwrap();
    let again = life.answered(Step::Start, &failed(ErrorKind::Unavailable), Patience::Gateway, TIMEOUT, 5);
    assert_eq!((again, life.owed, life.phase), (Turn::Again, Some(Step::Start), Phase::Starting));
}

#[test]
fn a_start_of_what_is_not_there_makes_it_anew() {
    let mut life = at_rest();
    life.request(Request::Start, 4).unwrap();
    assert_eq!(answer(&mut life, Step::Start, failed(ErrorKind::NotFound)), Turn::Next);
    assert_eq!((life.owed, life.made, life.phase), (Some(Step::Create), false, Phase::Starting));
}

#[test]
fn a_backend_that_is_gone() {
    for mut life in [made(), ready(), at_rest(), in_error()] {
        assert!(!life.gone(9));
        assert_eq!((life.phase, life.made, life.observed.clone()), (Phase::Error, false, None));
        assert_eq!(life.own.as_ref().unwrap().reason, reason::BACKEND_GONE);
        life.request(Request::Start, 10).unwrap();
        assert_eq!((life.phase, life.owed), (Phase::Starting, Some(Step::Create)));
    }
    let mut life = Life::new(0);
    assert!(!life.gone(9));
    assert_eq!(life.phase, Phase::Provisioning, "it is not there yet");
    let mut life = ready();
    life.request(Request::Delete, 2).unwrap();
    assert!(life.gone(9), "the row may go");
    let mut life = ready();
    life.request(Request::Stop, 2).unwrap();
    assert_eq!(answer(&mut life, Step::Stop, failed(ErrorKind::NotFound)), Turn::Next);
    assert_eq!((life.phase, life.owed), (Phase::Error, None));
}

#[test]
fn a_delete_is_owed_until_it_is_gone() {
    let mut life = Life::new(0);
    life.request(Request::Delete, 1).unwrap();
    assert_eq!((life.phase, life.owed), (Phase::Deleting, Some(Step::Delete)));
    assert_eq!(
        answer(&mut life, Step::Create, Ok(Answer::Done)),
        Turn::Next,
        "the create that was under way"
    );
    assert_eq!((life.made, life.owed), (true, Some(Step::Delete)));
    life.observe(running(), 2);
    assert_eq!(answer(&mut life, Step::Delete, Ok(Answer::Done)), Turn::Again, "taken, and still there");
    for kind in [ErrorKind::Aborted, ErrorKind::Internal, ErrorKind::Unimplemented] {
        assert_eq!(answer(&mut life, Step::Delete, failed(kind)), Turn::Again);
        assert_eq!((life.phase, life.owed), (Phase::Deleting, Some(Step::Delete)));
    }
    assert!(life.own.as_ref().unwrap().message.contains("words"));
    assert_eq!(answer(&mut life, Step::Delete, Ok(Answer::Gone)), Turn::Remove);
}

#[test]
fn what_should_run_is_started_again_after_the_gateway_was_away() {
    let owed = |mut life: Life, was_live| {
        life.revive(was_live, 9);
        (life.owed, life.phase)
    };
    let start = Some(Step::Start);
    let mut by_others = ready();
    by_others.observe(stopped(), 2);
    assert_eq!(owed(by_others.clone(), false), (start, Phase::Starting));
    let mut exited = ready();
    exited.observe(because(word::CONTAINER_EXITED), 2);
    assert_eq!(owed(exited.clone(), true), (start, Phase::Starting));
    assert_eq!(owed(exited, false), (None, Phase::Error), "it had ended before");
    assert_eq!(owed(at_rest(), false), (None, Phase::Stopped), "somebody wants it stopped");
    let mut cut_short = made();
    assert_eq!(owed(cut_short.clone(), true), (None, Phase::Provisioning), "it may be on its way");
    cut_short.observe(stopped(), 2);
    assert_eq!(owed(cut_short, true), (start, Phase::Provisioning), "its driver ended while it came up");
    assert_eq!(owed(ready(), true), (None, Phase::Ready));
    by_others.request(Request::Stop, 3).unwrap();
    assert_eq!(owed(by_others, false), (None, Phase::Stopped), "now it is wanted stopped");
}

#[test]
fn the_same_report_is_no_change() {
    let mut life = ready();
    let before = life.clone();
    life.observe(running(), 99);
    assert_eq!(life, before);
}

#[test]
fn words_are_read_as_they_are_written() {
    for step in [Step::Create, Step::Adopt, Step::Start, Step::Stop, Step::Delete, Step::CleanUp] {
        assert_eq!(Step::from_word(step.as_str()), Some(step));
    }
    assert_eq!(Phase::from_word("ready"), None);
}
