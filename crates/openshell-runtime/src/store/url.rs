//! The database URL: `sqlite:PATH`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::StoreError;

/// A parsed `--db-url`. It is a path and nothing else: options after a `?` are part of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DbUrl {
    path: PathBuf,
}

impl DbUrl {
    /// The URL of a file.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl FromStr for DbUrl {
    type Err = StoreError;

    fn from_str(url: &str) -> Result<Self, StoreError> {
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(StoreError::Url { problem: "it does not begin with `sqlite:`" });
        };
        if !scheme.eq_ignore_ascii_case("sqlite") {
            return Err(StoreError::Scheme { scheme: scheme.to_owned() });
        }
        // `sqlite:///var/lib/x` is `sqlite:` with an empty authority.
        let path = match rest.strip_prefix("//") {
            Some(path) if path.is_empty() || path.starts_with('/') => path,
            Some(_) => {
                return Err(StoreError::Url { problem: "after `//` there has to be an absolute path" });
            }
            None => rest,
        };
        if path.is_empty() {
            return Err(StoreError::Url { problem: "the path is empty" });
        }
        if path.starts_with(":memory:") {
            return Err(StoreError::Url { problem: "a database in memory would forget every sandbox" });
        }
        if path.contains('\0') {
            return Err(StoreError::Url { problem: "the path holds a NUL" });
        }
        Ok(Self { path: path.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (url, path) in [
            ("sqlite:/var/lib/g.db", "/var/lib/g.db"),
            ("sqlite:///var/lib/g.db", "/var/lib/g.db"),
            ("sqlite:g.db", "g.db"),
            ("SQLite:./a b?c=d", "./a b?c=d"),
        ] {
            assert_eq!(url.parse::<DbUrl>().unwrap().path(), Path::new(path), "{url}");
        }
    }

    #[test]
    fn refused_without_showing_more_than_the_scheme() {
        for (url, says) in [
            ("", "does not begin"),
            ("/var/lib/g.db", "does not begin"),
            ("sqlite:", "the path is empty"),
            ("sqlite://", "the path is empty"),
            ("sqlite://host/g.db", "absolute path"),
            ("sqlite::memory:", "forget"),
            ("postgres://user:secret@host/db", "`postgres`"),
        ] {
            let error = url.parse::<DbUrl>().unwrap_err();
            assert!(error.to_string().contains(says), "{url}: {error}");
            assert!(!error.to_string().contains("secret"));
            assert!(error.hint().is_some());
        }
    }
}
