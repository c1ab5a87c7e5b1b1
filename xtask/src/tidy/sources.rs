//! The files that people and generators wrote: what git tracks or would track, with their texts.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::Result;
use crate::workspace::Workspace;

/// One text file.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Relative to the root, with `/`.
    pub(super) path: String,
    /// Its text.
    pub(super) text: String,
    /// Whether git tracks it; true where there is no git to ask.
    pub(super) tracked: bool,
}

/// All of them, sorted by path.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources(pub(super) Vec<Source>);

impl Sources {
    /// Lists and reads them. Files that are not UTF-8 are left out: no rule is about them.
    pub(super) fn list(workspace: &Workspace) -> Result<Self> {
        let tracked = git(workspace.root(), &["ls-files", "-z", "--cached"]);
        let paths: BTreeSet<String> = match &tracked {
            Some(tracked) => {
                let others = git(workspace.root(), &["ls-files", "-z", "--others", "--exclude-standard"]);
                tracked.iter().cloned().chain(others.unwrap_or_default()).collect()
            }
            None => walk(workspace.root()),
        };
        let read = |path: String| {
            let text = std::fs::read_to_string(workspace.path(&path)).ok()?;
            let tracked = tracked.as_ref().is_none_or(|tracked| tracked.contains(&path));
            Some(Source { path, text, tracked })
        };
        Ok(Self(paths.into_iter().filter_map(read).collect()))
    }

    /// Those whose name ends so.
    pub(super) fn ending<'a>(&'a self, extensions: &'a [&str]) -> impl Iterator<Item = &'a Source> {
        self.0.iter().filter(move |source| extensions.iter().any(|end| source.path.ends_with(end)))
    }
}

impl Source {
    /// In a directory named `generated`.
    pub(super) fn is_generated(&self) -> bool {
        self.path.split('/').rev().skip(1).any(|dir| dir == "generated")
    }

    /// In a directory of tests, where a driver may be named; a file of unit tests (`tests.rs`, `*_tests.rs`) is one.
    pub(super) fn is_test(&self) -> bool {
        let mut parts = self.path.split('/').rev();
        let file = parts.next().unwrap_or_default();
        file == "tests.rs" || file.ends_with("_tests.rs") || parts.any(|dir| dir == "tests")
    }
}

/// Paths that a git command lists; `None` where this is no repository or git is away.
fn git(root: &Path, args: &[&str]) -> Option<BTreeSet<String>> {
    let output = Command::new("git").args(args).current_dir(root).stderr(Stdio::null()).output().ok()?;
    let text = output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())?;
    Some(text.split('\0').filter(|path| !path.is_empty()).map(ToOwned::to_owned).collect())
}

/// Every file below, for a tree without git; build results and hidden directories of tools are no sources.
fn walk(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && name != "target" && name != ".git" => open.push(path),
                Ok(kind) if kind.is_file() => {
                    let relative = path.strip_prefix(root).unwrap_or(&path);
                    found.insert(relative.to_string_lossy().replace('\\', "/"));
                }
                _ => {}
            }
        }
    }
    found
}
