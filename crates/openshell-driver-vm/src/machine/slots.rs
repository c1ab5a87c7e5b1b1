//! Users of the host that QEMUs run as, one a machine, so that a QEMU that was taken over is no danger to another.
//!
//! A slot is taken by a lock on a file of its own. QEMU inherits the open file, so a slot is free exactly when nobody has
//! it any more: after a crash too, and in the view of a second driver on the same state directory.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use crate::config::Uids;

/// The range, and where its slots are locked.
#[derive(Debug)]
pub(super) struct Slots {
    dir: PathBuf,
    uids: Uids,
}

/// A user of the host that is nobody else's while this, or a copy of its file, is open.
#[derive(Debug)]
pub(super) struct Slot {
    /// The user's id, and that of a group of the same number.
    pub(super) uid: u32,
    /// What holds the lock; also to be given to QEMU.
    pub(super) lock: File,
}

impl Slots {
    /// Slots that are locked in `dir`, which is made 0700 when it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn open(dir: PathBuf, uids: Uids) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self { dir, uids })
    }

    /// Takes the lowest free slot; nothing when all are taken.
    ///
    /// # Errors
    /// The lock's file cannot be opened or locked.
    pub(super) fn take(&self) -> io::Result<Option<Slot>> {
        for number in 0..self.uids.count {
            let uid = self.uids.first.saturating_add(number);
            let path = self.dir.join(uid.to_string());
            // For reading: a QEMU that was taken over can write nothing to it.
            let lock = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
                    File::open(&path)?
                }
                lock => lock?,
            };
            match lock.try_lock() {
                Ok(()) => return Ok(Some(Slot { uid, lock })),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(dir: &tempfile::TempDir) -> Slots {
        Slots::open(dir.path().join("uids"), Uids { first: 1000, count: 2 }).expect("slots")
    }

    #[test]
    fn the_lowest_free_slot_is_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        let (one, another) = (slots(&dir), slots(&dir));
        let first = one.take().expect("taken").expect("a slot");
        let second = another.take().expect("taken").expect("a slot");
        assert_eq!((first.uid, second.uid), (1000, 1001));
        assert!(one.take().expect("asked").is_none());
        drop(first);
        assert_eq!(another.take().expect("taken").map(|slot| slot.uid), Some(1000));
    }

    #[test]
    fn a_slot_is_taken_while_a_copy_of_its_file_is_open() {
        let dir = tempfile::tempdir().expect("a directory");
        let slots = slots(&dir);
        let first = slots.take().expect("taken").expect("a slot");
        let inherited = first.lock.try_clone().expect("a copy");
        drop(first);
        assert_eq!(slots.take().expect("taken").map(|slot| slot.uid), Some(1001));
        drop(inherited);
        assert_eq!(slots.take().expect("taken").map(|slot| slot.uid), Some(1000));
    }
}
