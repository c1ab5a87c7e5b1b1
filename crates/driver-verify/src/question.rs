//! What is asked about one file: which drivers and options it must hold, which it must not, and by what each is known.

use serde::Serialize;

/// One question, about one file.
#[derive(Debug, Clone, Serialize)]
pub struct Question {
    /// What the file is, for people: a selection's name, a program.
    pub subject: String,
    /// The target triple that the file must be of; `None`: any machine.
    pub triple: Option<String>,
    /// Whether it runs inside a sandbox: it brings all its libraries along, and holds no driver, so that it needs no
    /// marker section and reports nothing of itself.
    pub is_guest: bool,
    /// What every such file holds. When nothing of it is found, whatever looked was blind.
    pub core: Target,
    /// The selected drivers and options: must be found.
    pub expected: Vec<Target>,
    /// The others: must not be found.
    pub forbidden: Vec<Target>,
    /// Every package of `Cargo.lock`; empty when there is none at hand. A forbidden crate that is not among them is
    /// misspelt, and "not found" would mean nothing.
    pub known: Vec<PackageName>,
}

/// A package of `Cargo.lock`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PackageName {
    /// Its name.
    pub name: String,
    /// Its version, with build metadata.
    pub version: String,
}

/// What a [`Target`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// A driver.
    Driver,
    /// An option.
    Option,
    /// What every build holds.
    Core,
    /// A marker that nobody asked about.
    Stray,
}

/// Something that is or is not in a file, and what it is known by.
#[derive(Debug, Clone, Serialize)]
pub struct Target {
    /// The driver's or the option's name.
    pub name: String,
    /// Which of the two.
    pub kind: TargetKind,
    /// Its texts in the marker section: `arm:docker`, `crate:openshell-driver-docker`.
    pub markers: Vec<String>,
    /// Its own package, the crates that it owns, those that it alone brings. Paths, module paths and symbols are derived
    /// from these.
    pub crates: Vec<CrateId>,
    /// Texts: learned from builds, or declared.
    pub fingerprints: Vec<Fingerprint>,
}

/// A crate that a target is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CrateId {
    /// The package's name.
    pub name: String,
    /// Its version; `None`: any. Of an owned crate any version counts in any case.
    pub version: Option<String>,
    /// The name of its library, where that is not the package's with `_` for `-`.
    pub lib: Option<String>,
    /// The name of the git repository that it alone comes from: cargo compiles it in `checkouts/<name>-<hash>/`.
    pub checkout: Option<String>,
    /// Nobody else may bring it, in any version.
    pub owned: bool,
    /// A member of the workspace: its path has no version in it.
    pub workspace: bool,
    /// Its path was seen in a build that has it. One that was never seen accuses when it is found, but its absence
    /// clears nobody.
    pub proven: bool,
}

/// A text that a target is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fingerprint {
    /// The text, as it lies in the file.
    pub text: String,
    /// Where it comes from: `crate@version`, or the target's name. A learned text of a version that is not in
    /// `Cargo.lock` any more is stale: it accuses, but does not clear.
    pub of: String,
    /// How it came here.
    pub how: How,
    /// It was seen in a build that has the target, as for [`CrateId::proven`].
    pub proven: bool,
}

/// How a text came to betray its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// From a build that has it and builds that have not.
    Learned,
    /// From `evidence` of `drivers.toml`.
    Declared,
}

impl Target {
    /// One that is known by nothing yet.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: TargetKind) -> Self {
        Self { name: name.into(), kind, markers: Vec::new(), crates: Vec::new(), fingerprints: Vec::new() }
    }
}

impl CrateId {
    /// A crate of a registry that others may bring, too, and that was not seen in a build yet.
    #[must_use]
    pub fn new(name: impl Into<String>, version: Option<&str>) -> Self {
        Self {
            name: name.into(),
            version: version.map(str::to_owned),
            lib: None,
            checkout: None,
            owned: false,
            workspace: false,
            proven: false,
        }
    }

    /// The same, owned.
    #[must_use]
    pub fn owned(self) -> Self {
        Self { owned: true, ..self }
    }

    /// The same, a member of the workspace.
    #[must_use]
    pub fn workspace(self) -> Self {
        Self { workspace: true, ..self }
    }

    /// The same, seen in a build that has it.
    #[must_use]
    pub fn proven(self) -> Self {
        Self { proven: true, ..self }
    }

    /// `name@version`, or the name where any version counts.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.version {
            Some(version) => format!("{}@{version}", self.name),
            None => self.name.clone(),
        }
    }

    /// The name in paths of modules and in symbols.
    #[must_use]
    pub fn module(&self) -> String {
        self.lib.clone().unwrap_or_else(|| self.name.replace('-', "_"))
    }

    /// Whether a package of this name and version is meant.
    #[must_use]
    pub fn is(&self, name: &str, version: &str) -> bool {
        self.name == name && (self.owned || self.version.as_deref().is_none_or(|own| own == version))
    }
}

impl Fingerprint {
    /// A text of `drivers.toml`, not seen in a build yet.
    #[must_use]
    pub fn declared(text: impl Into<String>, of: impl Into<String>) -> Self {
        Self { text: text.into(), of: of.into(), how: How::Declared, proven: false }
    }

    /// A text that was learned, and therefore seen.
    #[must_use]
    pub fn learned(text: impl Into<String>, of: impl Into<String>) -> Self {
        Self { text: text.into(), of: of.into(), how: How::Learned, proven: true }
    }
}
