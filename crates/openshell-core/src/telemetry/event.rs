//! What a usage event may say. Every field is a closed set of words: there is nowhere to put a name.

use std::time::Duration;

use openshell_driver_api::ErrorKind;

use crate::catalog::{Catalog, EXTERNAL};
use crate::selection::DriverName;

/// Something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageEvent {
    /// What.
    pub action: Action,
    /// By which kind of driver.
    pub driver: DriverKind,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took; leaves as one of a few ranges.
    pub took: Duration,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A gateway started.
    GatewayStart,
    /// A driver's program started.
    DriverStart,
    /// A sandbox was made.
    SandboxCreate,
    /// A sandbox was started again.
    SandboxStart,
    /// A sandbox was stopped.
    SandboxStop,
    /// A sandbox was deleted.
    SandboxDelete,
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it was asked for.
    Ok,
    /// The request could not be honoured.
    Refused,
    /// The backend or the driver failed.
    Failed,
}

impl From<ErrorKind> for Outcome {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidArgument
            | ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::FailedPrecondition
            | ErrorKind::PermissionDenied
            | ErrorKind::Unimplemented => Self::Refused,
            ErrorKind::ResourceExhausted
            | ErrorKind::Aborted
            | ErrorKind::DataLoss
            | ErrorKind::Unavailable
            | ErrorKind::DeadlineExceeded
            | ErrorKind::Internal => Self::Failed,
        }
    }
}

/// A kind of driver: a name of the project's manifest. What an operator named is `external`, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriverKind(&'static str);

impl DriverKind {
    /// The kind of a driver.
    #[must_use]
    pub fn of(catalog: &Catalog, name: &DriverName) -> Self {
        match name {
            DriverName::Named(name) => Self(catalog.entry(name).map_or(EXTERNAL, |entry| entry.name)),
            DriverName::ExternalAt(_) => Self(EXTERNAL),
        }
    }

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Build;

    #[test]
    fn a_name_of_the_operator_does_not_leave() {
        let catalog = Build::with(&[]).catalog();
        let kind = |name: &str| DriverKind::of(&catalog, &DriverName::parse(name).unwrap()).as_str();
        assert_eq!(kind("docker"), "docker");
        assert_eq!(kind("customer-nine"), "external");
        assert_eq!(kind("external:/home/somebody/x.sock"), "external");
    }
}
