//! Files become an archive.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use super::PIECE;

/// Archives are of blocks of so many bytes.
const BLOCK: usize = 512;
/// The word of the global header that tells how many bytes the files have.
const TOTAL: &str = "OPENSHELL.total";

/// Why there is no archive.
#[derive(Debug)]
pub(super) enum Problem {
    /// What was asked for.
    Read(PathBuf, io::Error),
    /// Nobody takes it.
    Write(io::Error),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "cannot read `{}`: {error}", path.display()),
            Self::Write(error) => write!(f, "the archive cannot be written: {error}"),
        }
    }
}

/// An archive that was written.
pub(super) struct Packed {
    /// Whether everything that was asked for is in it. What is not was said on the standard error.
    pub(super) complete: bool,
}

/// Writes an archive of a file or a directory, whose paths begin with its last component. A path that is itself a
/// symbolic link means what that leads to; below it, links are links.
pub(super) fn pack(path: &Path, output: File) -> Result<Packed, Problem> {
    let unreadable = |error| Problem::Read(path.to_owned(), error);
    let found = fs::metadata(path).map_err(unreadable)?;
    let name = match path.file_name() {
        Some(name) => PathBuf::from(name),
        // `.` and `..` have a name nevertheless; the root has none.
        None => match path.canonicalize().map_err(unreadable)?.file_name() {
            Some(name) => PathBuf::from(name),
            None => PathBuf::from("."),
        },
    };
    let mut packer =
        Packer { output: BufWriter::with_capacity(PIECE, output), buffer: vec![0; PIECE], complete: true };
    let mut total = 0;
    // What cannot be looked at is said when it is its turn.
    walk(
        path,
        &name,
        &found,
        &mut |_, _, found| {
            total += if found.is_file() { found.len() } else { 0 };
            Ok::<_, Problem>(())
        },
        &mut |_, _| {},
    )?;
    packer
        .extended(EntryType::XGlobalHeader, &[(TOTAL, total.to_string().as_bytes())])
        .map_err(Problem::Write)?;
    let mut all_seen = true;
    let mut add =
        |path: &Path, name: &Path, found: &Metadata| packer.one(path, name, found).map_err(Problem::Write);
    walk(path, &name, &found, &mut add, &mut |path, error| {
        all_seen = false;
        eprintln!("{}", Problem::Read(path.to_owned(), error));
    })?;
    packer.output.write_all(&[0; 2 * BLOCK]).and_then(|()| packer.output.flush()).map_err(Problem::Write)?;
    Ok(Packed { complete: packer.complete && all_seen })
}

/// Goes through a tree, a directory before what is in it: `each` with the path, the name in the archive and what it
/// is; `unread` with what cannot be looked at.
fn walk<E>(
    path: &Path,
    name: &Path,
    found: &Metadata,
    each: &mut impl FnMut(&Path, &Path, &Metadata) -> Result<(), E>,
    unread: &mut impl FnMut(&Path, io::Error),
) -> Result<(), E> {
    each(path, name, found)?;
    if !found.is_dir() {
        return Ok(());
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            unread(path, error);
            return Ok(());
        }
    };
    for entry in entries {
        let inner = match &entry {
            Ok(entry) => entry.path(),
            Err(_) => path.to_owned(),
        };
        match entry.and_then(|entry| Ok((entry.metadata()?, entry.file_name()))) {
            Ok((found, file)) => walk(&inner, &name.join(file), &found, each, unread)?,
            // Gone meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => unread(&inner, error),
        }
    }
    Ok(())
}

struct Packer {
    output: BufWriter<File>,
    buffer: Vec<u8>,
    complete: bool,
}

impl Packer {
    /// Writes one entry.
    fn one(&mut self, path: &Path, name: &Path, found: &Metadata) -> io::Result<()> {
        let kind = found.file_type();
        if kind.is_dir() {
            return self.header(EntryType::Directory, name, found, 0, None);
        }
        if kind.is_symlink() {
            return match fs::read_link(path) {
                Ok(target) => self.header(EntryType::Symlink, name, found, 0, Some(&target)),
                Err(error) => {
                    self.left_out(path, error);
                    Ok(())
                }
            };
        }
        if !kind.is_file() {
            // A socket or a device is nothing without who is behind it.
            eprintln!("`{}` is left out: it is no file, directory or symbolic link", path.display());
            return Ok(());
        }
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) => {
                self.left_out(path, error);
                return Ok(());
            }
        };
        self.header(EntryType::Regular, name, found, found.len(), None)?;
        self.body(path, file, found.len())
    }

    fn left_out(&mut self, path: &Path, error: io::Error) {
        eprintln!("{}", Problem::Read(path.to_owned(), error));
        self.complete = false;
    }

    /// Writes as many bytes as the header has promised, whatever becomes of the file meanwhile.
    fn body(&mut self, path: &Path, mut file: File, size: u64) -> io::Result<()> {
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let count = match file.read(&mut self.buffer[..most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(count) if count > 0 => count,
                result => {
                    let error = result.err().unwrap_or_else(|| io::Error::other("it has become shorter"));
                    self.left_out(path, error);
                    self.zeros(left)?;
                    break;
                }
            };
            self.output.write_all(&self.buffer[..count])?;
            left -= count as u64;
        }
        self.pad(size)
    }

    /// Fills the last block of so many bytes.
    fn pad(&mut self, size: u64) -> io::Result<()> {
        self.zeros(size.next_multiple_of(BLOCK as u64) - size)
    }

    fn zeros(&mut self, count: u64) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(count), &mut self.output).map(drop)
    }

    /// Writes a header, with an extended one before it where a path is too long for it.
    fn header(
        &mut self,
        kind: EntryType,
        name: &Path,
        found: &Metadata,
        size: u64,
        target: Option<&Path>,
    ) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        let mut long = Vec::new();
        if header.set_path(name).is_err() {
            long.push(("path", name.as_os_str().as_bytes()));
            header.set_path("long")?;
        }
        if let Some(target) = target {
            let target = target.as_os_str().as_bytes();
            if header.set_link_name_literal(target).is_err() {
                long.push(("linkpath", target));
                header.set_link_name_literal("long")?;
            }
        }
        if !long.is_empty() {
            self.extended(EntryType::XHeader, &long)?;
        }
        header.set_mode(found.mode() & 0o777);
        header.set_uid(found.uid().into());
        header.set_gid(found.gid().into());
        header.set_mtime(found.mtime().try_into().unwrap_or(0));
        header.set_size(size);
        header.set_cksum();
        self.output.write_all(header.as_bytes())
    }

    /// Writes an extended header: words about the next entry, or about all.
    fn extended(&mut self, kind: EntryType, words: &[(&str, &[u8])]) -> io::Result<()> {
        let body: Vec<u8> = words.iter().flat_map(|(key, value)| record(key, value)).collect();
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_path("pax_header")?;
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(body.len() as u64);
        header.set_cksum();
        self.output.write_all(header.as_bytes())?;
        self.output.write_all(&body)?;
        self.pad(body.len() as u64)
    }
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length += 1;
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::record;

    #[test]
    fn a_length_counts_itself() {
        for size in [0, 1, 90, 91, 92, 93, 990, 991, 992, 993] {
            let text = record("k", &vec![b'x'; size]);
            let (length, rest) = text.split_at(text.iter().position(|byte| *byte == b' ').expect("a space"));
            assert_eq!(String::from_utf8_lossy(length), text.len().to_string(), "{size}");
            assert!(rest.starts_with(b" k=") && rest.ends_with(b"\n"));
        }
    }
}
