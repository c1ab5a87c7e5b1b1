//! One file, directory or link of a tree: made, given its owner, mode, times and attributes, removed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, RawMode, Stat, Timespec, Timestamps, Uid, XattrFlags, chmodat,
    chownat, fchmod, fchown, fsetxattr, ftruncate, futimens, mkdirat, mknodat, openat, statat, symlinkat,
    unlinkat, utimensat,
};
use rustix::io::{Errno, pwrite};

use super::{At, Tree, host_at};
use crate::image::disk::BLOCK;
use crate::image::tar::{Archive, Entry, Kind, Source};
use crate::image::trouble::Trouble;

/// Attributes that are kept: what a program may do, and what belongs to nobody but users. All others are about the
/// machine that the archive was made on.
const CAPABILITY: &str = "security.capability";
const USER: &str = "user.";

/// What is set on a node late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    mtime: Option<i64>,
    /// The capabilities of a program, where they could not be set.
    pub(super) capability: Option<Vec<u8>>,
}

/// What a removal gives back.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Freed {
    pub(super) bytes: u64,
    pub(super) nodes: u64,
}

impl Meta {
    /// The root of the tree, and directories that no entry is about.
    pub(super) const ROOT: Self = Self::IMPLIED;
    pub(super) const IMPLIED: Self =
        Self { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0, mtime: None, capability: None };

