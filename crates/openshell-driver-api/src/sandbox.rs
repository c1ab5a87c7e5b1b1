//! A sandbox as it is asked for, and as a backend reports it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::DriverError;

/// The id of a sandbox: the only key, never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SandboxId(String);

impl SandboxId {
    /// Takes any text that is not empty.
    ///
    /// # Errors
    /// `InvalidArgument` for an empty one: an empty filter never means "all".
    pub fn new(id: impl Into<String>) -> Result<Self, DriverError> {
        let id = id.into();
        if id.is_empty() {
            return Err(DriverError::invalid("read sandbox id", "the sandbox id is empty"));
        }
        Ok(Self(id))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SandboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that no log, error or answer may show: its `Debug` says that it is there and no more.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Takes the secret's text; empty means that there is none.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether there is no secret.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text itself. Every call of this is a place to review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(none)" } else { "Secret(…)" })
    }
}

/// A sandbox to make.
#[derive(Debug, Clone, PartialEq)]
pub struct SandboxRequest {
    /// Its key.
    pub id: SandboxId,
    /// Its name, unique in its workspace; for people and labels.
    pub name: String,
    /// The backend's namespace, where it has such a thing; often empty.
    pub namespace: String,
    /// The workspace that it belongs to.
    pub workspace: String,
    /// What it shall be.
    pub spec: SandboxSpec,
}

/// What a sandbox shall be.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SandboxSpec {
    /// How much the supervisor logs.
    pub log_level: String,
    /// The request's own environment; wins over the template's.
    pub environment: BTreeMap<String, String>,
    /// The image and what goes with it.
    pub template: Template,
    /// GPUs, when asked for.
    pub gpu: Option<GpuRequest>,
    /// The supervisor's credential.
    pub token: Secret,
    /// The exact argv of the main process; empty runs the image's own.
    pub command: Vec<String>,
    /// Whether the main process gets a terminal.
    pub tty: bool,
}

/// A request for GPUs; no count means "as the backend sees fit".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GpuRequest {
    /// How many.
    pub count: Option<u32>,
}

/// The image of a sandbox and what goes with it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Template {
    /// The image's reference; empty means the driver's default.
    pub image: String,
    /// Where the agent's socket lies inside.
    pub agent_socket_path: String,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
    /// The template's environment.
    pub environment: BTreeMap<String, String>,
    /// CPU and memory.
    pub resources: Resources,
    /// Settings that any driver of a platform may read.
    pub platform_config: Map<String, Value>,
    /// Settings that are this driver's own.
    pub driver_config: Map<String, Value>,
}

/// CPU and memory as Kubernetes quantities (`500m`, `1.5Gi`), not yet parsed; empty means unset.
/// [`quantity`](crate::quantity) reads them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resources {
    /// What to reserve, in cores.
    pub cpu_request: String,
    /// What not to exceed, in cores.
    pub cpu_limit: String,
    /// What to reserve, in bytes.
    pub memory_request: String,
    /// What not to exceed, in bytes.
    pub memory_limit: String,
}

/// What a backend reports of a sandbox.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedSandbox {
    /// The key.
    pub id: SandboxId,
    /// The name on the backend's resource; informative.
    pub name: String,
    /// The backend's namespace.
    pub namespace: String,
    /// The workspace on the backend's resource; informative.
    pub workspace: String,
    /// Its state.
    pub status: SandboxStatus,
}

/// The backend's state of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SandboxStatus {
    /// The backend's name for its resource.
    pub sandbox_name: String,
    /// The backend's id for this run of it.
    pub instance_id: String,
    /// Of the wire contract; opaque.
    pub agent_fd: String,
    /// Of the wire contract; opaque.
    pub sandbox_fd: String,
    /// See [`conditions`](crate::conditions).
    pub conditions: Vec<Condition>,
    /// It is going.
    pub deleting: bool,
}

/// One statement about a sandbox, as Kubernetes conditions are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `Ready`, `Suspended`, …: the `type` of the wire contract.
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// A word for machines, in CamelCase.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// RFC 3339 in UTC; empty when unknown.
    pub last_transition_time: String,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody can say.
    Unknown,
}

impl ConditionStatus {
    /// The word of the wire contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// Reads the word of the wire contract; any other word is `Unknown`.
    #[must_use]
    pub fn from_wire(word: &str) -> Self {
        match word {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn an_id_is_never_empty() {
        assert_eq!(SandboxId::new("").expect_err("empty").kind(), ErrorKind::InvalidArgument);
        assert_eq!(SandboxId::new("a").expect("an id").to_string(), "a");
    }

    #[test]
    fn a_secret_is_not_shown() {
        let spec = SandboxSpec { token: Secret::new("s3cret"), ..SandboxSpec::default() };
        let shown = format!("{spec:?}");
        assert!(shown.contains("Secret(…)") && !shown.contains("s3cret"), "{shown}");
        assert_eq!(format!("{:?}", Secret::default()), "Secret(none)");
        assert_eq!(spec.token.expose(), "s3cret");
    }

    #[test]
    fn statuses_read_back_and_others_are_unknown() {
        for status in [ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown] {
            assert_eq!(ConditionStatus::from_wire(status.as_str()), status);
        }
        assert_eq!(ConditionStatus::from_wire("true"), ConditionStatus::Unknown);
    }
}
