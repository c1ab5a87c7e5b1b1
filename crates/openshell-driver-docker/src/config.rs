//! The table `[openshell.drivers.docker]`: every key, its default, and every fault of a table at once.

use std::path::{Path, PathBuf};

use openshell_driver_api::{ConfigError, Table};

use crate::image;

/// The settings of a driver; see `docs/docker.md` for what each means to an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The engine's API socket; `None` looks for one as detection does.
    pub(crate) socket_path: Option<PathBuf>,
    /// The image of a sandbox that names none; may be empty.
    pub(crate) default_image: String,
    /// When an image is fetched.
    pub(crate) pull_policy: PullPolicy,
    /// How many processes and threads a sandbox may have.
    pub(crate) pids_limit: i64,
    /// What a sandbox can reach.
    pub(crate) network: Network,
    /// Overrides the image's user.
    pub(crate) user: Option<String>,
    /// Capabilities given back after all were dropped, without `CAP_`.
    pub(crate) cap_add: Vec<String>,
    /// How many seconds a main process has between `SIGTERM` and `SIGKILL`.
    pub(crate) stop_timeout: i32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            socket_path: None,
            default_image: String::new(),
            pull_policy: PullPolicy::Missing,
            pids_limit: 2048,
            network: Network::Own,
            user: None,
            cap_add: Vec::new(),
            stop_timeout: 10,
        }
    }
}

/// When an image is fetched from its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PullPolicy {
    /// At every create.
    Always,
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

const KEYS: [&str; 8] = [
    "socket_path",
    "default_image",
    "pull_policy",
    "pids_limit",
    "network",
    "user",
    "cap_add",
    "stop_timeout",
];

impl Config {
    /// Reads a table.
    ///
    /// # Errors
    /// Every fault of it, in the order of the keys above, unknown keys last.
    pub(crate) fn read(table: &Table) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader { table, faults: Vec::new() };
        let default = Self::default();
        let config = Self {
            socket_path: reader.text("socket_path", |text| {
                if Path::new(text).is_absolute() {
                    return Ok(PathBuf::from(text));
                }
                let bare = text.strip_prefix("unix://").unwrap_or("/var/run/docker.sock");
                Err(("is not an absolute path".to_owned(), Some(format!("socket_path = \"{bare}\""))))
            }),
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
                    _ => Err((
                        "is none of `always`, `missing`, `never`".to_owned(),
                        Some("pull_policy = \"missing\"".to_owned()),
                    )),
                })
                .unwrap_or(default.pull_policy),
            pids_limit: reader.integer("pids_limit", 1, 4_194_304).unwrap_or(default.pids_limit),
            network: reader.text("network", network).unwrap_or(default.network),
            user: reader.text("user", user),
            cap_add: reader.capabilities("cap_add"),
            stop_timeout: reader
                .integer("stop_timeout", 0, 60)
                .and_then(|seconds| i32::try_from(seconds).ok())
                .unwrap_or(default.stop_timeout),
        };
        reader.refuse_unknown();
        if reader.faults.is_empty() { Ok(config) } else { Err(reader.faults) }
    }
}

/// What is wrong with a value, and what to write instead.
type Problem = (String, Option<String>);

fn network(text: &str) -> Result<Network, Problem> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    match text {
        "own" => Ok(Network::Own),
        "none" => Ok(Network::None),
        // The host's network namespace holds its loopback services, this gateway among them.
        "host" => Err((
            "would give sandboxes the host's own network".to_owned(),
            Some("network = \"own\"".to_owned()),
        )),
        name if name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(good) => {
            Ok(Network::Named(name.to_owned()))
        }
        _ => Err((
            "is neither `own`, `none`, nor the name of a network".to_owned(),
            Some("network = \"own\"".to_owned()),
        )),
    }
}

fn user(text: &str) -> Result<String, Problem> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() <= 2 && parts.iter().all(|part| !part.is_empty() && part.chars().all(good)) {
        return Ok(text.to_owned());
    }
    Err(("is not `user` or `user:group`".to_owned(), Some("user = \"1000:1000\"".to_owned())))
}

/// Takes values out of a table and collects what is wrong with them.
struct Reader<'a> {
    table: &'a Table,
    faults: Vec<ConfigError>,
}

impl Reader<'_> {
    fn fault(&mut self, key: &str, message: String, hint: Option<String>) {
        self.faults.push(ConfigError { key: key.to_owned(), message, hint });
    }

    fn text<T>(&mut self, key: &str, read: impl FnOnce(&str) -> Result<T, Problem>) -> Option<T> {
        let value = self.table.get(key)?;
        let Some(text) = value.as_str() else {
            self.fault(key, format!("`{key}` is {}, not a text", article(value.type_str())), None);
            return None;
        };
        match read(text) {
            Ok(value) => Some(value),
            Err((problem, hint)) => {
                self.fault(key, format!("`{text}` {problem}"), hint);
                None
            }
        }
    }

    fn integer(&mut self, key: &str, least: i64, most: i64) -> Option<i64> {
        let value = self.table.get(key)?;
        match value.as_integer() {
            Some(number) if (least..=most).contains(&number) => Some(number),
            Some(number) => {
                self.fault(key, format!("`{number}` is not between {least} and {most}"), None);
                None
            }
            None => {
                self.fault(key, format!("`{key}` is {}, not an integer", article(value.type_str())), None);
                None
            }
        }
    }

    fn capabilities(&mut self, key: &str) -> Vec<String> {
        let Some(value) = self.table.get(key) else { return Vec::new() };
        let Some(list) = value.as_array() else {
            self.fault(key, format!("`{key}` is {}, not a list", article(value.type_str())), None);
            return Vec::new();
        };
        let mut names = Vec::new();
        for item in list {
            let Some(text) = item.as_str() else {
                self.fault(key, format!("`{key}` holds {}, not a text", article(item.type_str())), None);
                continue;
            };
            let name = text.strip_prefix("CAP_").unwrap_or(text);
            if name == "ALL" {
                let hint = Some("name the capabilities that are needed".to_owned());
                self.fault(key, "`ALL` gives back everything that was dropped".to_owned(), hint);
            } else if name.is_empty() || !name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
                self.fault(
                    key,
                    format!("`{text}` is not a capability"),
                    Some("cap_add = [\"NET_RAW\"]".to_owned()),
                );
            } else {
                names.push(name.to_owned());
            }
        }
        names
    }

    fn refuse_unknown(&mut self) {
        for key in self.table.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let nearest = KEYS
                .iter()
                .map(|known| (strsim::damerau_levenshtein(key, known), known))
                .filter(|(distance, known)| *distance <= known.len() / 3)
                .min();
            let hint = match nearest {
                Some((_, known)) => format!("did you mean `{known}`?"),
                None => format!("the keys are {}", KEYS.map(|known| format!("`{known}`")).join(", ")),
            };
            self.faults.push(ConfigError {
                key: key.clone(),
                message: format!("unknown key `{key}`"),
                hint: Some(hint),
            });
        }
    }
}

fn article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {kind}")
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
            pull_policy = "never"
            pids_limit = 64
            network = "office"
            user = "1000:1000"
            cap_add = ["CAP_NET_RAW", "CHOWN"]
            stop_timeout = 3
            "#,
        );
        let expected = Config {
            socket_path: Some("/run/d.sock".into()),
            default_image: "127.0.0.1:5000/a/b:1".into(),
            pull_policy: PullPolicy::Never,
            pids_limit: 64,
            network: Network::Named("office".into()),
            user: Some("1000:1000".into()),
            cap_add: vec!["NET_RAW".into(), "CHOWN".into()],
            stop_timeout: 3,
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
