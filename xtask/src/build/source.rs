//! Where the code of each driver in a build comes from, for `build.json`.

use std::collections::BTreeMap;

use driver_manifest::{Assembly, CrateSource, Kind, Selection};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::place::hex;
use crate::error::Result;
use crate::overlay::{Foreign, Tree, read_into};
use crate::verify::Lock;
use crate::workspace::Workspace;

/// One driver's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceRecord {
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    package: Option<String>,
    /// Its directory, seen from the workspace's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// The version that was resolved, for what a registry or a repository has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// `git+URL#COMMIT`, for what a repository has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    git: Option<String>,
    /// Of a directory's files, or of a registry's archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
}

/// The kinds of a selection's drivers, by name: what sources are looked for.
pub(super) fn kinds(assembly: &Assembly, selection: &Selection) -> BTreeMap<String, Kind> {
    let drivers = selection.drivers.iter().filter_map(|name| assembly.driver(name));
    drivers.map(|driver| (driver.name.clone(), driver.kind.clone())).collect()
}

impl SourceRecord {
    /// Of a driver in a workspace that was built; `foreign` says where it was before it was copied there.
    pub(super) fn of(
        workspace: &Workspace,
        kind: &Kind,
        foreign: Option<&Foreign>,
        lock: &Lock,
    ) -> Result<Self> {
        let mut record = Self { kind: kind.word().to_owned(), ..Self::default() };
        match kind {
            Kind::InTree { package } | Kind::Process { package, .. } => {
                record.package = Some(package.clone());
                record.directory(workspace, format!("crates/{package}"))?;
            }
            Kind::Crate { package, source } => {
                record.package = Some(package.clone());
                match (source, foreign) {
                    (CrateSource::Path(_), Some(foreign)) => {
                        record.path = Some(foreign.path.clone());
                        record.sha256 = Some(foreign.sha256.clone());
                    }
                    (CrateSource::Path(path), None) => {
                        record.directory(workspace, path.trim_start_matches("./").to_owned())?;
                    }
                    _ => record.fetched(package, lock),
                }
            }
            Kind::Socket { .. } => {}
        }
        Ok(record)
    }

    fn directory(&mut self, workspace: &Workspace, path: String) -> Result<()> {
        let mut files = Tree::new();
        read_into(&mut files, &workspace.path(&path), "")?;
        let mut hasher = Sha256::new();
        for (name, bytes) in &files {
            for part in [name.as_bytes(), bytes.as_slice()] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        self.sha256 = Some(hex(&hasher.finalize()));
        self.path = Some(path);
        Ok(())
    }

    /// Of what cargo fetched: the lock knows.
    fn fetched(&mut self, package: &str, lock: &Lock) {
        let versions = lock.names().into_iter().filter(|locked| locked.name == package);
        let Some(version) = versions.map(|locked| locked.version).next_back() else { return };
        if let Some(locked) = lock.get(package, &version) {
            self.sha256.clone_from(&locked.checksum);
            self.git = locked.source.clone().filter(|source| source.starts_with("git+"));
        }
        self.version = Some(version);
    }
}
