//! The cases: by group, as the document has them; and in the order in which they run, what others build on first.

mod cleanup;
mod errors;
mod handshake;
mod idempotency;
mod identity;
mod lifecycle;
mod restart;
mod secrets;
mod socket;
mod stop_start;
mod validation;
mod watch;
mod watch_changes;

use crate::case::Case;

/// Every case.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [
        handshake::CASES,
        identity::CASES,
        validation::CASES,
        lifecycle::CASES,
        stop_start::CASES,
        idempotency::CASES,
        watch::CASES,
        watch_changes::CASES,
        errors::CASES,
        secrets::CASES,
        socket::CASES,
        restart::CASES,
        cleanup::CASES,
    ]
    .into_iter()
    .flatten()
}

/// What other cases build on, each before those that do.
const BASIC: &[&str] = &[
    "handshake.capabilities",
    "handshake.several-connections",
    "handshake.side-by-side",
    "validation.plain",
    "validation.same-answer",
    "lifecycle.create",
    "lifecycle.list",
    "identity.id-alone",
    "identity.unknown-get",
    "identity.list-id",
    "errors.answer-size",
    "errors.ready-condition",
    "lifecycle.create-found",
    "lifecycle.create-ready",
    "lifecycle.create-at-once",
    "lifecycle.delete",
    "lifecycle.stopped-there",
    "lifecycle.stop",
    "lifecycle.start",
    "idempotency.delete-twice",
    "watch.stays-open",
    "identity.watch-id",
    "watch.snapshot",
    "watch.status-in-events",
    "watch.create-seen",
    "watch.delete-seen",
    "secrets.get",
    "secrets.watch",
];

/// Every case, in the order in which they run.
pub(crate) fn in_order() -> impl Iterator<Item = &'static Case> {
    let basic = BASIC.iter().filter_map(|id| all().find(|case| case.id == *id));
    basic.chain(all().filter(|case| !BASIC.contains(&case.id)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_has_an_id_of_its_own_in_a_group_and_says_everything() {
        let mut ids = BTreeSet::new();
        for case in all() {
            assert!(ids.insert(case.id), "{} is there twice", case.id);
            let (group, name) = case.id.split_once('.').expect("group.name");
            assert_eq!(case.group().name(), group, "{}", case.id);
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", case.id);
            for text in [case.checks, case.why, case.mend] {
                assert!(text.len() > 10 && text.ends_with('.'), "{}: {text}", case.id);
                assert!(!text.contains('|'), "{}: a table cannot hold `{text}`", case.id);
            }
        }
        assert!(ids.len() >= 60, "{} cases", ids.len());
    }

    #[test]
    fn every_case_runs_once_and_the_cleanup_last() {
        let order: Vec<&str> = in_order().map(|case| case.id).collect();
        assert_eq!(order.len(), all().count());
        assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), order.len());
        assert_eq!(order.last(), Some(&"cleanup.nothing-left"));
    }
}
