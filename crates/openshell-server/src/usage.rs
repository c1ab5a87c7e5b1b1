//! What the runtime tells of its use, as usage events.

use openshell_core::telemetry::{Action, DriverKind, Outcome, Telemetry, UsageEvent};
use openshell_runtime::{UsageAction, UsageEvent as Happened, UsageOutcome, UsageSink};

/// Hands the runtime's events on with the kind of driver.
pub(crate) struct Usage {
    pub(crate) telemetry: Telemetry,
    pub(crate) driver: DriverKind,
}

impl UsageSink for Usage {
    fn record(&self, event: Happened) {
        let action = match event.action {
            UsageAction::Create => Action::SandboxCreate,
            UsageAction::Start => Action::SandboxStart,
            UsageAction::Stop => Action::SandboxStop,
            UsageAction::Delete => Action::SandboxDelete,
        };
        let outcome = match event.outcome {
            UsageOutcome::Ok => Outcome::Ok,
            UsageOutcome::Refused => Outcome::Refused,
            UsageOutcome::Failed => Outcome::Failed,
        };
        self.telemetry.record(UsageEvent { action, driver: self.driver, outcome, took: event.took });
    }
}
