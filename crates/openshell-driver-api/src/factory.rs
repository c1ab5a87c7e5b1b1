//! How a driver crate offers its driver: check its configuration, look for its backend, open it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::supervisor::{Delivers, SupervisorDelivery};
use crate::{ComputeDriver, DriverError, Table};

/// Makes drivers of one kind. Implemented by a unit struct and named in [`register!`](crate::register).
#[async_trait::async_trait]
pub trait DriverFactory: Send + Sync + 'static {
    /// Checks the driver's own table of `gateway.toml` (the gateway's keys already taken out) without touching
    /// a backend.
    ///
    /// # Errors
    /// Every fault of the table, not only the first.
    fn check_config(&self, table: &Table) -> Result<(), Vec<ConfigError>>;

    /// Looks whether the backend is here, for auto-detection; bounded by the caller. Reads the environment from
    /// `env` alone.
    async fn detect(&self, env: &ProbeEnv) -> Detection;

    /// What the driver needs of [`DriverContext::supervisor`] to put a supervisor into its sandboxes and start them with
    /// it; `table` is its own, checked. One that puts none into them is never given anything, and its backend's word alone
    /// says whether a sandbox is ready.
    fn delivers_supervisor(&self, table: &Table) -> Delivers {
        let _ = table;
        Delivers::Nothing
    }

    /// Opens the driver. The table has been checked.
    ///
    /// # Errors
    /// `Unavailable` when the backend does not answer.
    async fn open(
        &self,
        context: DriverContext,
        table: &Table,
    ) -> Result<Arc<dyn ComputeDriver>, DriverError>;
}

/// A driver crate's one export, made by [`register!`](crate::register). It carries no name: the manifest's counts.
pub struct Registration {
    /// The crate.
    pub package: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What makes the driver.
    pub factory: &'static dyn DriverFactory,
    /// The bytes in the section `.osdrv`; held here so that the linker keeps them.
    pub marker: &'static [u8],
}

/// A fault of a driver's table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// The key inside the driver's table, dotted; empty for the table itself.
    pub key: String,
    /// What is wrong, lower case, values in backticks.
    pub message: String,
    /// What to do, as a command or a line of configuration.
    pub hint: Option<String>,
}

/// What a driver is told when it is opened.
#[derive(Debug, Clone)]
pub struct DriverContext {
    /// The name in the manifest or in `gateway.toml`.
    pub name: String,
    /// Every resource is labelled with it, and every query selects by it.
    pub gateway_id: String,
    /// A directory of the driver's own, 0700; may not exist yet.
    pub state_dir: PathBuf,
    /// Whether telemetry is compiled in and on; a sandbox is told when it is not.
    pub telemetry: bool,
    /// Where a supervisor reaches the gateway; empty while there is none.
    pub endpoint: String,
    /// What to put into every sandbox, for a driver that
    /// [delivers a supervisor](DriverFactory::delivers_supervisor); `None`: sandboxes have none.
    pub supervisor: Option<SupervisorDelivery>,
}

/// The environment that a probe may read, handed in so that detection can be tested.
#[derive(Debug, Clone, Default)]
pub struct ProbeEnv {
    /// Environment variables.
    pub vars: BTreeMap<String, String>,
    /// The effective user id.
    pub uid: u32,
    /// What is put before every absolute path; empty outside of tests.
    pub root: PathBuf,
    /// How long one candidate may take.
    pub timeout: Duration,
}

impl ProbeEnv {
    /// A variable, when it is set and not empty.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// An absolute path as seen from [`root`](Self::root).
    #[must_use]
    pub fn path(&self, absolute: &str) -> PathBuf {
        if self.root.as_os_str().is_empty() {
            return PathBuf::from(absolute);
        }
        self.root.join(absolute.trim_start_matches('/'))
    }
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Detection {
    /// Why the backend is believed to be here; `None` when it is not.
    pub found: Option<String>,
    /// Every candidate that was looked at, in order, and what came of it.
    pub tried: Vec<Tried>,
}

/// One candidate of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The variable or the path.
    pub candidate: String,
    /// `unset`, `no such socket`, `permission denied`, `refused`, `timed out`, `another engine answered`, …
    pub outcome: String,
}

/// Whom the other end of a driver's socket may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SocketPolicy {
    /// User ids allowed besides one's own and root's.
    pub allowed_uids: Vec<u32>,
    /// Group ids allowed.
    pub allowed_gids: Vec<u32>,
}

/// What to dial.
#[derive(Debug, Clone)]
pub struct DialRequest {
    /// The configured name: it routes, whatever the driver calls itself.
    pub name: String,
    /// The socket.
    pub path: PathBuf,
    /// Whom to accept at the other end.
    pub policy: SocketPolicy,
    /// How long to wait for a socket that comes up late.
    pub connect_timeout: Duration,
    /// The longest that the caller gives any call; the dialer's own bounds are not below it.
    pub longest_call: Duration,
}

/// Dials a driver behind a Unix socket. There is one in a build that has external drivers, none in others.
#[async_trait::async_trait]
pub trait Dialer: Send + Sync + 'static {
    /// Connects and asks for capabilities; the driver it gives reconnects by itself afterwards.
    ///
    /// # Errors
    /// `PermissionDenied` or `FailedPrecondition` at once for what waiting cannot mend (not a socket, a link, a
    /// foreign owner), `Unavailable` after `connect_timeout`.
    async fn dial(&self, request: DialRequest) -> Result<Arc<dyn ComputeDriver>, DriverError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_reads_variables_and_paths_from_its_environment() {
        let vars = [("SET", "a"), ("EMPTY", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let env = ProbeEnv { vars: vars.into(), ..ProbeEnv::default() };
        assert_eq!((env.var("SET"), env.var("EMPTY"), env.var("UNSET")), (Some("a"), None, None));
        assert_eq!(env.path("/run/x"), PathBuf::from("/run/x"));
        let env = ProbeEnv { root: "/test".into(), ..env };
        assert_eq!(env.path("/run/x"), PathBuf::from("/test/run/x"));
    }
}
