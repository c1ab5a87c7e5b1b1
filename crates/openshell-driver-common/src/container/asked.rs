//! What a request may ask of a container driver alone: its block of `driver_config`, typed and not yet judged.

use serde_json::{Map, Value};

use super::values::is_user;
use crate::faults::Faults;
use crate::fields::Fields;

/// The keys of the block.
const KEYS: &[&str] =
    &["mounts", "pids_limit", "shm_size", "storage_size", "user", "network", "gpu_device_ids"];
/// The keys of one of its mounts.
const MOUNT_KEYS: &[&str] = &["type", "target", "source", "size", "mode", "read_only"];

/// The block, typed and not yet judged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// In the order of the list.
    pub mounts: Vec<AskedMount>,
    /// How many processes and threads there may be.
    pub pids_limit: Option<i64>,
    /// In bytes.
    pub shm_size: Option<i64>,
    /// In bytes.
    pub storage_size: Option<i64>,
    /// `user` or `user:group`.
    pub user: Option<String>,
    /// A network by its name, `own` or `none`.
    pub network: Option<String>,
    /// Which of the devices of a kind.
    pub gpu_device_ids: Vec<String>,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedMount {
    /// Where it stands in the block, for whoever has to find it: `driver_config.mounts[0]`.
    pub what: String,
    /// What it is.
    pub kind: Kind,
    /// Where it shall be, as written.
    pub target: String,
    /// A volume's name or a path of the host; empty for what lies in memory.
    pub source: String,
    /// In bytes.
    pub size: Option<i64>,
    /// Permissions of the directory.
    pub mode: Option<u32>,
    /// `None` where the request leaves it open.
    pub read_only: Option<bool>,
}

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file system in memory.
    Tmpfs,
    /// A volume that outlives the sandbox.
    Volume,
    /// A path of the host.
    Bind,
}

impl Asked {
    /// Reads the block and keeps every fault of its form.
    pub fn read(block: &Map<String, Value>, faults: &mut Faults) -> Self {
        let mut fields = Fields::new("driver_config", block, faults);
        fields.refuse_unknown(KEYS);
        let user = fields.text("user").filter(|user| {
            let good = is_user(user);
            if !good {
                fields.fault("user", format!("`{user}` is not `user` or `user:group`"));
            }
            good
        });
        Self {
            pids_limit: fields.integer("pids_limit", 1, i64::MAX),
            shm_size: fields.bytes("shm_size"),
            storage_size: fields.bytes("storage_size"),
            user,
            network: fields.text("network"),
            gpu_device_ids: fields.texts("gpu_device_ids"),
            mounts: fields.objects("mounts", mount),
        }
    }

    /// Adds a `/tmp` in memory where the request has none: hardly a program does without.
    pub fn want_tmp(&mut self) {
        let is_tmp = |mount: &AskedMount| mount.target.trim_end_matches('/') == "/tmp";
        if !self.mounts.iter().any(is_tmp) {
            self.mounts.push(AskedMount {
                what: "read_only_root".to_owned(),
                kind: Kind::Tmpfs,
                target: "/tmp".to_owned(),
                source: String::new(),
                size: None,
                mode: Some(0o1777),
                read_only: None,
            });
        }
    }
}