    pub(super) fn of(entry: &Entry, is_root: bool) -> Self {
        let capability = entry.xattrs.iter().find(|(name, _)| name == CAPABILITY && !is_root);
        Self {
            kind: entry.kind,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: Some(entry.mtime),
            capability: capability.map(|(_, value)| value.clone()),
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    pub(super) fn set_times(&self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
        match self.mtime {
            Some(mtime) => utimensat(parent, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW),
            None => Ok(()),
        }
    }
}

impl Tree {
    pub(super) fn directory(
        &mut self,
        entry: &Entry,
        parent: At,
        name: &[u8],
        path: &[u8],
    ) -> Result<(), Trouble> {
        let failed = |errno| host_at("make the directory", &entry.path)(errno);
        let made = mkdirat(self.at(parent), name, Mode::from_raw_mode(0o700));
        if made == Err(Errno::EXIST) {
            if !is_directory(&stat(self.at(parent), name).map_err(failed)?) {
                self.replace(entry, parent, name, path)?;
                mkdirat(self.at(parent), name, Mode::from_raw_mode(0o700)).map_err(failed)?;
                self.take(&entry.path, BLOCK)?;
            }
        } else {
            made.map_err(failed)?;
            self.take(&entry.path, BLOCK)?;
        }
        let parent = self.at(parent);
        if self.is_root {
            chownat(parent, name, owner(entry).0, owner(entry).1, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(failed)?;
            chmodat(parent, name, mode(entry), AtFlags::empty()).map_err(failed)?;
        }
        if entry.xattrs.is_empty() {
            return Ok(());
        }
        let inner = open_directory(parent, name).map_err(failed)?;
        self.attributes(entry, inner.as_fd())
    }

    pub(super) fn file<R: Source>(
        &mut self,
        entry: &Entry,
        parent: At,
        name: &[u8],
        path: &[u8],
        archive: &mut Archive<R>,
    ) -> Result<(), Trouble> {
        let failed = |errno| host_at("write", &entry.path)(errno);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = |tree: &Self| openat(tree.at(parent), name, flags, Mode::from_raw_mode(0o600));
        let file = match create(self) {
            Err(Errno::EXIST) => {
                self.replace(entry, parent, name, path)?;
                create(self).map_err(failed)?
            }
            other => other.map_err(failed)?,
        };
        self.take(&entry.path, entry.size)?;
        let (mut at, mut hole) = (0, false);
        loop {
            let piece = archive.data()?;
            let count = piece.len();
            if count == 0 {
                break;
            }
            // Zeros, of which bombs are made, become a hole.
            hole = count as u64 >= BLOCK && piece.iter().all(|byte| *byte == 0);
            if !hole {
                write_all(file.as_fd(), piece, at).map_err(failed)?;
            }
            at += count as u64;
            archive.used(count);
        }
        if hole {
            ftruncate(&file, at).map_err(failed)?;
        }
        if self.is_root {
            fchown(&file, owner(entry).0, owner(entry).1).map_err(failed)?;
            // After the owner, with which the set-user-ID bit goes.
            fchmod(&file, mode(entry)).map_err(failed)?;
        }
        self.attributes(entry, file.as_fd())?;
        futimens(&file, &times(entry.mtime)).map_err(failed)
    }

    /// A symbolic link, which may lead anywhere since nothing here follows it, or a FIFO.
    pub(super) fn special(
        &mut self,
        entry: &Entry,
        parent: At,
        name: &[u8],
        path: &[u8],
    ) -> Result<(), Trouble> {
        let failed = |errno| host_at("make", &entry.path)(errno);
        if entry.kind == Kind::Symlink && entry.link.is_empty() {
            return Err(Trouble::entry(&entry.path, "is a symbolic link to nothing"));
        }
        let make = |tree: &Self| match entry.kind {
            Kind::Symlink => symlinkat(entry.link.as_slice(), tree.at(parent), name),
            _ => mknodat(tree.at(parent), name, FileType::Fifo, Mode::from_raw_mode(0o600), 0),
        };
        match make(self) {
            Err(Errno::EXIST) => {
                self.replace(entry, parent, name, path)?;
                make(self).map_err(failed)?;
            }
            other => other.map_err(failed)?,
        }
        self.take(&entry.path, BLOCK)?;
        let parent = self.at(parent);
        if self.is_root {
            chownat(parent, name, owner(entry).0, owner(entry).1, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(failed)?;
            if entry.kind == Kind::Fifo {
                chmodat(parent, name, mode(entry), AtFlags::empty()).map_err(failed)?;
            }
        }
        utimensat(parent, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)
    }

    /// Removes what stands where an entry is to stand.
    fn replace(&mut self, entry: &Entry, parent: At, name: &[u8], path: &[u8]) -> Result<(), Trouble> {
        let freed = remove(self.at(parent), name).map_err(host_at("replace", &entry.path))?;
        self.forget(path, freed);
        Ok(())
    }

    fn attributes(&self, entry: &Entry, node: BorrowedFd<'_>) -> Result<(), Trouble> {
        for (name, value) in &entry.xattrs {
            if !(name.starts_with(USER) || name == CAPABILITY && self.is_root) {
                continue;
            }
            match fsetxattr(node, name.as_str(), value, XattrFlags::empty()) {
                Ok(()) => {}
                // The host's file system has no room for attributes of this size, or for any.
                Err(Errno::NOSPC | Errno::TOOBIG | Errno::RANGE | Errno::OPNOTSUPP) => {
                    let name = name.escape_debug();
                    let problem =
                        format!("has an attribute `{name}` that the host's file system cannot keep");
                    return Err(Trouble::entry(&entry.path, problem));
                }
                Err(errno) => return Err(host_at("set the attributes of", &entry.path)(errno)),
            }
        }
        Ok(())
    }
}

/// Opens a directory, and nothing that only leads to one.
pub(super) fn open_directory(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

pub(super) fn stat(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Stat, Errno> {
    statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
}

pub(super) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode as RawMode) == FileType::Directory
}

/// The names in a directory.
pub(super) fn names(directory: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if !matches!(name.as_slice(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}

/// Removes a node and all below it.
pub(super) fn remove(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Freed, Errno> {
    let found = stat(parent, name)?;
    if !is_directory(&found) {
        unlinkat(parent, name, AtFlags::empty())?;
        // Another name of it keeps what it takes.
        let (bytes, nodes) = match FileType::from_raw_mode(found.st_mode as RawMode) {
            _ if found.st_nlink > 1 => (0, 0),
            FileType::RegularFile => (u64::try_from(found.st_size).unwrap_or(0).next_multiple_of(BLOCK), 1),
            _ => (BLOCK, 1),
        };
        return Ok(Freed { bytes, nodes });
    }
    let inner = open_directory(parent, name)?;
    let mut freed = Freed { bytes: BLOCK, nodes: 1 };
    for name in names(inner.as_fd())? {
        let below = remove(inner.as_fd(), &name)?;
        freed.bytes += below.bytes;
        freed.nodes += below.nodes;
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR)?;
    Ok(freed)
}

fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match pwrite(file, bytes, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => (bytes, at) = (&bytes[count..], at + count as u64),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn mode(entry: &Entry) -> Mode {
    Mode::from_raw_mode(entry.mode)
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    // The largest number means, to the kernel, to leave the owner as it is.
    let uid = (entry.uid != u32::MAX).then(|| Uid::from_raw(entry.uid));
    let gid = (entry.gid != u32::MAX).then(|| Gid::from_raw(entry.gid));
    (uid, gid)
}

fn times(mtime: i64) -> Timestamps {
    let time = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
