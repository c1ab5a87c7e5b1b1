//! Where bases lie, and who may use and remove them; shared by every driver of a host that is given the same directory.
//!
//! ```text
//!   guard                          flock: shared to look and to publish, exclusive to remove
//!   turns/00 … 3f                  flock: one process at a time makes what these stand for
//!   work/<…>/                      what is being made; its `lock` is held by whoever makes it
//!   bases/<digest>-<size>/         lock (shared: held by users; its time is the last use), disk.ext4, image.json
//!   names/<digest of a name>.json  what a reference or a file was when it was last looked at
//! ```
//!
//! A base that has a further name ([`super::Prepared::pin`]) is in use. All that was half made is gone with the next start.

mod work;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, Timespec, Timestamps, UTIME_NOW, flock, futimens};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub(super) use self::work::Work;
use super::manifest::{Runs, is_digest};
use super::stream::digest_text;

/// How many turns there are: two images that share one wait for each other.
const TURNS: u8 = 64;

/// How often a turn is asked for.
const PACE: Duration = Duration::from_millis(50);

/// What a base is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) digest: String,
    pub(super) size: u64,
}

/// The directory.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    root: PathBuf,
}

/// Keeps a base where it is.
#[derive(Debug)]
pub(super) struct Held {
    _lock: File,
}

/// A base that is there.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) disk: PathBuf,
    pub(super) runs: Runs,
    pub(super) held: Held,
}

/// What lies beside a disk.
#[derive(Debug, Serialize, Deserialize)]
struct Image {
    digest: String,
    runs: Runs,
}

/// What a name was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    /// The reference or the path.
    pub(super) name: String,
    /// What tells this state of it from others; empty where there is none.
    pub(super) state: String,
    pub(super) digest: String,
}

impl Key {
    fn directory(&self) -> String {
        format!("{}-{}", self.digest.trim_start_matches("sha256:"), self.size)
    }
}

impl Cache {
    /// Makes the directory where it is not there, mode 0700, and removes what was half made by a process that is gone.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let cache = Self { root: root.to_owned() };
        for directory in ["", "turns", "work", "bases", "names"] {
            DirBuilder::new().recursive(true).mode(0o700).create(root.join(directory))?;
        }
        let _guard = cache.guard(FlockOperation::LockExclusive)?;
        work::clear(&root.join("work"))?;
        Ok(cache)
    }

    /// Waits until no other process makes what `name` stands for. Dropped, it waits no longer.
    pub(super) async fn turn(&self, name: &str) -> io::Result<File> {
        let turn = Sha256::digest(name)[0] % TURNS;
        let file = lock_file(&self.root.join("turns").join(format!("{turn:02x}")))?;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::WOULDBLOCK) => tokio::time::sleep(PACE).await,
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// A directory to work in.
    pub(super) fn work(&self) -> io::Result<Work> {
        let _guard = self.guard(FlockOperation::LockShared)?;
        Work::new(&self.root.join("work"))
    }

    /// The base, when it is there and whole; it counts as used now.
    pub(super) fn find(&self, key: &Key) -> io::Result<Option<Base>> {
        let _guard = self.guard(FlockOperation::LockShared)?;
        let directory = self.root.join("bases").join(key.directory());
        let Some(image) = read::<Image>(&directory.join("image.json"))? else { return Ok(None) };
        let disk = directory.join("disk.ext4");
        let whole =
            std::fs::symlink_metadata(&disk).is_ok_and(|disk| disk.is_file() && disk.len() == key.size);
        if !whole || image.digest != key.digest {
            return Ok(None);
        }
        let lock = lock_file(&directory.join("lock"))?;
        flock(&lock, FlockOperation::LockShared)?;
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        futimens(&lock, &Timestamps { last_access: now, last_modification: now })?;
        Ok(Some(Base { disk, runs: image.runs, held: Held { _lock: lock } }))
    }

    /// Makes a disk that lies in `work` a base; where there is one already, that one stays.
    pub(super) fn publish(&self, work: &Work, key: &Key, disk: &Path, runs: &Runs) -> io::Result<()> {
        if self.find(key)?.is_some() {
            return Ok(());
        }
        File::open(disk)?.sync_all()?;
        let base = work.path().join("base");
        DirBuilder::new().mode(0o700).create(&base)?;
        std::fs::rename(disk, base.join("disk.ext4"))?;
        write(&base.join("image.json"), &Image { digest: key.digest.clone(), runs: runs.clone() })?;
        lock_file(&base.join("lock"))?;
        sync(&base)?;
        let bases = self.root.join("bases");
        let place = bases.join(key.directory());
        let _guard = self.guard(FlockOperation::LockExclusive)?;
        if place.exists() && lock_file(&place.join("lock")).is_ok_and(|lock| try_exclusive(&lock)) {
            // One that is not whole: a whole one is found above, or by whoever comes next.
            std::fs::rename(&place, work.path().join("broken"))?;
        }
        std::fs::rename(&base, &place)?;
        sync(&bases)
    }

    /// What a name was when it was last looked at.
    pub(super) fn named(&self, name: &str) -> io::Result<Option<Named>> {
        let named = read::<Named>(&self.name(name))?;
        Ok(named.filter(|named| named.name == name && is_digest(&named.digest)))
    }

    /// Keeps what a name is now.
    pub(super) fn name_as(&self, work: &Work, named: &Named) -> io::Result<()> {
        let file = work.path().join("name.json");
        write(&file, named)?;
        std::fs::rename(file, self.name(&named.name))
    }

    fn name(&self, name: &str) -> PathBuf {
        let digest = digest_text(&Sha256::digest(name));
        self.root.join("names").join(format!("{}.json", digest.trim_start_matches("sha256:")))
    }

    /// Removes bases that nobody uses and nobody has used for `kept`, and names of bases that are not there. Says how many bases went.
    pub(super) fn sweep(&self, kept: Duration) -> io::Result<usize> {
        let _guard = self.guard(FlockOperation::LockExclusive)?;
        let mut gone = 0;
        let mut digests = std::collections::BTreeSet::new();
        for entry in std::fs::read_dir(self.root.join("bases"))? {
            let base = entry?.path();
            let lock = lock_file(&base.join("lock"))?;
            let used = lock.metadata()?.modified()?;
            let idle = SystemTime::now().duration_since(used).unwrap_or_default();
            let pinned = std::fs::symlink_metadata(base.join("disk.ext4")).is_ok_and(|disk| disk.nlink() > 1);
            if !pinned && idle >= kept && try_exclusive(&lock) {
                std::fs::remove_dir_all(&base)?;
                gone += 1;
            } else if let Some(image) = read::<Image>(&base.join("image.json"))? {
                digests.insert(image.digest);
            }
        }
        for entry in std::fs::read_dir(self.root.join("names"))? {
            let path = entry?.path();
            if !read::<Named>(&path)?.is_some_and(|named| digests.contains(&named.digest)) {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(gone)
    }

    fn guard(&self, operation: FlockOperation) -> io::Result<File> {
        let file = lock_file(&self.root.join("guard"))?;
        flock(&file, operation)?;
        Ok(file)
    }
}

/// A file whose only use is its lock.
fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn try_exclusive(lock: &File) -> bool {
    flock(lock, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Reads a document of the cache's own; one that makes no sense is one that is not there, and is made anew.
fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> io::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests;