/// One mount of the list.
fn mount(mut fields: Fields<'_>) -> Option<AskedMount> {
    fields.refuse_unknown(MOUNT_KEYS);
    let kind = match fields.text("type").as_deref() {
        Some("tmpfs") => Kind::Tmpfs,
        Some("volume") => Kind::Volume,
        Some("bind") => Kind::Bind,
        Some(other) => {
            fields.fault("type", format!("`{}` is none of `tmpfs`, `volume`, `bind`", other.escape_debug()));
            return None;
        }
        None => {
            fields.fault("type", "say `tmpfs`, `volume` or `bind`");
            return None;
        }
    };
    // Each kind has its own keys; one that does not belong would be ignored.
    let foreign: &[&str] = match kind {
        Kind::Tmpfs => &["source", "read_only"],
        Kind::Volume | Kind::Bind => &["size", "mode"],
    };
    for key in foreign {
        if fields.has(key) {
            fields.fault(key, "this type of mount has no such key");
        }
    }
    let (size, mode, read_only) = (fields.bytes("size"), fields.mode("mode"), fields.switch("read_only"));
    let source = fields.text("source").unwrap_or_default();
    let Some(target) = fields.text("target") else {
        fields.fault("target", "say where it shall be");
        return None;
    };
    Some(AskedMount { kind, target, source, size, mode, read_only, what: fields.what().to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(block: Value) -> Result<Asked, String> {
        let mut faults = Faults::default();
        let asked = Asked::read(block.as_object().expect("an object"), &mut faults);
        faults.into_result().map(|()| asked).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn every_key() {
        let asked = read(json!({
            "mounts": [
                {"type": "tmpfs", "target": "/tmp", "size": "64Mi", "mode": "1777"},
                {"type": "volume", "target": "/data", "source": "data", "read_only": true},
            ],
            "pids_limit": 64.0,
            "shm_size": "1Mi",
            "storage_size": 1024,
            "user": "1000:1000",
            "network": "none",
            "gpu_device_ids": ["0", "1"],
        }))
        .expect("good");
        assert_eq!(
            (asked.pids_limit, asked.shm_size, asked.storage_size),
            (Some(64), Some(1 << 20), Some(1024))
        );
        assert_eq!((asked.user.as_deref(), asked.network.as_deref()), (Some("1000:1000"), Some("none")));
        assert_eq!(asked.gpu_device_ids, ["0", "1"]);
        let [tmpfs, volume] = &asked.mounts[..] else { panic!("two mounts") };
        assert_eq!((tmpfs.kind, tmpfs.size, tmpfs.mode), (Kind::Tmpfs, Some(64 << 20), Some(0o1777)));
        assert_eq!(
            (volume.kind, volume.source.as_str(), volume.read_only),
            (Kind::Volume, "data", Some(true))
        );
        assert_eq!(volume.what, "driver_config.mounts[1]");
        assert_eq!(read(json!({})), Ok(Asked::default()));
    }

    #[test]
    fn what_is_refused_and_how_it_is_said() {
        for (block, said) in [
            (json!({"mount": []}), "driver_config: unknown key `mount`; did you mean `mounts`?"),
            (json!({"privileged": true}), "driver_config: unknown key `privileged`; the keys are `mounts`, "),
            (json!({"mounts": {}}), "driver_config.mounts: it is not a list"),
            (json!({"mounts": [1]}), "driver_config.mounts[0]: it is not an object"),
            (json!({"mounts": [{"target": "/a"}]}), "driver_config.mounts[0].type: say `tmpfs`"),
            (json!({"mounts": [{"type": "npipe", "target": "/a"}]}), "`npipe` is none of"),
            (json!({"mounts": [{"type": "tmpfs"}]}), "driver_config.mounts[0].target: say where"),
            (
                json!({"mounts": [{"type": "tmpfs", "target": "/a", "driver_opts": {}}]}),
                "unknown key `driver_opts`",
            ),
            (json!({"mounts": [{"type": "tmpfs", "target": "/a", "source": "/"}]}), "no such key"),
            (json!({"mounts": [{"type": "volume", "target": "/a", "size": 1}]}), "no such key"),
            (json!({"mounts": [{"type": "tmpfs", "target": "/a", "mode": "4755"}]}), "octal permissions"),
            (json!({"mounts": [{"type": "tmpfs", "target": "/a", "mode": "+755"}]}), "octal permissions"),
            (json!({"mounts": [{"type": "tmpfs", "target": "/a", "mode": 511}]}), "not a text"),
            (json!({"mounts": [{"type": "tmpfs", "target": "/a\0b"}]}), "NUL"),
            (json!({"pids_limit": 0}), "driver_config.pids_limit: `0` is not a whole number"),
            (json!({"pids_limit": -1}), "`-1`"),
            (json!({"pids_limit": 1.5}), "`1.5`"),
            (json!({"pids_limit": "64"}), "pids_limit"),
            (json!({"shm_size": "lots"}), "`lots` is not a quantity"),
            (json!({"shm_size": 0}), "a size of nothing"),
            (json!({"user": "a b"}), "`a b` is not `user`"),
            (json!({"gpu_device_ids": [0]}), "not a list of texts"),
        ] {
            let fault = read(block.clone()).expect_err("a fault");
            assert!(fault.contains(said), "{block}: {fault}");
        }
    }
}
