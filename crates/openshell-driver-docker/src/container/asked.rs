//! What a request may ask of this driver alone: the block `docker` of its `driver_config`, read strictly.
//!
//! A key that nobody knows is refused by name: a request that believes to have been given something is worse off than
//! one that was told no.

use openshell_driver_api::quantity::Quantity;
use serde_json::{Map, Value};

use super::faults::Faults;
use crate::config::{self, did_you_mean};

/// The keys of the block.
const KEYS: &[&str] =
    &["mounts", "pids_limit", "shm_size", "storage_size", "user", "network", "gpu_device_ids"];
/// The keys of one of its mounts.
const MOUNT_KEYS: &[&str] = &["type", "target", "source", "size", "mode", "read_only"];

/// The block, typed and not yet judged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Asked {
    pub(super) mounts: Vec<AskedMount>,
    pub(super) pids_limit: Option<i64>,
    /// In bytes.
    pub(super) shm_size: Option<i64>,
    /// In bytes.
    pub(super) storage_size: Option<i64>,
    pub(super) user: Option<String>,
    pub(super) network: Option<String>,
    pub(super) gpu_device_ids: Vec<String>,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AskedMount {
    /// Where it stands in the block, for whoever has to find it: `driver_config.mounts[0]`.
    pub(super) what: String,
    pub(super) kind: Kind,
    pub(super) target: String,
    /// A volume's name or a path of the host; empty for what lies in memory.
    pub(super) source: String,
    /// In bytes.
    pub(super) size: Option<i64>,
    /// Permissions of the directory.
    pub(super) mode: Option<u32>,
    /// `None` where the request leaves it open.
    pub(super) read_only: Option<bool>,
}

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file system in memory.
    Tmpfs,
    /// A volume that outlives the sandbox.
    Volume,
    /// A path of the host.
    Bind,
}

impl Asked {
    /// Reads the block and keeps every fault of its form.
    pub(super) fn read(block: &Map<String, Value>, faults: &mut Faults) -> Self {
        let mut fields = Fields { what: "driver_config".to_owned(), block, faults };
        fields.refuse_unknown(KEYS);
        let user = fields.text("user").filter(|user| {
            let good = config::is_user(user);
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
            mounts: fields.mounts(),
        }
    }

    /// Adds a `/tmp` in memory where the request has none: hardly a program does without.
    pub(super) fn want_tmp(&mut self) {
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

/// An object being read, and where it stands.
struct Fields<'a> {
    what: String,
    block: &'a Map<String, Value>,
    faults: &'a mut Faults,
}

impl Fields<'_> {
    fn fault(&mut self, key: &str, fault: impl std::fmt::Display) {
        self.faults.add(format!("{}.{key}: {fault}", self.what));
    }

    fn refuse_unknown(&mut self, known: &[&str]) {
        for key in self.block.keys().filter(|key| !known.contains(&key.as_str())) {
            let hint = did_you_mean(key, known);
            self.faults.add(format!("{}: unknown key `{}`; {hint}", self.what, key.escape_debug()));
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.block.get(key)? {
            Value::String(text) if text.contains('\0') => {
                self.fault(key, "it holds a NUL");
                None
            }
            Value::String(text) => Some(text.clone()),
            _ => {
                self.fault(key, "it is not a text");
                None
            }
        }
    }

    fn integer(&mut self, key: &str, least: i64, most: i64) -> Option<i64> {
        let value = self.block.get(key)?;
        let number = whole(value).filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.fault(key, format!("`{value}` is not a whole number from {least} on"));
        }
        number
    }

    /// A quantity as text, or a whole number of bytes; never nothing.
    fn bytes(&mut self, key: &str) -> Option<i64> {
        let size = match self.block.get(key)? {
            Value::String(text) => match text.parse::<Quantity>() {
                Ok(quantity) => Ok(i64::try_from(quantity.units()).unwrap_or(i64::MAX)),
                Err(error) => Err(error.to_string()),
            },
            number => whole(number).ok_or_else(|| format!("`{number}` is not a size")),
        };
        match size {
            Ok(size) if size > 0 => Some(size),
            Ok(_) => {
                self.fault(key, "a size of nothing");
                None
            }
            Err(fault) => {
                self.fault(key, fault);
                None
            }
        }
    }

    fn switch(&mut self, key: &str) -> Option<bool> {
        let value = self.block.get(key)?.as_bool();
        if value.is_none() {
            self.fault(key, "it is neither `true` nor `false`");
        }
        value
    }

    fn texts(&mut self, key: &str) -> Vec<String> {
        let Some(value) = self.block.get(key) else { return Vec::new() };
        let texts = value.as_array().and_then(|list| {
            let texts = list.iter().map(|item| item.as_str().map(str::to_owned));
            texts.collect::<Option<Vec<String>>>()
        });
        texts.unwrap_or_else(|| {
            self.fault(key, "it is not a list of texts");
            Vec::new()
        })
    }

    /// Octal permissions, with the sticky bit and without those that change who runs a program.
    fn mode(&mut self, key: &str) -> Option<u32> {
        let text = self.text(key)?;
        let octal = text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mode = octal.then(|| u32::from_str_radix(&text, 8).ok()).flatten();
        let mode = mode.filter(|mode| *mode <= 0o1777);
        if mode.is_none() {
            self.fault(key, format!("`{}` is not octal permissions up to `1777`", text.escape_debug()));
        }
        mode
    }

    fn mounts(&mut self) -> Vec<AskedMount> {
        let Some(value) = self.block.get("mounts") else { return Vec::new() };
        let Some(list) = value.as_array() else {
            self.fault("mounts", "it is not a list");
            return Vec::new();
        };
        let mut mounts = Vec::new();
        for (place, item) in list.iter().enumerate() {
            let what = format!("{}.mounts[{place}]", self.what);
            match item.as_object() {
                Some(block) => mounts.extend(Fields { what, block, faults: self.faults }.mount()),
                None => self.faults.add(format!("{what}: it is not an object")),
            }
        }
        mounts
    }

    fn mount(mut self) -> Option<AskedMount> {
        self.refuse_unknown(MOUNT_KEYS);
        let kind = match self.text("type").as_deref() {
            Some("tmpfs") => Kind::Tmpfs,
            Some("volume") => Kind::Volume,
            Some("bind") => Kind::Bind,
            Some(other) => {
                self.fault(
                    "type",
                    format!("`{}` is none of `tmpfs`, `volume`, `bind`", other.escape_debug()),
                );
                return None;
            }
            None => {
                self.fault("type", "say `tmpfs`, `volume` or `bind`");
                return None;
            }
        };
        // Each kind has its own keys; one that does not belong would be ignored.
        let foreign: &[&str] = match kind {
            Kind::Tmpfs => &["source", "read_only"],
            Kind::Volume | Kind::Bind => &["size", "mode"],
        };
        for key in foreign.iter().filter(|key| self.block.contains_key(**key)) {
            self.fault(key, "this type of mount has no such key");
        }
        let (size, mode, read_only) = (self.bytes("size"), self.mode("mode"), self.switch("read_only"));
        let source = self.text("source").unwrap_or_default();
        let Some(target) = self.text("target") else {
            self.fault("target", "say where it shall be");
            return None;
        };
        Some(AskedMount { kind, target, source, size, mode, read_only, what: self.what })
    }
}

/// A number without a fraction: numbers come over the wire as floating point.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        // Beyond 2^53 whole numbers are no longer told apart.
        #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
        (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
    })
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
