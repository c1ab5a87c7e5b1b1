//! The table `[openshell.drivers.podman]`: every key, its default, and every fault of a table at once.

use std::path::PathBuf;

use openshell_driver_api::{ConfigError, Table};
use openshell_driver_common::config::{Problem, Reader, absolute};
use openshell_driver_common::container::judge::Allowed;
use openshell_driver_common::container::mounts::{MountRules, RULE_KEYS};
use openshell_driver_common::container::posture::PIDS_LIMIT;
use openshell_driver_common::container::values::{self, Network, PullPolicy};

use crate::network::OwnNetwork;

/// The settings of a driver; see `docs/podman.md` for what each means to an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where the service is; `None` looks for one as detection does.
    pub(crate) socket_path: Option<PathBuf>,
    /// The image of a sandbox that names none; may be empty.
    pub(crate) default_image: String,
    /// When an image is fetched.
    pub(crate) pull_policy: PullPolicy,
    /// Whether the service's host runs images that are made for other machines.
    pub(crate) emulation: bool,
    /// The file with the credentials for registries; `None` is the user's own.
    pub(crate) auth_file_path: Option<PathBuf>,
    /// Registries that are asked without TLS, or without a look at their certificates.
    pub(crate) insecure_registries: Vec<String>,
    /// How many processes and threads a sandbox may have; a request may lower it.
    pub(crate) pids_limit: i64,
    /// How many files a process may have open; `None` leaves it to the service.
    pub(crate) nofile_limit: Option<i64>,
    /// What a sandbox can reach.
    pub(crate) network: Network,
    /// What a sandbox's own network is made of.
    pub(crate) own_network: OwnNetwork,
    /// Networks that a request may name instead.
    pub(crate) networks: Vec<String>,
    /// Overrides the image's user.
    pub(crate) user: Option<String>,
    /// Whose users on the host a sandbox's users are.
    pub(crate) userns: Userns,
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
    pub(crate) stop_timeout: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            socket_path: None,
            default_image: String::new(),
            pull_policy: PullPolicy::Missing,
            emulation: false,
            auth_file_path: None,
            insecure_registries: Vec::new(),
            pids_limit: PIDS_LIMIT,
            nofile_limit: None,
            network: Network::Own,
            own_network: OwnNetwork::Bridge,
            networks: Vec::new(),
            user: None,
            userns: Userns::Engine,
            cap_add: Vec::new(),
            read_only_root: false,
            runtimes: Vec::new(),
            mounts: MountRules::default(),
            gpu_cdi_kind: "nvidia.com/gpu".to_owned(),
            stop_timeout: 10,
        }
    }
}

/// A sandbox's user namespace.
///
/// Source: `podman-run(1)`, `--userns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Userns {
    /// As the service does by itself: without root, root inside is the service's user; with root there is none.
    #[default]
    Engine,
    /// A range of ids of its own for each sandbox, out of those set aside for containers, of a size that is given or
    /// found out.
    Auto {
        /// How many ids.
        size: Option<u32>,
    },
    /// The service's user has the same id inside; only without root.
    KeepId,
    /// The service's user is not in there at all; only without root.
    NoMap,
    /// The service's own.
    Host,
}

impl Userns {
    /// Whether only a service without root has it.
    pub(crate) fn wants_rootless(self) -> bool {
        matches!(self, Self::KeepId | Self::NoMap)
    }

    /// Libpod's word for it, and what the word takes; `None` says nothing.
    pub(crate) fn mode(self) -> Option<(&'static str, String)> {
        match self {
            Self::Engine => None,
            Self::Auto { size } => {
                Some(("auto", size.map(|size| format!("size={size}")).unwrap_or_default()))
            }
            Self::KeepId => Some(("keep-id", String::new())),
            Self::NoMap => Some(("no-map", String::new())),
            Self::Host => Some(("host", String::new())),
        }
    }
}

