//! An archive becomes files.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use tar::{Archive, Entry, EntryType};

use super::PIECE;
use super::beneath::{Beneath, settle};

/// Why an archive was not unpacked, or not all of it.
#[derive(Debug)]
pub(super) enum Problem {
    /// It cannot be read.
    Read(io::Error),
    /// It is no archive, or ends too early.
    Archive(io::Error),
    /// The directory cannot be made or opened.
    Directory(PathBuf, io::Error),
    /// One of its entries cannot be made.
    Entry(PathBuf, io::Error),
    /// One of its entries is of a kind that is not unpacked.
    Kind(PathBuf, EntryType),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "the archive cannot be read: {error}"),
            Self::Archive(error) => write!(f, "this is no whole tar archive: {error}"),
            Self::Directory(path, error) => write!(f, "cannot unpack in `{}`: {error}", path.display()),
            Self::Entry(path, error) => write!(f, "cannot unpack `{}`: {error}", path.display()),
            Self::Kind(path, kind) => write!(
                f,
                "cannot unpack `{}`: entries of the kind {kind:?} are neither files, directories nor links",
                path.display()
            ),
        }
    }
}

/// How many directories may wait to be finished: what is remembered of an archive has a bound.
const WAITING: usize = 10_000;

/// A directory whose mode and time wait until it is filled.
struct Unfinished {
    path: PathBuf,
    mode: Mode,
    mtime: u64,
}

/// Unpacks an archive below a directory. What was unpacked before something failed stays.
pub(super) fn unpack(input: File, directory: &Path) -> Result<(), Problem> {
    let mut target =
        Beneath::open(directory).map_err(|error| Problem::Directory(directory.to_owned(), error))?;
    let mut archive = Archive::new(BufReader::with_capacity(PIECE, input));
    let mut buffer = vec![0; PIECE];
    let mut unfinished = Vec::new();
    for entry in archive.entries().map_err(Problem::Archive)? {
        let mut entry = entry.map_err(Problem::Archive)?;
        let path = entry.path().map_err(Problem::Archive)?.into_owned();
        one(&mut entry, &path, &mut target, &mut buffer, &mut unfinished)?;
        if unfinished.len() > WAITING {
            // An archive is in the order of its tree: mostly it does not come back to what it has left.
            let (above, left): (Vec<_>, _) =
                unfinished.into_iter().partition(|it| path.starts_with(&it.path));
            finish(left, &mut target)?;
            unfinished = above;
        }
    }
    finish(unfinished, &mut target)?;
    // Whoever writes is not to meet a closed pipe because of what pads an archive.
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(Problem::Read)?;
    Ok(())
}

/// From the inside out: a directory's time changes with what is in it, and its mode may close it.
fn finish(directories: Vec<Unfinished>, target: &mut Beneath) -> Result<(), Problem> {
    for Unfinished { path, mode, mtime } in directories.into_iter().rev() {
        target.finish(&path, mode, mtime).map_err(|error| Problem::Entry(path, error))?;
    }
    Ok(())
}

fn one<R: Read>(
    entry: &mut Entry<'_, R>,
    path: &Path,
    target: &mut Beneath,
    buffer: &mut [u8],
    unfinished: &mut Vec<Unfinished>,
) -> Result<(), Problem> {
    let failed = |error| Problem::Entry(path.to_owned(), error);
    let header = entry.header();
    // The rights that an executable would have beyond its user's are not the sandbox's to take.
    let mode = Mode::from_raw_mode(header.mode().map_err(Problem::Archive)? & 0o777);
    let mtime = header.mtime().map_err(Problem::Archive)?;
    let kind = header.entry_type();
    let link = || match entry.link_name() {
        Ok(Some(link)) => Ok(link.into_owned()),
        Ok(None) => Err(Problem::Archive(io::Error::new(io::ErrorKind::InvalidData, "a link to nothing"))),
        Err(error) => Err(Problem::Archive(error)),
    };
    match kind {
        EntryType::Directory => {
            target.directory(path).map_err(failed)?;
            unfinished.push(Unfinished { path: path.to_owned(), mode, mtime });
        }
        EntryType::Symlink => target.symlink(path, &link()?).map_err(failed)?,
        EntryType::Link => target.link(path, &link()?).map_err(failed)?,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mut file = target.file(path).map_err(failed)?;
            let mut left = entry.size();
            while left > 0 {
                let count = match entry.read(buffer) {
                    Ok(0) => return Err(Problem::Archive(io::ErrorKind::UnexpectedEof.into())),
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(Problem::Read(error)),
                };
                file.write_all(&buffer[..count]).map_err(failed)?;
                left = left.saturating_sub(count as u64);
            }
            settle(file.into(), mode, mtime).map_err(failed)?;
        }
        // What is said of the archive as a whole, such as its size.
        EntryType::XGlobalHeader => {}
        kind => return Err(Problem::Kind(path.to_owned(), kind)),
    }
    Ok(())
}
