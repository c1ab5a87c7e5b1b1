//! What `upload` and `download` share: an archive on its way between a thread that reads or writes files and a channel
//! into a sandbox, how far it is, and what the sandbox says of it.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use openshell_files::{Event, FilesError, PIECE};
use openshell_proto::relay::v1alpha1::to_supervisor::Frame;
use tokio::sync::{mpsc, oneshot};

use crate::channel::{Sender, said_by};
use crate::error::CliError;
use crate::session::One;
use crate::{output, text};

/// How long the other end may take to clean up after a transfer that is given up.
pub(crate) const CLEAN_UP: Duration = Duration::from_secs(2);
/// How much of what a sandbox says is kept.
const SAID: usize = 64 * 1024;

/// How far a transfer is; one thread counts, another shows.
#[derive(Debug, Default)]
pub(crate) struct Count {
    done: AtomicU64,
    /// 0: not known.
    total: AtomicU64,
    given_up: AtomicBool,
    left_out: Mutex<Vec<String>>,
}

impl Count {
    /// Takes in what happens.
    pub(crate) fn take(&self, event: Event<'_>) {
        match event {
            Event::Total(total) => self.total.store(total, Ordering::Relaxed),
            Event::Bytes(count) => {
                self.done.fetch_add(count, Ordering::Relaxed);
            }
            Event::Skipped { path, why } => {
                let line = text::clean(&format!("`{}` is left out: it {why}", path.display()));
                self.left_out.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        }
    }

    /// How many bytes are there, and how many it will be when that is known.
    pub(crate) fn so_far(&self) -> (u64, Option<u64>) {
        let total = self.total.load(Ordering::Relaxed);
        (self.done.load(Ordering::Relaxed), (total > 0).then_some(total))
    }

    /// Tells what was left out.
    pub(crate) fn tell(&self) {
        for line in self.left_out.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            output::complain(&format!("warning: {line}\n"));
        }
    }

    /// Nothing more is to be sent.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

/// Does something in a thread that may wait for files; what it gives can be waited for.
pub(crate) fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
    let (end, ended) = oneshot::channel();
    thread::spawn(move || {
        // Whoever waited for it may be gone.
        let _ = end.send(work());
    });
    ended
}

/// A channel's standard input as something to write to: a frame a write.
pub(crate) struct Outgoing {
    pub(crate) sender: Sender,
    pub(crate) count: Arc<Count>,
}

impl Write for Outgoing {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.count.given_up.load(Ordering::Relaxed) {
            return Err(io::Error::other("it was given up"));
        }
        let piece = &buffer[..buffer.len().min(PIECE)];
        if self.sender.blocking_send(Frame::Stdin(Bytes::copy_from_slice(piece))) {
            Ok(piece.len())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A channel's standard output as something to read from.
pub(crate) struct Incoming {
    pieces: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Incoming {
    pub(crate) fn new(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self { pieces, piece: Bytes::new() }
    }

    /// Whether anything comes at all; waits until that is known.
    pub(crate) fn begins(&mut self) -> bool {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return false,
            }
        }
        true
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.begins() {
            return Ok(0);
        }
        let count = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Where something goes: the directory, and its name there when that is another. `into`: the path can only be a directory.
pub(crate) fn destination(path: &Path, into: bool) -> (PathBuf, OsString) {
    let slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    match path.file_name() {
        Some(name) if !into && !slash && !openshell_files::is_content(path) => {
            (path.parent().unwrap_or(Path::new("")).to_owned(), name.to_owned())
        }
        _ => (path.to_owned(), OsString::new()),
    }
}

/// What the sandbox says while it works on files, on its standard error.
#[derive(Debug, Default)]
pub(crate) struct Said(Vec<u8>);

impl Said {
    /// Takes in a piece.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        let room = SAID.saturating_sub(self.0.len()).min(piece.len());
        self.0.extend_from_slice(&piece[..room]);
    }

    /// Whether it said nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells all of it as warnings: it went well otherwise.
    pub(crate) fn warn(&self) {
        for line in self.lines() {
            output::complain(&format!("warning: in the sandbox: {line}\n"));
        }
    }

    /// Tells what came first as warnings, and gives the last of it as the error that it is.
    pub(crate) fn error(&self, one: &One, what: &str) -> CliError {
        let mut lines = self.lines();
        let last = lines.pop().unwrap_or_default();
        for line in lines {
            output::complain(&format!("warning: in the sandbox: {line}\n"));
        }
        said_by(one, what, &last)
    }

    fn lines(&self) -> Vec<String> {
        let whole = String::from_utf8_lossy(&self.0);
        whole.lines().filter(|line| !line.trim().is_empty()).map(text::clean).collect()
    }
}

/// An error of files at this end; what a sandbox has named is made harmless.
pub(crate) fn files(what: &str, source: FilesError) -> CliError {
    let hints = match &source {
        FilesError::Refused { .. } => {
            vec!["do not trust that archive; to look into it: openshell sandbox download NAME REMOTE - | tar -tvf -".to_owned()]
        }
        _ => Vec::new(),
    };
    CliError::Files { what: what.to_owned(), hints, source: Quiet(source) }
}

/// An error whose text is on one line and has nothing in it that a terminal obeys.
#[derive(Debug)]
pub(crate) struct Quiet(FilesError);

impl std::fmt::Display for Quiet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&text::clean(&self.0.to_string()))
    }
}

impl std::error::Error for Quiet {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_name_in_a_directory_unless_it_can_only_be_one() {
        for (path, into, directory, name) in [
            ("/tmp/x", false, "/tmp", "x"),
            ("/tmp/x", true, "/tmp/x", ""),
            ("/tmp/x/", false, "/tmp/x/", ""),
            ("x", false, "", "x"),
            (".", false, ".", ""),
            ("/", false, "/", ""),
            ("a/..", false, "a/..", ""),
            ("a/.", false, "a/.", ""),
        ] {
            let (in_directory, called) = destination(Path::new(path), into);
            assert_eq!(
                (in_directory.as_path(), called.to_str()),
                (Path::new(directory), Some(name)),
                "{path}"
            );
        }
    }
}
