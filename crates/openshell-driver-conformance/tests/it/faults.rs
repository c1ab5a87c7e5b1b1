//! The table: each fault, and exactly the cases that it turns red.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use openshell_driver_conformance::{Verdict, cases};
use openshell_driver_fake::{Fault, Scenario};

use crate::bench::{hold, hold_patiently, red};

/// How many drivers are tested at a time; most of it is waiting.
const SIDE_BY_SIDE: usize = 12;

/// The case that only root can look at.
const AS_ROOT: &str = "socket.foreign-user";

/// By subject, as the faults are. Where several cases are red, the fault is several at once; what builds on a case that
/// failed is skipped.
#[rustfmt::skip]
const TABLE: &[(Fault, &[&str])] = &[
    (Fault::EmptyCapabilities, &["handshake.capabilities"]),
    (Fault::SlowCapabilities, &["handshake.capabilities-at-once"]),
    (Fault::NoVersion, &["handshake.driver-version"]),
    (Fault::CapabilitiesChange, &["handshake.capabilities-stable"]),
    (Fault::UnknownFieldsRefused, &["handshake.unknown-fields-ignored"]),
    (Fault::UnknownFieldsEchoed, &["handshake.unknown-fields-not-echoed"]),
    (Fault::UnknownMethodInternal, &["handshake.unknown-method"]),
    (Fault::WatchBlocksCalls, &["handshake.side-by-side"]),
    (Fault::OneConnection, &["handshake.several-connections"]),
    (Fault::TwoConnections, &["socket.silent-client"]),
    (Fault::JunkDeafens, &["socket.junk-client"]),
    (Fault::NoListeners, &[]),
    (Fault::ListenersJunk, &["handshake.listeners"]),
    (Fault::NoStart, &[]),
    (Fault::NoStop, &[]),
    (Fault::NoWorkspaces, &[]),
    (Fault::UnimplementedWithoutMessage, &[]),
    (Fault::BothIdentifiersRefused, &["identity.id-and-name"]),
    (Fault::IdAloneRefused, &["identity.id-alone"]),
    (Fault::EmptyIdsAccepted, &["identity.empty-delete", "identity.empty-get", "identity.empty-start", "identity.empty-stop"]),
    (Fault::EmptyDeleteMeansAll, &["identity.empty-delete"]),
    (Fault::EmptyCreateAccepted, &["identity.empty-create"]),
    (Fault::MissingSandboxAccepted, &["identity.missing-sandbox", "validation.missing-sandbox"]),
    (Fault::NameWins, &["identity.id-wins"]),
    (Fault::NameAloneAnswersAnother, &["identity.name-alone"]),
    (Fault::NameIsKey, &["identity.same-name"]),
    (Fault::NameAsId, &["identity.get-id", "identity.list-id", "identity.watch-id"]),
    (Fault::NameDropped, &["identity.name-returned"]),
    (Fault::WorkspaceDropped, &["identity.workspace-returned"]),
    (Fault::SeesOtherGateways, &["identity.gateways-apart"]),
    (Fault::UnknownGetInternal, &["identity.unknown-get"]),
    (Fault::UnknownGetEmpty, &["identity.unknown-get"]),
    (Fault::ListWithoutStatus, &["errors.ready-condition"]),
    (Fault::ValidationRefusesAll, &["validation.plain"]),
    (Fault::ValidationCreates, &["validation.pure"]),
    (Fault::ValidationFlips, &["validation.same-answer"]),
    (Fault::ValidationHangs, &["validation.plain"]),
    (Fault::CreateSkipsValidation, &["validation.create-agrees"]),
    (Fault::JunkQuantitiesAccepted, &["validation.junk-cpu", "validation.junk-memory"]),
    (Fault::JunkUnnamed, &["validation.junk-named"]),
    (Fault::JunkInternal, &["errors.junk-code"]),
    (Fault::GoodQuantitiesRefused, &["validation.quantities"]),
    (Fault::ZeroLimitAccepted, &["validation.zero-limit"]),
    (Fault::RequestAboveLimitAccepted, &["validation.request-above-limit"]),
    (Fault::GpuDropped, &["validation.gpu-not-dropped"]),
    (Fault::CreateHangs, &["lifecycle.create"]),
    (Fault::HalfCreate, &["errors.survives-hang-up"]),
    (Fault::CreateTwiceAccepted, &["lifecycle.create-twice"]),
    (Fault::CreateTwiceDisturbs, &["lifecycle.create-twice-undisturbed"]),
    (Fault::FailedCreateLeaves, &["lifecycle.failed-create"]),
    (Fault::ConcurrentCreatesFail, &["lifecycle.create-at-once"]),
    (Fault::EmptyImageRefused, &["lifecycle.default-image"]),
    (Fault::BadImageReady, &["lifecycle.missing-image"]),
    (Fault::NeverReady, &["lifecycle.create-ready"]),
    (Fault::YoungNotListed, &["lifecycle.create-listed"]),
    (Fault::YoungNotFound, &["lifecycle.create-found"]),
    (Fault::ListCapped, &["lifecycle.list-whole"]),
    (Fault::ListHangs, &["lifecycle.list"]),
    (Fault::StopLies, &["lifecycle.stop"]),
    (Fault::StopDeletes, &["lifecycle.stopped-there"]),
    (Fault::StopNotIdempotent, &["idempotency.stop-twice"]),
    (Fault::StopUnknownOk, &["idempotency.stop-unknown"]),
    (Fault::StoppedNotSuspended, &["lifecycle.stopped-suspended"]),
    (Fault::StartLies, &["lifecycle.start"]),
    (Fault::StartMakesNew, &["lifecycle.start-same-resource"]),
    (Fault::WorkspaceLost, &["lifecycle.workspace-kept"]),
    (Fault::StartNotIdempotent, &["idempotency.start-running"]),
    (Fault::StartUnknownOk, &["idempotency.start-unknown"]),
    (Fault::DeleteLies, &["cleanup.nothing-left", "lifecycle.delete"]),
    (Fault::DeleteSlow, &[]),
    (Fault::DeleteUnshown, &["lifecycle.delete-shows"]),
    (Fault::DeleteStoppedRefused, &["lifecycle.delete-stopped"]),
    (Fault::DeleteYoungRefused, &["lifecycle.delete-young"]),
    (Fault::DeleteConflict, &["idempotency.delete-at-once"]),
    (Fault::SecondDeleteNotFound, &["idempotency.delete-twice"]),
    (Fault::DeletedFalse, &["idempotency.delete-true"]),
    (Fault::DeletedAlwaysTrue, &["idempotency.delete-twice", "idempotency.delete-unknown"]),
    (Fault::IdsAreSpent, &["lifecycle.recreate"]),
    (Fault::WorkspaceNotIdempotent, &["idempotency.ensure-workspace"]),
    (Fault::WorkspaceDeleteNotFound, &["idempotency.delete-workspace"]),
    (Fault::EmptyWorkspaceAccepted, &["idempotency.empty-workspace"]),
    (Fault::SilentWatch, &["watch.create-seen"]),
    (Fault::WatchHeaderLate, &["watch.opens-at-once"]),
    (Fault::SnapshotMissing, &["watch.snapshot"]),
    (Fault::SnapshotShort, &["watch.snapshot-whole"]),
    (Fault::ReadyUnseen, &["watch.ready-seen"]),
    (Fault::StopUnseen, &["watch.stop-seen"]),
    (Fault::DeleteUnseen, &["watch.delete-seen"]),
    (Fault::OrderWrong, &["watch.order"]),
    (Fault::OneWatcher, &["watch.two-watchers"]),
    (Fault::SnapshotOnce, &["watch.snapshot-again"]),
    (Fault::EmptyEvents, &["watch.no-empty-events"]),
    (Fault::EventsWithoutStatus, &["watch.status-in-events"]),
    (Fault::Flood, &["watch.calm"]),
    (Fault::SlowReaderGap, &["watch.slow-reader"]),
    (Fault::WatchEnds, &["watch.stays-open"]),
    (Fault::WatchAborted, &["watch.stays-open"]),
    (Fault::WatchDataLoss, &["watch.stays-open"]),
    (Fault::WatchExhausted, &["watch.stays-open"]),
    (Fault::ForeignReasons, &["errors.known-reasons"]),
    (Fault::NoConditions, &["errors.ready-condition"]),
    (Fault::OddConditionStatus, &["errors.condition-status"]),
    (Fault::OddTimes, &["errors.transition-time"]),
    (Fault::SmallMessages, &["errors.large-request"]),
    (Fault::GiantAnswers, &["errors.answer-size"]),
    (Fault::TokenInGet, &["secrets.get"]),
    (Fault::TokenInList, &["secrets.list"]),
    (Fault::TokenInEvents, &["secrets.watch"]),
    (Fault::TokenInErrors, &["secrets.errors"]),
    (Fault::SpecEchoed, &["secrets.no-spec"]),
    (Fault::TokenFileOpen, &["secrets.on-disk"]),
    (Fault::SocketOpen, &["socket.mode"]),
    (Fault::DirectoryOpen, &["socket.directory"]),
    (Fault::SocketIsLink, &["socket.no-link"]),
    (Fault::StrangersServed, &["socket.foreign-user"]),
    (Fault::TakesLiveSocket, &["restart.second-start"]),
    (Fault::StopsAtOnce, &["restart.drained"]),
    (Fault::IgnoresSigterm, &["restart.stops"]),
    (Fault::CleanEndOfWatch, &["restart.watch-told"]),
    (Fault::LeavesSocket, &["restart.socket-removed"]),
    (Fault::ForgetsOnRestart, &["restart.sandboxes-kept"]),
    (Fault::StopsOnRestart, &["restart.still-running"]),
];

