//! Telemetry in a build without it: nothing, by the same names.

use std::time::Duration;

use super::UsageEvent;
use crate::config::{Problem, TelemetryKeys};
use crate::environment::Environment;

/// No settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings;

impl Settings {
    /// Reads nothing and finds no fault.
    #[must_use]
    pub fn resolve(_env: &Environment, _keys: &TelemetryKeys, _problems: &mut Vec<Problem>) -> Self {
        Self
    }

    /// `false`.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        false
    }
}

/// Nobody who sends. Cloned like its counterpart, and therefore not `Copy`.
#[derive(Debug, Clone, Default)]
pub struct Telemetry;

impl Telemetry {
    /// Starts nothing.
    #[must_use]
    pub fn start(_settings: &Settings) -> Self {
        Self
    }

    /// Forgets the event.
    pub fn record(&self, _event: UsageEvent) {}

    /// Returns at once.
    pub async fn shutdown(&self, _deadline: Duration) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_nothing() {
        assert_eq!((size_of::<Settings>(), size_of::<Telemetry>()), (0, 0));
        let env = Environment::new([(super::super::ENV_ENABLED, "true")], 0);
        let mut problems = Vec::new();
        assert!(!Settings::resolve(&env, &TelemetryKeys::default(), &mut problems).is_enabled());
        assert!(problems.is_empty());
    }
}
