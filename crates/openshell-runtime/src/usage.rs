//! What the runtime tells of its use: how many sandboxes and for how long, never whose or which.

use std::time::Duration;

/// Something that happened to a sandbox. Holds no name, no id and no text of a user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageEvent {
    /// A sandbox became ready for the first time.
    SandboxCreated {
        /// From the request until then.
        took: Duration,
    },
    /// A sandbox went into phase ERROR.
    SandboxFailed {
        /// From its creation until then.
        after: Duration,
    },
    /// A sandbox is gone.
    SandboxDeleted {
        /// From its creation until then.
        lived: Duration,
    },
}

/// Takes usage events. Called on the path of requests: it must not block.
pub trait UsageSink: Send + Sync + 'static {
    /// Takes one event, or drops it.
    fn record(&self, event: UsageEvent);
}

/// A sink that drops everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoUsage;

impl UsageSink for NoUsage {
    fn record(&self, _event: UsageEvent) {}
}
