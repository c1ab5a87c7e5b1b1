//! What is counted of channels and logs.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that never fall.
#[derive(Default)]
pub(crate) struct Counters {
    opened: AtomicU64,
    failed: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    lines: AtomicU64,
}

/// The supervisors in numbers, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SupervisorStats {
    /// How many sessions are up.
    pub sessions: u64,
    /// How many channels there are.
    pub channels: u64,
    /// How many channels were asked for.
    pub opened: u64,
    /// How many of them never came to be.
    pub failed: u64,
    /// Bytes that went into sandboxes.
    pub sent: u64,
    /// Bytes that came out of sandboxes.
    pub received: u64,
    /// Lines that sandboxes logged.
    pub log_lines: u64,
}

impl Counters {
    pub(super) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn logged(&self, lines: usize) {
        self.lines.fetch_add(lines as u64, Ordering::Relaxed);
    }

    /// All of it, with what there is now.
    pub(super) fn snapshot(&self, sessions: usize, channels: usize) -> SupervisorStats {
        SupervisorStats {
            sessions: sessions as u64,
            channels: channels as u64,
            opened: self.opened.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            log_lines: self.lines.load(Ordering::Relaxed),
        }
    }
}