const KEYS: [&str; 18] = [
    "socket_path",
    "default_image",
    "pull_policy",
    "emulation",
    "auth_file_path",
    "insecure_registries",
    "pids_limit",
    "nofile_limit",
    "network",
    "own_network",
    "networks",
    "user",
    "userns",
    "cap_add",
    "read_only_root",
    "runtimes",
    "gpu_cdi_kind",
    "stop_timeout",
];

impl Config {
    /// What requests are held against.
    pub(crate) fn allowed(&self) -> Allowed<'_> {
        Allowed {
            driver: "podman",
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
            socket_path: reader.text("socket_path", socket),
            default_image: reader.text("default_image", values::image).unwrap_or(default.default_image),
            pull_policy: reader.text("pull_policy", values::pull_policy).unwrap_or(default.pull_policy),
            emulation: reader.switch("emulation"),
            auth_file_path: reader.text("auth_file_path", |text| absolute("auth_file_path", text)),
            insecure_registries: reader.texts("insecure_registries", values::registry),
            pids_limit: reader.integer("pids_limit", 1, 4_194_304).unwrap_or(default.pids_limit),
            nofile_limit: reader.integer("nofile_limit", 64, 1_048_576),
            network: reader.text("network", network).unwrap_or(default.network),
            own_network: reader.text("own_network", OwnNetwork::read).unwrap_or(default.own_network),
            networks: reader.texts("networks", named_network),
            user: reader.text("user", values::user),
            userns: reader.text("userns", userns).unwrap_or(default.userns),
            cap_add: reader.texts("cap_add", values::capability),
            read_only_root: reader.switch("read_only_root"),
            runtimes: reader.texts("runtimes", values::runtime),
            mounts: MountRules::read(&mut reader),
            gpu_cdi_kind: reader.text("gpu_cdi_kind", values::cdi_kind).unwrap_or(default.gpu_cdi_kind),
            stop_timeout: reader
                .integer("stop_timeout", 0, 60)
                .and_then(|seconds| u32::try_from(seconds).ok())
                .unwrap_or(default.stop_timeout),
        };
        let keys: Vec<&str> = KEYS.into_iter().chain(RULE_KEYS).collect();
        let faults = reader.faults(&keys);
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }
}

/// The path of a socket.
fn socket(text: &str) -> Result<PathBuf, Problem> {
    let path = text.strip_prefix("unix://").unwrap_or(text);
    if path != text || !path.starts_with('/') {
        let path = if path.starts_with('/') { path } else { "/run/podman/podman.sock" };
        return Err(("is not an absolute path".to_owned(), Some(format!("socket_path = \"{path}\""))));
    }
    Ok(path.into())
}

/// `own`, `none`, or the name of a network.
fn network(text: &str) -> Result<Network, Problem> {
    match values::network(text)? {
        Network::Named(name) => named_network(&name).map(Network::Named),
        network => Ok(network),
    }
}

/// The name of a network that the operator made. Libpod has more words than that here, and each of them says less than a
/// network of one's own.
fn named_network(text: &str) -> Result<String, Problem> {
    let own = if text == "slirp4netns" { "own_network = \"slirp4netns\"" } else { "network = \"own\"" };
    let own = Some(own.to_owned());
    match text {
        "podman" => Err(("is the engine's own bridge, which all containers share".to_owned(), own)),
        "private" | "slirp4netns" | "pasta" => {
            Err(("is a mode of networks, and not the name of one".to_owned(), own))
        }
        name => values::named_network(name),
    }
}

