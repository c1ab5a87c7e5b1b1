//! What is asked about: a crate, and perhaps which of its versions.

use driver_manifest::nearest;
use driver_verify::PackageName;
use semver::{Version, VersionReq};

use crate::error::{Error, Result};
use crate::verify::Id;

/// A crate and the versions that are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Its name.
    pub(super) name: String,
    versions: Versions,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Versions {
    Every,
    /// A whole version means itself, not what is compatible with it.
    This(Version),
    Matching(VersionReq),
}

impl Asked {
    /// Reads `bollard`, `bollard@0.21.3` or `bollard@<0.22`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let (name, wanted) = match text.split_once('@') {
            Some((name, wanted)) => (name, Some(wanted.trim())),
            None => (text, None),
        };
        let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            let message = format!("`{name}` is no name of a crate");
            return Err(Error::refused(message, "cargo xtask affected NAME, or 'NAME@<1.2'"));
        }
        let versions = match wanted {
            None => Versions::Every,
            Some(wanted) => match Version::parse(wanted) {
                Ok(version) => Versions::This(version),
                Err(_) => Versions::Matching(VersionReq::parse(wanted).map_err(|error| {
                    let message = format!("`{wanted}` is no version and no requirement: {error}");
                    Error::refused(message, format!("'{name}@<1.2', {name}@1.2.3 or '{name}@>=1, <1.2.3'"))
                })?),
            },
        };
        Ok(Self { name: name.to_owned(), versions })
    }

    /// The versions of it that are locked and meant, and those that are locked and not. A name that the lock does not have
    /// is refused: that a misspelt crate is nowhere proves nothing.
    pub(super) fn locked(&self, lock: &[PackageName]) -> Result<(Vec<Id>, Vec<String>)> {
        let known = lock.iter().filter(|package| package.name == self.name);
        let (mut meant, mut others) = (Vec::new(), Vec::new());
        for package in known {
            if self.means(&package.version) {
                meant.push((package.name.clone(), package.version.clone()));
            } else {
                others.push(package.version.clone());
            }
        }
        if meant.is_empty() && others.is_empty() {
            let hint = match nearest(&self.name, lock.iter().map(|package| package.name.as_str())) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "Cargo.lock has every crate that anything here is built from".to_owned(),
            };
            return Err(Error::refused(format!("no crate in Cargo.lock is named `{}`", self.name), hint));
        }
        Ok((meant, others))
    }

    /// Whether a locked version is meant. In doubt it is: a version that cannot be read, and one ahead of a release that
    /// is meant, which a requirement would pass over.
    fn means(&self, version: &str) -> bool {
        let Ok(locked) = Version::parse(version) else { return true };
        match &self.versions {
            Versions::Every => true,
            Versions::This(version) => locked.cmp_precedence(version).is_eq(),
            Versions::Matching(wanted) => {
                let released = Version::new(locked.major, locked.minor, locked.patch);
                wanted.matches(&locked) || (!locked.pre.is_empty() && wanted.matches(&released))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> Vec<PackageName> {
        let names = [
            ("bollard", "0.21.3"),
            ("hyper", "0.14.30"),
            ("hyper", "1.7.0"),
            ("ring", "0.18.0-beta.2"),
            ("wasi", "0.11.1+snapshot"),
        ];
        names.map(|(name, version)| PackageName { name: name.to_owned(), version: version.to_owned() }).into()
    }

    /// The versions that are meant, or the error and its hint.
    fn meant(text: &str) -> String {
        match Asked::parse(text).and_then(|asked| asked.locked(&lock())) {
            Ok((meant, _)) => meant.into_iter().map(|(_, version)| version).collect::<Vec<_>>().join(" "),
            Err(Error::Refused { message, hint }) => format!("{message} | {}", hint.unwrap_or_default()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_requirement_says_which_versions() {
        assert_eq!(meant("hyper"), "0.14.30 1.7.0");
        assert_eq!(meant("hyper@<1"), "0.14.30");
        assert_eq!(meant("hyper@>=1, <1.7.1"), "1.7.0");
        assert_eq!(meant("bollard@<0.22"), "0.21.3");
        assert_eq!(meant("bollard@<0.21.3"), "");
        assert_eq!(meant("bollard@0.21"), "0.21.3", "half a version is a requirement");
    }

    #[test]
    fn a_whole_version_is_that_one_alone() {
        assert_eq!(meant("bollard@0.21.3"), "0.21.3");
        assert_eq!(meant("bollard@0.21.2"), "", "though 0.21.3 is compatible with it");
        assert_eq!(meant("wasi@0.11.1"), "0.11.1+snapshot");
    }

    #[test]
    fn a_version_ahead_of_a_release_that_is_meant_is_meant() {
        assert_eq!(meant("ring@<0.19"), "0.18.0-beta.2");
        assert_eq!(meant("ring@<0.18"), "");
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_a_hint() {
        assert_eq!(meant("bolard"), "no crate in Cargo.lock is named `bolard` | did you mean `bollard`?");
        assert!(meant("nothing-like-it").starts_with("no crate in Cargo.lock is named `nothing-like-it` | "));
        assert!(
            meant("hyper@x.y").starts_with("`x.y` is no version and no requirement: "),
            "{}",
            meant("hyper@x.y")
        );
        for text in ["", "@1", "a b", "-p"] {
            assert!(meant(text).contains("is no name of a crate"), "{text:?}");
        }
    }
}
