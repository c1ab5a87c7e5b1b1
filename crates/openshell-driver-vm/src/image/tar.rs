//! A reader of tar archives that takes nothing for granted: what it keeps in memory is bounded whatever a header says, and
//! only the kinds of entries that a root file system is made of come out of it.
//!
//! Source: pax(1) of POSIX.1-2024, "ustar Interchange Format" and "pax Interchange Format"; for long names and large
//! numbers tar(5), "GNU tar archives".

mod header;

use std::io::{self, BufRead};

use self::header::{BLOCK, Header};
use super::trouble::Trouble;

/// How much an entry's extended attributes and names may take together.
const MAX_EXTENSION: u64 = 1024 * 1024;
/// The longest path of Linux.
const MAX_PATH: usize = 4096;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    /// Another name of a file that came before: `link`.
    HardLink,
    Symlink,
    Directory,
    Fifo,
    /// A device node, which no image has a right to bring.
    Device,
}

/// An entry of an archive; its data is read from the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name, byte for byte as it stands there.
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// The permissions, `07777` at most.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds since the Unix epoch.
    pub(super) mtime: i64,
    /// How many bytes of data follow.
    pub(super) size: u64,
    /// What a link leads to.
    pub(super) link: Vec<u8>,
    /// Extended attributes by their names.
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
}

/// An archive that is read from its beginning to its end.
#[derive(Debug)]
pub(super) struct Archive<R> {
    source: R,
    /// Bytes of the present entry's data that have not been read.
    left: u64,
    /// Bytes behind them up to the next header.
    padding: u64,
    begun: bool,
    /// Whether an archive has to say that it is over.
    strict: bool,
}

/// Where an archive's bytes come from.
pub(super) trait Source: BufRead {
    /// Leaves `count` bytes out.
    fn pass(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let piece = self.fill_buf()?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let taken = piece.len().min(usize::try_from(count).unwrap_or(usize::MAX));
            self.consume(taken);
            count -= taken as u64;
        }
        Ok(())
    }
}

impl<R: Source> Archive<R> {
    /// An archive out of `source`. Where nothing else vouches for its bytes it is `strict`: without its end marker it is
    /// taken for one that was cut off.
    pub(super) fn new(source: R, strict: bool) -> Self {
        Self { source, left: 0, padding: 0, begun: false, strict }
    }

