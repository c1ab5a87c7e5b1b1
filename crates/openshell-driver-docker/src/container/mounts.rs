//! What a request may have mounted besides its workspace, and where: a file system in memory always, a volume or a
//! path of the host where the operator allows it.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path};

use bollard::models::{Mount, MountBindOptions, MountTmpfsOptions, MountType, MountVolumeOptions};

use super::WORKSPACE;
use super::asked::{AskedMount, Kind};
use super::binds::{self, Protected};
use super::faults::Faults;
use crate::config::MountRules;
use crate::names::Scope;

/// How large a file system in memory is when nobody says.
const TMPFS_SIZE: i64 = 64 << 20;
/// How many mounts one request may ask for.
const MOST: usize = 32;
/// How long a volume's name may be.
const LONGEST_NAME: usize = 63;

/// Targets that are the kernel's, the engine's or this driver's, with all that is below.
const TAKEN: [&str; 5] = ["/proc", "/sys", "/dev", "/run/openshell", "/var/run/openshell"];
/// Targets that would hide one of those, or the workspace.
const HIDING: [&str; 4] = ["/", "/run", "/var/run", WORKSPACE];

/// What will be mounted.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Mounts {
    pub(super) mounts: Vec<Mount>,
    pub(super) volumes: Vec<NamedVolume>,
}

/// A volume that outlives its sandboxes: the operator's allowance, the requests' to share within a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedVolume {
    /// The engine's name for it.
    pub(crate) name: String,
    /// Where it is mounted.
    pub(crate) target: String,
    /// Its labels, by which it is known again.
    pub(crate) labels: HashMap<String, String>,
}

/// What mounts are judged by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) rules: &'a MountRules,
    /// `None` where the engine may be on another host.
    pub(super) protected: Option<&'a Protected>,
    pub(super) scope: &'a Scope,
    /// The workspace that named volumes belong to.
    pub(super) workspace: &'a str,
}

/// Judges every mount and keeps what is wrong with them.
pub(super) fn read(
    asked: &[AskedMount],
    shm_size: Option<i64>,
    judge: Judge<'_>,
    faults: &mut Faults,
) -> Mounts {
    let Judge { rules, protected, .. } = judge;
    let mut made = Mounts::default();
    if asked.len() > MOST {
        faults.add(format!("driver_config.mounts: more than {MOST}"));
        return made;
    }
    let (mut targets, mut in_memory) = (BTreeSet::new(), shm_size.unwrap_or(0));
    for mount in asked {
        let what = mount.what.as_str();
        let Some(target) = faults.about(&format!("{what}.target"), target(&mount.target)) else { continue };
        if !targets.insert(target.clone()) {
            faults.add(format!("{what}.target: `{target}` is another mount's already"));
        }
        let mut base = Mount { target: Some(target.clone()), ..Mount::default() };
        match mount.kind {
            Kind::Tmpfs => {
                let size = mount.size.unwrap_or(TMPFS_SIZE.min(rules.tmpfs_max));
                in_memory = in_memory.saturating_add(size);
                base.typ = Some(MountType::TMPFS);
                // The engine adds `nosuid`, `nodev` and `noexec` by itself, in every version.
                base.tmpfs_options = Some(MountTmpfsOptions {
                    size_bytes: Some(size),
                    mode: mount.mode.map(i64::from),
                    options: None,
                });
            }
            Kind::Volume => {
                let volume = volume(mount, &target, judge);
                let Some(volume) = faults.about(&format!("{what}.source"), volume) else { continue };
                base.typ = Some(MountType::VOLUME);
                base.source = Some(volume.name.clone());
                base.read_only = Some(mount.read_only.unwrap_or(false));
                // Where it goes away between its making and the container's, the engine makes it anew.
                base.volume_options = Some(MountVolumeOptions {
                    labels: Some(volume.labels.clone()),
                    ..MountVolumeOptions::default()
                });
                made.volumes.push(volume);
            }
            Kind::Bind => {
                let path = match protected {
                    Some(protected) => binds::resolve(&mount.source, rules, protected),
                    None => {
                        Err("the engine may be on another host, whose paths nobody here can check".to_owned())
                    }
                };
                let path = path.and_then(|path| {
                    let text = path.into_os_string().into_string();
                    text.map_err(|_| "the path is not UTF-8".to_owned())
                });
                let Some(path) = faults.about(&format!("{what}.source"), path) else { continue };
                if mount.read_only == Some(false) && !rules.binds_writable {
                    faults.add(format!("{what}.read_only: `bind_mounts_writable` is not set"));
                }
                base.typ = Some(MountType::BIND);
                base.source = Some(path);
                // Writing is always asked for, also where it is allowed.
                base.read_only = Some(mount.read_only.unwrap_or(true));
                // What is mounted below on the host was not looked at, and would stay writable.
                base.bind_options =
                    Some(MountBindOptions { non_recursive: Some(true), ..MountBindOptions::default() });
            }
        }
        made.mounts.push(base);
    }
    let asks_memory = shm_size.is_some() || asked.iter().any(|mount| mount.kind == Kind::Tmpfs);
    if asks_memory && in_memory > rules.tmpfs_max {
        faults.add(format!(
            "driver_config: file systems in memory of {in_memory} bytes, of which `tmpfs_max` allows {}{}",
            rules.tmpfs_max,
            if shm_size.is_none() { "" } else { " (`shm_size` counts)" },
        ));
    }
    made
}

