//! Sandboxes that have a supervisor: what it takes for them to be ready.

use super::*;

/// A sandbox that runs, and whose supervisor has connected.
fn supervised() -> Life {
    let mut life = Life::new(0).supervised();
    assert_eq!(answer(&mut life, Step::Create, Ok(Answer::Done)), Turn::Next);
    life.observe(running(), 1);
    assert_eq!(
        (life.phase, life.waiting_since_ms),
        (Phase::Provisioning, Some(0)),
        "the supervisor is awaited"
    );
    life.connected("run-1", 2);
    assert_eq!((life.phase, life.waiting_since_ms), (Phase::Ready, None));
    life
}

#[test]
fn ready_takes_the_backend_and_the_supervisor_in_either_order() {
    supervised();
    let mut life = Life::new(0).supervised();
    life.connected("run-1", 1);
    assert_eq!(answer(&mut life, Step::Create, Ok(Answer::Done)), Turn::Next);
    assert_eq!(life.phase, Phase::Provisioning);
    life.observe(running(), 2);
    assert_eq!(life.phase, Phase::Ready);
}

#[test]
fn a_supervisor_that_stays_away_is_an_error_until_it_comes() {
    let mut life = supervised();
    life.disconnected(10);
    assert_eq!((life.phase, life.waiting_since_ms), (Phase::Provisioning, Some(10)));
    life.expire(TIMEOUT, 10 + TIMEOUT);
    assert_eq!(life.phase, Phase::Error);
    assert!(life.own.as_ref().unwrap().message.contains("its supervisor is not connected"), "{:?}", life.own);
    life.connected("run-1", 20 + TIMEOUT);
    assert_eq!((life.phase, life.own), (Phase::Ready, None));
}

#[test]
fn a_start_waits_for_the_supervisor_of_the_new_run() {
    let mut life = supervised();
    life.exited("run-1", 7);
    life.request(Request::Stop, 3).unwrap();
    assert_eq!(answer(&mut life, Step::Stop, Ok(Answer::Done)), Turn::Next);
    life.observe(stopped(), 4);
    assert_eq!(
        (life.phase, life.supervisor),
        (Phase::Stopped, Some(Supervisor::Connected)),
        "not yet noticed"
    );
    life.request(Request::Start, 5).unwrap();
    assert_eq!(answer(&mut life, Step::Start, Ok(Answer::Done)), Turn::Next);
    life.observe(running(), 6);
    assert_eq!(life.phase, Phase::Starting);
    assert_eq!(life.exit_code, Some(7), "it is known until there is another run");
    life.connected("run-2", 7);
    assert_eq!((life.phase, life.main_process.as_str(), life.exit_code), (Phase::Ready, "run-2", None));
}

#[test]
fn the_end_of_another_run_is_old_news() {
    let mut life = supervised();
    life.exited("run-0", 1);
    assert_eq!(life.exit_code, None);
    life.exited("run-1", 137);
    life.connected("run-1", 9);
    assert_eq!(life.exit_code, Some(137), "the same run is connected again");
}

#[test]
fn without_supervision_the_backend_s_word_counts_until_somebody_proves_otherwise() {
    let mut life = supervised();
    life.disconnected(3);
    life.unsupervised(4);
    assert_eq!((life.phase, life.supervisor), (Phase::Ready, None));
    life.disconnected(5);
    assert_eq!(life.phase, Phase::Ready, "nobody is awaited");
    life.connected("run-1", 6);
    assert_eq!(life.supervisor, Some(Supervisor::Connected));
}
