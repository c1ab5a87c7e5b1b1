//! What is at hand to answer a question: the file, and what is known about the build that it came from.

use serde::{Deserialize, Serialize};

/// The evidence. What is `None` is not at hand; with a graph or build messages the file is judged as one that was just
/// built, and both are required.
#[derive(Debug, Clone, Serialize)]
pub struct Evidence<'a> {
    /// The whole file.
    #[serde(skip)]
    pub file: &'a [u8],
    /// The packages that cargo resolves for the very arguments of the build.
    pub graph: Option<Graph>,
    /// What the build says that it compiled.
    pub messages: Option<Vec<CompiledUnit>>,
    /// What the program said of itself when it was run.
    pub run: Option<SelfReport>,
}

impl<'a> Evidence<'a> {
    /// A file and nothing else.
    #[must_use]
    pub fn of_file(file: &'a [u8]) -> Self {
        Self { file, graph: None, messages: None, run: None }
    }

    /// Whether more than the file is at hand.
    #[must_use]
    pub fn has_build(&self) -> bool {
        self.graph.is_some() || self.messages.is_some()
    }
}

/// Packages and who depends on whom.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Graph {
    /// The package that is built, an index of `packages`.
    pub root: usize,
    /// The packages.
    pub packages: Vec<Package>,
}

/// A package of a [`Graph`].
#[derive(Debug, Clone, Serialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it depends on for the target, as indexes; build and development dependencies are not among them.
    pub dependencies: Vec<usize>,
}

/// A crate that a build compiled: one `compiler-artifact` message.
#[derive(Debug, Clone, Serialize)]
pub struct CompiledUnit {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The features that it was compiled with.
    pub features: Vec<String>,
    /// Compiled for the machine that builds: a build script, a procedural macro, or what they need.
    pub host: bool,
    /// `lib`, `bin`, `proc-macro`, `custom-build` …
    pub target_kind: String,
}

/// What a program says of itself, in its section `.osgw` or when it is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfReport {
    /// The form of the report; 1.
    pub schema: u32,
    /// The drivers in it.
    pub drivers: Vec<String>,
    /// The options in it.
    pub options: Vec<String>,
    /// The program's version.
    pub version: String,
}