/// A mode of user namespaces.
fn userns(text: &str) -> Result<Userns, Problem> {
    match text {
        "engine" => Ok(Userns::Engine),
        "auto" => Ok(Userns::Auto { size: None }),
        "keep-id" => Ok(Userns::KeepId),
        "nomap" => Ok(Userns::NoMap),
        "host" => Ok(Userns::Host),
        other => {
            let size = other.strip_prefix("auto:size=").and_then(|size| size.parse().ok());
            match size.filter(|size| (1..=1 << 24).contains(size)) {
                Some(size) => Ok(Userns::Auto { size: Some(size) }),
                None => Err((
                    "is none of `engine`, `auto`, `auto:size=65536`, `keep-id`, `nomap`, `host`".to_owned(),
                    Some("userns = \"auto\"".to_owned()),
                )),
            }
        }
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
            socket_path = "/run/p.sock"
            default_image = "localhost/a/b:1"
            pull_policy = "newer"
            emulation = true
            auth_file_path = "/etc/auth.json"
            insecure_registries = ["127.0.0.1:5000"]
            pids_limit = 64
            nofile_limit = 1024
            network = "office"
            own_network = "slirp4netns"
            networks = ["lab"]
            user = "1000:1000"
            userns = "auto:size=4096"
            cap_add = ["CAP_NET_RAW", "CHOWN"]
            read_only_root = true
            runtimes = ["crun"]
            tmpfs_max = "128Mi"
            allow_volumes = true
            bind_mounts = ["/srv/data/"]
            bind_mounts_writable = true
            gpu_cdi_kind = "amd.com/gpu"
            stop_timeout = 3
            "#,
        );
        let expected = Config {
            socket_path: Some("/run/p.sock".into()),
            default_image: "localhost/a/b:1".into(),
            pull_policy: PullPolicy::Newer,
            emulation: true,
            auth_file_path: Some("/etc/auth.json".into()),
            insecure_registries: vec!["127.0.0.1:5000".into()],
            pids_limit: 64,
            nofile_limit: Some(1024),
            network: Network::Named("office".into()),
            own_network: OwnNetwork::Slirp4netns,
            networks: vec!["lab".into()],
            user: Some("1000:1000".into()),
            userns: Userns::Auto { size: Some(4096) },
            cap_add: vec!["NET_RAW".into(), "CHOWN".into()],
            read_only_root: true,
            runtimes: vec!["crun".into()],
            mounts: MountRules {
                tmpfs_max: 128 << 20,
                volumes: true,
                binds: vec!["/srv/data".into()],
                binds_writable: true,
            },
            gpu_cdi_kind: "amd.com/gpu".into(),
            stop_timeout: 3,
        };
        assert_eq!(config, Ok(expected));
    }

    #[test]
    fn every_fault_in_one_run() {
        let faults = read(
            r#"
            socket_path = "unix:///run/p.sock"
            default_image = "No Such"
            pull_policy = "sometimes"
            auth_file_path = "auth.json"
            insecure_registries = ["https://r:5"]
            pids_limit = 0
            network = "host"
            own_network = "pasta"
            networks = ["podman", "pasta"]
            user = "a:b:c"
            userns = "mine"
            cap_add = ["ALL", 3]
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
            "auth_file_path",
            "insecure_registries",
            "pids_limit",
            "network",
            "own_network",
            "networks",
            "networks",
            "user",
            "userns",
            "cap_add",
            "cap_add",
            "stop_timeout",
            "privileged",
            "sockt_path",
        ];
        assert_eq!(keys, expected);
        assert_eq!(faults[0].hint.as_deref(), Some("socket_path = \"/run/p.sock\""));
        assert!(
            faults[15].hint.as_deref().is_some_and(|hint| hint.starts_with("the keys are `socket_path`, "))
        );
        assert_eq!(faults[16].hint.as_deref(), Some("did you mean `socket_path`?"));
    }

    #[test]
    fn modes_of_user_namespaces() {
        for (text, mode) in [
            ("engine", None),
            ("auto", Some(("auto", ""))),
            ("auto:size=65536", Some(("auto", "size=65536"))),
            ("keep-id", Some(("keep-id", ""))),
            ("nomap", Some(("no-map", ""))),
            ("host", Some(("host", ""))),
        ] {
            let userns = userns(text).expect(text);
            assert_eq!(userns.mode(), mode.map(|(mode, value)| (mode, value.to_owned())));
            assert_eq!(userns.wants_rootless(), matches!(text, "keep-id" | "nomap"));
        }
        for bad in ["", "auto:size=0", "auto:size=x", "keep-id:uid=1", "Host"] {
            assert!(userns(bad).is_err(), "{bad}");
        }
    }
}
