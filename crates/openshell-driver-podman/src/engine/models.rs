//! What a service tells of containers, volumes, secrets, networks, images and events, as far as it is used.
//!
//! Read leniently: what is missing or `null` is the default, and what is not used is passed over, since services of 4.x and
//! 5.x write several fields differently (a container's entrypoint is a text in one and a list in the other).

use std::collections::HashMap;

use serde::{Deserialize, Deserializer};

/// The default for `null`, too: services write it for what is empty.
pub(super) fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    reader: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(reader)?.unwrap_or_default())
}

/// Labels, or whatever else is words by words.
pub(crate) type Words = HashMap<String, String>;

/// A line of the list of containers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Summary {
    #[serde(rename = "Id", deserialize_with = "lenient")]
    pub(crate) id: String,
    #[serde(rename = "Names", deserialize_with = "lenient")]
    pub(crate) names: Vec<String>,
    #[serde(rename = "Labels", deserialize_with = "lenient")]
    pub(crate) labels: Words,
    #[serde(rename = "State", deserialize_with = "lenient")]
    pub(crate) status: Status,
    /// Seconds since 1970; something negative for never.
    #[serde(rename = "StartedAt", deserialize_with = "lenient")]
    pub(crate) started_at: i64,
}

/// A container.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Container {
    #[serde(rename = "Id", deserialize_with = "lenient")]
    pub(crate) id: String,
    /// Without a slash before it.
    #[serde(rename = "Name", deserialize_with = "lenient")]
    pub(crate) name: String,
    /// RFC 3339.
    #[serde(rename = "Created", deserialize_with = "lenient")]
    pub(crate) created: String,
    /// The image's id, without `sha256:`.
    #[serde(rename = "Image", deserialize_with = "lenient")]
    pub(crate) image: String,
    #[serde(rename = "State", deserialize_with = "lenient")]
    pub(crate) state: State,
    #[serde(rename = "Config", deserialize_with = "lenient")]
    pub(crate) config: ContainerConfig,
    #[serde(rename = "HostConfig", deserialize_with = "lenient")]
    pub(crate) host: HostConfig,
    #[serde(rename = "Mounts", deserialize_with = "lenient")]
    pub(crate) mounts: Vec<MountPoint>,
    #[serde(rename = "NetworkSettings", deserialize_with = "lenient")]
    pub(crate) network: NetworkSettings,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Made, never started.
    Created,
    /// The same, in an older word.
    Configured,
    /// Made ready by the runtime, and not started yet.
    Initialized,
    Running,
    Paused,
    /// Asked to end.
    Stopping,
    /// Ended, with something left to be cleared away.
    Stopped,
    Exited,
    Removing,
    /// Anything else: a word that a newer service may have.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A container's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    #[serde(rename = "Status", deserialize_with = "lenient")]
    pub(crate) status: Status,
    #[serde(rename = "OOMKilled", deserialize_with = "lenient")]
    pub(crate) oom_killed: bool,
    #[serde(rename = "Dead", deserialize_with = "lenient")]
    pub(crate) dead: bool,
    #[serde(rename = "ExitCode", deserialize_with = "lenient")]
    pub(crate) exit_code: i64,
    /// What went wrong at its start.
    #[serde(rename = "Error", deserialize_with = "lenient")]
    pub(crate) error: String,
    /// RFC 3339; year 1 for never.
    #[serde(rename = "StartedAt", deserialize_with = "lenient")]
    pub(crate) started_at: String,
    /// RFC 3339; year 1 for never.
    #[serde(rename = "FinishedAt", deserialize_with = "lenient")]
    pub(crate) finished_at: String,
}

/// What a container was made with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct ContainerConfig {
    #[serde(rename = "Labels", deserialize_with = "lenient")]
    pub(crate) labels: Words,
    #[serde(rename = "User", deserialize_with = "lenient")]
    pub(crate) user: String,
    #[serde(rename = "Image", deserialize_with = "lenient")]
    pub(crate) image: String,
}

/// What a container has of its host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct HostConfig {
    #[serde(rename = "NetworkMode", deserialize_with = "lenient")]
    pub(crate) network_mode: String,
    /// Bytes; 0 for no limit.
    #[serde(rename = "Memory", deserialize_with = "lenient")]
    pub(crate) memory: i64,
    #[serde(rename = "UsernsMode", deserialize_with = "lenient")]
    pub(crate) userns_mode: String,
    #[serde(rename = "Ulimits", deserialize_with = "lenient")]
    pub(crate) ulimits: Vec<Ulimit>,
}

/// A limit of a container's processes, as it is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Ulimit {
    /// `RLIMIT_NOFILE`.
    #[serde(rename = "Name", deserialize_with = "lenient")]
    pub(crate) name: String,
    /// What a process begins with; -1 for no limit.
    #[serde(rename = "Soft", deserialize_with = "lenient")]
    pub(crate) soft: i64,
    /// What it may raise that to; -1 for no limit.
    #[serde(rename = "Hard", deserialize_with = "lenient")]
    pub(crate) hard: i64,
}

