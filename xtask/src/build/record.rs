//! `build.json`: what a build was asked for, what it made and what went in. Fields in a fixed order, crates sorted, no
//! absolute path and no clock, so that equal builds leave equal records.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use driver_manifest::Selection;
use serde::Serialize;

use super::line::CargoLine;
use super::messages::{Compiled, Package};
use super::place::Copied;

/// The version of this file's form.
const SCHEMA_VERSION: u32 = 1;

/// The record of a folder.
#[derive(Debug, Serialize)]
pub(super) struct Record {
    schema_version: u32,
    selection: String,
    drivers: Vec<String>,
    options: BTreeMap<String, bool>,
    profile: String,
    triple: String,
    rustc: String,
    files: Vec<FileRecord>,
}

/// One shipped file.
#[derive(Debug, Serialize)]
struct FileRecord {
    file: String,
    package: String,
    bin: String,
    features: Vec<String>,
    cargo_line: String,
    /// What cargo made, relative to its target directory.
    artifact: ArtifactRecord,
    /// What lies in the folder.
    sha256: String,
    size: u64,
    crates: Vec<CrateRecord>,
    host_crates: Vec<CrateRecord>,
}

#[derive(Debug, Serialize)]
struct ArtifactRecord {
    path: String,
    sha256: String,
    size: u64,
}

#[derive(Debug, Serialize)]
struct CrateRecord {
    name: String,
    version: String,
    features: Vec<String>,
}

impl Record {
    pub(super) fn new(
        selection: &Selection,
        options: &[(String, bool)],
        profile: &str,
        triple: &str,
        rustc: &str,
    ) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            selection: selection.slug(),
            drivers: selection.drivers.clone(),
            options: options.iter().cloned().collect(),
            profile: profile.to_owned(),
            triple: triple.to_owned(),
            rustc: rustc.to_owned(),
            files: Vec::new(),
        }
    }

    /// Adds a shipped file.
    pub(super) fn add(&mut self, line: &CargoLine, compiled: &Compiled, copied: &Copied, target_dir: &Path) {
        let path = compiled.executable.strip_prefix(target_dir).unwrap_or(&compiled.executable);
        let path = path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>();
        self.files.push(FileRecord {
            file: copied.name.clone(),
            package: line.package().to_owned(),
            bin: line.bin().to_owned(),
            features: line.features().to_vec(),
            cargo_line: line.shell(),
            artifact: ArtifactRecord {
                path: path.join("/"),
                sha256: copied.sha256.clone(),
                size: copied.size,
            },
            sha256: copied.sha256.clone(),
            size: copied.size,
            crates: crates(&compiled.target),
            host_crates: crates(&compiled.host),
        });
    }

    /// The text of the file.
    pub(super) fn json(&self) -> String {
        // A struct of strings, numbers and lists has no way to fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

fn crates(compiled: &BTreeMap<Package, BTreeSet<String>>) -> Vec<CrateRecord> {
    compiled
        .iter()
        .map(|(package, features)| CrateRecord {
            name: package.name.clone(),
            version: package.version.clone(),
            features: features.iter().cloned().collect(),
        })
        .collect()
}
