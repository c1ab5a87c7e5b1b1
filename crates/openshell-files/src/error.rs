//! What can go wrong on the way in or out.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Why files were not packed or unpacked. Paths are shown as they are: whoever prints them to a terminal escapes them.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// Something cannot be done to a file.
    #[error("cannot {doing} `{path}`", path = path.display())]
    File {
        /// Completes "cannot …".
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// An archive wants something that no archive may have.
    #[error("the archive holds `{path}`, which {why}", path = path.display())]
    Refused {
        /// The entry's name, as the archive has it.
        path: PathBuf,
        /// Completes "which …".
        why: &'static str,
    },
    /// An archive stops before its end marker.
    #[error("the archive ends too early: it was cut off on its way, or is no tar archive")]
    Truncated,
    /// An archive makes no sense, or cannot be read any further.
    #[error("cannot read the archive")]
    Archive(#[source] io::Error),
    /// Whoever takes the archive takes no more of it.
    #[error("cannot pass the archive on")]
    Stream(#[source] io::Error),
}

impl FilesError {
    /// It and its causes on one line, for whoever is told of it through a pipe.
    #[must_use]
    pub fn line(&self) -> String {
        let mut out = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(source) = cause {
            out += &format!(": {source}");
            cause = source.source();
        }
        out.replace('\n', " ")
    }

    /// For an error of the system about a file.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(Errno) -> Self + use<> {
        let path = path.to_owned();
        move |errno| Self::File { doing, path, source: told(errno) }
    }

    /// For an entry that is refused.
    pub(crate) fn refused(path: &Path, why: &'static str) -> Self {
        Self::Refused { path: path.to_owned(), why }
    }
}

/// An error of the system; what "too many levels of symbolic links" means here is said.
fn told(errno: Errno) -> io::Error {
    match errno {
        Errno::LOOP => io::Error::other("a symbolic link stands where a directory would have to be"),
        other => other.into(),
    }
}
