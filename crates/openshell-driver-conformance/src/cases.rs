//! The cases: by group, as the document has them; and in the waves in which they run, what others build on first.

mod cleanup;
mod errors;
mod gateways;
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

use crate::case::{Case, Group};

/// Every case.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [
        handshake::CASES,
        identity::CASES,
        gateways::CASES,
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

/// What other cases build on, in waves: each wave after those that it builds on itself.
const BASIC: &[&[&str]] = &[
    &["handshake.capabilities", "handshake.several-connections"],
    &["handshake.side-by-side"],
    &["validation.plain"],
    &["validation.same-answer", "lifecycle.create", "lifecycle.list"],
    &["identity.id-alone"],
    &["identity.unknown-get", "lifecycle.create-at-once"],
    &["identity.list-id", "errors.ready-condition"],
    &["lifecycle.create-found", "lifecycle.create-ready", "watch.stays-open"],
    &["lifecycle.delete", "lifecycle.stopped-there", "identity.watch-id"],
    &["lifecycle.stop", "idempotency.delete-twice", "secrets.get", "watch.snapshot"],
    &["lifecycle.start", "watch.status-in-events"],
    &["watch.create-seen"],
    &["watch.delete-seen"],
    &["watch.two-watchers"],
    &["secrets.watch"],
];

/// Who fails one of these is asked one thing at a time.
pub(crate) const CONCURRENT: &[&str] =
    &["handshake.side-by-side", "lifecycle.create-at-once", "watch.two-watchers"];

/// What others would disturb, or would be disturbed by: requests that a broken driver takes for "all", looks at what
/// happens where nothing may, measured times, many sandboxes. The groups `restart` and `cleanup` are alone, too.
const ALONE: &[&str] = &[
    "handshake.capabilities-at-once",
    "identity.empty-delete",
    "identity.empty-start",
    "identity.empty-stop",
    "watch.calm",
    "lifecycle.list-whole",
];

/// Whether nothing else may happen meanwhile.
pub(crate) fn is_alone(case: &Case) -> bool {
    ALONE.contains(&case.id) || matches!(case.group(), Group::Restart | Group::Cleanup)
}

/// Every case, in waves: those of one may run side by side, and none before the waves that it builds on.
pub(crate) fn waves() -> Vec<Vec<&'static Case>> {
    let wave = |ids: &&[&str]| ids.iter().filter_map(|id| all().find(|case| case.id == *id)).collect();
    let mut waves: Vec<Vec<&'static Case>> = BASIC.iter().map(wave).collect();
    let rest = all().filter(|case| !BASIC.iter().any(|ids| ids.contains(&case.id)));
    let (alone, together): (Vec<_>, Vec<_>) = rest.partition(|case| is_alone(case));
    waves.push(together);
    waves.extend(alone.into_iter().map(|case| vec![case]));
    waves
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
        let order: Vec<&str> = waves().into_iter().flatten().map(|case| case.id).collect();
        assert_eq!(order.len(), all().count());
        assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), order.len());
        assert_eq!(order.last(), Some(&"cleanup.nothing-left"));
        for id in BASIC.iter().copied().flatten().chain(ALONE).chain(CONCURRENT) {
            assert!(order.contains(id), "no case is called `{id}`");
        }
    }
}
