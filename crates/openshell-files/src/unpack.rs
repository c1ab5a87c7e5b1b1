//! A tar stream into files below a directory. Whoever made the archive is not believed: nothing outside the directory is
//! read, written or linked to, whatever the archive says, and what it may take of memory is bounded.

use std::cell::Cell;
use std::ffi::OsStr;
use std::io::{self, Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, Mode, Timespec, Timestamps, UTIME_OMIT, fchmod, futimens, mkdirat, utimensat};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use crate::place::Fresh;
use crate::target::{Target, place};
use crate::{Event, FilesError, PIECE, Watch, record};

/// How much of an archive may be headers of one entry: names, links, attributes.
const HEADERS: u64 = 1024 * 1024;
/// The permissions that an archive can give. Nobody's archive makes a set-user-id program.
const PERMISSIONS: u32 = 0o777;

/// Unpacks the archive that `input` is, to its end. With `only`, each path in it has to begin with that name.
///
/// What is there already: a file or a link is replaced, at once and whole; a directory is gone into and keeps its own
/// permissions; a directory is never replaced by a file, nor a file or a link by a directory. Gives back how much was
/// left out, each of it told to `watch`: sockets, pipes, devices. After an error, what came before it is there.
///
/// # Errors
/// Something cannot be made or written; the archive is damaged, was cut off, or wants something that no archive may have.
pub fn unpack(
    target: &Target,
    only: Option<&OsStr>,
    input: impl Read,
    watch: &mut Watch<'_>,
) -> Result<u64, FilesError> {
    let gauge = Rc::new(Gauge { headers: Cell::new(u64::MAX), over: Cell::new(false) });
    let mut archive = Archive::new(Gauged { input, gauge: gauge.clone() });
    let mut unpacker = Unpacker {
        target,
        only,
        watch,
        gauge: gauge.clone(),
        buffer: vec![0; PIECE],
        near: None,
        open: Vec::new(),
        top: None,
        skipped: 0,
    };
    let mut entries = archive.entries().map_err(FilesError::Archive)?;
    loop {
        gauge.headers.set(HEADERS);
        let entry = entries.next();
        gauge.headers.set(u64::MAX);
        // A stream that was cut off between two entries looks like one that is over, but for the end marker.
        if gauge.over.get() {
            return Err(FilesError::Truncated);
        }
        match entry {
            Some(entry) => unpacker.take(entry.map_err(FilesError::Archive)?)?,
            None => break,
        }
    }
    unpacker.leave(Path::new(""))?;
    let skipped = unpacker.skipped;
    // Whoever sends has sent it all only when nothing of it was turned away.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(FilesError::Archive)?;
    Ok(skipped)
}

/// What is known of the stream while it is read.
struct Gauge {
    /// How much may still be read before it is too much.
    headers: Cell<u64>,
    /// Whether it has ended.
    over: Cell<bool>,
}

struct Gauged<R> {
    input: R,
    gauge: Rc<Gauge>,
}

impl<R: Read> Read for Gauged<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            self.gauge.over.set(true);
        }
        let left = self.gauge.headers.get();
        if left < u64::MAX {
            let left = left.checked_sub(count as u64).ok_or_else(|| {
                io::Error::other(format!("the headers of one entry are longer than {HEADERS} bytes"))
            })?;
            self.gauge.headers.set(left);
        }
        Ok(count)
    }
}

/// A directory that was made here: what it is to have when everything is in it.
struct Made {
    place: PathBuf,
    mode: u32,
    time: Option<Timestamps>,
}

struct Unpacker<'a, 'w> {
    target: &'a Target,
    only: Option<&'a OsStr>,
    watch: &'a mut Watch<'w>,
    gauge: Rc<Gauge>,
    buffer: Vec<u8>,
    /// The directory that was worked in last.
    near: Option<(PathBuf, Rc<OwnedFd>)>,
    /// Directories that were made, each below the one before it.
    open: Vec<Made>,
    /// The one entry at the archive's top, where there may be one alone.
    top: Option<PathBuf>,
    skipped: u64,
}

