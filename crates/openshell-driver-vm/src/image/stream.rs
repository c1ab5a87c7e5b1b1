//! The bytes of a layer: read, hashed and unzipped on a thread of their own, so that they are ready when the tree wants them.
//!
//! ```text
//!   file or part of one ─ read ─ SHA-256 ─ gzip │ zstd │ plain ─ SHA-256 ─▶ at most 8 pieces of 256 KiB ─▶ Stream: BufRead
//! ```

mod zstd;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use self::zstd::Zstd;
use super::layers::Stop;
use super::tar::Source;
use super::trouble::Trouble;

const PIECE: usize = 256 * 1024;
const PIECES: usize = 8;

/// A part of an open file: whatever happens to its name, these are its bytes.
#[derive(Debug, Clone)]
pub(super) struct Slice {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Slice {
    /// `length` bytes of `file` from `at` on.
    pub(super) fn new(file: Arc<File>, at: u64, length: u64) -> Self {
        Self { file, at, end: at.saturating_add(length) }
    }

    /// How many bytes it has left.
    pub(super) fn len(&self) -> u64 {
        self.end - self.at
    }

    /// The file that it is a part of.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Where in the file it ends.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Its first `buffer.len()` bytes, or as many as there are.
    pub(super) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut slice = self.clone();
        let mut count = 0;
        while count < buffer.len() {
            match slice.read(&mut buffer[count..])? {
                0 => break,
                read => count += read,
            }
        }
        Ok(count)
    }
}

impl Read for Slice {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.len()).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// A slice that is looked through, with most of it left out.
#[derive(Debug)]
pub(super) struct Leaps {
    slice: Slice,
    buffer: Vec<u8>,
    used: usize,
}

impl Leaps {
    pub(super) fn new(slice: Slice) -> Self {
        Self { slice, buffer: Vec::new(), used: 0 }
    }

    /// Where in the file it stands.
    pub(super) fn position(&self) -> u64 {
        self.slice.at - (self.buffer.len() - self.used) as u64
    }
}

impl Read for Leaps {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Leaps {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used >= self.buffer.len() {
            // Small: between two headers there is most often a file.
            self.buffer.resize(4096, 0);
            let count = self.slice.read(&mut self.buffer)?;
            self.buffer.truncate(count);
            self.used = 0;
        }
        Ok(&self.buffer[self.used..])
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
    }
}

impl Source for Leaps {
    fn pass(&mut self, count: u64) -> io::Result<()> {
        let to = self.position().checked_add(count).filter(|to| *to <= self.slice.end);
        let buffered = (self.buffer.len() - self.used) as u64;
        if count <= buffered {
            self.used += usize::try_from(count).unwrap_or(usize::MAX);
        } else {
            self.slice.at = to.ok_or(io::ErrorKind::UnexpectedEof)?;
            (self.buffer, self.used) = (Vec::new(), 0);
        }
        Ok(())
    }
}

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// How a file is packed, by its first bytes.
///
/// Source: RFC 1952, 2.3.1; RFC 8878, 3.1.
pub(super) fn packing(first: &[u8]) -> Packing {
    match first {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Packing::Zstd,
        _ => Packing::Plain,
    }
}

/// Which bytes are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hashed {
    /// Those of the file.
    Packed,
    /// Those that come out.
    Unpacked,
}

/// Unpacked bytes.
#[derive(Debug)]
pub(super) struct Stream {
    pieces: Receiver<Result<Vec<u8>, Trouble>>,
    piece: Vec<u8>,
    used: usize,
    thread: Option<JoinHandle<String>>,
    stop: Stop,
}

impl Stream {
    /// Begins to read. More than `most` bytes that come out are a [`Trouble::TooLarge`] of a disk of `size`.
    pub(super) fn open(
        input: Slice,
        hashed: Hashed,
        most: u64,
        size: u64,
        stop: Stop,
    ) -> Result<Self, Trouble> {
        let (sender, pieces) = sync_channel(PIECES);
        let feed = Feed { sender, left: most, size };
        let thread = std::thread::Builder::new()
            .name("unzip".into())
            .spawn(move || feed.run(input, hashed))
            .map_err(Trouble::host("start a thread"))?;
        Ok(Self { pieces, piece: Vec::new(), used: 0, thread: Some(thread), stop })
    }

