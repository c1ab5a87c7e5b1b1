//! A directory that no path leads out of.
//!
//! Whatever is written goes by a descriptor of the directory, and the kernel resolves every path beneath it
//! (openat2(2), `RESOLVE_BENEATH`): a `..`, an absolute symbolic link or a magic one that would lead out is an error,
//! also where somebody puts it there meanwhile. What a path names last is never followed: it is replaced.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, fchmod, futimens, linkat,
    mkdirat, openat, openat2, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// For directories while they are filled, and files until they are whole.
const PRIVATE: Mode = Mode::RWXU;

/// The directory.
pub(super) struct Beneath {
    root: OwnedFd,
    /// Whether the kernel resolves beneath it; otherwise no symbolic link is followed at all.
    resolves: bool,
    /// The directory of the last path, which is mostly that of the next.
    last: Option<(PathBuf, OwnedFd)>,
}

/// A path that names nothing beneath, in words.
fn leads_out() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it would lead out of the directory")
}

impl Beneath {
    /// Opens a directory, which is made, with those above it, where it is not there.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let root = openat(CWD, directory, DIRECTORY, Mode::empty())?;
        // Kernels before 5.6 have it not, and filters of container engines of that time refuse it.
        let resolves = openat2(&root, ".", DIRECTORY, Mode::empty(), ResolveFlags::BENEATH).is_ok();
        Ok(Self { root, resolves, last: None })
    }

    /// Makes a directory, or leaves the one that is there.
    pub(super) fn directory(&mut self, path: &Path) -> io::Result<()> {
        let Some((parent, name)) = self.parent(path)? else { return Ok(()) };
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => return Ok(()),
            Ok(_) => unlinkat(parent, name, AtFlags::empty())?,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(mkdirat(parent, name, PRIVATE)?)
    }

    /// Makes a new file, in place of what is there unless that is a directory.
    pub(super) fn file(&mut self, path: &Path) -> io::Result<fs::File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.replace(path, |parent, name| openat(parent, name, flags, PRIVATE).map(fs::File::from))
    }

    /// Makes a symbolic link, in place of what is there unless that is a directory. What it says is not looked at:
    /// nothing here follows it out.
    pub(super) fn symlink(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        self.replace(path, |parent, name| symlinkat(target, parent, name))
    }

    /// Makes another name for a file beneath, in place of what is there unless that is a directory.
    pub(super) fn link(&mut self, path: &Path, existing: &Path) -> io::Result<()> {
        if same(path, existing)? {
            return Ok(());
        }
        let name = existing.file_name().ok_or_else(leads_out)?.to_owned();
        let Some((parent, _)) = self.parent(existing)? else { return Err(leads_out()) };
        let from = parent.try_clone()?;
        self.replace(path, |parent, new| linkat(&from, &name, parent, new, AtFlags::empty()))
    }

    /// Gives a directory its mode and its time, once it is filled.
    pub(super) fn finish(&mut self, path: &Path, mode: Mode, mtime: u64) -> io::Result<()> {
        let Some((parent, name)) = self.parent(path)? else { return Ok(()) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        settle(openat(parent, name, flags, Mode::empty())?, mode, mtime)
    }

    fn replace<T>(
        &mut self,
        path: &Path,
        make: impl Fn(&OwnedFd, &OsStr) -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        let Some((parent, name)) = self.parent(path)? else { return Err(leads_out()) };
        match make(parent, name) {
            Err(Errno::EXIST) => {
                unlinkat(parent, name, AtFlags::empty())?;
                Ok(make(parent, name)?)
            }
            result => Ok(result?),
        }
    }

    /// The directory that a path is in, made where it is not there, and the path's last name; nothing for the root
    /// itself.
    fn parent<'a>(&mut self, path: &'a Path) -> io::Result<Option<(&OwnedFd, &'a OsStr)>> {
        let names = names(path)?;
        let Some((name, above)) = names.split_last() else { return Ok(None) };
        let above: PathBuf = above.iter().collect();
        if self.last.as_ref().is_none_or(|(last, _)| *last != above) {
            let opened = match self.resolve(&above) {
                Err(Errno::NOENT) => self.make(&above)?,
                result => result.map_err(explain)?,
            };
            self.last = Some((above, opened));
        }
        Ok(self.last.as_ref().map(|(_, opened)| (opened, *name)))
    }

    /// Makes what is missing of a directory's path.
    fn make(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut opened = self.resolve(Path::new(""))?;
        let mut prefix = PathBuf::new();
        for name in path {
            match mkdirat(&opened, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            prefix.push(name);
            opened = self.resolve(&prefix).map_err(explain)?;
        }
        Ok(opened)
    }

    fn resolve(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        if self.resolves {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            return openat2(&self.root, path, DIRECTORY, Mode::empty(), how);
        }
        let mut opened = openat(&self.root, ".", DIRECTORY, Mode::empty())?;
        for name in path {
            opened = openat(&opened, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(opened)
    }
}

/// Gives an open file its mode and its time, in seconds since the Unix epoch.
pub(super) fn settle(file: OwnedFd, mode: Mode, mtime: u64) -> io::Result<()> {
    fchmod(&file, mode)?;
    let time = Timespec { tv_sec: mtime.try_into().unwrap_or(i64::MAX), tv_nsec: 0 };
    Ok(futimens(&file, &Timestamps { last_access: time, last_modification: time })?)
}

/// What the kernel says of a path that leads out.
fn explain(error: Errno) -> io::Error {
    match error {
        Errno::XDEV | Errno::LOOP => leads_out(),
        error => error.into(),
    }
}

/// The names of a path that stays beneath.
fn names(path: &Path) -> io::Result<Vec<&OsStr>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(leads_out()),
        }
    }
    Ok(names)
}

