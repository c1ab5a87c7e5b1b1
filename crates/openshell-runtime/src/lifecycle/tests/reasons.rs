//! Why it is in ERROR: the driver's word where it has one, and the first word that was right.

use super::*;

#[test]
fn a_driver_that_knows_better_names_the_reason() {
    let own = |life: &Life| life.own.as_ref().map(|own| (own.reason.clone(), own.message.clone()));
    let said = |reason: &str| Some((reason.to_owned(), "words".to_owned()));
    let pull = |kind| failed_for(kind, word::IMAGE_PULL_FAILED);
    let mut life = Life::new(0);
    assert_eq!(answer(&mut life, Step::Create, pull(ErrorKind::FailedPrecondition)), Turn::Next);
    assert_eq!((life.phase, own(&life)), (Phase::Error, said(word::IMAGE_PULL_FAILED)));
    // As long as it is tried again it is no end, and says so; then it is.
    let mut life = Life::new(0);
    assert_eq!(answer(&mut life, Step::Create, pull(ErrorKind::Unavailable)), Turn::Again);
    assert_eq!((life.phase, own(&life).unwrap().0.as_str()), (Phase::Provisioning, reason::PROVISIONING));
    let late =
        life.answered(Step::Create, &pull(ErrorKind::Unavailable), Patience::Gateway, TIMEOUT, TIMEOUT);
    assert_eq!((late, own(&life)), (Turn::Next, said(word::IMAGE_PULL_FAILED)));
    let start = || failed_for(ErrorKind::FailedPrecondition, word::CONTAINER_START_FAILED);
    let mut life = in_error();
    life.request(Request::Start, 4).unwrap();
    assert_eq!(answer(&mut life, Step::Start, start()), Turn::Next);
    assert_eq!((life.phase, own(&life)), (Phase::Error, said(word::CONTAINER_START_FAILED)));
    let mut life = Life::new(0);
    assert_eq!(answer(&mut life, Step::Create, failed(ErrorKind::AlreadyExists)), Turn::Next);
    assert_eq!(answer(&mut life, Step::Adopt, start()), Turn::Next);
    assert_eq!((life.phase, own(&life)), (Phase::Error, said(word::CONTAINER_START_FAILED)));
}

#[test]
fn what_a_failed_create_left_for_a_moment_does_not_hide_why_it_failed() {
    let mut life = Life::new(0);
    let pull = failed_for(ErrorKind::FailedPrecondition, word::IMAGE_PULL_FAILED);
    assert_eq!(answer(&mut life, Step::Create, pull), Turn::Next);
    let why = life.own.clone();
    // Both are from before the answer, and come after it.
    life.observe(because(word::CONTAINER_CREATED), 11);
    assert!(!life.gone(12));
    assert_eq!((life.phase, life.made, life.own.clone()), (Phase::Error, false, why));
    life.request(Request::Start, 13).unwrap();
    assert_eq!((life.phase, life.owed), (Phase::Starting, Some(Step::Create)));
}
