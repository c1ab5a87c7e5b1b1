//! What lies at a path, in words for errors.

use std::fmt;

use rustix::fs::FileType;

/// What was found where a socket should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A socket.
    Socket,
    /// A symbolic link, which is never followed.
    Symlink,
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A device, a pipe, or what else a file system may hold.
    Other,
}

impl Found {
    pub(crate) fn of_mode(mode: rustix::fs::RawMode) -> Self {
        match FileType::from_raw_mode(mode) {
            FileType::Socket => Self::Socket,
            FileType::Symlink => Self::Symlink,
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socket => "a socket",
            Self::Symlink => "a symbolic link",
            Self::File => "a regular file",
            Self::Directory => "a directory",
            Self::Other => "neither a socket nor a file",
        })
    }
}
