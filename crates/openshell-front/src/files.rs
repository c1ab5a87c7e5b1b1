//! Files that appear as a whole, and whether one has changed.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Replaces `path`, or makes it, with `bytes` and these permissions; who reads it sees the old file or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let fresh = Fresh::write(path, bytes, mode)?;
    fs::rename(&fresh.0, path)?;
    sync_directory(path)
}

/// Makes `path` with `bytes` and these permissions, or fails with [`io::ErrorKind::AlreadyExists`] where a rename would
/// replace what another has just made.
pub(crate) fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let fresh = Fresh::write(path, bytes, mode)?;
    fs::hard_link(&fresh.0, path)?;
    sync_directory(path)
}

/// The directory that a file is in.
pub(crate) fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a new name last.
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}

/// A file under a name that nobody looks for; the name goes with the value.
struct Fresh(PathBuf);

impl Fresh {
    fn write(beside: &Path, bytes: &[u8], mode: u32) -> io::Result<Self> {
        let mut suffix = [0; 8];
        getrandom::fill(&mut suffix).map_err(io::Error::other)?;
        let mut name = OsString::from(".");
        name.push(beside.file_name().unwrap_or_default());
        name.push(format!(".{:016x}", u64::from_ne_bytes(suffix)));
        let path = directory(beside).join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        let fresh = Self(path);
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(fresh)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // After a rename it is gone already.
        let _ = fs::remove_file(&self.0);
    }
}

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    mode: u32,
    modified: (i64, i64),
    /// When anything about it changed, which nobody can set back.
    pub(crate) changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            mode: found.mode(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}
