//! The name of a driver, as it is written and as it is printed.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::catalog::EXTERNAL;

/// What a user may write where a driver is named.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DriverName {
    /// A name: of the manifest, or of a table of `gateway.toml` that gives a socket.
    Named(String),
    /// `external:PATH`: whatever answers at that socket.
    ExternalAt(PathBuf),
}

/// A text that cannot be a driver's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or blanks.
    #[error("the name of a driver is empty")]
    Empty,
    /// `external:` and no path.
    #[error("`{0}` has no path behind the colon")]
    EmptyPath(String),
}

impl DriverName {
    /// Reads a name. The prefix of `external:PATH` may be of any case, and so may a bare `external`; other names are
    /// taken as they are, and looked up elsewhere.
    ///
    /// # Errors
    /// For an empty name, and an empty path.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        match text.split_once(':') {
            Some((prefix, "")) if prefix.eq_ignore_ascii_case(EXTERNAL) => {
                Err(NameError::EmptyPath(text.to_owned()))
            }
            Some((prefix, path)) if prefix.eq_ignore_ascii_case(EXTERNAL) => {
                Ok(Self::ExternalAt(PathBuf::from(path)))
            }
            _ if text.eq_ignore_ascii_case(EXTERNAL) => Ok(Self::Named(EXTERNAL.to_owned())),
            _ => Ok(Self::Named(text.to_owned())),
        }
    }

    /// The path of `external:PATH`.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        match self {
            Self::ExternalAt(path) => Some(path),
            Self::Named(_) => None,
        }
    }

    /// The name of the table in `gateway.toml` and of the entry in the manifest that it stands for.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::ExternalAt(_) => EXTERNAL,
        }
    }
}

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::ExternalAt(path) => write!(f, "{EXTERNAL}:{}", path.display()),
        }
    }
}

/// Whether a name that only the operator knows has the form of the manifest's: `[a-z][a-z0-9-]*`.
pub(crate) fn is_well_formed(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_as_a_name_prints_back_the_same() {
        for written in ["external:/run/x.sock", "EXTERNAL:/run/x.sock", " External:/run/x.sock "] {
            let name = DriverName::parse(written).unwrap();
            assert_eq!(name.to_string(), "external:/run/x.sock", "{written}");
            assert_eq!(DriverName::parse(&name.to_string()).unwrap(), name);
            assert_eq!(name.key(), "external");
        }
        let odd = DriverName::parse("external:/Run/A:b").unwrap();
        assert_eq!(odd.to_string(), "external:/Run/A:b", "a path keeps its case and its colons");
    }

    #[test]
    fn what_is_empty_is_refused() {
        assert_eq!(DriverName::parse(""), Err(NameError::Empty));
        assert_eq!(DriverName::parse("  "), Err(NameError::Empty));
        assert_eq!(
            DriverName::parse("External:").unwrap_err().to_string(),
            "`External:` has no path behind the colon"
        );
    }

    #[test]
    fn other_names_are_taken_as_they_are() {
        assert_eq!(DriverName::parse("External"), Ok(DriverName::Named("external".into())));
        assert_eq!(DriverName::parse("Docker"), Ok(DriverName::Named("Docker".into())));
        assert_eq!(DriverName::parse("unix:/x"), Ok(DriverName::Named("unix:/x".into())));
    }
}
