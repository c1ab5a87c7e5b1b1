//! The documents of an image: indexes, manifests, configurations, and which of several is this machine's.
//!
//! Source: "OCI Image Format Specification" 1.1, and the Docker image specifications v1.2 and v2.2, which differ in names only.

use std::collections::BTreeMap;

use openshell_driver_common::container::image::is_id;
use serde::{Deserialize, Serialize};

use super::trouble::Trouble;

/// A document larger than this is none.
pub(super) const MAX_DOCUMENT: u64 = 4 * 1024 * 1024;

/// How many layers an image has at most: several times what any engine takes.
const MAX_LAYERS: usize = 512;

/// What an image says of how it is run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Runs {
    /// What stands before the command.
    pub(crate) entrypoint: Vec<String>,
    /// The command, or the entrypoint's arguments.
    pub(crate) cmd: Vec<String>,
    /// `NAME=value`.
    pub(crate) env: Vec<String>,
    /// `user`, `user:group`, in names or numbers; empty for root.
    pub(crate) user: String,
    /// Where it begins; empty for `/`.
    pub(crate) working_dir: String,
}

/// What a document points to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Descriptor {
    #[serde(default, rename = "mediaType")]
    pub(super) media_type: String,
    pub(super) digest: String,
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    variant: String,
}

/// A manifest, or a list of some.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Document {
    /// One image.
    Manifest {
        /// How it is run.
        config: Descriptor,
        /// What it is made of, the lowest first.
        layers: Vec<Descriptor>,
    },
    /// Several.
    Index(Vec<Descriptor>),
}

impl Document {
    /// Reads a manifest or an index. Which of the two it is, its own fields say: media types are left out by some.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Trouble> {
        #[derive(Deserialize)]
        struct Both {
            config: Option<Descriptor>,
            #[serde(default)]
            layers: Option<Vec<Descriptor>>,
            #[serde(default)]
            manifests: Option<Vec<Descriptor>>,
        }
        let both: Both = serde_json::from_slice(bytes)
            .map_err(|error| Trouble::Image(format!("its manifest makes no sense: {error}")))?;
        let (document, descriptors) = match both {
            Both { config: Some(config), layers, manifests: None } => {
                let layers = layers.unwrap_or_default();
                if layers.len() > MAX_LAYERS {
                    return Err(Trouble::Image(format!("it has {} layers", layers.len())));
                }
                (
                    Self::Manifest { config: config.clone(), layers: layers.clone() },
                    [vec![config], layers].concat(),
                )
            }
            Both { config: None, layers: None, manifests: Some(manifests) } => {
                (Self::Index(manifests.clone()), manifests)
            }
            _ => return Err(Trouble::Image("its manifest is neither one nor a list of some".into())),
        };
        for Descriptor { digest, .. } in &descriptors {
            if !is_digest(digest) {
                let digest = digest.escape_debug();
                return Err(Trouble::Image(format!("its manifest names `{digest}`, which is no SHA-256")));
            }
        }
        Ok(document)
    }
}

impl Descriptor {
    /// The reference that an OCI layout gives it.
    pub(super) fn name(&self) -> Option<&str> {
        self.annotations.get("org.opencontainers.image.ref.name").map(String::as_str)
    }

    /// Whether it may be an image: an index holds signatures and attestations, too.
    fn may_run(&self) -> bool {
        let attestation = self.annotations.contains_key("vnd.docker.reference.type");
        let known = self.media_type.is_empty()
            || self.media_type.ends_with("manifest.v1+json")
            || self.media_type.ends_with("manifest.v2+json")
            || self.media_type.ends_with("index.v1+json")
            || self.media_type.ends_with("manifest.list.v2+json");
        known && !attestation
    }
}

/// Whether a text is a SHA-256 in lower case: it becomes part of paths.
pub(super) fn is_digest(text: &str) -> bool {
    is_id(text) && text.len() == "sha256:".len() + 64 && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// This machine's architecture, as images call it.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// The image of a list that is for this machine.
///
/// # Errors
/// When there is none; the message says for which there are.
pub(super) fn choose(list: &[Descriptor]) -> Result<&Descriptor, Trouble> {
    let images = || list.iter().filter(|descriptor| descriptor.may_run());
    let fits = |descriptor: &&Descriptor| {
        descriptor.platform.as_ref().is_some_and(|platform| {
            platform.os == "linux"
                && platform.architecture == architecture()
                && matches!(platform.variant.as_str(), "" | "v8")
        })
    };
    if let Some(found) = images().find(fits) {
        return Ok(found);
    }
    // Layouts made on a machine for itself leave the platform out; its configuration is looked at later.
    let mut unsaid = images().filter(|descriptor| descriptor.platform.is_none());
    if let (Some(only), None) = (unsaid.next(), unsaid.next()) {
        return Ok(only);
    }
    let said: Vec<String> =
        images().filter_map(|descriptor| descriptor.platform.as_ref()).map(shown).collect();
    let architecture = architecture();
    Err(Trouble::Image(if said.is_empty() {
        "it is several images, and none says which machine it is for".into()
    } else {
        format!("it is not for linux/{architecture}; it is for {}", said.join(", "))
    }))
}

fn shown(platform: &Platform) -> String {
    let Platform { os, architecture, variant } = platform;
    let variant = if variant.is_empty() { String::new() } else { format!("/{variant}") };
    format!("{os}/{architecture}{variant}").escape_debug().to_string()
}

/// An image's configuration.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Configuration {
    pub(super) runs: Runs,
    /// The digests of its layers, unzipped, the lowest first.
    pub(super) diff_ids: Vec<String>,
}

