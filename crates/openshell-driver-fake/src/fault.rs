//! What can be broken: one name a fault, all of them data.

macro_rules! faults {
    ($($variant:ident = $name:literal, $says:literal;)*) => {
        /// A part of the contract that the driver breaks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $(#[doc = $says] $variant,)*
        }

        impl Fault {
            /// All of them, by subject.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in a scenario.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What the driver does then.
            #[must_use]
            pub fn says(self) -> &'static str {
                match self { $(Self::$variant => $says,)* }
            }
        }
    };
}

faults! {
    EmptyCapabilities = "empty-capabilities", "`GetCapabilities` answers with nothing in it.";
    SlowCapabilities = "slow-capabilities", "`GetCapabilities` takes two and a half seconds.";
    NoVersion = "no-version", "`driver_version` is empty.";
    CapabilitiesChange = "capabilities-change", "Each `GetCapabilities` gives another `driver_version`.";
    UnknownFieldsRefused = "unknown-fields-refused", "A request with a field that it does not know is `INVALID_ARGUMENT`.";
    UnknownFieldsEchoed = "unknown-fields-echoed", "Fields that it does not know come back in its answer.";
    UnknownMethodInternal = "unknown-method-internal", "A method that it does not have is `INTERNAL`.";
    WatchBlocksCalls = "watch-blocks-calls", "No call is answered while a watch is open.";
    OneConnection = "one-connection", "A second connection waits until the first one ends.";
    TwoConnections = "two-connections", "A third connection waits until another one ends.";
    JunkDeafens = "junk-deafens", "After a connection that speaks no HTTP/2 no further one is accepted.";
    NoListeners = "no-listeners", "`GetGatewayListenerRequirements` is `UNIMPLEMENTED`.";
    ListenersJunk = "listeners-junk", "A listener requirement names no listener.";
    NoStart = "no-start", "`StartSandbox` is `UNIMPLEMENTED`.";
    NoStop = "no-stop", "`StopSandbox` is `UNIMPLEMENTED`.";
    NoWorkspaces = "no-workspaces", "`EnsureWorkspace` and `DeleteWorkspace` are `UNIMPLEMENTED`.";
    UnimplementedWithoutMessage = "unimplemented-without-message", "Whatever is `UNIMPLEMENTED` is so without a word.";

    BothIdentifiersRefused = "both-identifiers-refused", "A request with id and name is `INVALID_ARGUMENT`.";
    IdAloneRefused = "id-alone-refused", "A request without a name is `INVALID_ARGUMENT`.";
    EmptyIdsAccepted = "empty-ids-accepted", "A request with neither id nor name is taken for the first sandbox, or for none.";
    EmptyDeleteMeansAll = "empty-delete-means-all", "A delete with neither id nor name removes every sandbox.";
    EmptyCreateAccepted = "empty-create-accepted", "A create without an id is accepted and forgotten.";
    MissingSandboxAccepted = "missing-sandbox-accepted", "A create or a validation without a sandbox is accepted.";
    NameWins = "name-wins", "Where id and name disagree, the name counts.";
    NameAloneAnswersAnother = "name-alone-answers-another", "A get by name alone gives another sandbox than the one of that name.";
    NameIsKey = "name-is-key", "A create with a name that is taken in another workspace is `ALREADY_EXISTS`.";
    NameAsId = "name-as-id", "The id of an observation is the sandbox's name.";
    NameDropped = "name-dropped", "An observation has no name.";
    WorkspaceDropped = "workspace-dropped", "An observation has no workspace.";
    SeesOtherGateways = "sees-other-gateways", "Sandboxes of another gateway on the same backend are its own to see and to delete.";
    UnknownGetInternal = "unknown-get-internal", "A get of an unknown id is `INTERNAL`.";
    UnknownGetEmpty = "unknown-get-empty", "A get of an unknown id is an answer without a sandbox.";
    ListWithoutStatus = "list-without-status", "A listed sandbox has no status.";

    ValidationRefusesAll = "validation-refuses-all", "Every validation is `INVALID_ARGUMENT`.";
    ValidationCreates = "validation-creates", "A validation makes the sandbox.";
    ValidationFlips = "validation-flips", "Every second validation of a sandbox gives another answer.";
    ValidationHangs = "validation-hangs", "A validation is never answered.";
    CreateSkipsValidation = "create-skips-validation", "What a validation refuses, a create accepts.";
    JunkQuantitiesAccepted = "junk-quantities-accepted", "CPU and memory may be any text.";
    JunkUnnamed = "junk-unnamed", "A refusal does not say which text was wrong.";
    JunkInternal = "junk-internal", "Junk is `INTERNAL` instead of `INVALID_ARGUMENT`.";
    GoodQuantitiesRefused = "good-quantities-refused", "A quantity with a suffix is refused.";
    ZeroLimitAccepted = "zero-limit-accepted", "A limit of zero is taken for no limit.";
    RequestAboveLimitAccepted = "request-above-limit-accepted", "More may be reserved than the limit allows.";
    GpuDropped = "gpu-dropped", "A request for GPUs is accepted and not honoured.";

    CreateHangs = "create-hangs", "A create is never answered.";
    HalfCreate = "half-create", "A create whose client hangs up leaves a sandbox that never becomes ready.";
    CreateTwiceAccepted = "create-twice-accepted", "A second create of the same id is no error.";
    CreateTwiceDisturbs = "create-twice-disturbs", "A second create of the same id is refused, and restarts the first.";
    FailedCreateLeaves = "failed-create-leaves", "A create that fails leaves its sandbox behind.";
    ConcurrentCreatesFail = "concurrent-creates-fail", "A create while another one is under way is `ABORTED`.";
    EmptyImageRefused = "empty-image-refused", "A create without an image is refused, though there is a default image.";
    BadImageReady = "bad-image-ready", "A sandbox whose image does not exist becomes ready.";
    NeverReady = "never-ready", "A sandbox never becomes ready.";
    YoungNotListed = "young-not-listed", "A sandbox is listed only half a second after its create.";
    YoungNotFound = "young-not-found", "A sandbox is found only half a second after its create.";
    ListCapped = "list-capped", "A list ends after 100 sandboxes.";
    ListHangs = "list-hangs", "A list is never answered.";
    StopLies = "stop-lies", "A stop is answered and nothing stops.";
    StopDeletes = "stop-deletes", "A stop removes the sandbox.";
    StopNotIdempotent = "stop-not-idempotent", "A stop of a stopped sandbox is `FAILED_PRECONDITION`.";
    StopUnknownOk = "stop-unknown-ok", "A stop of an unknown id is no error.";
    StoppedNotSuspended = "stopped-not-suspended", "A stopped sandbox has no condition `Suspended`.";
    StartLies = "start-lies", "A start is answered and nothing starts.";
    StartMakesNew = "start-makes-new", "A start makes a new resource instead of resuming the old one.";
    WorkspaceLost = "workspace-lost", "A start begins with an empty `/sandbox`.";
    StartNotIdempotent = "start-not-idempotent", "A start of a running sandbox is `FAILED_PRECONDITION`.";
    StartUnknownOk = "start-unknown-ok", "A start of an unknown id is no error.";
    DeleteLies = "delete-lies", "A delete is answered and nothing goes.";
    DeleteSlow = "delete-slow", "A delete is answered a second before the sandbox is gone.";
    DeleteUnshown = "delete-unshown", "A delete is answered a second before the sandbox is gone, which looks alive until then.";
    DeleteStoppedRefused = "delete-stopped-refused", "A stopped sandbox cannot be deleted.";
    DeleteYoungRefused = "delete-young-refused", "A sandbox that is not ready yet cannot be deleted.";
    DeleteConflict = "delete-conflict", "A delete while another one of the same id is under way is `ABORTED`.";
    SecondDeleteNotFound = "second-delete-not-found", "A delete of what is gone is `NOT_FOUND`.";
    DeletedFalse = "deleted-false", "A delete says `deleted = false` though something was there.";
    DeletedAlwaysTrue = "deleted-always-true", "A delete says `deleted = true` though nothing was there.";
    IdsAreSpent = "ids-are-spent", "The id of a deleted sandbox cannot be used again.";
    WorkspaceNotIdempotent = "workspace-not-idempotent", "A second `EnsureWorkspace` is `ALREADY_EXISTS`.";
    WorkspaceDeleteNotFound = "workspace-delete-not-found", "A second `DeleteWorkspace` is `NOT_FOUND`.";
    EmptyWorkspaceAccepted = "empty-workspace-accepted", "A workspace without a name is accepted.";

    SilentWatch = "silent-watch", "A watch sends its snapshot and never a change.";
    WatchHeaderLate = "watch-header-late", "A watch is answered only with its first event.";
    SnapshotMissing = "snapshot-missing", "A watch has no snapshot.";
    SnapshotShort = "snapshot-short", "A snapshot lacks its last sandbox.";
    ReadyUnseen = "ready-unseen", "The event of a sandbox that became ready is lost.";
    StopUnseen = "stop-unseen", "The event of a sandbox that stopped is lost.";
    DeleteUnseen = "delete-unseen", "The event of a sandbox that went is lost.";
    OrderWrong = "order-wrong", "An old state of a sandbox comes after the event of its end.";
    OneWatcher = "one-watcher", "Only the first watch that is open gets changes.";
    SnapshotOnce = "snapshot-once", "A sandbox that was in one snapshot is in no later one.";
    EmptyEvents = "empty-events", "A watch sends events with nothing in them.";
    EventsWithoutStatus = "events-without-status", "A sandbox in an event has no status.";
    Flood = "flood", "A watch sends the same platform event thousands of times a second.";
    SlowReaderGap = "slow-reader-gap", "A reader that falls behind loses events and is not told.";
    WatchEnds = "watch-ends", "A watch ends without an error after its snapshot.";
    WatchAborted = "watch-aborted", "A watch ends with `ABORTED` after its snapshot.";
    WatchDataLoss = "watch-data-loss", "A watch ends with `DATA_LOSS` after its snapshot.";
    WatchExhausted = "watch-exhausted", "A watch ends with `RESOURCE_EXHAUSTED` after its snapshot.";

    ForeignReasons = "foreign-reasons", "The reason of a sandbox that is not ready is a word of the driver's own.";
    NoConditions = "no-conditions", "A status has no conditions.";
    OddConditionStatus = "odd-condition-status", "A condition's status is `yes` instead of `True`.";
    OddTimes = "odd-times", "The times of conditions are no RFC 3339.";
    SmallMessages = "small-messages", "A request above 64 KiB is refused.";
    GiantAnswers = "giant-answers", "The answer about one sandbox has more than 64 KiB.";

    TokenInGet = "token-in-get", "A get shows the sandbox's token.";
    TokenInList = "token-in-list", "A list shows the sandboxes' tokens.";
    TokenInEvents = "token-in-events", "Events show the sandboxes' tokens.";
    TokenInErrors = "token-in-errors", "A refused create says the token in its message.";
    SpecEchoed = "spec-echoed", "An observation has the spec that was asked for, without its token.";
    TokenFileOpen = "token-file-open", "The file with a token has mode 0644.";

    SocketOpen = "socket-open", "The socket has mode 0666.";
    DirectoryOpen = "directory-open", "The socket's directory has mode 0755.";
    SocketIsLink = "socket-is-link", "A symbolic link to the socket lies at its path.";
    StrangersServed = "strangers-served", "Whoever can connect is served, whatever the user id.";
    TakesLiveSocket = "takes-live-socket", "A second start puts its socket in the place of the first one's.";
    StopsAtOnce = "stops-at-once", "SIGTERM breaks off the calls under way; a create takes a quarter of a second.";
    IgnoresSigterm = "ignores-sigterm", "SIGTERM does not end the program.";
    CleanEndOfWatch = "clean-end-of-watch", "A watch ends without an error when the driver stops.";
    LeavesSocket = "leaves-socket", "The socket's file is there after the end.";
    ForgetsOnRestart = "forgets-on-restart", "After a restart no sandbox is known.";
    StopsOnRestart = "stops-on-restart", "After a restart every sandbox is stopped.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_its_own_and_written_as_names_are() {
        let names: BTreeSet<&str> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
        for fault in Fault::ALL {
            let name = fault.name();
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
            assert!(fault.says().ends_with('.'), "{name}");
        }
    }
}
