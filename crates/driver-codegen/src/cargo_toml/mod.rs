//! Edits of a hand-written `Cargo.toml`: the generator's keys change, everything else stays byte for byte.
//!
//! Ours are: the features `default`, `driver-*` and those of the options; the dependencies that a `driver-*` feature
//! names with `dep:`; the `[[bin]]`s whose source is under `src/generated/`. A key of ours whose value is right
//! already is not touched, whatever its layout, so that a second run finds nothing to do.

mod edit;
mod projection;
mod table;

pub use projection::owned_projection;

/// The parts of one `Cargo.toml` that follow from the manifest.
#[derive(Debug, Clone, Default)]
pub struct CargoEdit {
    /// The features in the order that they are to stand.
    pub(crate) features: Vec<Feature>,
    /// The optional dependencies of the drivers.
    pub(crate) dependencies: Vec<Dependency>,
    /// The programs of the drivers.
    pub(crate) programs: Vec<Program>,
    /// Features that an earlier run wrote for options which are gone from the manifest.
    pub(crate) gone_options: Vec<String>,
}

/// One feature of ours.
#[derive(Debug, Clone)]
pub(crate) struct Feature {
    pub(crate) name: String,
    pub(crate) enables: Vec<Enables>,
}

/// What a feature turns on.
#[derive(Debug, Clone)]
pub(crate) enum Enables {
    /// Written as it is.
    Always(String),
    /// `package/feature`, written only where the package is a direct dependency: cargo refuses the workspace
    /// otherwise. Where it is an optional one, `package?/feature`, so that an option never brings a driver.
    IfDirect { package: String, feature: String },
}

/// One optional dependency of ours.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    pub(crate) package: String,
    /// Where it is wanted, as a cfg predicate; `None` is everywhere.
    pub(crate) platform: Option<String>,
    pub(crate) source: Source,
}

/// Where cargo finds a dependency.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// As the workspace's table says.
    Workspace,
    /// A directory relative to the package that depends.
    Path { path: String, default_features: bool },
    /// The registry.
    Version(String),
    /// A commit.
    Git { url: String, rev: String },
}

/// One `[[bin]]` of ours.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) feature: String,
}

/// Why a `Cargo.toml` cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CargoTomlError {
    /// It does not parse.
    #[error("is not TOML: {0}")]
    Syntax(String),
    /// A key that has to be a table is something else.
    #[error("`{0}` has to be a table with a header of its own")]
    NotATable(String),
    /// A key of a hand-written entry is wanted by the generator.
    #[error("dependency `{0}` is written by hand and not optional, but a driver's feature has to bring it")]
    NotOptional(String),
}

/// The prefix of the drivers' features; the whole prefix is ours.
const DRIVER_FEATURE: &str = "driver-";

/// Where the programs' sources are; a `[[bin]]` under it is ours.
const PROGRAM_SOURCES: &str = "src/generated/";
