//! Cargo.lock: the packages that there are, where each comes from and the checksum of its archive. The judge asks for the
//! names, because the absence of a crate whose name is misspelt proves nothing.

use std::collections::BTreeMap;

use driver_verify::PackageName;
use serde::Deserialize;

use super::graph::Id;
use crate::error::{Error, Result};
use crate::workspace::Workspace;

/// The file, in the root.
pub(super) const LOCK: &str = "Cargo.lock";

/// Its packages, by name and version.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lock(BTreeMap<Id, Locked>);

/// What it says of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Locked {
    /// `registry+https://…`, `git+https://…#commit`; `None` for a directory.
    pub(crate) source: Option<String>,
    /// The SHA-256 of its archive, in hex.
    pub(crate) checksum: Option<String>,
}

#[derive(Deserialize)]
struct File {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

impl Lock {
    /// Reads it.
    pub(crate) fn load(workspace: &Workspace) -> Result<Self> {
        Self::parse(&workspace.read(LOCK)?)
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text).map_err(|error| Error::output(LOCK, error))?;
        let packages = file.package.into_iter().map(|Package { name, version, source, checksum }| {
            ((name, version), Locked { source, checksum })
        });
        Ok(Self(packages.collect()))
    }

    /// What it says of the package of this name and version.
    pub(crate) fn get(&self, name: &str, version: &str) -> Option<&Locked> {
        self.0.get(&(name.to_owned(), version.to_owned()))
    }

    /// The repository's name of a package (`None`: of any version) that comes from git and alone from there: cargo compiles it
    /// in a directory of that name.
    pub(super) fn checkout(&self, name: &str, version: Option<&str>) -> Option<String> {
        let mut named = self.0.iter().filter(|((own, _), _)| own == name);
        let (_, locked) = named.find(|((_, own), _)| version.is_none_or(|version| version == own))?;
        let source = locked.source.as_deref().filter(|source| source.starts_with("git+"))?;
        let mut others = self.0.values().filter(|other| other.source.as_deref() == Some(source));
        let (_, others) = (others.next(), others.next());
        let url = source.split(['?', '#']).next()?.trim_end_matches('/');
        let repository = url.rsplit('/').next()?.trim_end_matches(".git");
        others.is_none().then(|| repository.to_owned())
    }

    /// The names and versions, for the judge.
    pub(crate) fn names(&self) -> Vec<PackageName> {
        let names = self.0.keys().cloned();
        names.map(|(name, version)| PackageName { name, version }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_of_a_crate_is_known() {
        let text = "version = 4\n[[package]]\nname = \"a\"\nversion = \"0.21.0\"\n\
                    [[package]]\nname = \"a\"\nversion = \"0.20.0\"\ndependencies = [\"b\"]\n";
        let known = Lock::parse(text).unwrap().names();
        let known: Vec<_> = known.iter().map(|package| (package.name.as_str(), &*package.version)).collect();
        assert_eq!(known, [("a", "0.20.0"), ("a", "0.21.0")]);
        assert!(Lock::parse("version = 4\n").is_err());
    }

    #[test]
    fn a_package_that_is_alone_in_its_repository_is_compiled_in_a_directory_of_that_name() {
        let package = |name: &str, source: &str| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \"{source}\"\n")
        };
        let text = package("fork", "git+https://host/a/fork-of-it.git?branch=x#c0ffee")
            + &package("one", "git+https://host/a/many#c0ffee")
            + &package("two", "git+https://host/a/many#c0ffee")
            + &package("plain", "registry+https://github.com/rust-lang/crates.io-index");
        let lock = Lock::parse(&text).unwrap();
        assert_eq!(lock.checkout("fork", None).as_deref(), Some("fork-of-it"));
        assert_eq!(lock.checkout("fork", Some("2.0.0")), None);
        for name in ["one", "plain", "nothing"] {
            assert_eq!(lock.checkout(name, None), None, "{name}");
        }
    }
}
