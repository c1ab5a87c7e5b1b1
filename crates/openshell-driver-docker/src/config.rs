//! The table `[openshell.drivers.docker]`: every key, its default, and every fault of a table at once.

mod address;

use std::path::PathBuf;

use openshell_driver_api::{ConfigError, Table};
use openshell_driver_common::config::{Reader, absolute};
use openshell_driver_common::container::judge::Allowed;
use openshell_driver_common::container::mounts::MountRules;
use openshell_driver_common::container::posture;
use openshell_driver_common::container::values::{self, Network, PullPolicy};

use crate::engine::Address;

/// The settings of a driver; see `docs/docker.md` for what each means to an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where the engine is; `None` looks for one as detection does.
    pub(crate) host: Option<Address>,
    /// The image of a sandbox that names none; may be empty.
    pub(crate) default_image: String,
    /// When an image is fetched.
    pub(crate) pull_policy: PullPolicy,
    /// Whether the engine's host runs images that are made for other machines.
    pub(crate) emulation: bool,
    /// The file with the credentials for registries; `None` is the user's own.
    pub(crate) docker_config_path: Option<PathBuf>,
    /// How many processes and threads a sandbox may have; a request may lower it.
    pub(crate) pids_limit: i64,
    /// How many files a process may have open; `None` leaves it to the engine.
    pub(crate) nofile_limit: Option<i64>,
    /// What a sandbox can reach.
    pub(crate) network: Network,
    /// Networks that a request may name instead.
    pub(crate) networks: Vec<String>,
    /// Overrides the image's user.
    pub(crate) user: Option<String>,
    /// Capabilities given back after all were dropped, without `CAP_`.
    pub(crate) cap_add: Vec<String>,
    /// Whether the image's own files cannot be changed.
    pub(crate) read_only_root: bool,
    /// OCI runtimes that a request may name.
    pub(crate) runtimes: Vec<String>,
    /// What a request may have mounted.
    pub(crate) mounts: MountRules,
    /// Whose GPUs a request for some means: the part of a CDI name before `=`.
    pub(crate) gpu_cdi_kind: String,
    /// How many seconds a main process has between `SIGTERM` and `SIGKILL`.
    pub(crate) stop_timeout: i32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: None,
            default_image: String::new(),
            pull_policy: PullPolicy::Missing,
            emulation: false,
            docker_config_path: None,
            pids_limit: posture::PIDS_LIMIT,
            nofile_limit: None,
            network: Network::Own,
            networks: Vec::new(),
            user: None,
            cap_add: Vec::new(),
            read_only_root: false,
            runtimes: Vec::new(),
            mounts: MountRules::default(),
            gpu_cdi_kind: "nvidia.com/gpu".to_owned(),
            stop_timeout: posture::STOP_TIMEOUT,
        }
    }
}

const KEYS: &[&str] = &[
    "socket_path",
    "host",
    "tls_ca_path",
    "tls_cert_path",
    "tls_key_path",
    "insecure_tcp",
    "default_image",
    "pull_policy",
    "emulation",
    "docker_config_path",
    "pids_limit",
    "nofile_limit",
    "network",
    "networks",
    "user",
    "cap_add",
    "read_only_root",
    "runtimes",
    "tmpfs_max",
    "allow_volumes",
    "bind_mounts",
    "bind_mounts_writable",
    "gpu_cdi_kind",
    "stop_timeout",
];

