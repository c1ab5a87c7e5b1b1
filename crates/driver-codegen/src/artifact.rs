//! The set of what the generator makes, as values: nothing here has touched the tree.

use std::collections::BTreeMap;

use crate::cargo_toml::{CargoEdit, CargoTomlError};
use crate::region::{self, RegionError};

/// What one path of the tree has to hold.
#[derive(Debug, Clone)]
pub enum Artifact {
    /// A file that is ours from the first byte to the last.
    Whole(String),
    /// Regions of a hand-written file, by name.
    Regions(BTreeMap<String, String>),
    /// Keys of a hand-written `Cargo.toml`.
    Keys(CargoEdit),
}

/// Everything that the generator makes, by path relative to the root, with `/` between the parts.
#[derive(Debug, Clone, Default)]
pub struct ArtifactSet {
    artifacts: BTreeMap<String, Artifact>,
}

/// Why an artifact could not be fitted into the file that is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The hand-written file around it is not there.
    #[error("is not there: it is written by hand, only parts of it are generated")]
    NoFile,
    /// The hand-written file around it is no text.
    #[error("is not UTF-8")]
    NotUtf8,
    /// Its markers are wrong.
    #[error("{}", join(.0))]
    Regions(Vec<RegionError>),
    /// Its tables are wrong.
    #[error(transparent)]
    Keys(#[from] CargoTomlError),
}

fn join(errors: &[RegionError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl ArtifactSet {
    /// Adds a whole file.
    pub fn whole(&mut self, path: impl Into<String>, text: String) {
        self.artifacts.insert(path.into(), Artifact::Whole(text));
    }

    /// Adds a region of a hand-written file.
    pub fn region(&mut self, path: impl Into<String>, name: &str, body: String) {
        let artifact =
            self.artifacts.entry(path.into()).or_insert_with(|| Artifact::Regions(BTreeMap::new()));
        if let Artifact::Regions(bodies) = artifact {
            bodies.insert(name.to_owned(), body);
        }
    }

    /// Adds the keys of a `Cargo.toml`.
    pub fn keys(&mut self, path: impl Into<String>, edit: CargoEdit) {
        self.artifacts.insert(path.into(), Artifact::Keys(edit));
    }

    /// What a path has to hold.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Artifact> {
        self.artifacts.get(path)
    }

    /// Every artifact, in the order of its path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Artifact)> {
        self.artifacts.iter().map(|(path, artifact)| (path.as_str(), artifact))
    }
}

impl Artifact {
    /// The text that the file has to have, given the one that it has now.
    ///
    /// # Errors
    /// When the hand-written part around it is absent or has no place for it.
    pub fn render(&self, current: Option<&str>) -> Result<String, RenderError> {
        match self {
            Self::Whole(text) => Ok(text.clone()),
            Self::Regions(bodies) => {
                region::fill(current.ok_or(RenderError::NoFile)?, bodies).map_err(RenderError::Regions)
            }
            Self::Keys(edit) => Ok(edit.apply(current.ok_or(RenderError::NoFile)?)?),
        }
    }
}