    /// The next entry; what is left of the present one's data is skipped.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Trouble> {
        let mut extensions = Extensions::default();
        loop {
            self.skip(self.left + self.padding)?;
            let Some(header) = self.header()? else {
                if extensions != Extensions::default() {
                    return Err(Trouble::Image("it ends in the middle of an entry: it is truncated".into()));
                }
                return Ok(None);
            };
            let size = header.size()?;
            match header.kind() {
                b'x' => extensions.pax(&self.extension(size)?)?,
                b'L' => extensions.path = Some(name(self.extension(size)?)),
                b'K' => extensions.link = Some(name(self.extension(size)?)),
                // What holds for all entries, such as a comment, and a volume's label.
                b'g' | b'V' => {
                    self.extension(size)?;
                }
                kind => return self.entry(&header, kind, size, extensions).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        kind: u8,
        size: u64,
        extensions: Extensions,
    ) -> Result<Entry, Trouble> {
        let path = extensions.path.unwrap_or_else(|| header.path());
        let size = extensions.size.unwrap_or(size);
        let link = extensions.link.unwrap_or_else(|| header.link());
        let fault = |problem: &str| Trouble::entry(&path, problem);
        if extensions.sparse || kind == b'S' {
            return Err(fault("is kept as a sparse file: make the archive without --sparse"));
        }
        let kind = match kind {
            b'0' | 0 | b'7' if path.ends_with(b"/") => Kind::Directory,
            b'0' | 0 | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' | b'4' => Kind::Device,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                return Err(fault(&format!(
                    "is of the kind `{}`, which no root file system has",
                    other.escape_ascii()
                )));
            }
        };
        if path.len() > MAX_PATH || link.len() > MAX_PATH {
            return Err(fault("has a name or a target that is longer than any path of Linux"));
        }
        if path.contains(&0) || link.contains(&0) {
            return Err(fault("has a name or a target with a NUL in it"));
        }
        // Only files have data; a size in another entry's header is a habit of some programs.
        let size = if kind == Kind::File { size } else { 0 };
        self.expect(size)?;
        Ok(Entry {
            kind,
            mode: header.mode()?,
            uid: extensions.uid.map_or_else(|| header.uid(), Ok)?,
            gid: extensions.gid.map_or_else(|| header.gid(), Ok)?,
            mtime: extensions.mtime.map_or_else(|| header.mtime(), Ok)?,
            size,
            link,
            xattrs: extensions.xattrs,
            path,
        })
    }

    /// The present entry's data, piece by piece; empty at its end.
    pub(super) fn data(&mut self) -> Result<&[u8], Trouble> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(&[]);
        }
        let piece = self.source.fill_buf().map_err(reading)?;
        if piece.is_empty() {
            return Err(truncated());
        }
        Ok(&piece[..piece.len().min(left)])
    }

    /// Says that `count` bytes of what [`Archive::data`] gave have been used.
    pub(super) fn used(&mut self, count: usize) {
        self.source.consume(count);
        self.left -= (count as u64).min(self.left);
    }

    /// The source; after [`Archive::next`] it stands at the entry's data.
    pub(super) fn source(&self) -> &R {
        &self.source
    }

    /// The source, where it stands.
    pub(super) fn into_source(self) -> R {
        self.source
    }

    /// The next header; `None` at the end marker.
    fn header(&mut self) -> Result<Option<Header>, Trouble> {
        let mut block = [0; BLOCK];
        let count = self.block(&mut block)?;
        if count == 0 {
            return match (self.begun, self.strict) {
                (false, _) => Err(Trouble::Image("it is empty".into())),
                (true, true) => Err(Trouble::Image("it ends without an end marker: it is truncated".into())),
                (true, false) => Ok(None),
            };
        }
        if count < BLOCK {
            return Err(if self.begun { truncated() } else { Trouble::Image("it is no tar archive".into()) });
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = Header::read(block).ok_or_else(|| {
            let problem = if self.begun {
                "it holds a header whose checksum is wrong: it is damaged"
            } else {
                "it is no tar archive"
            };
            Trouble::Image(problem.into())
        })?;
        self.begun = true;
        Ok(Some(header))
    }

    /// Fills a block as far as the source goes.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<usize, Trouble> {
        let mut count = 0;
        while count < BLOCK {
            let piece = self.source.fill_buf().map_err(reading)?;
            if piece.is_empty() {
                break;
            }
            let taken = piece.len().min(BLOCK - count);
            block[count..count + taken].copy_from_slice(&piece[..taken]);
            self.source.consume(taken);
            count += taken;
        }
        Ok(count)
    }

    /// The whole data of an entry that is about another.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, Trouble> {
        if size > MAX_EXTENSION {
            return Err(Trouble::Image(format!("it holds names or attributes of {size} bytes in one entry")));
        }
        self.expect(size)?;
        let mut bytes = Vec::new();
        loop {
            let piece = self.data()?;
            if piece.is_empty() {
                return Ok(bytes);
            }
            bytes.extend_from_slice(piece);
            let count = piece.len();
            self.used(count);
        }
    }

    fn expect(&mut self, size: u64) -> Result<(), Trouble> {
        let whole = size.checked_next_multiple_of(BLOCK as u64);
        let whole = whole.filter(|whole| i64::try_from(*whole).is_ok());
        let whole = whole.ok_or_else(|| Trouble::Image(format!("it holds an entry of {size} bytes")))?;
        (self.left, self.padding) = (size, whole - size);
        Ok(())
    }

    fn skip(&mut self, count: u64) -> Result<(), Trouble> {
        self.source.pass(count).map_err(reading)?;
        (self.left, self.padding) = (0, 0);
        Ok(())
    }
}

/// What the entries before an entry say of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<i64>,
    xattrs: Vec<(String, Vec<u8>)>,
    sparse: bool,
}

impl Extensions {
    /// Takes records in: `length key=value\n`, where the length counts itself.
    fn pax(&mut self, mut records: &[u8]) -> Result<(), Trouble> {
        let broken = || Trouble::Image("it holds an extended header that makes no sense".into());
        while !records.is_empty() {
            let space = records.iter().take(20).position(|byte| *byte == b' ').ok_or_else(broken)?;
            let length: usize = text(&records[..space]).ok_or_else(broken)?;
            if length <= space + 1 || length > records.len() || records[length - 1] != b'\n' {
                return Err(broken());
            }
            let record = &records[space + 1..length - 1];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
            self.record(&record[..equals], &record[equals + 1..]).ok_or_else(broken)?;
            records = &records[length..];
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(text(value)?),
            b"uid" => self.uid = Some(text(value)?),
            b"gid" => self.gid = Some(text(value)?),
            // With a fraction, which is left out.
            b"mtime" => self.mtime = Some(text(value.split(|byte| *byte == b'.').next()?)?),
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((String::from_utf8(name.to_vec()).ok()?, value.to_vec()));
                }
            }
        }
        Some(())
    }
}

fn text<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// A long name: GNU's end with a NUL.
fn name(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

fn truncated() -> Trouble {
    Trouble::Image("it ends in the middle of an entry: it is truncated".into())
}

/// What an error of the source is: those of unzipping and of limits come through as what they are.
pub(super) fn reading(error: io::Error) -> Trouble {
    match error.downcast::<Trouble>() {
        Ok(trouble) => trouble,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => truncated(),
        Err(error) => Trouble::Host { what: "read it".into(), error },
    }
}

#[cfg(test)]
mod tests;