impl Config {
    /// What requests are held against.
    pub(crate) fn allowed(&self) -> Allowed<'_> {
        Allowed {
            driver: "docker",
            default_image: &self.default_image,
            network: &self.network,
            networks: &self.networks,
            user: self.user.as_deref(),
            pids_limit: self.pids_limit,
            runtimes: &self.runtimes,
        }
    }

    /// Reads a table.
    ///
    /// # Errors
    /// Every fault of it, in the order of the keys above, unknown keys last.
    pub(crate) fn read(table: &Table) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader::new(table);
        let default = Self::default();
        let config = Self {
            host: address::read(&mut reader),
            default_image: reader.text("default_image", values::image).unwrap_or(default.default_image),
            pull_policy: reader.text("pull_policy", values::pull_policy).unwrap_or(default.pull_policy),
            emulation: reader.switch("emulation"),
            docker_config_path: reader
                .text("docker_config_path", |text| absolute("docker_config_path", text)),
            pids_limit: reader.integer("pids_limit", 1, posture::PIDS_MOST).unwrap_or(default.pids_limit),
            nofile_limit: reader.integer("nofile_limit", 64, 1_048_576),
            network: reader.text("network", values::network).unwrap_or(default.network),
            networks: reader.texts("networks", values::named_network),
            user: reader.text("user", values::user),
            cap_add: reader.texts("cap_add", values::capability),
            read_only_root: reader.switch("read_only_root"),
            runtimes: reader.texts("runtimes", values::runtime),
            mounts: MountRules::read(&mut reader),
            gpu_cdi_kind: reader.text("gpu_cdi_kind", values::cdi_kind).unwrap_or(default.gpu_cdi_kind),
            stop_timeout: reader
                .integer("stop_timeout", 0, 60)
                .and_then(|seconds| i32::try_from(seconds).ok())
                .unwrap_or(default.stop_timeout),
        };
        let faults = reader.faults(KEYS);
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, Vec<ConfigError>> {
        Config::read(&text.parse::<Table>().expect("TOML"))
    }

    #[test]
    fn an_empty_table_is_the_default() {
        assert_eq!(read(""), Ok(Config::default()));
    }

    #[test]
    fn every_key() {
        let config = read(
            r#"
            socket_path = "/run/d.sock"
            default_image = "127.0.0.1:5000/a/b:1"
            pull_policy = "newer"
            emulation = true
            docker_config_path = "/etc/registries.json"
            pids_limit = 64
            network = "office"
            user = "1000:1000"
            cap_add = ["CAP_NET_RAW", "CHOWN"]
            stop_timeout = 3
            nofile_limit = 1024
            networks = ["lab"]
            read_only_root = true
            runtimes = ["runsc"]
            tmpfs_max = "128Mi"
            allow_volumes = true
            bind_mounts = ["/srv/data/"]
            bind_mounts_writable = true
            gpu_cdi_kind = "amd.com/gpu"
            "#,
        );
        let expected = Config {
            host: Some(Address::Unix("/run/d.sock".into())),
            default_image: "127.0.0.1:5000/a/b:1".into(),
            pull_policy: PullPolicy::Newer,
            emulation: true,
            docker_config_path: Some("/etc/registries.json".into()),
            pids_limit: 64,
            network: Network::Named("office".into()),
            user: Some("1000:1000".into()),
            cap_add: vec!["NET_RAW".into(), "CHOWN".into()],
            stop_timeout: 3,
            nofile_limit: Some(1024),
            networks: vec!["lab".into()],
            read_only_root: true,
            runtimes: vec!["runsc".into()],
            mounts: MountRules {
                tmpfs_max: 128 << 20,
                volumes: true,
                binds: vec!["/srv/data".into()],
                binds_writable: true,
            },
            gpu_cdi_kind: "amd.com/gpu".into(),
        };
        assert_eq!(config, Ok(expected));
    }

    #[test]
    fn every_fault_in_one_run() {
        let faults = read(
            r#"
            socket_path = "unix:///run/d.sock"
            default_image = "No Such"
            pull_policy = "sometimes"
            pids_limit = 0
            network = "host"
            user = "a:b:c"
            cap_add = ["ALL", "net_raw", 3]
            stop_timeout = "long"
            sockt_path = ""
            privileged = true
            "#,
        )
        .expect_err("faults");
        let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        let expected = [
            "socket_path",
            "default_image",
            "pull_policy",
            "pids_limit",
            "network",
            "user",
            "cap_add",
            "cap_add",
            "cap_add",
            "stop_timeout",
            "privileged",
            "sockt_path",
        ];
        assert_eq!(keys, expected);
        assert_eq!(faults[0].hint.as_deref(), Some("socket_path = \"/run/d.sock\""));
        assert_eq!(faults[9].message, "`stop_timeout` is a string, not an integer");
        assert!(
            faults[10].hint.as_deref().is_some_and(|hint| hint.starts_with("the keys are `socket_path`, "))
        );
        assert_eq!(faults[11].hint.as_deref(), Some("did you mean `socket_path`?"));
    }
}
