//! What the values of single keys of a container driver's table may be: pure, text by text.

use std::path::{Component, Path, PathBuf};

use super::{binds, image};
use crate::config::Problem;

/// What a sandbox is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// A bridge of the gateway's own, on which sandboxes do not reach each other.
    Own,
    /// Nothing but loopback.
    None,
    /// A network that the operator made.
    Named(String),
}

/// When an image is fetched from its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// At every create.
    Always,
    /// When the registry's is another, and where that cannot be found out the engine's own is good enough.
    Newer,
    /// When the engine does not have it.
    Missing,
    /// Never.
    Never,
}

/// The capabilities of Linux, without `CAP_`, in the order of their numbers.
///
/// Source: `linux/capability.h`, as of Linux 5.9, the last that added one.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Letters of the names that an engine gives.
fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(good)
}

/// `always`, `missing`, `never` or `newer`.
pub fn pull_policy(text: &str) -> Result<PullPolicy, Problem> {
    match text {
        "always" => Ok(PullPolicy::Always),
        "missing" => Ok(PullPolicy::Missing),
        "never" => Ok(PullPolicy::Never),
        "newer" => Ok(PullPolicy::Newer),
        _ => Err((
            "is none of `always`, `missing`, `never`, `newer`".to_owned(),
            Some("pull_policy = \"missing\"".to_owned()),
        )),
    }
}

/// The reference of an image.
pub fn image(text: &str) -> Result<String, Problem> {
    image::check(text).map(|()| text.to_owned()).map_err(|problem| (problem, None))
}

/// A registry by its name and port, as it stands at the beginning of references.
pub fn registry(text: &str) -> Result<String, Problem> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    if !text.is_empty() && text.chars().all(good) && (text.contains(['.', ':']) || text == "localhost") {
        return Ok(text.to_owned());
    }
    let hint = Some("insecure_registries = [\"registry.example:5000\"]".to_owned());
    Err(("is not the name of a registry as references have it".to_owned(), hint))
}

/// `own`, `none`, or the name of a network.
pub fn network(text: &str) -> Result<Network, Problem> {
    match text {
        "own" => Ok(Network::Own),
        "none" => Ok(Network::None),
        name => named_network(name).map(Network::Named),
    }
}

/// The name of a network that the operator made.
pub fn named_network(text: &str) -> Result<String, Problem> {
    let own = Some("network = \"own\"".to_owned());
    match text {
        // The host's network namespace holds its loopback services, this gateway among them.
        "host" => Err(("would give sandboxes the host's own network".to_owned(), own)),
        // The engine's default bridge lets containers talk to each other, whoever they belong to.
        "bridge" | "default" => {
            Err(("is the engine's own bridge, which all containers share".to_owned(), own))
        }
        name if is_name(name) => Ok(name.to_owned()),
        _ => Err(("is neither `own`, `none`, nor the name of a network".to_owned(), own)),
    }
}

/// Whether a text is `user` or `user:group`, by names or numbers.
pub fn is_user(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() <= 2 && parts.iter().all(|part| !part.is_empty() && part.chars().all(good))
}

/// `user` or `user:group`.
pub fn user(text: &str) -> Result<String, Problem> {
    if is_user(text) {
        return Ok(text.to_owned());
    }
    Err(("is not `user` or `user:group`".to_owned(), Some("user = \"1000:1000\"".to_owned())))
}

/// One capability, with or without `CAP_`.
pub fn capability(text: &str) -> Result<String, Problem> {
    let name = text.strip_prefix("CAP_").unwrap_or(text);
    if name == "ALL" {
        let hint = Some("name the capabilities that are needed".to_owned());
        return Err(("gives back everything that was dropped".to_owned(), hint));
    }
    if CAPABILITIES.contains(&name) {
        return Ok(name.to_owned());
    }
    let upper = name.to_ascii_uppercase();
    let nearest = CAPABILITIES
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&upper, known), *known))
        .filter(|(distance, known)| *distance <= known.len() / 3)
        .min();
    let known = nearest.map_or("NET_RAW", |(_, known)| known);
    Err(("is not a capability".to_owned(), Some(format!("cap_add = [\"{known}\"]"))))
}

/// The number of a capability, by its name without `CAP_`.
pub(crate) fn capability_number(name: &str) -> Option<usize> {
    CAPABILITIES.iter().position(|known| *known == name)
}

/// The name of an OCI runtime that the engine knows.
pub fn runtime(text: &str) -> Result<String, Problem> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    let hint = Some("runtimes = [\"runsc\"]".to_owned());
    Err(("is not the name of a runtime of the engine".to_owned(), hint))
}

/// `vendor/class` of the Container Device Interface.
///
/// Source: "Container Device Interface", the section on the `kind` of a specification.
pub fn cdi_kind(text: &str) -> Result<String, Problem> {
    let good = |part: &str| is_name(part) && !part.ends_with(['_', '.', '-']);
    match text.split_once('/') {
        Some((vendor, class)) if good(vendor) && good(class) => Ok(text.to_owned()),
        _ => Err((
            "is not the kind of a device, `vendor/class`".to_owned(),
            Some("gpu_cdi_kind = \"nvidia.com/gpu\"".to_owned()),
        )),
    }
}

/// A directory of the host, normalised, that is none of those which no sandbox is given.
pub fn bind_root(text: &str) -> Result<PathBuf, Problem> {
    let example = || Some("bind_mounts = [\"/srv/data\"]".to_owned());
    let path = Path::new(text);
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(("is not an absolute path without `..`".to_owned(), example()));
    }
    let path: PathBuf = path.components().collect();
    match binds::never(&path) {
        Some(why) => Err((format!("is never mounted: {why}"), example())),
        None => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        assert_eq!(network("own"), Ok(Network::Own));
        assert_eq!(network("none"), Ok(Network::None));
        assert_eq!(network("lab_1.x"), Ok(Network::Named("lab_1.x".into())));
        for bad in ["host", "bridge", "default", "", "-a", "a b", "container:x"] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn capabilities() {
        assert_eq!(capability("CAP_NET_RAW"), Ok("NET_RAW".into()));
        assert_eq!(capability("SYS_PTRACE"), Ok("SYS_PTRACE".into()));
        let (_, hint) = capability("net_rw").expect_err("unknown");
        assert_eq!(hint.as_deref(), Some("cap_add = [\"NET_RAW\"]"));
        for bad in ["ALL", "CAP_ALL", "", "NOT_A_CAPABILITY", "all"] {
            assert!(capability(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn roots_of_binds() {
        assert_eq!(bind_root("/srv//data/./x/"), Ok("/srv/data/x".into()));
        for bad in [
            "",
            "srv",
            "/srv/../etc",
            "/",
            "//",
            "/proc",
            "/proc/1",
            "/sys",
            "/dev",
            "/dev/shm",
            "/run",
            "/var/run",
        ] {
            assert!(bind_root(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn kinds_of_devices() {
        assert_eq!(cdi_kind("nvidia.com/gpu"), Ok("nvidia.com/gpu".into()));
        for bad in ["gpu", "/gpu", "nvidia.com/", "a/b/c", "a b/c", "nvidia.com/gpu=all"] {
            assert!(cdi_kind(bad).is_err(), "{bad}");
        }
    }
}
