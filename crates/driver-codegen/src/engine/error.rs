//! What can go wrong between the set and the tree.

use std::io;
use std::path::PathBuf;

/// A failure of the engine. It says what was being done; whether the tree is as it was is part of the type.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A file or directory could not be used; nothing was changed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which path.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A generated path, or a directory above it, is a symbolic link.
    #[error("`{}` is a symbolic link: generated files are written in place, not through links", .0.display())]
    Symlink(PathBuf),
    /// A generated path is a directory, a socket or the like.
    #[error("`{}` is no file, but has to hold generated text", .0.display())]
    NoFile(PathBuf),
    /// A path that leaves the tree.
    #[error("`{0}` is no path inside the tree")]
    Outside(String),
    /// Somebody else generates at this moment.
    #[error("another `cargo xtask gen` is at work in this tree")]
    Busy,
    /// A step of the swap failed; every file is as it was.
    #[error("cannot {action} `{path}`; every file is as it was")]
    RolledBack {
        /// What was tried.
        action: &'static str,
        /// With which path, relative to the root.
        path: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A step failed, and so did putting the old files back.
    #[error("cannot put the old files back; `{}` holds them, and the next `cargo xtask gen` tries again", journal.display())]
    NotRolledBack {
        /// The directory with the old files and the journal.
        journal: PathBuf,
        /// Why the old files could not be put back.
        #[source]
        source: Box<EngineError>,
    },
    /// The journal of an interrupted run cannot be read.
    #[error("`{}` is not the journal of an interrupted run; look at its directory, then remove it", .0.display())]
    Journal(PathBuf),
}

impl EngineError {
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
