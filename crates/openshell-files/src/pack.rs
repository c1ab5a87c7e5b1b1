//! Files into a tar stream, as pax(1) has it.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Read as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tar::{EntryType, Header};

use crate::record::record;
use crate::walk::{Met, walk};
use crate::{Event, FilesError, PIECE, TOTAL, Watch};

/// A block of an archive.
const BLOCK: u64 = 512;

/// Writes the archive of `paths` to `out`: the total of their bytes first, in a global header, and the end marker last.
/// Each path is there under its last component; one that stands for a directory's content ([`is_content`]) under none.
/// Gives back how much was left out, each of it told to `watch`: what cannot be read, what is no file, directory or link.
///
/// # Errors
/// One of `paths` itself cannot be read, or `out` takes no more.
pub fn pack(out: impl Write, paths: &[PathBuf], watch: &mut Watch<'_>) -> Result<u64, FilesError> {
    let mut total = 0_u64;
    for path in paths {
        // Before anything is written: whoever reads the archive has made nothing for it yet.
        if let Err(source) = path.symlink_metadata() {
            return Err(FilesError::File { doing: "read", path: path.clone(), source });
        }
        // What cannot be read is told when it is its turn.
        walk(path, &top(path), &mut |met| {
            let size = met.what.ok().filter(Metadata::is_file).map_or(0, |what| what.len());
            total = total.saturating_add(size);
            Ok::<(), FilesError>(())
        })?;
    }
    watch(Event::Total(total));
    let mut packer =
        Packer { out: BufWriter::with_capacity(PIECE, out), buffer: vec![0; PIECE], skipped: 0, watch };
    packer.global(total).map_err(FilesError::Stream)?;
    for path in paths {
        walk(path, &top(path), &mut |met| packer.take(met, path))?;
    }
    packer.end().map_err(FilesError::Stream)
}

/// Whether a path stands for what is in a directory and not for the directory: `.`, `..`, `/`, and whatever ends with `/.`.
pub fn is_content(path: &Path) -> bool {
    path.file_name().is_none() || path.as_os_str().as_bytes().ends_with(b"/.")
}

/// What an archive calls a path: its last component, or nothing for a directory's content.
pub fn top(path: &Path) -> PathBuf {
    if is_content(path) { PathBuf::new() } else { PathBuf::from(path.file_name().unwrap_or_default()) }
}

struct Packer<'a, 'w, W: Write> {
    out: BufWriter<W>,
    buffer: Vec<u8>,
    skipped: u64,
    watch: &'a mut Watch<'w>,
}

impl<W: Write> Packer<'_, '_, W> {
    fn take(&mut self, met: Met<'_>, asked: &Path) -> Result<(), FilesError> {
        let Met { path, name, what } = met;
        let what = match what {
            Ok(what) => what,
            Err(source) if path == asked => {
                return Err(FilesError::File { doing: "read", path: asked.to_owned(), source });
            }
            Err(error) => {
                self.unread(path, &error);
                return Ok(());
            }
        };
        let kind = what.file_type();
        if kind.is_file() {
            return self.file(path, name, asked);
        }
        if kind.is_dir() {
            // The directory whose content is meant is no entry: it has no name.
            if name.as_os_str().is_empty() {
                return Ok(());
            }
            return self.header(name, EntryType::Directory, &what, 0, None).map_err(FilesError::Stream);
        }
        if kind.is_symlink() {
            return match path.read_link() {
                Ok(link) => self
                    .header(name, EntryType::Symlink, &what, 0, Some(link.as_os_str()))
                    .map_err(FilesError::Stream),
                Err(error) => {
                    self.unread(path, &error);
                    Ok(())
                }
            };
        }
        self.skip(path, "is a socket, a pipe or a device");
        Ok(())
    }

    fn file(&mut self, path: &Path, name: &Path, asked: &Path) -> Result<(), FilesError> {
        // It may have become something else since it was looked at: a link is not followed, a pipe not waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty()).map(File::from);
        let opened =
            opened.map_err(io::Error::from).and_then(|file| file.metadata().map(|what| (file, what)));
        let (mut file, what) = match opened {
            Ok((file, what)) if what.is_file() => (file, what),
            Err(source) if path == asked => {
                return Err(FilesError::File { doing: "read", path: asked.to_owned(), source });
            }
            Err(error) => {
                self.unread(path, &error);
                return Ok(());
            }
            Ok(_) => {
                self.skip(path, "has become something else");
                return Ok(());
            }
        };
        let size = what.len();
        self.header(name, EntryType::Regular, &what, size, None).map_err(FilesError::Stream)?;
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let count = match file.read(&mut self.buffer[..most]) {
                Ok(count) if count > 0 => count,
                // The header has promised as much.
                Ok(_) | Err(_) => {
                    self.skip(path, "shrank, or could not be read to its end, and ends with zeros");
                    self.zeros(left).map_err(FilesError::Stream)?;
                    break;
                }
            };
            self.out.write_all(&self.buffer[..count]).map_err(FilesError::Stream)?;
            left -= count as u64;
            (self.watch)(Event::Bytes(count as u64));
        }
        self.pad(size).map_err(FilesError::Stream)
    }

    /// Writes an entry's header, with an extended one before it for what does not fit.
    fn header(
        &mut self,
        name: &Path,
        kind: EntryType,
        what: &Metadata,
        size: u64,
        link: Option<&OsStr>,
    ) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(what.permissions().mode() & 0o7777);
        header.set_mtime(u64::try_from(what.mtime()).unwrap_or(0));
        let mut records = Vec::new();
        if header.set_path(name).is_err() {
            records.extend(record("path", name.as_os_str().as_bytes()));
        }
        if let Some(link) = link
            && header.set_link_name_literal(link.as_bytes()).is_err()
        {
            records.extend(record("linkpath", link.as_bytes()));
        }
        if !records.is_empty() {
            self.extended(EntryType::XHeader, "PaxHeader", &records)?;
        }
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }

    fn extended(&mut self, kind: EntryType, name: &str, records: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_path(name)?;
        header.set_mode(0o644);
        header.set_size(records.len() as u64);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(records)?;
        self.pad(records.len() as u64)
    }

    fn global(&mut self, total: u64) -> io::Result<()> {
        let records = record(TOTAL, total.to_string().as_bytes());
        self.extended(EntryType::XGlobalHeader, "pax_global_header", &records)
    }

    /// Fills the last block of an entry's data.
    fn pad(&mut self, size: u64) -> io::Result<()> {
        self.zeros(size.wrapping_neg() % BLOCK)
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(count), &mut self.out).map(drop)
    }

    /// Writes the end marker.
    fn end(mut self) -> io::Result<u64> {
        self.zeros(2 * BLOCK)?;
        self.out.flush()?;
        Ok(self.skipped)
    }

    fn unread(&mut self, path: &Path, error: &io::Error) {
        self.skip(path, &format!("cannot be read: {error}"));
    }

    fn skip(&mut self, path: &Path, why: &str) {
        self.skipped += 1;
        (self.watch)(Event::Skipped { path, why });
    }
}
