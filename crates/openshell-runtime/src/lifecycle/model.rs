//! The state of a sandbox's life, and how its phase follows from it.

use openshell_driver_api::SandboxStatus;
use openshell_driver_api::conditions::reason as driver_reason;

use super::observe::{Report, classify};

/// Reasons of the gateway's own conditions; those that drivers use have the same words.
pub(crate) mod reason {
    pub(crate) use openshell_driver_api::conditions::reason::{
        PROVISIONING, PROVISIONING_FAILED, SUPERVISOR_NOT_CONNECTED,
    };

    /// The backend has no such sandbox any more.
    pub(crate) const BACKEND_GONE: &str = "BackendGone";
    /// The driver could not start it.
    pub(crate) const START_FAILED: &str = "StartFailed";
    /// The driver has not deleted it yet.
    pub(crate) const DELETE_FAILED: &str = "DeleteFailed";
    /// It belongs to a driver that this gateway does not run.
    pub(crate) const OTHER_DRIVER: &str = "OtherDriver";
}

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every one, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word in the store and in messages.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Reads the word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// What was last asked for.
    Desired {
        /// It shall run.
        Running = "running",
        /// It shall stand still and keep its workspace.
        Stopped = "stopped",
        /// It shall go.
        Deleted = "deleted",
    }
}

words! {
    /// The call of the driver that is owed.
    Step {
        /// Make it.
        Create = "create",
        /// Start what an earlier create left.
        Adopt = "adopt",
        /// Start it again.
        Start = "start",
        /// Stop it.
        Stop = "stop",
        /// Remove it.
        Delete = "delete",
        /// Remove what a failed create may have left; the row stays.
        CleanUp = "clean-up",
    }
}

words! {
    /// How a sandbox stands with its supervisor.
    Supervisor {
        /// It has connected to the gateway, and has not been away for long since.
        Connected = "connected",
        /// It has not connected yet, or has been away for too long.
        Awaited = "awaited",
    }
}

words! {
    /// How the present run was asked for.
    Begun {
        /// By its creation.
        Create = "create",
        /// By a start from STOPPED, to which a start that fails goes back.
        Start = "start",
        /// By a start from ERROR, to which a start that fails goes back.
        Retry = "retry",
    }
}

words! {
    /// The phase that clients see; the word is the wire's without its prefix.
    Phase {
        /// Being made.
        Provisioning = "PROVISIONING",
        /// It runs.
        Ready = "READY",
        /// It does not run and waiting does not help; start tries again, delete works.
        Error = "ERROR",
        /// Going.
        Deleting = "DELETING",
        /// Nobody can say.
        Unknown = "UNKNOWN",
        /// Being stopped.
        Stopping = "STOPPING",
        /// Stopped, and can be started.
        Stopped = "STOPPED",
        /// Being started again.
        Starting = "STARTING",
    }
}

impl Phase {
    /// Whether the gateway waits for it to be over, and not for ever.
    #[must_use]
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Provisioning | Self::Starting)
    }

    /// Whether a watch that stops on a terminal phase stops here: ready, failed, or at rest.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Ready | Self::Error | Self::Stopped | Self::Unknown)
    }
}

/// A condition of the gateway's own: why it is not ready, in the gateway's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCondition {
    /// A word for machines.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// Whether it makes the phase ERROR; otherwise it only explains a wait.
    pub terminal: bool,
}

/// Where a sandbox stands. Changed by nothing but the functions of this module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// What was last asked for.
    pub desired: Desired,
    /// How the present run was asked for.
    pub begun: Begun,
    /// Whether the backend was seen in the desired state since it was asked for.
    pub reached: bool,
    /// Whether the backend has been given it, as far as anybody knows.
    pub made: bool,
    /// The call of the driver that is owed.
    pub owed: Option<Step>,
    /// The phase that follows from the rest.
    pub phase: Phase,
    /// What the backend last reported.
    pub observed: Option<SandboxStatus>,
    /// What the gateway itself has to say.
    pub own: Option<OwnCondition>,
    /// Since when the phase is one that the gateway does not wait in for ever.
    pub waiting_since_ms: Option<i64>,
    /// How it stands with its supervisor; `None`: it has none, and the backend's word alone counts.
    pub supervisor: Option<Supervisor>,
    /// Which run of the main process its supervisor last told of; empty when none has.
    pub main_process: String,
    /// How that run ended, if it has.
    pub exit_code: Option<i32>,
}

