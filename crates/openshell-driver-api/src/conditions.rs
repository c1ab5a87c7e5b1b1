//! Conditions: their types, the reasons in use, what a reason means, and constructors.
//!
//! ```text
//!             Transient ──────▶ Ready=True ──────▶ Terminal
//!                 ▲                 │
//!                 └─── Stopped ◀────┘
//! ```

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Condition, ConditionStatus};

/// The type of the condition that says whether the backend's resource runs.
pub const READY: &str = "Ready";
/// The type of the condition that says that it was stopped and can be started again.
pub const SUSPENDED: &str = "Suspended";

/// The reason of `Ready=True` for drivers that have no better word.
pub const RUNNING: &str = "Running";

macro_rules! reasons {
    ($($class:ident { $($constant:ident = $word:literal, $doc:literal;)* })*) => {
        /// The reasons in use under `Ready=False`, over all drivers.
        pub mod reason {
            $($(#[doc = $doc] pub const $constant: &str = $word;)*)*
        }

        /// Every reason with its class; `ContainerExited` stands with the class that it has when nobody asked for a stop.
        const CLASSES: &[(&str, ReasonClass)] = &[$($((reason::$constant, ReasonClass::$class),)*)*];
    };
}

reasons! {
    Transient {
        STARTING = "Starting", "It is being started.";
        PROVISIONING = "Provisioning", "The backend is making it.";
        CONTAINER_CREATED = "ContainerCreated", "The container is there and was never started.";
        CONTAINER_STARTING = "ContainerStarting", "The container is being started.";
        HEALTH_CHECK_STARTING = "HealthCheckStarting", "It runs and its health check has not answered yet.";
        DEPENDENCIES_NOT_READY = "DependenciesNotReady", "Something that it needs is not there yet.";
        RECONCILER_ERROR = "ReconcilerError", "The backend's controller failed and will try again.";
        INSPECT_FAILED = "InspectFailed", "The backend did not say how it is.";
        SUPERVISOR_NOT_CONNECTED = "SupervisorNotConnected", "It runs and its supervisor has not called yet.";
        RESUMING = "Resuming", "It is being woken.";
        STOPPING = "Stopping", "It is being stopped.";
        SUSPENDING = "Suspending", "It is being put to sleep.";
        TERMINATING = "Terminating", "It is being removed.";
        CONTAINER_RESTARTING = "ContainerRestarting", "The backend is restarting the container.";
    }
    Stopped {
        STOPPED = "Stopped", "It was stopped on request.";
        SUSPENDED = "Suspended", "It was put to sleep.";
    }
    Terminal {
        IMAGE_PULL_FAILED = "ImagePullFailed", "Its image could not be had.";
        CONTAINER_CREATE_FAILED = "ContainerCreateFailed", "The container could not be made.";
        CONTAINER_START_FAILED = "ContainerStartFailed", "The container could not be started.";
        PROVISIONING_FAILED = "ProvisioningFailed", "The backend gave up making it.";
        CONTAINER_EXITED = "ContainerExited", "The main process ended; after a stop that is what was wanted.";
        CONTAINER_DEAD = "ContainerDead", "The backend could not remove the container.";
        OOM_KILLED = "OOMKilled", "It used more memory than its limit.";
        PROCESS_EXITED = "ProcessExited", "The main process ended.";
    }
}

/// What a reason under `Ready=False` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReasonClass {
    /// On the way somewhere; wait.
    Transient,
    /// Stopped, and can be started again.
    Stopped,
    /// It will not run by waiting.
    Terminal,
    /// A word nobody knows: to be treated as on the way, until a timeout.
    Unknown,
}

/// What the gateway wants of a sandbox: it alone knows whether a stop was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// It shall run.
    Running,
    /// A stop was asked for.
    Stopped,
}

/// The class of a reason. Only `ContainerExited` depends on what is wanted: after a stop it is the stop's success.
#[must_use]
pub fn classify(reason: &str, wanted: Wanted) -> ReasonClass {
    if reason == reason::CONTAINER_EXITED && wanted == Wanted::Stopped {
        return ReasonClass::Stopped;
    }
    CLASSES.iter().find(|(word, _)| *word == reason).map_or(ReasonClass::Unknown, |(_, class)| *class)
}

