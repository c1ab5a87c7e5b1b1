//! Graphs that cargo has resolved before, kept under `target/` for as long as nothing changes that they are made from:
//! to ask cargo for four of them takes longer than everything else that a verification does.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::graph::{Graph, Query};
use super::lock::LOCK;
use crate::build::hex;
use crate::error::{Error, Result};
use crate::workspace::{Workspace, cargo_home};

/// The file, in the target directory: one for whoever asks, so that a graph is asked for once.
pub(crate) const FILE: &str = "graphs.json";

/// What cargo was asked before.
pub(super) struct Cache {
    path: PathBuf,
    kept: Kept,
}

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    /// The hash of what the graphs are made from.
    made_from: String,
    graphs: Vec<(Query, Graph)>,
}

impl Cache {
    /// What was kept, where it still holds. A file that cannot be read keeps nothing.
    pub(super) fn load(workspace: &Workspace) -> Result<Self> {
        Self::load_from(workspace, workspace.target_dir().join(FILE))
    }

    fn load_from(workspace: &Workspace, path: PathBuf) -> Result<Self> {
        let made_from = resolved_from(workspace)?;
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let kept: Option<Kept> = serde_json::from_str(&text).ok();
        let kept = kept.filter(|kept| kept.made_from == made_from);
        Ok(Self { path, kept: kept.unwrap_or(Kept { made_from, graphs: Vec::new() }) })
    }

    /// Every graph that was kept.
    pub(super) fn graphs(&self) -> BTreeMap<Query, Graph> {
        self.kept.graphs.iter().cloned().collect()
    }

    /// Keeps these, and what others have kept meanwhile. A graph with a package from outside of the workspace is not kept: its manifest may change unseen.
    pub(super) fn keep(&mut self, workspace: &Workspace, graphs: &BTreeMap<Query, Graph>) -> Result<()> {
        let (members, menu) = (workspace.path("crates"), workspace.path("xtask"));
        let inside = graphs.iter().filter(|(_, graph)| {
            let directories = graph.packages.iter().filter_map(|package| package.directory.as_deref());
            directories.map(Path::new).all(|path| path.parent() == Some(&members) || path == menu)
        });
        let mut graphs = Self::load_from(workspace, self.path.clone())?.graphs();
        graphs.extend(inside.map(|(query, graph)| (query.clone(), graph.clone())));
        self.kept.graphs = graphs.into_iter().collect();
        let dir = self.path.parent().unwrap_or(workspace.root());
        std::fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(Error::file("create a file in", dir))?;
        let text = serde_json::to_vec(&self.kept).unwrap_or_default();
        file.write_all(&text).map_err(Error::file("write", file.path()))?;
        file.persist(&self.path).map_err(|error| Error::file("write", &self.path)(error.error))?;
        Ok(())
    }
}

/// The hash of everything that cargo resolves from: the lock, every manifest, and what configures cargo.
pub(super) fn resolved_from(workspace: &Workspace) -> Result<String> {
    let mut paths: Vec<PathBuf> = [LOCK, "Cargo.toml", "xtask/Cargo.toml", ".cargo/config.toml"]
        .map(|path| workspace.path(path))
        .into();
    let members = workspace.path("crates");
    let entries = std::fs::read_dir(&members).map_err(Error::file("read", &members))?;
    paths.extend(entries.flatten().map(|entry| entry.path().join("Cargo.toml")));
    paths.extend(cargo_home().map(|home| home.join("config.toml")));
    paths.sort();
    let mut hasher = Sha256::new();
    for path in &paths {
        // A file that is not there is an input as well.
        let bytes = std::fs::read(path).unwrap_or_default();
        hasher.update(path.as_os_str().as_encoded_bytes());
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    let target = std::env::var_os("CARGO_BUILD_TARGET").unwrap_or_default();
    hasher.update(target.as_encoded_bytes());
    Ok(hex(&hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_holds_until_a_manifest_changes() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("crates/core")).unwrap();
        for (file, text) in [("drivers.toml", ""), ("Cargo.toml", ""), ("crates/core/Cargo.toml", "a")] {
            std::fs::write(root.join(file), text).unwrap();
        }
        let workspace = Workspace::at(root);
        let query = |package: &str| Query { package: package.to_owned(), ..Query::default() };
        let inside = Graph::of(&format!("0 core v0.1.0 ({})\n", root.join("crates/core").display()));
        let outside = Graph::of("0 foreign v0.1.0 (/elsewhere/foreign)\n");
        let graphs = BTreeMap::from([(query("core"), inside), (query("foreign"), outside)]);
        let path = root.join("graphs.json");
        let load = || Cache::load_from(&workspace, path.clone()).unwrap();
        assert!(load().graphs().is_empty());
        load().keep(&workspace, &graphs).unwrap();
        assert_eq!(load().graphs().into_keys().collect::<Vec<_>>(), [query("core")]);
        load().keep(&workspace, &BTreeMap::new()).unwrap();
        assert_eq!(load().graphs().into_keys().collect::<Vec<_>>(), [query("core")], "another one's");
        std::fs::write(root.join("crates/core/Cargo.toml"), "b").unwrap();
        assert!(load().graphs().is_empty());
        std::fs::write(&path, "half of a fi").unwrap();
        assert!(load().graphs().is_empty());
    }
}