impl Configuration {
    /// Reads a configuration and looks whether it is for this machine.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Trouble> {
        #[derive(Deserialize)]
        struct Whole {
            #[serde(default)]
            architecture: String,
            #[serde(default)]
            os: String,
            #[serde(default)]
            config: Option<Inner>,
            #[serde(default)]
            rootfs: Option<Rootfs>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        struct Inner {
            entrypoint: Option<Vec<String>>,
            cmd: Option<Vec<String>>,
            env: Option<Vec<String>>,
            user: Option<String>,
            working_dir: Option<String>,
        }
        #[derive(Deserialize)]
        struct Rootfs {
            #[serde(default)]
            diff_ids: Option<Vec<String>>,
        }
        let whole: Whole = serde_json::from_slice(bytes)
            .map_err(|error| Trouble::Image(format!("its configuration makes no sense: {error}")))?;
        let platform = Platform { os: whole.os, architecture: whole.architecture, variant: String::new() };
        let here = architecture();
        let fits = |said: &str, here: &str| said.is_empty() || said == here;
        if !fits(&platform.os, "linux") || !fits(&platform.architecture, here) {
            return Err(Trouble::Image(format!("it is for {}, not for linux/{here}", shown(&platform))));
        }
        let inner = whole.config.unwrap_or_default();
        let runs = Runs {
            entrypoint: inner.entrypoint.unwrap_or_default(),
            cmd: inner.cmd.unwrap_or_default(),
            env: inner.env.unwrap_or_default(),
            user: inner.user.unwrap_or_default(),
            working_dir: inner.working_dir.unwrap_or_default(),
        };
        let diff_ids = whole.rootfs.and_then(|rootfs| rootfs.diff_ids).unwrap_or_default();
        Ok(Self { runs, diff_ids })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    fn index(entries: &[(char, &str)]) -> Vec<Descriptor> {
        let entries: Vec<String> = entries
            .iter()
            .map(|(digit, more)| format!(r#"{{"digest": "{}", "size": 3 {more}}}"#, digest(*digit)))
            .collect();
        let text = format!(r#"{{"manifests": [{}]}}"#, entries.join(","));
        match Document::read(text.as_bytes()).expect("an index") {
            Document::Index(list) => list,
            Document::Manifest { .. } => panic!("a manifest"),
        }
    }

    #[test]
    fn of_several_this_machines_is_chosen() {
        let here = format!(r#", "platform": {{"os": "linux", "architecture": "{}"}}"#, architecture());
        let other = r#", "platform": {"os": "linux", "architecture": "s390x"}"#;
        let windows = format!(r#", "platform": {{"os": "windows", "architecture": "{}"}}"#, architecture());
        let attestation = r#", "platform": {"os": "unknown", "architecture": "unknown"},
            "annotations": {"vnd.docker.reference.type": "attestation-manifest"}"#;
        let list = index(&[('1', other), ('2', attestation), ('3', &windows), ('4', &here)]);
        assert_eq!(choose(&list).expect("one").digest, digest('4'));
        let error = choose(&list[..3]).expect_err("none").to_string();
        assert!(error.contains("it is for linux/s390x, windows/") && !error.contains("unknown"), "{error}");
        assert_eq!(choose(&index(&[('5', "")])).expect("one").digest, digest('5'));
        assert!(choose(&index(&[('5', ""), ('6', "")])).is_err());
    }

    #[test]
    fn digests_become_paths_and_so_are_nothing_else() {
        for bad in ["sha256:../../etc/passwd", "sha512:00", "sha256:FF", ""] {
            let text = format!(r#"{{"config": {{"digest": "{bad}"}}, "layers": []}}"#);
            assert!(Document::read(text.as_bytes()).is_err(), "{bad}");
        }
        assert!(!is_digest(&digest('F')) && is_digest(&digest('f')));
        for bad in ["", "[]", "{}", r#"{"manifests": [], "config": {"digest": "x"}}"#] {
            assert!(Document::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_configuration_says_how_it_is_run_and_for_which_machine() {
        let text = r#"{"os": "linux", "config": {"Entrypoint": ["/a"], "Cmd": null, "Env": ["A=1"], "User": "1000",
            "WorkingDir": "/w"}, "rootfs": {"diff_ids": ["sha256:0"]}}"#;
        let read = Configuration::read(text.as_bytes()).expect("a configuration");
        let runs = Runs {
            entrypoint: vec!["/a".into()],
            cmd: Vec::new(),
            env: vec!["A=1".into()],
            user: "1000".into(),
            working_dir: "/w".into(),
        };
        assert_eq!(read, Configuration { runs, diff_ids: vec!["sha256:0".into()] });
        let error =
            Configuration::read(br#"{"architecture": "s390x"}"#).expect_err("another machine").to_string();
        assert!(error.starts_with("it is for /s390x"), "{error}");
    }
}
