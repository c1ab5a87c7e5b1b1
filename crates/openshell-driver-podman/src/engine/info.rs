//! What a service tells of itself and its host, as far as requests depend on it; read as leniently as its other answers.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::models::lenient;

/// What a service tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Info {
    #[serde(deserialize_with = "lenient")]
    pub(crate) host: HostInfo,
    #[serde(deserialize_with = "lenient")]
    pub(crate) store: StoreInfo,
    #[serde(deserialize_with = "lenient")]
    pub(crate) version: VersionInfo,
}

/// Its host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct HostInfo {
    #[serde(deserialize_with = "lenient")]
    pub(crate) arch: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) os: String,
    /// `cgroupfs` or `systemd`.
    #[serde(deserialize_with = "lenient")]
    pub(crate) cgroup_manager: String,
    /// `v1` or `v2`.
    #[serde(deserialize_with = "lenient")]
    pub(crate) cgroup_version: String,
    /// Those that the service may use: without root only those that were delegated to it.
    #[serde(deserialize_with = "lenient")]
    pub(crate) cgroup_controllers: Vec<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) event_logger: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) network_backend: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) network_backend_info: NetworkBackendInfo,
    #[serde(deserialize_with = "lenient")]
    pub(crate) oci_runtime: OciRuntime,
    #[serde(deserialize_with = "lenient")]
    pub(crate) security: SecurityInfo,
    /// What is mapped into the service's own user namespace: only without root.
    #[serde(deserialize_with = "lenient")]
    pub(crate) id_mappings: IdMappings,
}

/// The program that makes networks; older services tell nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct NetworkBackendInfo {
    /// Its name and version: `netavark 1.17.2`.
    #[serde(deserialize_with = "lenient")]
    pub(crate) version: String,
}

/// The runtime that is used unless another is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct OciRuntime {
    #[serde(deserialize_with = "lenient")]
    pub(crate) name: String,
}

/// What keeps containers in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct SecurityInfo {
    #[serde(deserialize_with = "lenient")]
    pub(crate) rootless: bool,
    #[serde(deserialize_with = "lenient")]
    pub(crate) seccomp_enabled: bool,
    #[serde(deserialize_with = "lenient")]
    pub(crate) apparmor_enabled: bool,
    #[serde(rename = "selinuxEnabled", deserialize_with = "lenient")]
    pub(crate) selinux_enabled: bool,
}

/// The ids of a user namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct IdMappings {
    #[serde(deserialize_with = "lenient")]
    pub(crate) uidmap: Vec<IdRange>,
}

/// A range of ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct IdRange {
    #[serde(deserialize_with = "lenient")]
    pub(crate) size: u64,
}

/// Where it keeps what it has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct StoreInfo {
    /// `overlay`, `vfs`, …
    #[serde(deserialize_with = "lenient")]
    pub(crate) graph_driver_name: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) graph_root: String,
    /// `Backing Filesystem` and others; not all are texts in every version.
    #[serde(deserialize_with = "lenient")]
    pub(crate) graph_status: BTreeMap<String, serde_json::Value>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) run_root: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) volume_path: String,
}

impl StoreInfo {
    /// The file system below, as the service calls it.
    pub(crate) fn backing(&self) -> &str {
        self.graph_status.get("Backing Filesystem").and_then(serde_json::Value::as_str).unwrap_or_default()
    }
}

/// Its version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct VersionInfo {
    #[serde(rename = "Version", deserialize_with = "lenient")]
    pub(crate) version: String,
}