    /// Reads whatever is left, and gives the digest, `sha256:…`.
    pub(super) fn finish(mut self) -> Result<String, Trouble> {
        loop {
            let count = self.fill_buf().map_err(super::tar::reading)?.len();
            if count == 0 {
                break;
            }
            self.consume(count);
        }
        let digest = self.thread.take().and_then(|thread| thread.join().ok());
        digest.ok_or_else(|| Trouble::Host {
            what: "unzip it".into(),
            error: io::Error::other("the thread did not come to its end"),
        })
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used >= self.piece.len() {
            self.stop.check().map_err(io::Error::other)?;
            // A sender that is gone has sent all.
            self.piece = self.pieces.recv().unwrap_or(Ok(Vec::new())).map_err(io::Error::other)?;
            self.used = 0;
        }
        Ok(&self.piece[self.used..])
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
    }
}

impl Source for Stream {}

/// The thread's half.
struct Feed {
    sender: SyncSender<Result<Vec<u8>, Trouble>>,
    left: u64,
    size: u64,
}

/// Nobody reads any more, or an error was sent.
struct Over;

impl Feed {
    /// Feeds the reader to the end; the digest of what was asked for, which counts only if it came to its end.
    fn run(mut self, input: Slice, hashed: Hashed) -> String {
        let mut hasher = (hashed == Hashed::Unpacked).then(Sha256::new);
        let mut input = BufReader::with_capacity(
            PIECE,
            Hashing { inner: input, hasher: (hashed == Hashed::Packed).then(Sha256::new) },
        );
        let _ = self.feed(&mut input, hasher.as_mut());
        let inner = input.into_inner().hasher;
        inner.or(hasher).map(|hasher| digest_text(&hasher.finalize())).unwrap_or_default()
    }

    fn feed<R: Read>(
        &mut self,
        input: &mut BufReader<R>,
        mut hasher: Option<&mut Sha256>,
    ) -> Result<(), Over> {
        let packing = match input.fill_buf() {
            Ok(first) => packing(first),
            Err(error) => return self.fail(Trouble::host("read it")(error)),
        };
        let mut unpacked: Box<dyn Read + '_> = match packing {
            Packing::Plain => Box::new(&mut *input),
            Packing::Gzip => Box::new(MultiGzDecoder::new(&mut *input)),
            Packing::Zstd => Box::new(Zstd::new(&mut *input)),
        };
        loop {
            let mut piece = vec![0; PIECE];
            let mut count = 0;
            while count < PIECE {
                match unpacked.read(&mut piece[count..]) {
                    Ok(0) => break,
                    Ok(read) => count += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return self.fail(unpacking(packing, error)),
                }
            }
            if count == 0 {
                break;
            }
            piece.truncate(count);
            if let Some(hasher) = &mut hasher {
                hasher.update(&piece);
            }
            match self.left.checked_sub(count as u64) {
                Some(left) => self.left = left,
                None => {
                    let what = "it holds several times as many bytes".into();
                    return self.fail(Trouble::TooLarge { size: self.size, what });
                }
            }
            self.sender.send(Ok(piece)).map_err(|_| Over)?;
        }
        drop(unpacked);
        // Whatever stands behind the packed data belongs to what was hashed.
        match io::copy(input, &mut io::sink()) {
            Ok(_) => Ok(()),
            Err(error) => self.fail(Trouble::host("read it")(error)),
        }
    }

    fn fail(&self, trouble: Trouble) -> Result<(), Over> {
        // A reader that is gone needs no reason.
        let _ = self.sender.send(Err(trouble));
        Err(Over)
    }
}

/// An error while unpacking: one with a number is the host's, all others are about the data.
fn unpacking(packing: Packing, error: io::Error) -> Trouble {
    let name = match packing {
        Packing::Gzip if error.raw_os_error().is_none() => "gzip",
        Packing::Zstd if error.raw_os_error().is_none() => "zstd",
        _ => return Trouble::Host { what: "read it".into(), error },
    };
    let problem = if error.kind() == io::ErrorKind::UnexpectedEof {
        "ends too early: it is truncated".to_owned()
    } else {
        format!("is damaged: {error}")
    };
    Trouble::Image(format!("its {name} data {problem}"))
}

/// A digest as images write it.
pub(super) fn digest_text(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::from("sha256:"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Hashes what is read through it.
struct Hashing<R> {
    inner: R,
    hasher: Option<Sha256>,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
