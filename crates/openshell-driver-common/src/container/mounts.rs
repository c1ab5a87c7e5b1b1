//! What a request may have mounted besides its workspace, and where: a file system in memory always, a volume or a
//! path of the host where the operator allows it.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use super::asked::{AskedMount, Kind};
use super::binds::{self, Protected};
use super::files::WORKSPACE;
use super::names::Scope;
use super::posture::TMPFS_MAX;
use super::values;
use crate::config::Reader;
use crate::faults::Faults;

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

/// What a request may have mounted besides its workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountRules {
    /// How many bytes all file systems in memory of one sandbox may hold together.
    pub tmpfs_max: i64,
    /// Whether volumes that outlive a sandbox may be named.
    pub volumes: bool,
    /// The host's directories that a request may ask for, itself or below.
    pub binds: Vec<PathBuf>,
    /// Whether they may be mounted for writing.
    pub binds_writable: bool,
}

impl Default for MountRules {
    fn default() -> Self {
        Self { tmpfs_max: TMPFS_MAX, volumes: false, binds: Vec::new(), binds_writable: false }
    }
}

/// The keys that [`MountRules::read`] reads.
pub const RULE_KEYS: [&str; 4] = ["tmpfs_max", "allow_volumes", "bind_mounts", "bind_mounts_writable"];

impl MountRules {
    /// Reads them out of a driver's table.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let rules = Self {
            tmpfs_max: reader.bytes("tmpfs_max").unwrap_or(TMPFS_MAX),
            volumes: reader.switch("allow_volumes"),
            binds: reader.texts("bind_mounts", values::bind_root),
            binds_writable: reader.switch("bind_mounts_writable"),
        };
        if let Some((inner, outer)) = rules.nested().filter(|_| rules.binds_writable) {
            let (inner, outer) = (inner.display(), outer.display());
            reader.fault(
                "bind_mounts",
                format!("`{inner}` lies in `{outer}`, where sandboxes may write: one could put a link in its place"),
                Some("list one of the two, or leave bind_mounts_writable out".to_owned()),
            );
        }
        rules
    }

    /// A directory of the host that lies in another one, with that one.
    fn nested(&self) -> Option<(&PathBuf, &PathBuf)> {
        let mut pairs =
            self.binds.iter().flat_map(|inner| self.binds.iter().map(move |outer| (inner, outer)));
        pairs.find(|(inner, outer)| inner != outer && inner.starts_with(outer))
    }
}

/// What will be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mounts {
    /// In the order of the request.
    pub mounts: Vec<Mounted>,
    /// The volumes among them, which have to be there before the container.
    pub volumes: Vec<NamedVolume>,
}

/// One mount that was found good, in no engine's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Where it is inside: absolute, plain.
    pub target: String,
    /// What it is.
    pub what: What,
}

/// What is mounted, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A file system in memory.
    Tmpfs {
        /// Bytes.
        size: i64,
        /// Permissions of its root; `None` leaves them to the engine.
        mode: Option<u32>,
    },
    /// A volume that outlives the sandbox.
    Volume {
        /// The engine's name for it.
        name: String,
        /// Its labels, for an engine that makes it by the way.
        labels: HashMap<String, String>,
        /// Whether nothing may be written.
        read_only: bool,
    },
    /// A path of the host, free of links. What is mounted below it was not looked at and is not to be mounted along.
    Bind {
        /// The path.
        source: String,
        /// Whether nothing may be written.
        read_only: bool,
    },
}

/// A volume that outlives its sandboxes: the operator's allowance, the requests' to share within a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedVolume {
    /// The engine's name for it.
    pub name: String,
    /// Where it is mounted.
    pub target: String,
    /// Its labels, by which it is known again.
    pub labels: HashMap<String, String>,
}

/// What mounts are judged by.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// What the operator allows.
    pub rules: &'a MountRules,
    /// `None` where the engine may be on another host.
    pub protected: Option<&'a Protected>,
    /// The gateway.
    pub scope: &'a Scope,
    /// The workspace that named volumes belong to.
    pub workspace: &'a str,
    /// Whose table holds the rules.
    pub driver: &'a str,
}

/// Judges every mount and keeps what is wrong with them.
pub fn read(asked: &[AskedMount], shm_size: Option<i64>, judge: Judge<'_>, faults: &mut Faults) -> Mounts {
    let Judge { rules, protected, .. } = judge;
    let mut made = Mounts::default();
    if asked.len() > MOST {
        faults.add(format!("driver_config.mounts: more than {MOST}"));
        return made;
    }
    let (mut targets, mut in_memory) = (BTreeSet::new(), shm_size.unwrap_or(0));
    for mount in asked {
        let place = mount.what.as_str();
        let Some(target) = faults.about(&format!("{place}.target"), target(&mount.target)) else { continue };
        if !targets.insert(target.clone()) {
            faults.add(format!("{place}.target: `{target}` is another mount's already"));
        }
        let what = match mount.kind {
            Kind::Tmpfs => {
                let size = mount.size.unwrap_or(TMPFS_SIZE.min(rules.tmpfs_max));
                in_memory = in_memory.saturating_add(size);
                What::Tmpfs { size, mode: mount.mode }
            }
            Kind::Volume => {
                let volume = volume(mount, &target, judge);
                let Some(volume) = faults.about(&format!("{place}.source"), volume) else { continue };
                made.volumes.push(volume.clone());
                let NamedVolume { name, labels, .. } = volume;
                What::Volume { name, labels, read_only: mount.read_only.unwrap_or(false) }
            }
            Kind::Bind => {
                let path = match protected {
                    Some(protected) => binds::resolve(&mount.source, rules, protected, judge.driver),
                    None => {
                        Err("the engine may be on another host, whose paths nobody here can check".to_owned())
                    }
                };
                let path = path.and_then(|path| {
                    let text = path.into_os_string().into_string();
                    text.map_err(|_| "the path is not UTF-8".to_owned())
                });
                let Some(source) = faults.about(&format!("{place}.source"), path) else { continue };
                if mount.read_only == Some(false) && !rules.binds_writable {
                    faults.add(format!("{place}.read_only: `bind_mounts_writable` is not set"));
                }
                // Writing is always asked for, also where it is allowed.
                What::Bind { source, read_only: mount.read_only.unwrap_or(true) }
            }
        };
        made.mounts.push(Mounted { target, what });
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
    let plain = path.components().collect::<PathBuf>();
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
        let driver = judge.driver;
        return Err(format!(
            "no volume is mounted: `allow_volumes` in `[openshell.drivers.{driver}]` is not set"
        ));
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
    use openshell_driver_api::Table;

    use super::*;

    #[test]
    fn a_directory_in_another_that_sandboxes_write_in() {
        let read = |text: &str| {
            let table: Table = text.parse().expect("TOML");
            let mut reader = Reader::new(&table);
            let rules = MountRules::read(&mut reader);
            let faults = reader.faults(&RULE_KEYS);
            if faults.is_empty() { Ok(rules) } else { Err(faults) }
        };
        assert_eq!(read(""), Ok(MountRules::default()));
        let roots = "bind_mounts = ['/srv/data', '/srv/database', '/srv']";
        assert!(read(roots).is_ok());
        let faults = read(&format!("{roots}\nbind_mounts_writable = true")).expect_err("a fault");
        assert_eq!((faults.len(), faults[0].key.as_str()), (1, "bind_mounts"));
        assert!(faults[0].message.starts_with("`/srv/data` lies in `/srv`"), "{faults:?}");
        assert!(read("bind_mounts = ['/srv/data', '/srv/database']\nbind_mounts_writable = true").is_ok());
    }

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
