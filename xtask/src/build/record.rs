//! `build.json`: what a build was asked for, what it made and what went in. Fields in a fixed order, crates sorted, no
//! absolute path and no clock, so that equal builds leave equal records.

use std::collections::BTreeMap;
use std::path::Path;

use driver_manifest::Selection;
use serde::{Deserialize, Serialize};

use super::line::CargoLine;
use super::messages::{Compiled, Package, Unit};
use super::place::Copied;
use super::source::SourceRecord;
use crate::overlay::Origin;

/// The name of the lock that a build with drivers from elsewhere leaves beside it.
pub(super) const LOCK: &str = "Cargo.lock";
/// The file's name in its folder.
pub(super) const BUILD_JSON: &str = "build.json";

/// The version of this file's form.
const SCHEMA_VERSION: u32 = 2;

/// The record of a folder.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    schema_version: u32,
    selection: String,
    /// The drivers, in the manifest's order.
    pub(crate) drivers: Vec<String>,
    /// Every option, and whether it is on.
    pub(crate) options: BTreeMap<String, bool>,
    pub(crate) profile: String,
    /// The target triple.
    pub(crate) triple: String,
    pub(crate) rustc: String,
    /// Whether no path of the machine is in the files, so that they are the same wherever they are built.
    #[serde(default)]
    pub(crate) reproducible: bool,
    /// Where the code of each driver comes from.
    #[serde(default)]
    pub(crate) sources: BTreeMap<String, SourceRecord>,
    /// What was compiled in from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) overlay: Option<Origin>,
    /// The SHA-256 of Cargo.lock, in hex; beside this file where drivers from elsewhere are in it.
    #[serde(default)]
    pub(crate) lock_sha256: String,
    /// The shipped files; what the folder is about comes first.
    pub(crate) files: Vec<FileRecord>,
}

/// One shipped file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    /// Its name in the folder.
    pub(crate) file: String,
    /// Its package.
    pub(crate) package: String,
    /// Its program.
    pub(crate) bin: String,
    /// The features that the package was built with.
    pub(crate) features: Vec<String>,
    cargo_line: String,
    /// What cargo made, relative to its target directory. "The same bytes" are these.
    pub(crate) artifact: ArtifactRecord,
    /// `written`: the file in the folder is cargo's with the section `.dep-v0` appended; else why it is cargo's own.
    audit_section: String,
    /// The list of its components, beside it.
    pub(crate) sbom: String,
    /// The SHA-256 of what lies in the folder, in hex.
    pub(crate) sha256: String,
    /// Its length.
    pub(crate) size: u64,
    /// What was compiled into it.
    pub(crate) crates: Vec<CrateRecord>,
    /// What only helped to build it.
    pub(crate) host_crates: Vec<CrateRecord>,
}

/// What cargo made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ArtifactRecord {
    path: String,
    /// The SHA-256 of its bytes, in hex.
    pub(crate) sha256: String,
    /// Its length.
    pub(crate) size: u64,
}

/// A crate that was compiled.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CrateRecord {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) features: Vec<String>,
    /// `lib`, `bin`, `proc-macro`, `custom-build` …
    pub(crate) kinds: Vec<String>,
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
            reproducible: false,
            sources: BTreeMap::new(),
            overlay: None,
            lock_sha256: String::new(),
            files: Vec::new(),
        }
    }

    /// Adds a shipped file.
    pub(super) fn add(
        &mut self,
        line: &CargoLine,
        compiled: &Compiled,
        copied: &Copied,
        sbom: &str,
        target_dir: &Path,
    ) {
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
                sha256: copied.original_sha256.clone(),
                size: copied.original_size,
            },
            audit_section: copied.section.clone(),
            sbom: sbom.to_owned(),
            sha256: copied.sha256.clone(),
            size: copied.size,
            crates: crates(&compiled.target),
            host_crates: crates(&compiled.host),
        });
    }

    /// Reads the record in a folder; `None` when there is none, or one of another form.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(folder.join(BUILD_JSON)).ok()?;
        serde_json::from_str(&text).ok().filter(|record: &Self| record.schema_version == SCHEMA_VERSION)
    }

    /// The text of the file.
    pub(super) fn json(&self) -> String {
        // A struct of strings, numbers and lists has no way to fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

fn crates(compiled: &BTreeMap<Package, Unit>) -> Vec<CrateRecord> {
    compiled
        .iter()
        .map(|(package, unit)| CrateRecord {
            name: package.name.clone(),
            version: package.version.clone(),
            features: unit.features.iter().cloned().collect(),
            kinds: unit.kinds.iter().cloned().collect(),
        })
        .collect()
}
