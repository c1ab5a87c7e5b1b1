//! The table `[openshell.drivers.docker]`: every key, its default, and every fault of a table at once.

mod address;
mod reader;
mod values;

use std::path::PathBuf;

use openshell_driver_api::{ConfigError, Table};

use self::reader::Reader;
pub(crate) use self::values::is_user;
use crate::engine::Address;
use crate::image;

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
            pids_limit: 2048,
            nofile_limit: None,
            network: Network::Own,
            networks: Vec::new(),
            user: None,
            cap_add: Vec::new(),
            read_only_root: false,
            runtimes: Vec::new(),
            mounts: MountRules::default(),
            gpu_cdi_kind: "nvidia.com/gpu".to_owned(),
            stop_timeout: 10,
        }
    }
}

/// What a request may have mounted besides its workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountRules {
    /// How many bytes all file systems in memory of one sandbox may hold together.
    pub(crate) tmpfs_max: i64,
    /// Whether volumes that outlive a sandbox may be named.
    pub(crate) volumes: bool,
    /// The host's directories that a request may ask for, itself or below.
    pub(crate) binds: Vec<PathBuf>,
    /// Whether they may be mounted for writing.
    pub(crate) binds_writable: bool,
}

impl Default for MountRules {
    fn default() -> Self {
        Self { tmpfs_max: 1 << 30, volumes: false, binds: Vec::new(), binds_writable: false }
    }
}

impl MountRules {
    /// A directory of the host that lies in another one, with that one.
    fn nested(&self) -> Option<(&PathBuf, &PathBuf)> {
        let mut pairs =
            self.binds.iter().flat_map(|inner| self.binds.iter().map(move |outer| (inner, outer)));
        pairs.find(|(inner, outer)| inner != outer && inner.starts_with(outer))
    }
}

/// When an image is fetched from its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PullPolicy {
    /// At every create.
    Always,
    /// At every create, and where that fails the engine's own is good enough.
    Newer,
    /// When the engine does not have it.
    Missing,
    /// Never.
    Never,
}

/// What a sandbox is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Network {
    /// A bridge of the gateway's own, on which sandboxes do not reach each other.
    Own,
    /// Nothing but loopback.
    None,
    /// A network that the operator made.
    Named(String),
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
    /// Reads a table.
    ///
    /// # Errors
    /// Every fault of it, in the order of the keys above, unknown keys last.
    pub(crate) fn read(table: &Table) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader::new(table);
        let default = Self::default();
        let config = Self {
            host: address::read(&mut reader),
            default_image: reader
                .text("default_image", |text| {
                    image::check(text).map(|()| text.to_owned()).map_err(|problem| (problem, None))
                })
                .unwrap_or(default.default_image),
            pull_policy: reader
                .text("pull_policy", |text| match text {
                    "always" => Ok(PullPolicy::Always),
                    "missing" => Ok(PullPolicy::Missing),
                    "never" => Ok(PullPolicy::Never),
                    "newer" => Ok(PullPolicy::Newer),
                    _ => Err((
                        "is none of `always`, `missing`, `never`, `newer`".to_owned(),
                        Some("pull_policy = \"missing\"".to_owned()),
                    )),
                })
                .unwrap_or(default.pull_policy),
            emulation: reader.switch("emulation"),
            docker_config_path: reader
                .text("docker_config_path", |text| address::file("docker_config_path", text)),
            pids_limit: reader.integer("pids_limit", 1, 4_194_304).unwrap_or(default.pids_limit),
            nofile_limit: reader.integer("nofile_limit", 64, 1_048_576),
            network: reader.text("network", values::network).unwrap_or(default.network),
            networks: reader.texts("networks", values::named_network),
            user: reader.text("user", values::user),
            cap_add: reader.texts("cap_add", values::capability),
            read_only_root: reader.switch("read_only_root"),
            runtimes: reader.texts("runtimes", values::runtime),
            mounts: MountRules {
                tmpfs_max: reader.bytes("tmpfs_max").unwrap_or(default.mounts.tmpfs_max),
                volumes: reader.switch("allow_volumes"),
                binds: reader.texts("bind_mounts", values::bind_root),
                binds_writable: reader.switch("bind_mounts_writable"),
            },
            gpu_cdi_kind: reader.text("gpu_cdi_kind", values::cdi_kind).unwrap_or(default.gpu_cdi_kind),
            stop_timeout: reader
                .integer("stop_timeout", 0, 60)
                .and_then(|seconds| i32::try_from(seconds).ok())
                .unwrap_or(default.stop_timeout),
        };
        if let Some((inner, outer)) = config.mounts.nested().filter(|_| config.mounts.binds_writable) {
            let (inner, outer) = (inner.display(), outer.display());
            reader.fault(
                "bind_mounts",
                format!("`{inner}` lies in `{outer}`, where sandboxes may write: one could put a link in its place"),
                Some("list one of the two, or leave bind_mounts_writable out".to_owned()),
            );
        }
        let faults = reader.faults(KEYS);
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }
}

/// What to say of a key that nobody knows: the nearest that somebody does, else all of them.
pub(crate) fn did_you_mean(key: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(key, known), known))
        .filter(|(distance, known)| *distance <= known.len() / 3)
        .min();
    match nearest {
        Some((_, known)) => format!("did you mean `{known}`?"),
        None => {
            let all: Vec<String> = known.iter().map(|known| format!("`{known}`")).collect();
            format!("the keys are {}", all.join(", "))
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
    fn a_directory_in_another_that_sandboxes_write_in() {
        let roots = "bind_mounts = ['/srv/data', '/srv/database', '/srv']";
        assert!(read(roots).is_ok());
        let faults = read(&format!("{roots}\nbind_mounts_writable = true")).expect_err("a fault");
        assert_eq!((faults.len(), faults[0].key.as_str()), (1, "bind_mounts"));
        assert!(faults[0].message.starts_with("`/srv/data` lies in `/srv`"), "{faults:?}");
        assert!(read("bind_mounts = ['/srv/data', '/srv/database']\nbind_mounts_writable = true").is_ok());
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
