//! Something new in a directory: made under a name of its own, and renamed when it is whole. What stood there before is
//! there until then, and nobody ever sees half of it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::rc::Rc;

use rustix::fs::{AtFlags, Mode, OFlags, linkat, openat, renameat, symlinkat, unlinkat};
use rustix::io::Errno;

/// How many names are tried before it is given up.
const TRIES: u32 = 10_000;

/// Something that has no name yet but a temporary one, which goes with it.
#[derive(Debug)]
pub(crate) struct Fresh {
    directory: Rc<OwnedFd>,
    name: OsString,
}

impl Fresh {
    /// A file, empty and its owner's alone.
    pub(crate) fn file(directory: &Rc<OwnedFd>) -> Result<(Self, File), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Self::make(directory, |name| openat(directory, name, flags, Mode::RUSR | Mode::WUSR))
            .map(|(fresh, file)| (fresh, File::from(file)))
    }

    /// A symbolic link.
    pub(crate) fn symlink(directory: &Rc<OwnedFd>, to: &OsStr) -> Result<Self, Errno> {
        Self::make(directory, |name| symlinkat(to, directory, name)).map(|(fresh, ())| fresh)
    }

    /// Another name of a file that is there: `name` in `of`.
    pub(crate) fn hard_link(directory: &Rc<OwnedFd>, of: &OwnedFd, name: &OsStr) -> Result<Self, Errno> {
        Self::make(directory, |new| linkat(of, name, directory, new, AtFlags::empty()))
            .map(|(fresh, ())| fresh)
    }

    fn make<T>(
        directory: &Rc<OwnedFd>,
        make: impl Fn(&OsStr) -> Result<T, Errno>,
    ) -> Result<(Self, T), Errno> {
        let process = rustix::process::getpid();
        for number in 0..TRIES {
            let name = format!(".openshell-{}-{number}.part", process.as_raw_nonzero());
            let name = OsString::from_vec(name.into_bytes());
            match make(&name) {
                // Another process of that number, in another namespace or of another day.
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
                Ok(made) => return Ok((Self { directory: directory.clone(), name }, made)),
            }
        }
        Err(Errno::EXIST)
    }

    /// The temporary name, for what is set by name.
    pub(crate) fn name(&self) -> &OsStr {
        &self.name
    }

    /// Gives it its name, in the place of any file or link that has it.
    pub(crate) fn place(self, name: &OsStr) -> Result<(), Errno> {
        // Its drop removes what is left under the temporary name: nothing, or, where both were names of one file, that one.
        renameat(&self.directory, &self.name, &self.directory, name)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let _ = unlinkat(&self.directory, &self.name, AtFlags::empty());
    }
}
