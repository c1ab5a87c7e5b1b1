//! A sandbox and a workspace as they are stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::lifecycle::{Life, WorkspacePhase};

/// The row of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub id: String,
    /// Unique in its workspace.
    pub name: String,
    /// The workspace.
    pub workspace: String,
    /// The configured name of the driver that it was made on.
    pub driver: String,
    /// The `openshell.v1.SandboxSpec` as it was asked for, encoded. It never changes and may be large: clones share it.
    pub spec: Arc<[u8]>,
    /// The client's labels, which selectors look at.
    pub labels: BTreeMap<String, String>,
    /// The client's annotations.
    pub annotations: BTreeMap<String, String>,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// When its deletion was asked for.
    pub deleted_at_ms: Option<i64>,
    /// Counts its changes.
    pub resource_version: u64,
    /// Where it stands.
    pub life: Life,
}

impl Record {
    /// About how many bytes of other people's it holds: what a client gave, and what its backend said.
    pub(crate) fn bytes(&self) -> usize {
        let texts = |map: &BTreeMap<String, String>| -> usize {
            map.iter().map(|(key, value)| key.len() + value.len()).sum()
        };
        let conditions = self.life.observed.iter().flat_map(|status| &status.conditions);
        let said: usize = conditions.map(|condition| condition.reason.len() + condition.message.len()).sum();
        self.spec.len() + texts(&self.labels) + texts(&self.annotations) + said
    }
}

/// The row of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Tells it from another one that had its name before.
    pub id: String,
    /// The key.
    pub name: String,
    /// The client's labels, which selectors look at.
    pub labels: BTreeMap<String, String>,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// When its deletion was asked for.
    pub deleted_at_ms: Option<i64>,
    /// Counts its changes.
    pub resource_version: u64,
}

impl Workspace {
    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> WorkspacePhase {
        WorkspacePhase::of(self.deleted_at_ms)
    }
}

/// What came of storing a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It is stored.
    Stored,
    /// Its name is taken in its workspace.
    NameTaken,
    /// There is no such workspace.
    NoWorkspace,
    /// Its workspace is on its way out and takes no new one.
    WorkspaceGoing,
}
