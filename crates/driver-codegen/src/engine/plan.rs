//! What differs between a set and the tree. Reads, never writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use similar::TextDiff;

use super::{EngineError, Tree};
use crate::artifact::{Artifact, ArtifactSet, RenderError};
use crate::layout::LOCK;
use crate::lock::Lock;

/// Everything that has to change so that the tree holds the set, and everything that prevents it.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Files to write or to remove, in the order of their paths.
    pub changes: Vec<Change>,
    /// What no writing can mend.
    pub faults: Vec<Fault>,
    texts: BTreeMap<String, String>,
}

/// One file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Relative to the root.
    pub path: String,
    /// What is there; `None` when nothing is.
    pub old: Option<Vec<u8>>,
    /// What has to be there; `None` for an orphan.
    pub new: Option<String>,
}

/// A hand-written file that has no place for its generated part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` {error}")]
pub struct Fault {
    /// Relative to the root.
    pub path: String,
    /// Why.
    pub error: RenderError,
}

impl Plan {
    /// Compares `set`, and the lock that goes with it, with the tree.
    ///
    /// # Errors
    /// When the tree cannot be read, or a link stands where a generated file belongs.
    pub fn new(
        tree: &Tree,
        set: &ArtifactSet,
        inputs: BTreeMap<String, String>,
        options: Vec<String>,
    ) -> Result<Self, EngineError> {
        let mut plan = Self::default();
        for (path, artifact) in set.iter() {
            let old = tree.read(path)?;
            match render(artifact, old.as_deref()) {
                Ok(new) => plan.add(path, old, new),
                Err(error) => plan.faults.push(Fault { path: path.to_owned(), error }),
            }
        }
        let lock = Lock::of(set, &plan.texts, inputs, options);
        plan.add(LOCK, tree.read(LOCK)?, lock.render());
        let held: BTreeSet<&str> = set.iter().map(|(path, _)| path).chain([LOCK]).collect();
        for path in tree.generated()? {
            if !held.contains(path.as_str()) {
                let old = tree.read(&path)?;
                plan.changes.push(Change { path, old, new: None });
            }
        }
        plan.changes.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(plan)
    }

    /// Whether the tree holds the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.faults.is_empty()
    }

    /// What a path of the set has to hold.
    #[must_use]
    pub fn text_of(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Every path of the set.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.texts.keys().map(String::as_str)
    }

    /// For people: a unified diff of every stale file, the name of every missing and orphan one, every fault.
    /// Empty when nothing differs.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = String::new();
        for fault in &self.faults {
            // Writing to a string does not fail, here and below.
            let _ = writeln!(text, "fault: {fault}");
        }
        for change in &self.changes {
            let path = &change.path;
            match (&change.old, &change.new) {
                (None, _) => {
                    let _ = writeln!(text, "missing: {path}");
                }
                (Some(_), None) => {
                    let _ = writeln!(text, "orphan: {path}");
                }
                (Some(old), Some(new)) => {
                    let old = String::from_utf8_lossy(old);
                    let _ = write!(text, "stale: {path}\n{}", diff(path, &old, new));
                }
            }
        }
        text
    }

    fn add(&mut self, path: &str, old: Option<Vec<u8>>, new: String) {
        if old.as_deref() != Some(new.as_bytes()) {
            self.changes.push(Change { path: path.to_owned(), old, new: Some(new.clone()) });
        }
        self.texts.insert(path.to_owned(), new);
    }
}

fn render(artifact: &Artifact, old: Option<&[u8]>) -> Result<String, RenderError> {
    match (artifact, old.map(str::from_utf8)) {
        (Artifact::Whole(_), _) => artifact.render(None),
        (_, Some(Err(_))) => Err(RenderError::NotUtf8),
        (_, Some(Ok(text))) => artifact.render(Some(text)),
        (_, None) => artifact.render(None),
    }
}

fn diff(path: &str, old: &str, new: &str) -> String {
    TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(3)
        .header(&format!("a/{path}"), &format!("b/{path}"))
        .to_string()
}