/// A target in its plain form.
fn target(text: &str) -> Result<String, String> {
    let path = Path::new(text);
    let shown = text.escape_debug();
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("`{shown}` is not an absolute path without `..`"));
    }
    if text.chars().any(char::is_control) || text.len() > 1024 {
        return Err(format!("`{shown}` is no path that a mount is found at"));
    }
    let plain = path.components().collect::<std::path::PathBuf>();
    if HIDING.iter().any(|hiding| plain == Path::new(hiding)) {
        return Err(format!("`{shown}` would hide what the engine or the driver puts there"));
    }
    if plain.starts_with("/dev/shm") {
        return Err(format!("`{shown}` is there already; its size is `shm_size`"));
    }
    if TAKEN.iter().any(|taken| plain.starts_with(taken)) {
        return Err(format!("`{shown}` belongs to the kernel or to the driver"));
    }
    plain.into_os_string().into_string().map_err(|_| "it is not UTF-8".to_owned())
}

fn volume(mount: &AskedMount, target: &str, judge: Judge<'_>) -> Result<NamedVolume, String> {
    let Judge { scope, workspace, .. } = judge;
    if !judge.rules.volumes {
        return Err(
            "no volume is mounted: `allow_volumes` in `[openshell.drivers.docker]` is not set".to_owned()
        );
    }
    let name = mount.source.as_str();
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let whole = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(good);
    if !whole || name.len() > LONGEST_NAME {
        return Err(format!("`{}` is not the name of a volume", name.escape_debug()));
    }
    let volume = NamedVolume {
        name: scope.named_volume(workspace, name),
        target: target.to_owned(),
        labels: scope.volume_labels(workspace, name),
    };
    if Scope::is_too_long(&volume.name) {
        return Err(format!("`{name}` is too long a name in workspace `{}`", workspace));
    }
    Ok(volume)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (text, plain) in
            [("/tmp", "/tmp"), ("//data//x/./y/", "/data/x/y"), ("/sandbox/cache", "/sandbox/cache")]
        {
            assert_eq!(target(text).as_deref(), Ok(plain));
        }
        for text in [
            "",
            "tmp",
            "/",
            "//",
            "/.",
            "/a/../b",
            "/proc",
            "/proc/self",
            "/sys/fs/cgroup",
            "/dev",
            "/dev/shm",
            "/dev/null",
            "/run",
            "/run/",
            "/run/openshell",
            "/run//openshell/token",
            "/var/run",
            "/var/run/openshell",
            "/sandbox",
            "/sandbox/",
            "/a\nb",
        ] {
            assert!(target(text).is_err(), "{text:?}");
        }
    }
}
