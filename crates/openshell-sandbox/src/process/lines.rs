//! What the main process prints, as lines on their way to the gateway.
//!
//! The queue never holds the main process up: where the gateway is away or slow, the oldest lines go, and are
//! counted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

/// The most bytes of text that the queue holds, and the most lines.
const MOST_BYTES: usize = 256 << 10;
const MOST_LINES: usize = 2000;
/// A line longer than this is cut into several, in bytes.
const LONGEST: usize = 16 << 10;

/// One of the main process's output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Its standard output, or its terminal.
    Stdout,
    /// Its standard error.
    Stderr,
}

/// A line that the main process has printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    /// When its end was read, in milliseconds since the Unix epoch.
    pub(crate) at_ms: i64,
    /// Where to.
    pub(crate) stream: Stream,
    /// Without its end; what is no UTF-8 is replaced.
    pub(crate) text: String,
}

/// Some lines, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// How many lines before these were given up for want of room.
    pub(crate) dropped: u64,
    /// The lines; empty only with `dropped`.
    pub(crate) lines: Vec<LogLine>,
}

/// The queue. Clones are the same queue.
#[derive(Clone, Default)]
pub(crate) struct Lines {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    more: Notify,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<LogLine>,
    bytes: usize,
    dropped: u64,
    closed: bool,
}

impl Lines {
    /// Waits for lines and takes at most `most` of them; nothing once the main process has ended and all were taken.
    /// Nothing is lost when this is given up while it waits. For one reader.
    pub(crate) async fn take(&self, most: usize) -> Option<Batch> {
        loop {
            {
                let mut queue = self.queue();
                if !queue.lines.is_empty() {
                    let count = most.min(queue.lines.len());
                    let lines: Vec<_> = queue.lines.drain(..count).collect();
                    queue.bytes -= lines.iter().map(|line| line.text.len()).sum::<usize>();
                    return Some(Batch { dropped: std::mem::take(&mut queue.dropped), lines });
                }
                if queue.closed {
                    return None;
                }
            }
            self.shared.more.notified().await;
        }
    }

    /// Adds a line.
    fn push(&self, stream: Stream, text: &[u8]) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let text = String::from_utf8_lossy(text.strip_suffix(b"\r").unwrap_or(text)).into_owned();
        let mut queue = self.queue();
        queue.bytes += text.len();
        queue.lines.push_back(LogLine {
            at_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            stream,
            text,
        });
        while queue.bytes > MOST_BYTES || queue.lines.len() > MOST_LINES {
            let Some(oldest) = queue.lines.pop_front() else { break };
            queue.bytes -= oldest.text.len();
            queue.dropped += 1;
        }
        drop(queue);
        self.shared.more.notify_one();
    }

    /// Says that nothing comes any more.
    pub(crate) fn close(&self) {
        self.queue().closed = true;
        self.shared.more.notify_one();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts a stream into lines for the queue.
pub(crate) struct Splitter {
    lines: Lines,
    stream: Stream,
    begun: Vec<u8>,
}

impl Splitter {
    /// For one stream.
    pub(crate) fn new(lines: Lines, stream: Stream) -> Self {
        Self { lines, stream, begun: Vec::new() }
    }

    /// Takes more of the stream.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add(&bytes[..end]);
            self.lines.push(self.stream, &self.begun);
            self.begun.clear();
            bytes = &bytes[end + 1..];
        }
        self.add(bytes);
    }

    fn add(&mut self, mut bytes: &[u8]) {
        while self.begun.len() + bytes.len() > LONGEST {
            let (now, rest) = bytes.split_at(LONGEST - self.begun.len());
            self.begun.extend_from_slice(now);
            self.lines.push(self.stream, &self.begun);
            self.begun.clear();
            bytes = rest;
        }
        self.begun.extend_from_slice(bytes);
    }
}

impl Drop for Splitter {
    /// The last line may have no end.
    fn drop(&mut self) {
        if !self.begun.is_empty() {
            self.lines.push(self.stream, &self.begun);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(lines: &Lines) -> (u64, Vec<String>) {
        lines.close();
        let mut all = (0, Vec::new());
        while let Some(batch) = lines.take(100).await {
            all.0 += batch.dropped;
            all.1.extend(batch.lines.into_iter().map(|line| line.text));
        }
        all
    }

    #[tokio::test]
    async fn lines_are_the_same_however_they_are_cut() {
        for size in [1, 2, 100] {
            let lines = Lines::default();
            let mut splitter = Splitter::new(lines.clone(), Stream::Stdout);
            b"one\r\n\ntw\xffo\nlast".chunks(size).for_each(|piece| splitter.push(piece));
            drop(splitter);
            let expected = ["one", "", "tw\u{fffd}o", "last"].map(str::to_owned);
            assert_eq!(all(&lines).await, (0, expected.to_vec()), "in pieces of {size}");
        }
    }

    #[tokio::test]
    async fn a_line_without_end_is_cut_and_loses_nothing() {
        let lines = Lines::default();
        let mut splitter = Splitter::new(lines.clone(), Stream::Stderr);
        splitter.push("x".repeat(LONGEST * 2 + 5).as_bytes());
        drop(splitter);
        let (_, got) = all(&lines).await;
        assert_eq!(got.iter().map(String::len).collect::<Vec<_>>(), [LONGEST, LONGEST, 5]);
    }

    #[tokio::test]
    async fn the_oldest_go_and_are_counted_and_the_bytes_are_bounded() {
        let lines = Lines::default();
        let mut splitter = Splitter::new(lines.clone(), Stream::Stdout);
        for number in 0..MOST_LINES + 7 {
            splitter.push(format!("{number}\n").as_bytes());
        }
        let (dropped, got) = all(&lines).await;
        assert_eq!((dropped, got.len(), got[0].as_str()), (7, MOST_LINES, "7"));
        let lines = Lines::default();
        let mut splitter = Splitter::new(lines.clone(), Stream::Stdout);
        splitter.push(format!("{}\n", "y".repeat(LONGEST)).repeat(100).as_bytes());
        assert!(lines.queue().bytes <= MOST_BYTES);
        assert_eq!(all(&lines).await.0 as usize, 100 - MOST_BYTES / LONGEST);
    }
}
