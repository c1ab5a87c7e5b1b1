//! What the runtime tells of its use, as usage events.

use openshell_core::telemetry::{Action, DriverKind, Outcome, Telemetry, UsageEvent};
use openshell_runtime::{UsageEvent as Happened, UsageSink};

/// Hands the runtime's events on with the kind of driver.
pub(crate) struct Usage {
    pub(crate) telemetry: Telemetry,
    pub(crate) driver: DriverKind,
}

impl UsageSink for Usage {
    fn record(&self, event: Happened) {
        let (action, outcome, took) = match event {
            Happened::SandboxCreated { took } => (Action::SandboxCreate, Outcome::Ok, took),
            Happened::SandboxFailed { after } => (Action::SandboxCreate, Outcome::Failed, after),
            Happened::SandboxDeleted { lived } => (Action::SandboxDelete, Outcome::Ok, lived),
        };
        self.telemetry.record(UsageEvent { action, driver: self.driver, outcome, took });
    }
}
