//! A sandbox as it is stored.

use std::collections::BTreeMap;

use crate::lifecycle::Life;

/// One row.
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
    /// The `openshell.v1.SandboxSpec` as it was asked for, encoded.
    pub spec: Vec<u8>,
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
