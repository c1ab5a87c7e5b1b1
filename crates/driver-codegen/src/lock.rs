//! The freshness lock: what the committed output was made of, by which generator, and what it is. Hashing what it
//! names proves that `gen` would change nothing, without generating anything.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::artifact::{Artifact, ArtifactSet};
use crate::cargo_toml::owned_projection;
use crate::layout::json_comment;
use crate::region::region_body;

/// The version of this generator: a hash of its sources.
pub const GENERATOR: &str = env!("DRIVER_CODEGEN_VERSION");

/// What separates a file from the part of it that is ours.
const PART: char = '#';

/// The part of a `Cargo.toml` that is ours.
const KEYS: &str = "keys";

/// What the committed output was made of and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    /// [`GENERATOR`] of the run that wrote it.
    pub generator: String,
    /// Digests of what was read, by path.
    pub inputs: BTreeMap<String, String>,
    /// Digests of what was written, by path, or by path and part (`README.md#drivers`).
    pub outputs: BTreeMap<String, String>,
    /// The options whose features were written.
    pub options: Vec<String>,
}

/// The digest of a text, as the lock holds it.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Lock {
    /// The lock of a set that is about to be written. `rendered` are the texts of its files, by path.
    #[must_use]
    pub fn of(
        set: &ArtifactSet,
        rendered: &BTreeMap<String, String>,
        inputs: BTreeMap<String, String>,
        options: Vec<String>,
    ) -> Self {
        let mut outputs = BTreeMap::new();
        for (path, artifact) in set.iter() {
            let parts: Vec<String> = match artifact {
                Artifact::Whole(_) => vec![path.to_owned()],
                Artifact::Regions(bodies) => {
                    bodies.keys().map(|name| format!("{path}{PART}{name}")).collect()
                }
                Artifact::Keys(_) => vec![format!("{path}{PART}{KEYS}")],
            };
            let text = rendered.get(path).map(String::as_str);
            for part in parts {
                let digest =
                    text.and_then(|text| output_digest(&part, text.as_bytes(), &options)).unwrap_or_default();
                outputs.insert(part, digest);
            }
        }
        Self { generator: GENERATOR.to_owned(), inputs, outputs, options }
    }

    /// Reads a committed lock; `None` when it is none, for example after a merge with conflicts.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let map = |key: &str| -> Option<BTreeMap<String, String>> {
            let object = value.get(key)?.as_object()?;
            object.iter().map(|(path, digest)| Some((path.clone(), digest.as_str()?.to_owned()))).collect()
        };
        let options = value.get("options")?.as_array()?;
        Some(Self {
            generator: value.get("generator")?.as_str()?.to_owned(),
            inputs: map("inputs")?,
            outputs: map("outputs")?,
            options: options.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>()?,
        })
    }

    /// The lock as a file.
    #[must_use]
    pub fn render(&self) -> String {
        let value = json!({
            "$comment": json_comment(),
            "generator": self.generator,
            "inputs": self.inputs,
            "options": self.options,
            "outputs": self.outputs,
        });
        format!("{value:#}\n")
    }

    /// Whether every output is what this lock says. `read` gives a file's bytes, `None` for one that is not there.
    pub fn outputs_hold(&self, mut read: impl FnMut(&str) -> Option<Vec<u8>>) -> bool {
        self.outputs.iter().all(|(part, digest)| {
            let bytes = read(file_of(part));
            bytes.and_then(|bytes| output_digest(part, &bytes, &self.options)).as_ref() == Some(digest)
        })
    }

    /// The whole files among the outputs, and the others' paths.
    pub fn output_files(&self) -> impl Iterator<Item = &str> {
        self.outputs.keys().map(|part| file_of(part))
    }
}

fn file_of(part: &str) -> &str {
    part.split_once(PART).map_or(part, |(path, _)| path)
}

fn output_digest(part: &str, bytes: &[u8], options: &[String]) -> Option<String> {
    match part.split_once(PART) {
        None => Some(digest(bytes)),
        Some((_, KEYS)) => {
            owned_projection(str::from_utf8(bytes).ok()?, options).map(|text| digest(text.as_bytes()))
        }
        Some((_, name)) => region_body(str::from_utf8(bytes).ok()?, name).map(|body| digest(body.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, Lock, digest};

    #[test]
    fn reads_what_it_writes() {
        let entry = |key: &str| BTreeMap::from([(key.to_owned(), digest(key.as_bytes()))]);
        let lock = Lock {
            generator: "g".into(),
            inputs: entry("drivers.toml"),
            outputs: entry("README.md#drivers"),
            options: vec!["telemetry".into()],
        };
        assert_eq!(Lock::parse(&lock.render()), Some(lock.clone()));
        assert_eq!(Lock::parse("<<<<<<< HEAD\n"), None);
        assert_eq!(Lock::parse("{}"), None);
    }
}
