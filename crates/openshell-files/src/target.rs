//! A directory that files are unpacked below, and ways to places below it that nothing leads out of.
//!
//! A place is reached with `openat2` and `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`: the kernel itself refuses a way that
//! passes through a link, or out. Where it has no `openat2` (before Linux 5.6, or under a filter that does not know it)
//! the same way is gone step by step, each with `O_NOFOLLOW`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, statat};
use rustix::io::Errno;

use crate::FilesError;

/// A directory to unpack below.
#[derive(Debug)]
pub struct Target {
    /// As it was named, for messages.
    path: PathBuf,
    directory: OwnedFd,
    /// What the one entry at the top of an archive is called here.
    name: Option<OsString>,
}

impl Target {
    /// Opens `directory`, which is made, with those above it, when it is not there. With a `name`, the one entry at the
    /// top of the archive gets that name; unless there is a directory of that name: then it goes into that, under its
    /// own name. So it is with cp(1).
    ///
    /// # Errors
    /// The directory cannot be made or opened, or `name` is no name of a file.
    pub fn open(directory: &Path, name: &OsStr) -> Result<Self, FilesError> {
        // Empty is where we are.
        let path = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        fs::create_dir_all(path).map_err(|source| FilesError::File {
            doing: "make the directory",
            path: path.to_owned(),
            source,
        })?;
        if name.is_empty() {
            return Self::at(path.to_owned(), None);
        }
        if Path::new(name).components().ne([Component::Normal(name)]) {
            return Err(FilesError::File {
                doing: "make",
                path: path.join(name),
                source: std::io::Error::other("that is no name of a file"),
            });
        }
        let inside = path.join(name);
        if inside.is_dir() {
            Self::at(inside, None)
        } else {
            Self::at(path.to_owned(), Some(name.to_owned()))
        }
    }

    fn at(path: PathBuf, name: Option<OsString>) -> Result<Self, FilesError> {
        let directory =
            openat(CWD, &path, DIRECTORY, Mode::empty()).map_err(FilesError::file("open", &path))?;
        Ok(Self { path, directory, name })
    }

    /// What the one entry at the top of an archive is called here, when that is not its own name.
    pub(crate) fn name(&self) -> Option<&OsStr> {
        self.name.as_deref()
    }

    /// A place below it, for messages.
    pub(crate) fn shown(&self, place: &Path) -> PathBuf {
        if self.path == Path::new(".") { place.to_owned() } else { self.path.join(place) }
    }

    /// Opens a directory below; `.` is this one.
    pub(crate) fn descend(&self, place: &Path) -> Result<OwnedFd, Errno> {
        let place = if place.as_os_str().is_empty() { Path::new(".") } else { place };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        loop {
            return match openat2(&self.directory, place, DIRECTORY, Mode::empty(), resolve) {
                // Something was renamed at the same time, so that the kernel is not sure.
                Err(Errno::AGAIN | Errno::INTR) => continue,
                // Filters of system calls answer EPERM to what they do not know.
                Err(Errno::NOSYS | Errno::PERM) => self.walk(place),
                outcome => outcome,
            };
        }
    }

    fn walk(&self, place: &Path) -> Result<OwnedFd, Errno> {
        let mut at = openat(&self.directory, ".", DIRECTORY, Mode::empty())?;
        for step in place.components() {
            match step {
                Component::CurDir => {}
                Component::Normal(name) => {
                    at = match openat(&at, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()) {
                        Err(Errno::NOTDIR) if is_link(&at, name) => return Err(Errno::LOOP),
                        outcome => outcome?,
                    }
                }
                _ => return Err(Errno::XDEV),
            }
        }
        Ok(at)
    }

    /// Opens a directory below, making what is missing of the way.
    pub(crate) fn reach(&self, place: &Path) -> Result<OwnedFd, FilesError> {
        match self.descend(place) {
            Err(Errno::NOENT) => {}
            outcome => return outcome.map_err(FilesError::file("go into", &self.shown(place))),
        }
        let mut way = PathBuf::new();
        for step in place.components() {
            let above = self.descend(&way).map_err(FilesError::file("go into", &self.shown(&way)))?;
            way.push(step);
            match mkdirat(&above, step.as_os_str(), Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => {
                    return Err(FilesError::file("make the directory", &self.shown(&way))(errno));
                }
            }
        }
        self.descend(place).map_err(FilesError::file("go into", &self.shown(place)))
    }
}

/// How a directory is opened: for what is done below it.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn is_link(at: &OwnedFd, name: &OsStr) -> bool {
    statat(at, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|what| FileType::from_raw_mode(what.st_mode) == FileType::Symlink)
}

/// A path of an archive as a place below a directory: its plain components. `None` and why for one that leads anywhere else.
pub(crate) fn place(path: &[u8]) -> Result<PathBuf, &'static str> {
    if path.contains(&0) {
        return Err("has a NUL in its name");
    }
    let mut out = PathBuf::new();
    for step in Path::new(OsStr::from_bytes(path)).components() {
        match step {
            Component::Normal(name) => out.push(name),
            Component::CurDir => {}
            Component::ParentDir => return Err("leads out of the directory by `..`"),
            Component::RootDir | Component::Prefix(_) => return Err("is an absolute path"),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_made_of_names_alone() {
        for (path, expected) in
            [("a/b", Some("a/b")), ("./a//b/.", Some("a/b")), ("./", Some("")), ("", Some(""))]
        {
            assert_eq!(place(path.as_bytes()).ok().as_deref(), expected.map(Path::new), "{path}");
        }
        for path in ["..", "a/../b", "/a", "//", "a/..", "a\0b"] {
            assert!(place(path.as_bytes()).is_err(), "{path}");
        }
    }

    #[test]
    fn both_ways_down_stop_at_a_link_and_at_what_is_no_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("a/b")).expect("directories");
        fs::write(dir.path().join("file"), "").expect("a file");
        std::os::unix::fs::symlink("a", dir.path().join("link")).expect("a link");
        std::os::unix::fs::symlink("/", dir.path().join("out")).expect("a link");
        let target = Target::open(dir.path(), OsStr::new("")).expect("a target");
        for (place, expected) in [
            ("", None),
            ("a", None),
            ("a/b", None),
            ("link", Some(Errno::LOOP)),
            ("link/b", Some(Errno::LOOP)),
            ("out/tmp", Some(Errno::LOOP)),
            ("a/c", Some(Errno::NOENT)),
            ("file/x", Some(Errno::NOTDIR)),
        ] {
            assert_eq!(target.descend(Path::new(place)).err(), expected, "{place}");
            assert_eq!(target.walk(Path::new(place)).err(), expected, "step by step: {place}");
        }
        assert_eq!(target.walk(Path::new("a/../..")).err(), Some(Errno::XDEV));
        assert_eq!(target.descend(Path::new("a/../..")).err(), Some(Errno::XDEV));
    }
}