/// Faults that show only together.
const TOGETHER: &[(&[Fault], &[&str])] = &[
    (&[Fault::UnimplementedWithoutMessage, Fault::NoStop], &["handshake.unimplemented-message"]),
    (&[Fault::UnimplementedWithoutMessage, Fault::NoListeners], &["handshake.unimplemented-message"]),
];

/// Faults, and the cases that they are to turn red.
type Row = (BTreeSet<Fault>, &'static [&'static str]);

/// What is not as the table says, if anything.
async fn misfit((faults, ids): Row, patient: bool) -> Option<(String, Row)> {
    let scenario = Scenario { faults: faults.clone(), ..Scenario::default() };
    let report = if patient { hold_patiently(scenario).await } else { hold(scenario).await };
    let found: BTreeSet<&str> = red(&report).into_iter().collect();
    let seen = |id: &&&str| **id != AS_ROOT || rustix::process::geteuid().is_root();
    let expected: BTreeSet<&str> = ids.iter().filter(seen).copied().collect();
    (found != expected).then(|| {
        let failed = report.outcomes.iter().filter(|outcome| matches!(outcome.verdict, Verdict::Failed(_)));
        let failed: Vec<_> = failed.map(|outcome| (outcome.case.id, &outcome.verdict)).collect();
        (format!("{faults:?}: expected {expected:?}, found {failed:?}"), (faults, ids))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_turns_exactly_its_cases_red() {
    let single = TABLE.iter().map(|(fault, ids)| (BTreeSet::from([*fault]), *ids));
    let together = TOGETHER.iter().map(|(faults, ids)| (faults.iter().copied().collect(), *ids));
    let first: Vec<(String, Row)> = stream::iter(single.chain(together))
        .map(|row| misfit(row, false))
        .buffer_unordered(SIDE_BY_SIDE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    // Many drivers at a time on a busy machine are late for reasons of their own: what counts is how one is alone, when
    // there is time.
    let mut wrong = Vec::new();
    for (why, row) in first {
        println!("once more: {why}");
        wrong.extend(misfit(row, true).await.map(|(why, _)| why));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_fault_is_in_the_table_and_every_case_has_a_fault() {
    let faults: Vec<Fault> = TABLE.iter().map(|(fault, _)| *fault).collect();
    assert_eq!(faults, Fault::ALL);
    let together = TOGETHER.iter().flat_map(|(_, ids)| ids.iter());
    let red: BTreeSet<&str> = TABLE.iter().flat_map(|(_, ids)| ids.iter()).chain(together).copied().collect();
    let all: BTreeSet<&str> = cases().map(|case| case.id).collect();
    assert_eq!(red, all);
}
