//! A directory in which a base is made, and its end: with the work, or with the next start.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, flock};

use super::{lock_file, try_exclusive};

/// What tells apart the directories of one process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A directory of one's own, mode 0700. It goes when this is dropped; [`Work::clear`] says so when it cannot.
#[derive(Debug)]
pub(in crate::image) struct Work {
    path: PathBuf,
    lock: Option<File>,
}

impl Work {
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // A process id comes again only when its process, and so whoever held the lock, is gone.
        let path = root.join(format!("{}-{number}", std::process::id()));
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = lock_file(&path.join("lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(Self { path, lock: Some(lock) })
    }

    pub(in crate::image) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory in it.
    pub(in crate::image) fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(path)
    }

    /// Removes it with all that is in it.
    pub(in crate::image) fn clear(mut self) -> io::Result<()> {
        let _lock = self.lock.take();
        std::fs::remove_dir_all(&self.path)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        let path = std::mem::take(&mut self.path);
        // On a thread of its own: whoever drops it may be in a hurry.
        let removal = std::thread::Builder::new().name("clear".into()).spawn(move || {
            let _lock = lock;
            if let Err(error) = std::fs::remove_dir_all(&path) {
                tracing::warn!(path = %path.display(), "cannot remove what was half made: {error}");
            }
        });
        if let Err(error) = removal {
            tracing::warn!("cannot remove what was half made: {error}; the next start does");
        }
    }
}

/// Removes the directories whose makers are gone; the cache's guard is held.
pub(super) fn clear(root: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(root)? {
        let path = entry?.path();
        let lock = path.join("lock");
        if !lock.exists() || try_exclusive(&lock_file(&lock)?) {
            std::fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}
