//! What a service is asked to make, in libpod's own words.
//!
//! Source: `pkg/specgen/specgen.go` and `pkg/domain/entities` of Podman 4.0 to 5.x; a field that is left out is the
//! service's own choice.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

/// A container to be made: libpod's `SpecGenerator`, as far as it is used.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) image: String,
    /// Replaces the image's entrypoint and, with that, its command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) env: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    pub(crate) labels: HashMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) work_dir: Option<String>,
    pub(crate) terminal: bool,
    pub(crate) stdin: bool,
    /// Seconds between `SIGTERM` and `SIGKILL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop_timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) restart_policy: Option<String>,
    /// `true`, `false` or `always`: whether the command is taken for systemd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) systemd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) init: Option<bool>,
    #[serde(rename = "healthconfig", skip_serializing_if = "Option::is_none")]
    pub(crate) health: Option<Health>,
    /// What is made of the volumes that an image names: `anonymous`, `tmpfs`, `ignore`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image_volume_mode: Option<String>,

    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) mounts: Vec<Mount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) volumes: Vec<NamedVolume>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) secrets: Vec<SecretMount>,
    /// Bytes of `/dev/shm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shm_size: Option<i64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) storage_opts: BTreeMap<String, String>,
    /// Devices by their paths, or by their names in the Container Device Interface.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) devices: Vec<Device>,

    pub(crate) cap_drop: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) cap_add: Vec<String>,
    pub(crate) no_new_privileges: bool,
    pub(crate) read_only_filesystem: bool,
    /// Whether `/tmp`, `/run` and others are file systems in memory where the root cannot be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) read_write_tmpfs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) userns: Option<Namespace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pidns: Option<Namespace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ipcns: Option<Namespace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) utsns: Option<Namespace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cgroupns: Option<Namespace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) netns: Option<Namespace>,
    /// By the networks' names.
    #[serde(rename = "Networks", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) networks: BTreeMap<String, Join>,
    /// By the mode of networks that they are for.
    #[serde(rename = "network_options", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) network_options: BTreeMap<String, Vec<String>>,

    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource_limits: Option<Resources>,
    #[serde(rename = "r_limits", skip_serializing_if = "Vec::is_empty")]
    pub(crate) rlimits: Vec<Rlimit>,
    /// Whether the proxy variables of the service's own environment are given to the container.
    pub(crate) httpproxy: bool,
    #[serde(rename = "log_configuration", skip_serializing_if = "Option::is_none")]
    pub(crate) log: Option<Log>,
}

/// Where what a container prints is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Log {
    /// `k8s-file`, `journald`, …
    pub(crate) driver: String,
    /// How many bytes; negative for no bound.
    pub(crate) size: i64,
}

/// A health check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Health {
    /// `["NONE"]` for none, not even the image's.
    #[serde(rename = "Test")]
    pub(crate) test: Vec<String>,
}

/// Something mounted that is no volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Mount {
    /// `bind`, `tmpfs`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) options: Vec<String>,
}

/// A volume mounted by its name; made where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct NamedVolume {
    #[serde(rename = "Name")]
    pub(crate) name: String,
    #[serde(rename = "Dest")]
    pub(crate) destination: String,
    #[serde(rename = "Options", skip_serializing_if = "Vec::is_empty")]
    pub(crate) options: Vec<String>,
}

/// A secret as a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct SecretMount {
    #[serde(rename = "Source")]
    pub(crate) source: String,
    /// A path, or a name below `/run/secrets`.
    #[serde(rename = "Target")]
    pub(crate) target: String,
    #[serde(rename = "UID")]
    pub(crate) uid: u32,
    #[serde(rename = "GID")]
    pub(crate) gid: u32,
    #[serde(rename = "Mode")]
    pub(crate) mode: u32,
}

/// A device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Device {
    pub(crate) path: String,
}

/// A namespace: its mode, and what the mode takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Namespace {
    #[serde(rename = "nsmode")]
    pub(crate) mode: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) value: String,
}

impl Namespace {
    /// A mode that takes nothing.
    pub(crate) fn mode(mode: &str) -> Self {
        Self { mode: mode.to_owned(), value: String::new() }
    }
}

/// How a network is joined: as the service sees fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Join {}

/// Limits of a container's control group.
///
/// Source: the OCI runtime specification, "Control groups".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Resources {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<Cpu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pids: Option<Pids>,
}

/// Microseconds of `period` that may be used, `quota` of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Cpu {
    pub(crate) quota: i64,
    pub(crate) period: u64,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reservation: Option<i64>,
    /// Memory and swap together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) swap: Option<i64>,
}

/// Processes and threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Pids {
    pub(crate) limit: i64,
}

/// A limit of each process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Rlimit {
    /// `nofile`, `nproc`: lower case, without `RLIMIT_`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

/// A volume to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct VolumeSpec {
    #[serde(rename = "Name")]
    pub(crate) name: String,
    #[serde(rename = "Driver", skip_serializing_if = "String::is_empty")]
    pub(crate) driver: String,
    #[serde(rename = "Labels")]
    pub(crate) labels: HashMap<String, String>,
    #[serde(rename = "Options", skip_serializing_if = "HashMap::is_empty")]
    pub(crate) options: HashMap<String, String>,
}

/// A network to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct NetworkSpec {
    pub(crate) name: String,
    pub(crate) driver: String,
    /// How its bridge is called on the service's host.
    pub(crate) network_interface: String,
    pub(crate) labels: HashMap<String, String>,
    pub(crate) options: HashMap<String, String>,
    pub(crate) dns_enabled: bool,
}
