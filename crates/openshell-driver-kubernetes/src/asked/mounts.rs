//! What a request may have mounted besides its workspace: a file system in memory always, a claim where the operator
//! lists it. Nothing of a node is ever mounted.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use openshell_driver_common::container::files::WORKSPACE;
use openshell_driver_common::fields::Fields;

use super::TABLE;
use crate::config::Config;

/// The keys of a mount.
const KEYS: &[&str] = &["type", "target", "source", "size", "read_only"];
/// How many mounts one request may ask for.
const MOST: usize = 32;
/// How large a file system in memory is when nobody says.
const SIZE: i64 = 64 << 20;
/// Targets that are the kernel's, the cluster's or this driver's, with all that is below.
const TAKEN: [&str; 6] =
    ["/proc", "/sys", "/dev", "/run/openshell", "/var/run/openshell", "/var/run/secrets/kubernetes.io"];
/// Targets that would hide one of those, or the workspace.
const HIDING: [&str; 5] = ["/", "/run", "/var/run", "/var/run/secrets", WORKSPACE];

/// One mount that has been found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Where it is mounted.
    pub(crate) target: String,
    pub(crate) kind: Kind,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file system in memory.
    Tmpfs {
        /// In bytes.
        size: i64,
    },
    /// A claim that outlives the sandbox.
    Claim {
        /// Its name.
        name: String,
        read_only: bool,
    },
}

/// Reads and judges every mount.
pub(super) fn read(fields: &mut Fields<'_>, config: &Config) -> Vec<Mount> {
    let mut targets = BTreeSet::new();
    let mounts = fields.objects("mounts", |mut item| {
        let mount = one(&mut item, config)?;
        if !targets.insert(mount.target.clone()) {
            item.fault("target", format!("`{}` is another mount's already", mount.target));
        }
        Some(mount)
    });
    if mounts.len() > MOST {
        fields.fault("mounts", format!("more than {MOST}"));
    }
    let size = |mount: &Mount| match mount.kind {
        Kind::Tmpfs { size } => size,
        Kind::Claim { .. } => 0,
    };
    let in_memory = mounts.iter().map(size).fold(0_i64, i64::saturating_add);
    if in_memory > config.tmpfs_max {
        let most = config.tmpfs_max;
        fields.fault(
            "mounts",
            format!("file systems in memory of {in_memory} bytes, of which `tmpfs_max` allows {most}"),
        );
    }
    mounts
}

fn one(item: &mut Fields<'_>, config: &Config) -> Option<Mount> {
    item.refuse_unknown(KEYS);
    let kind = item.text("type");
    // Each kind has its own keys; one that does not belong would be ignored.
    let foreign: &[&str] = match kind.as_deref() {
        Some("tmpfs") => &["source", "read_only"],
        Some("claim") => &["size"],
        Some("bind" | "hostPath" | "host_path") => {
            item.fault("type", "the kubernetes driver mounts nothing of a node");
            return None;
        }
        Some(other) => {
            item.fault("type", format!("`{}` is neither `tmpfs` nor `claim`", other.escape_debug()));
            return None;
        }
        None => {
            item.fault("type", "say `tmpfs` or `claim`");
            return None;
        }
    };
    for key in foreign.iter().filter(|key| item.has(key)).collect::<Vec<_>>() {
        item.fault(key, "this type of mount has no such key");
    }
    let target = item.text("target").unwrap_or_default();
    let target = match plain(&target) {
        Ok(target) => target,
        Err(problem) => {
            item.fault("target", problem);
            return None;
        }
    };
    if kind.as_deref() == Some("tmpfs") {
        let size = item.bytes("size").unwrap_or(SIZE.min(config.tmpfs_max));
        return Some(Mount { target, kind: Kind::Tmpfs { size } });
    }
    let (name, read_only) = (item.text("source").unwrap_or_default(), item.switch("read_only"));
    if !config.claims.contains(&name) {
        item.fault("source", format!("`{}` is not in `claims` of {TABLE}", name.escape_debug()));
        return None;
    }
    // Writing is always asked for.
    Some(Mount { target, kind: Kind::Claim { name, read_only: read_only.unwrap_or(true) } })
}

/// A target in its plain form.
fn plain(text: &str) -> Result<String, String> {
    let (path, shown) = (Path::new(text), text.escape_debug());
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("`{shown}` is not an absolute path without `..`"));
    }
    // The cluster refuses a colon, which some engines take for a separator.
    if text.contains(|c: char| c.is_control() || c == ':') || text.len() > 1024 {
        return Err(format!("`{shown}` is no path that a mount is found at"));
    }
    let plain = path.components().collect::<PathBuf>();
    if HIDING.iter().any(|hiding| plain == Path::new(hiding)) {
        return Err(format!("`{shown}` would hide what the cluster or the driver puts there"));
    }
    // Memory for `/dev/shm` is the one thing below `/dev` that may be asked for.
    if plain != Path::new("/dev/shm") && TAKEN.iter().any(|taken| plain.starts_with(taken)) {
        return Err(format!("`{shown}` belongs to the kernel, the cluster or the driver"));
    }
    plain.into_os_string().into_string().map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (text, expected) in [
            ("/tmp", "/tmp"),
            ("//data//x/./y/", "/data/x/y"),
            ("/sandbox/cache", "/sandbox/cache"),
            ("/dev/shm", "/dev/shm"),
        ] {
            assert_eq!(plain(text).as_deref(), Ok(expected));
        }
        for text in [
            "",
            "tmp",
            "/",
            "/.",
            "/a/../b",
            "/proc",
            "/proc/self",
            "/sys/fs/cgroup",
            "/dev",
            "/dev/null",
            "/dev/shm/x",
            "/run",
            "/run//openshell/token",
            "/var/run",
            "/sandbox",
            "/sandbox/",
            "/a\nb",
            "/a:b",
            "/var/run/secrets/kubernetes.io/serviceaccount",
        ] {
            assert!(plain(text).is_err(), "{text:?}");
        }
    }
}