/// Something mounted in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct MountPoint {
    /// `volume`, `bind`, `tmpfs`.
    #[serde(rename = "Type", deserialize_with = "lenient")]
    pub(crate) kind: String,
    /// A volume's name.
    #[serde(rename = "Name", deserialize_with = "lenient")]
    pub(crate) name: String,
    #[serde(rename = "Destination", deserialize_with = "lenient")]
    pub(crate) destination: String,
}

/// What a container is connected to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct NetworkSettings {
    /// By the networks' names.
    #[serde(rename = "Networks", deserialize_with = "lenient")]
    pub(crate) networks: HashMap<String, Endpoint>,
}

/// A container's end of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Endpoint {
    #[serde(rename = "IPAddress", deserialize_with = "lenient")]
    pub(crate) address: String,
}

/// A volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Volume {
    #[serde(rename = "Name", deserialize_with = "lenient")]
    pub(crate) name: String,
    #[serde(rename = "Driver", deserialize_with = "lenient")]
    pub(crate) driver: String,
    #[serde(rename = "Labels", deserialize_with = "lenient")]
    pub(crate) labels: Words,
    #[serde(rename = "Options", deserialize_with = "lenient")]
    pub(crate) options: Words,
}

/// A secret, without its content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct SecretSummary {
    #[serde(rename = "ID", deserialize_with = "lenient")]
    pub(crate) id: String,
    #[serde(rename = "Spec", deserialize_with = "lenient")]
    pub(crate) spec: SecretSpec,
}

/// How a secret is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct SecretSpec {
    #[serde(rename = "Name", deserialize_with = "lenient")]
    pub(crate) name: String,
    /// Empty from services before 4.6, which keep none.
    #[serde(rename = "Labels", deserialize_with = "lenient")]
    pub(crate) labels: Words,
}

/// A network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Network {
    #[serde(deserialize_with = "lenient")]
    pub(crate) name: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) id: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) driver: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) labels: Words,
    #[serde(deserialize_with = "lenient")]
    pub(crate) options: Words,
}

/// An image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct ImageInfo {
    /// Without `sha256:`.
    #[serde(rename = "Id", deserialize_with = "lenient")]
    pub(crate) id: String,
    #[serde(rename = "User", deserialize_with = "lenient")]
    pub(crate) user: String,
    #[serde(rename = "Os", deserialize_with = "lenient")]
    pub(crate) os: String,
    #[serde(rename = "Architecture", deserialize_with = "lenient")]
    pub(crate) architecture: String,
    #[serde(rename = "Config", deserialize_with = "lenient")]
    pub(crate) config: ImageConfig,
}

/// What an image wants to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct ImageConfig {
    #[serde(rename = "Cmd", deserialize_with = "lenient")]
    pub(crate) command: Vec<String>,
    #[serde(rename = "Entrypoint", deserialize_with = "lenient")]
    pub(crate) entrypoint: Vec<String>,
    #[serde(rename = "WorkingDir", deserialize_with = "lenient")]
    pub(crate) working_dir: String,
    /// By the places where it wants them; there is nothing behind that.
    #[serde(rename = "Volumes", deserialize_with = "lenient")]
    pub(crate) volumes: HashMap<String, Nothing>,
}

/// An object with nothing in it that is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Nothing {}

/// A line of a pull.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct PullLine {
    /// What is done now, for people.
    #[serde(deserialize_with = "lenient")]
    pub(crate) stream: String,
    /// Why it ended without an image.
    #[serde(deserialize_with = "lenient")]
    pub(crate) error: String,
    /// The image's id, in the last line.
    #[serde(deserialize_with = "lenient")]
    pub(crate) id: String,
}

/// Something that happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    /// `container`, `volume`, …
    #[serde(rename = "Type", deserialize_with = "lenient")]
    pub(crate) kind: String,
    /// `create`, `start`, `died`, `remove`, …
    #[serde(rename = "Action", deserialize_with = "lenient")]
    pub(crate) action: String,
    #[serde(rename = "Actor", deserialize_with = "lenient")]
    pub(crate) actor: Actor,
    /// When, in nanoseconds since 1970.
    #[serde(rename = "timeNano", deserialize_with = "lenient")]
    pub(crate) at: i64,
}

/// What something happened to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Actor {
    #[serde(rename = "ID", deserialize_with = "lenient")]
    pub(crate) id: String,
    /// Its labels, and `name`, `image`, `containerExitCode`.
    #[serde(rename = "Attributes", deserialize_with = "lenient")]
    pub(crate) attributes: Words,
}

/// A part of a removal's report: services of 4.x and 5.x may say yes and tell of a failure in here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Removed {
    /// A text, or an object with the text in it.
    #[serde(rename = "Err", deserialize_with = "lenient")]
    pub(crate) error: Option<serde_json::Value>,
}