impl Life {
    /// A sandbox that was just asked for.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        Self {
            desired: Desired::Running,
            begun: Begun::Create,
            reached: false,
            made: false,
            owed: Some(Step::Create),
            phase: Phase::Provisioning,
            observed: None,
            own: None,
            waiting_since_ms: Some(now_ms),
            supervisor: None,
            main_process: String::new(),
            exit_code: None,
        }
    }

    /// Brings the phase, and since when it waits, in line with the rest. Every change ends here.
    pub(super) fn settle(&mut self, now_ms: i64) {
        self.phase = self.derive_phase();
        self.waiting_since_ms = self.phase.is_waiting().then(|| self.waiting_since_ms.unwrap_or(now_ms));
    }

    /// The gateway's own word that it is in ERROR.
    pub(super) fn fail(&mut self, reason: &str, message: impl Into<String>, now_ms: i64) {
        self.say(reason, message, now_ms, true);
    }

    /// The gateway's own word on why it takes longer.
    pub(super) fn explain(&mut self, reason: &str, message: impl Into<String>, now_ms: i64) {
        self.say(reason, message, now_ms, false);
    }

    fn say(&mut self, reason: &str, message: impl Into<String>, now_ms: i64, terminal: bool) {
        let message = message.into();
        // The same words again are no change: since when they hold stays.
        let same = self
            .own
            .as_ref()
            .is_some_and(|own| own.reason == reason && own.message == message && own.terminal == terminal);
        if !same {
            self.own = Some(OwnCondition { reason: reason.to_owned(), message, since_ms: now_ms, terminal });
        }
    }

    /// What the backend's last report amounts to, given what is wanted.
    pub(crate) fn report(&self) -> Report {
        match classify(self.observed.as_ref(), self.desired) {
            Report::Running if self.supervisor == Some(Supervisor::Awaited) => Report::Unsupervised,
            report => report,
        }
    }

    fn on_the_way(&self) -> Phase {
        if self.begun == Begun::Create { Phase::Provisioning } else { Phase::Starting }
    }

    fn derive_phase(&self) -> Phase {
        if self.desired == Desired::Deleted {
            return Phase::Deleting;
        }
        if self.own.as_ref().is_some_and(|own| own.terminal) {
            return Phase::Error;
        }
        let report = self.report();
        if report == Report::Deleting {
            return Phase::Deleting;
        }
        // A report from before the call that is under way says nothing about what comes of it.
        let asked = matches!(self.owed, Some(Step::Create | Step::Adopt | Step::Start));
        match (self.desired, self.reached, report) {
            (Desired::Running, false, Report::Failed) if !asked => Phase::Error,
            (Desired::Running, false, _) => self.on_the_way(),
            (Desired::Stopped, false, Report::Failed) => Phase::Error,
            (Desired::Stopped, false, _) => Phase::Stopping,
            // From here on the desired state was there once, and the backend's word is all there is.
            (_, true, Report::Running) => Phase::Ready,
            (_, true, Report::Stopped) => Phase::Stopped,
            (_, true, Report::Failed) => Phase::Error,
            (_, true, Report::Unknown) => Phase::Unknown,
            (_, true, Report::OnTheWay) => self.phase_of_reason(),
            (_, true, Report::Unsupervised) => Phase::Provisioning,
            (Desired::Stopped, true, Report::Nothing) => Phase::Stopped,
            (_, true, Report::Nothing) => Phase::Provisioning,
            (_, true, Report::Deleting) | (Desired::Deleted, false, _) => Phase::Deleting,
        }
    }

    /// The phase of a sandbox that changes without having been asked to by us.
    fn phase_of_reason(&self) -> Phase {
        match self.observed.as_ref().map_or("", super::observe::ready_reason) {
            driver_reason::STOPPING | driver_reason::SUSPENDING => Phase::Stopping,
            driver_reason::RESUMING => Phase::Starting,
            _ => Phase::Provisioning,
        }
    }
}
