//! A guest's console: kept in a file that cannot grow without bound, searched for the kernel's last words.
//!
//! Whatever comes is taken at once. A disk that is full costs lines of the log and never makes the guest wait.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The log's name in a sandbox's directory, and that of its older half.
pub(crate) const NAME: &str = "console.log";
pub(super) const OLDER: &str = "console.log.1";

/// How a kernel announces its panic. Source: the Linux kernel, `kernel/panic.c`.
const PANIC: &[u8] = b"Kernel panic - not syncing";

/// More of one line is not looked at, so that a guest that never ends a line costs no memory.
const LONGEST_LINE: usize = 512;

/// The console's log, open for writing.
#[derive(Debug)]
pub(super) struct Log {
    dir: PathBuf,
    /// None while it cannot be written.
    file: Option<File>,
    written: u64,
    half: u64,
    line: Vec<u8>,
    panic: Option<String>,
}

impl Log {
    /// Goes on with the log in `dir`, of which at most `limit` bytes are kept: a start does not wipe what was said before it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(dir: &Path, limit: u64) -> io::Result<Self> {
        let mut log = Self {
            dir: dir.to_owned(),
            file: None,
            written: 0,
            half: (limit / 2).max(1),
            line: Vec::new(),
            panic: None,
        };
        log.reopen()?;
        Ok(log)
    }

    /// Takes what the guest wrote.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.scan(bytes);
        for piece in bytes.chunks(usize::try_from(self.half).unwrap_or(usize::MAX)) {
            self.keep(piece);
        }
    }

    /// The line with which the guest's kernel gave up, without its time stamp.
    pub(super) fn panic(&self) -> Option<&str> {
        self.panic.as_deref()
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.written + piece.len() as u64 > self.half {
            self.file = None;
            let _ = std::fs::rename(self.dir.join(NAME), self.dir.join(OLDER));
        }
        if self.file.is_none() && self.reopen().is_err() {
            return;
        }
        let Some(file) = &mut self.file else { return };
        match file.write_all(piece) {
            Ok(()) => self.written += piece.len() as u64,
            // Tried anew with the next piece: space may come back.
            Err(_) => self.file = None,
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(NOFOLLOW);
        let file = options.open(self.dir.join(NAME))?;
        self.written = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    fn scan(&mut self, bytes: &[u8]) {
        if self.panic.is_some() {
            return;
        }
        for byte in bytes {
            if *byte == b'\n' {
                self.end_line();
            } else if self.line.len() < LONGEST_LINE {
                self.line.push(*byte);
            }
        }
    }

    /// A line is whole, or the guest is gone and will not end it.
    pub(super) fn end_line(&mut self) {
        if self.panic.is_none()
            && let Some(at) = self.line.windows(PANIC.len()).position(|window| window == PANIC)
        {
            self.panic = Some(readable(&self.line[at..]));
        }
        self.line.clear();
    }
}

/// `O_NOFOLLOW`, as the standard library takes it.
const NOFOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// The last `lines` lines of the console in the sandbox's directory `dir`, at most 4 KiB of them, without what a terminal
/// would take for an order; empty when there are none.
pub(crate) fn tail(dir: &Path, lines: usize) -> String {
    const MOST: u64 = 4 << 10;
    let mut bytes = end_of(&dir.join(NAME), MOST);
    let missing = MOST.saturating_sub(bytes.len() as u64);
    if missing > 0 {
        let mut both = end_of(&dir.join(OLDER), missing);
        both.append(&mut bytes);
        bytes = both;
    }
    let text: Vec<String> =
        bytes.split(|byte| *byte == b'\n').map(readable).filter(|line| !line.is_empty()).collect();
    text[text.len().saturating_sub(lines)..].join("\n")
}

/// The last `most` bytes of a file, nothing of one that is not there.
fn end_of(path: &Path, most: u64) -> Vec<u8> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = OpenOptions::new().read(true).custom_flags(NOFOLLOW).open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().unwrap_or_default()
}

/// One line as text for a message: no control characters, no escape sequences, no spaces around it.
pub(super) fn readable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        match next {
            // ECMA-48: what ESC [ begins ends with one of @ to ~.
            '\u{1b}' if chars.as_str().starts_with('[') => {
                chars.next();
                let _ = chars.by_ref().find(|end| ('@'..='~').contains(end));
            }
            '\t' => clean.push(' '),
            other if other.is_control() => {}
            other => clean.push(other),
        }
    }
    clean.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_log_keeps_the_end_and_never_more_than_its_limit() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Log::open(dir.path(), 1000).expect("a log");
        for number in 0..200 {
            log.take(format!("line {number}\n").as_bytes());
        }
        let sizes = [NAME, OLDER].map(|name| std::fs::metadata(dir.path().join(name)).expect("a file"));
        assert!(sizes.iter().all(|file| file.len() <= 500), "{sizes:?}");
        assert!(sizes.iter().all(|file| file.permissions().mode() & 0o777 == 0o600), "{sizes:?}");
        assert_eq!(tail(dir.path(), 2), "line 198\nline 199");
        assert_eq!(tail(dir.path(), 60).lines().next(), Some("line 140"), "the older half is read, too");
    }

    #[test]
    fn one_piece_larger_than_the_limit_is_cut() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Log::open(dir.path(), 100).expect("a log");
        log.take(&[b'x'; 10_000]);
        let length = |name| std::fs::metadata(dir.path().join(name)).expect("a file").len();
        assert!(length(NAME) + length(OLDER) <= 100);
    }

    #[test]
    fn a_second_boot_goes_on_with_the_log() {
        let dir = tempfile::tempdir().expect("a directory");
        Log::open(dir.path(), 1000).expect("a log").take(b"first\n");
        Log::open(dir.path(), 1000).expect("a log").take(b"second\n");
        assert_eq!(tail(dir.path(), 9), "first\nsecond");
    }

    #[test]
    fn a_log_that_cannot_be_written_is_no_reason_to_stop_reading() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Log::open(dir.path(), 20).expect("a log");
        log.take(b"before\n");
        std::fs::remove_dir_all(dir.path()).expect("removed");
        log.take(b"a line that is too long for it\n");
        std::fs::create_dir(dir.path()).expect("made again");
        log.take(b"after\n");
        assert_eq!(tail(dir.path(), 9), "after");
    }

    #[test]
    fn a_panic_is_found_however_it_comes_in() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Log::open(dir.path(), 1000).expect("a log");
        let text = b"[    1.0] ok\r\n[    2.0] Kernel panic - not syncing: sysrq triggered crash\r\n[    2.1] CPU: 0\r\n";
        for byte in text {
            log.take(std::slice::from_ref(byte));
        }
        assert_eq!(log.panic(), Some("Kernel panic - not syncing: sysrq triggered crash"));
        log.take(b"Kernel panic - not syncing: a second one\n");
        assert_eq!(log.panic(), Some("Kernel panic - not syncing: sysrq triggered crash"));
    }

    #[test]
    fn the_last_line_counts_without_its_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Log::open(dir.path(), 1000).expect("a log");
        log.take(b"Kernel panic - not syncing: cut o");
        assert_eq!(log.panic(), None);
        log.end_line();
        assert_eq!(log.panic(), Some("Kernel panic - not syncing: cut o"));
    }

    #[test]
    fn what_a_terminal_would_obey_is_left_out() {
        assert_eq!(readable(b"\x1b[1;31mred\x1b[0m\tand\x07 \xff plain \r"), "red and \u{fffd} plain");
        assert_eq!(readable(b"\x1b[31"), "");
    }
}