fn same(one: &Path, other: &Path) -> io::Result<bool> {
    Ok(names(one)? == names(other)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Where the kernel resolves, and where it does not.
    fn both(check: impl Fn(&Path, &mut Beneath)) {
        for resolves in [true, false] {
            let directory = tempfile::tempdir().expect("a directory");
            let target = directory.path().join("made/target");
            let mut beneath = Beneath::open(&target).expect("opened");
            beneath.resolves &= resolves;
            check(&target, &mut beneath);
        }
    }

    #[test]
    fn what_is_missing_above_is_made() {
        both(|target, beneath| {
            beneath.file("a/b/./c".as_ref()).expect("made").write_all(b"x").expect("written");
            beneath.directory("a/b/d/e".as_ref()).expect("made");
            beneath.directory("a".as_ref()).expect("is there");
            beneath.directory(".".as_ref()).expect("is the target");
            beneath.link("l".as_ref(), "a/b/c".as_ref()).expect("linked");
            beneath.link("l".as_ref(), "./l".as_ref()).expect("is itself");
            assert_eq!(fs::read(target.join("l")).expect("read"), b"x");
            assert!(target.join("a/b/d/e").is_dir());
        });
    }

    #[test]
    fn nothing_leads_out() {
        both(|target, beneath| {
            let outside = target.join("..");
            fs::create_dir(outside.join("inner")).expect("a directory");
            symlink("..", target.join("up")).expect("a link");
            symlink(outside.canonicalize().expect("a path"), target.join("absolute")).expect("a link");
            for path in ["../x", "/x", "up/x", "absolute/x", "up/inner/x", "a/../../x"] {
                assert!(beneath.file(path.as_ref()).is_err(), "{path}");
                assert!(beneath.directory(path.as_ref()).is_err(), "{path}");
                assert!(beneath.symlink(path.as_ref(), "y".as_ref()).is_err(), "{path}");
                assert!(beneath.link("h".as_ref(), path.as_ref()).is_err(), "{path}");
            }
            let mut names: Vec<_> =
                fs::read_dir(&outside).expect("entries").flatten().map(|entry| entry.file_name()).collect();
            names.sort();
            assert_eq!(names, ["inner", "target"]);
            assert_eq!(fs::read_dir(outside.join("inner")).expect("entries").count(), 0);
            // The last name is replaced.
            beneath.file("up".as_ref()).expect("a file in place of the link");
            beneath.directory("absolute".as_ref()).expect("a directory in place of the link");
            assert!(fs::symlink_metadata(target.join("absolute")).expect("metadata").is_dir());
        });
    }
}