impl Unpacker<'_, '_> {
    fn take<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), FilesError> {
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            let mut records = Vec::new();
            (&mut entry).take(HEADERS).read_to_end(&mut records).map_err(FilesError::Archive)?;
            if let Some(total) = record::total(&records) {
                (self.watch)(Event::Total(total));
            }
            return drain(&mut entry);
        }
        let path = entry.path_bytes().into_owned();
        let place = self.place(&path)?;
        self.leave(&place)?;
        let time = entry.header().mtime().ok().and_then(|seconds| i64::try_from(seconds).ok());
        let time = time.map(timestamps);
        let mode = entry.header().mode().unwrap_or(0o644) & PERMISSIONS;
        let Some((above, name)) = place.parent().zip(place.file_name()) else {
            // The directory itself, which is there and keeps what it has.
            return drain(&mut entry);
        };
        match kind {
            EntryType::Directory => self.directory(above, name, &place, mode, time)?,
            EntryType::Symlink => {
                let link = link(&entry, &path)?;
                let directory = self.near(above)?;
                let fresh =
                    Fresh::symlink(&directory, OsStr::from_bytes(&link)).map_err(self.at("make", &place))?;
                if let Some(time) = &time {
                    let _ = utimensat(&*directory, fresh.name(), time, AtFlags::SYMLINK_NOFOLLOW);
                }
                fresh.place(name).map_err(self.at("replace", &place))?;
            }
            EntryType::Link => {
                let link = link(&entry, &path)?;
                let to = self.place(&link)?;
                let directory = self.near(above)?;
                let Some((to_above, to_name)) = to.parent().zip(to.file_name()) else {
                    return Err(FilesError::refused(&shown(&path), "is a second name of a directory"));
                };
                let of = self.target.descend(to_above).map_err(self.at("find", &to))?;
                Fresh::hard_link(&directory, &of, to_name)
                    .and_then(|fresh| fresh.place(name))
                    .map_err(self.at("link", &place))?;
            }
            EntryType::Regular | EntryType::Continuous => {
                return self.file(&mut entry, above, name, &place, mode, time);
            }
            // A few bytes of it may stand for more than a disk holds.
            EntryType::GNUSparse => {
                let why = "is kept as a sparse file: make the archive without --sparse";
                return Err(FilesError::refused(&shown(&path), why));
            }
            _ => {
                self.skipped += 1;
                let path = self.target.shown(&place);
                (self.watch)(Event::Skipped { path: &path, why: "is no file, directory or link" });
            }
        }
        drain(&mut entry)
    }

    /// Where a path of the archive is below the target.
    fn place(&mut self, path: &[u8]) -> Result<PathBuf, FilesError> {
        let refused = |why| FilesError::refused(&shown(path), why);
        let place = place(path).map_err(refused)?;
        let mut steps = place.components();
        let first = steps.next();
        if let Some(only) = self.only
            && first.is_none_or(|first| first.as_os_str() != only)
        {
            return Err(refused("is none of what was asked for"));
        }
        let Some(name) = self.target.name() else { return Ok(place) };
        let first = first.ok_or_else(|| refused("has no name that could become another"))?;
        let first = Path::new(first.as_os_str());
        if self.top.get_or_insert_with(|| first.to_owned()) != first {
            return Err(refused("is not the only one at its top, so that it cannot become one name"));
        }
        let rest = steps.as_path();
        Ok(if rest.as_os_str().is_empty() { PathBuf::from(name) } else { Path::new(name).join(rest) })
    }

    fn file<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        above: &Path,
        name: &OsStr,
        place: &Path,
        mode: u32,
        time: Option<Timestamps>,
    ) -> Result<(), FilesError> {
        let directory = self.near(above)?;
        let (fresh, mut file) = Fresh::file(&directory).map_err(self.at("make", place))?;
        loop {
            let count = match entry.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(FilesError::Truncated);
                }
                Err(error) => return Err(FilesError::Archive(error)),
            };
            file.write_all(&self.buffer[..count]).map_err(|source| FilesError::File {
                doing: "write",
                path: self.target.shown(place),
                source,
            })?;
            (self.watch)(Event::Bytes(count as u64));
        }
        // The data of a stream that was cut off ends like that of a file that is whole.
        if self.gauge.over.get() {
            return Err(FilesError::Truncated);
        }
        fchmod(&file, Mode::from_raw_mode(mode)).map_err(self.at("set the permissions of", place))?;
        if let Some(time) = &time {
            let _ = futimens(&file, time);
        }
        fresh.place(name).map_err(self.at("replace", place))
    }

    fn directory(
        &mut self,
        above: &Path,
        name: &OsStr,
        place: &Path,
        mode: u32,
        time: Option<Timestamps>,
    ) -> Result<(), FilesError> {
        let directory = self.near(above)?;
        match mkdirat(&*directory, name, Mode::RWXU) {
            Ok(()) => {
                self.open.push(Made { place: place.to_owned(), mode, time });
                Ok(())
            }
            // One that is there stays as it is; whatever else is there cannot be gone into.
            Err(Errno::EXIST) => self
                .target
                .descend(place)
                .map(drop)
                .map_err(self.at("put a directory in the place of", place)),
            Err(errno) => Err(self.at("make the directory", place)(errno)),
        }
    }

    /// Gives the directories that `next` is not below what they are to have, now that everything is in them.
    fn leave(&mut self, next: &Path) -> Result<(), FilesError> {
        while let Some(made) =
            self.open.pop_if(|made| next.as_os_str().is_empty() || !next.starts_with(&made.place))
        {
            let directory = self.target.descend(&made.place).map_err(self.at("go into", &made.place))?;
            if let Some(time) = &made.time {
                let _ = futimens(&directory, time);
            }
            fchmod(&directory, Mode::from_raw_mode(made.mode))
                .map_err(self.at("set the permissions of", &made.place))?;
        }
        Ok(())
    }

    /// A directory below the target; most often the one of the entry before.
    fn near(&mut self, place: &Path) -> Result<Rc<OwnedFd>, FilesError> {
        if let Some((near, directory)) = &self.near
            && near == place
        {
            return Ok(directory.clone());
        }
        let directory = Rc::new(self.target.reach(place)?);
        self.near = Some((place.to_owned(), directory.clone()));
        Ok(directory)
    }

    fn at(&self, doing: &'static str, place: &Path) -> impl FnOnce(Errno) -> FilesError + use<> {
        FilesError::file(doing, &self.target.shown(place))
    }
}

/// Reads what is left of an entry, so that what is read between two entries is headers alone.
fn drain<R: Read>(entry: &mut Entry<'_, R>) -> Result<(), FilesError> {
    io::copy(entry, &mut io::sink()).map(drop).map_err(FilesError::Archive)
}

fn link<R: Read>(entry: &Entry<'_, R>, path: &[u8]) -> Result<Vec<u8>, FilesError> {
    match entry.link_name_bytes() {
        Some(link) if !link.is_empty() && !link.contains(&0) => Ok(link.into_owned()),
        _ => Err(FilesError::refused(&shown(path), "is a link to nothing")),
    }
}

fn shown(path: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(path))
}

/// When a file was changed; when it was read last is left as it is.
fn timestamps(seconds: i64) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: 0 },
    }
}
