//! Files that are replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Replaces `path`, or makes it, with `bytes` and these permissions; who reads it sees the old file or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let fresh = Fresh(fresh_name(path)?);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh.0)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh.0, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// A name beside `path` that nobody looks for.
fn fresh_name(path: &Path) -> io::Result<PathBuf> {
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(io::Error::other)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}", u64::from_ne_bytes(suffix)));
    Ok(name.into())
}

/// A file under its first name; after the rename there is none.
struct Fresh(PathBuf);

impl Drop for Fresh {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
