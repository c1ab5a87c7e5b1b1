//! What the composition decides for the runtime: who it is, and how long it waits for what.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::supervisor::Supervision;
use crate::usage::{NoUsage, UsageSink};

/// How a runtime is set up.
#[derive(Clone)]
pub struct Settings {
    /// This gateway's id; the driver was opened with the same.
    pub gateway_id: String,
    /// The gateway's version, for clients.
    pub version: String,
    /// The configured name of the driver. It routes: sandboxes of another name are shown and left alone.
    pub driver_name: String,
    /// How the driver is reached; for those who ask.
    pub reach: Reach,
    /// Which block of a request's `driver_config` is this driver's: its name, unless the composition says otherwise.
    pub config_key: String,
    /// How long each call of the driver may take.
    pub deadlines: Deadlines,
    /// How long a sandbox may be on its way before that counts as an error.
    pub provisioning_timeout: Duration,
    /// The pauses between attempts.
    pub backoff: Backoff,
    /// How many bytes a message of a request may have; a larger one is `RESOURCE_EXHAUSTED`.
    pub max_request_bytes: usize,
    /// How many events a client's watch may lag behind before it is cut.
    pub watch_buffer: usize,
    /// The supervisors inside the sandboxes; `None`: they have none, and the backend's word alone counts.
    pub supervision: Option<Supervision>,
    /// Who is told of the use.
    pub usage: Arc<dyn UsageSink>,
}

impl Settings {
    /// Settings with every default.
    pub fn new(
        gateway_id: impl Into<String>,
        version: impl Into<String>,
        driver_name: impl Into<String>,
    ) -> Self {
        let driver_name = driver_name.into();
        Self {
            gateway_id: gateway_id.into(),
            version: version.into(),
            config_key: driver_name.clone(),
            driver_name,
            reach: Reach::default(),
            deadlines: Deadlines::default(),
            provisioning_timeout: Duration::from_secs(300),
            backoff: Backoff::default(),
            max_request_bytes: 4 * 1024 * 1024,
            watch_buffer: 256,
            supervision: None,
            usage: Arc::new(NoUsage),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("gateway_id", &self.gateway_id)
            .field("version", &self.version)
            .field("driver_name", &self.driver_name)
            .field("reach", &self.reach)
            .field("config_key", &self.config_key)
            .field("deadlines", &self.deadlines)
            .field("provisioning_timeout", &self.provisioning_timeout)
            .field("backoff", &self.backoff)
            .field("max_request_bytes", &self.max_request_bytes)
            .field("watch_buffer", &self.watch_buffer)
            .field("supervision", &self.supervision)
            .finish_non_exhaustive()
    }
}

/// How the gateway reaches its driver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reach {
    /// Its code is in this process.
    #[default]
    InProcess,
    /// It is somebody's program behind a socket.
    Socket {
        /// Where it listens.
        path: PathBuf,
    },
    /// It is a program that the gateway starts.
    Process,
}

impl Reach {
    /// The word for it that clients are told.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::InProcess => "in-process",
            Self::Socket { .. } => "socket",
            Self::Process => "process",
        }
    }
}

/// How long each call of the driver may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// `GetCapabilities`, which answers without asking the backend.
    pub capabilities: Duration,
    /// `GetGatewayListenerRequirements`.
    pub listeners: Duration,
    /// `ValidateSandboxCreate`.
    pub validate: Duration,
    /// `GetSandbox`.
    pub get: Duration,
    /// `ListSandboxes`.
    pub list: Duration,
    /// `CreateSandbox`; some drivers pull the image within it.
    pub create: Duration,
    /// `StopSandbox`.
    pub stop: Duration,
    /// `StartSandbox`.
    pub start: Duration,
    /// `DeleteSandbox`, and the longest that a client waits for the first answer to its delete.
    pub delete: Duration,
    /// The subscription of `WatchSandboxes`, not its stream.
    pub watch: Duration,
    /// `EnsureWorkspace`.
    pub ensure_workspace: Duration,
    /// `DeleteWorkspace`, and the longest that a client waits for the first answer to it.
    pub delete_workspace: Duration,
    /// How long a create under way may go on once the sandbox shall be deleted.
    pub create_after_delete: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            capabilities: Duration::from_secs(10),
            listeners: Duration::from_secs(30),
            validate: Duration::from_secs(30),
            get: Duration::from_secs(30),
            list: Duration::from_secs(60),
            create: Duration::from_secs(300),
            stop: Duration::from_secs(60),
            start: Duration::from_secs(60),
            delete: Duration::from_secs(60),
            watch: Duration::from_secs(30),
            ensure_workspace: Duration::from_secs(30),
            delete_workspace: Duration::from_secs(60),
            create_after_delete: Duration::from_secs(5),
        }
    }
}

/// Pauses between attempts: doubled from the first to the longest, each cut by up to a half at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(250), longest: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The pause after that many failed attempts in a row, the first being 0.
    pub(crate) fn pause(&self, attempt: u32) -> Duration {
        let full = self.first.saturating_mul(2_u32.saturating_pow(attempt.min(30))).min(self.longest);
        let half = full / 2;
        // Without randomness of the system the pause is merely not spread.
        let random = getrandom::u32().unwrap_or(u32::MAX);
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_are_never_below_half() {
        let backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(1) };
        for (attempt, full) in [(0, 100), (1, 200), (3, 800), (4, 1000), (60, 1000)] {
            let pause = backoff.pause(attempt);
            assert!(pause >= Duration::from_millis(full / 2), "{attempt}: {pause:?}");
            assert!(pause <= Duration::from_millis(full), "{attempt}: {pause:?}");
        }
    }
}