/// A word as the terminal reason that it is, when it is one: what comes over a wire may be anything.
#[must_use]
pub fn terminal(word: &str) -> Option<&'static str> {
    let mut known = CLASSES.iter().filter(|(_, class)| *class == ReasonClass::Terminal);
    known.find(|(reason, _)| *reason == word).map(|(reason, _)| *reason)
}

/// The condition of a type, when there is one.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// `Ready=True`.
#[must_use]
pub fn ready() -> Condition {
    condition(READY, ConditionStatus::True, RUNNING, "")
}

/// `Ready=False` for a reason.
#[must_use]
pub fn not_ready(reason: &str, message: impl Into<String>) -> Condition {
    condition(READY, ConditionStatus::False, reason, message)
}

/// `Suspended=True` for a reason.
#[must_use]
pub fn suspended(reason: &str, message: impl Into<String>) -> Condition {
    condition(SUSPENDED, ConditionStatus::True, reason, message)
}

/// The two conditions of a sandbox that was stopped on request: `Ready=False` and `Suspended=True`.
#[must_use]
pub fn stopped(message: impl Into<String>) -> Vec<Condition> {
    let message = message.into();
    vec![not_ready(reason::STOPPED, message.clone()), suspended(reason::STOPPED, message)]
}

fn condition(kind: &str, status: ConditionStatus, reason: &str, message: impl Into<String>) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status,
        reason: reason.to_owned(),
        message: message.into(),
        last_transition_time: String::new(),
    }
}

impl Condition {
    /// The same condition with the time since which it holds, RFC 3339.
    #[must_use]
    pub fn since(mut self, time: impl Into<String>) -> Self {
        self.last_transition_time = time.into();
        self
    }
}

/// A time as RFC 3339 in UTC, to the second (`2026-01-31T23:59:59Z`); before 1970 it is 1970.
#[must_use]
pub fn timestamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Days since 1970 as year, month and day.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`, for days that are not
/// negative.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_container_exited_depends_on_what_is_wanted() {
        for (reason, class) in CLASSES {
            assert_eq!(classify(reason, Wanted::Running), *class, "{reason}");
            let expected = if *reason == "ContainerExited" { ReasonClass::Stopped } else { *class };
            assert_eq!(classify(reason, Wanted::Stopped), expected, "{reason}");
        }
    }

    #[test]
    fn an_unknown_reason_is_never_terminal() {
        assert_eq!(classify("Bewildered", Wanted::Running), ReasonClass::Unknown);
        assert_eq!(classify("", Wanted::Stopped), ReasonClass::Unknown);
        assert_eq!(classify("stopped", Wanted::Stopped), ReasonClass::Unknown);
    }

    #[test]
    fn only_terminal_reasons_are_terminal() {
        assert_eq!(terminal("ImagePullFailed"), Some(reason::IMAGE_PULL_FAILED));
        for word in ["Stopped", "Starting", "imagepullfailed", "Bewildered", ""] {
            assert_eq!(terminal(word), None, "{word}");
        }
    }

    #[test]
    fn the_contract_s_words_are_all_there() {
        let words = "Starting Provisioning ContainerCreated ContainerStarting HealthCheckStarting DependenciesNotReady \
                     ReconcilerError InspectFailed SupervisorNotConnected Resuming Stopping Suspending Terminating \
                     ContainerRestarting Stopped Suspended ContainerExited ImagePullFailed ContainerCreateFailed \
                     ContainerStartFailed ProvisioningFailed ContainerDead OOMKilled ProcessExited";
        for word in words.split_whitespace() {
            assert_ne!(classify(word, Wanted::Running), ReasonClass::Unknown, "{word}");
        }
        assert_eq!(CLASSES.len(), words.split_whitespace().count());
    }

    #[test]
    fn timestamps() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn stopped_says_both() {
        let conditions = stopped("asked");
        assert_eq!(
            find(&conditions, READY).map(|c| (c.status, c.reason.as_str())),
            Some((ConditionStatus::False, "Stopped"))
        );
        assert_eq!(find(&conditions, SUSPENDED).map(|c| c.status), Some(ConditionStatus::True));
        assert_eq!(find(&conditions, "Other"), None);
        assert_eq!(ready().since("2026-01-01T00:00:00Z").last_transition_time, "2026-01-01T00:00:00Z");
    }
}
