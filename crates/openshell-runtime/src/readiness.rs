//! Whether the gateway can be asked: its store answers, its driver's watch is up, and it is not going away.

use std::fmt;

use crate::engine::Engine;

/// Whether the gateway can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Everything that speaks against it; empty: ready.
    pub reasons: Vec<Unready>,
}

impl Readiness {
    /// Whether nothing speaks against it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// Why a gateway is not ready; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unready {
    /// The store does not answer. Why is in the log.
    Store,
    /// The driver's watch is down: states may be old, and calls may fail.
    Driver {
        /// The driver's configured name.
        name: String,
    },
    /// It is going away.
    Draining,
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store => f.write_str("the store does not answer"),
            Self::Driver { name } => write!(f, "the watch of the driver `{name}` is down"),
            Self::Draining => f.write_str("the gateway is going away"),
        }
    }
}

impl Engine {
    /// Asks the store, and looks at the rest.
    pub(crate) async fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        if let Err(error) = self.store.ping().await {
            tracing::error!(error = &error as &dyn std::error::Error, "the store does not answer");
            reasons.push(Unready::Store);
        }
        if !self.link_is_up() {
            reasons.push(Unready::Driver { name: self.settings.driver_name.clone() });
        }
        if self.hub.is_closed() {
            reasons.push(Unready::Draining);
        }
        Readiness { reasons }
    }
}
