//! A driver's log as bytes from a pipe: cut into lines, none of which is long, and not too many at a time. Whatever the
//! program writes, the pipe is read on, so that it never waits for us.

use std::time::{Duration, Instant};

/// The most bytes of a line that are looked at.
const LONGEST: usize = 16 * 1024;
/// How many lines may come at once, and how many a second in the long run.
const BURST: u32 = 1000;
const PER_SECOND: u32 = 100;

/// Cuts what comes into lines.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    line: Vec<u8>,
    /// Bytes of the present line that were left out.
    left_out: usize,
}

impl Cutter {
    /// Takes some bytes and gives every line that is whole with them, without its end.
    pub(super) fn take(&mut self, mut bytes: &[u8], mut line: impl FnMut(&str)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.end(&mut line);
        }
        self.keep(bytes);
    }

    /// Gives what came after the last end of a line.
    pub(super) fn end(&mut self, mut line: impl FnMut(&str)) {
        let (bytes, left_out) = (std::mem::take(&mut self.line), std::mem::take(&mut self.left_out));
        let mut text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        if left_out > 0 {
            text.push_str(&format!(" … ({left_out} bytes more)"));
        }
        if !text.is_empty() {
            line(&text);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LONGEST.saturating_sub(self.line.len()).min(bytes.len());
        self.line.extend_from_slice(&bytes[..room]);
        self.left_out += bytes.len() - room;
    }
}

/// How many lines may pass.
#[derive(Debug)]
pub(super) struct Rate {
    /// Lines that may come at once, in thousandths.
    credit: u64,
    at: Instant,
    dropped: u64,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self { credit: u64::from(BURST) * 1000, at: now, dropped: 0 }
    }

    /// Whether a line may pass now, and how many did not since the last that could.
    pub(super) fn admit(&mut self, now: Instant) -> Option<u64> {
        let passed = now.saturating_duration_since(self.at).min(Duration::from_secs(60));
        self.at = now;
        let earned = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX) * u64::from(PER_SECOND) / 1000;
        self.credit = (self.credit + earned).min(u64::from(BURST) * 1000);
        if self.credit < 1000 {
            self.dropped += 1;
            return None;
        }
        self.credit -= 1000;
        Some(std::mem::take(&mut self.dropped))
    }

    /// How many lines were dropped since the last that passed.
    pub(super) fn dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(parts: &[&[u8]]) -> Vec<String> {
        let (mut cutter, mut lines) = (Cutter::default(), Vec::new());
        for part in parts {
            cutter.take(part, |line| lines.push(line.to_owned()));
        }
        cutter.end(|line| lines.push(line.to_owned()));
        lines
    }

    #[test]
    fn lines_are_put_together_from_whatever_pieces_come() {
        assert_eq!(cut(&[b"on", b"e\ntwo\r\n\nth", b"ree"]), ["one", "two", "three"]);
        assert_eq!(cut(&[b"a\xffb\n"]), ["a\u{fffd}b"]);
    }

    #[test]
    fn a_line_without_end_takes_no_more_room_than_a_line() {
        let piece = vec![b'x'; 10_000];
        let lines = cut(&[&piece, &piece, &piece, b"\nnext\n"]);
        assert_eq!(lines[0], format!("{} … (13616 bytes more)", "x".repeat(LONGEST)));
        assert_eq!(lines[1], "next");
    }

    #[test]
    fn a_flood_is_dropped_and_counted_and_a_pause_lets_lines_pass_again() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let passed = (0..5000).filter(|_| rate.admit(start).is_some()).count();
        assert_eq!(passed, BURST as usize);
        let later = start + Duration::from_millis(20);
        assert_eq!(rate.admit(later), Some(4000));
        assert_eq!(rate.admit(later), Some(0));
        assert_eq!((rate.admit(later), rate.dropped()), (None, 1));
        let much_later = start + Duration::from_secs(3600);
        let passed = (0..5000).filter(|_| rate.admit(much_later).is_some()).count();
        assert_eq!(passed, BURST as usize, "no more than at once after a rest");
    }
}
