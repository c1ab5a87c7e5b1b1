//! The latest lines that sandboxes logged, in memory, and those who follow them.
//!
//! Every sandbox has a ring of a bounded size, and all rings together have a bound, too. Whoever follows has a place in the
//! ring and no queue of its own; one whose place is gone was too slow, and is cut.

mod line;
mod query;
mod ring;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openshell_proto::numbered;
use openshell_proto::openshell::v1::SandboxLogLine;
use tokio::sync::watch;

use super::counters::Counters;
pub(crate) use query::Query;
use ring::Ring;

/// The most bytes of all lines together: beyond it the longest log loses its oldest ones.
const ALL_BYTES: usize = 64 * 1024 * 1024;
/// How many lines are taken at once. A reader that keeps up never falls behind by more than a few times that.
const CHUNK: usize = 200;
/// What those who follow have to take a chunk before the next one comes.
const BREATH: Duration = Duration::from_millis(2);
/// How many lines a follower takes at once.
const BATCH: usize = 100;

/// A line that is kept.
pub(crate) type Line = Arc<SandboxLogLine>;

/// The logs of all sandboxes.
pub(crate) struct Logs {
    rings: Mutex<Rings>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Rings {
    by_sandbox: HashMap<String, Ring>,
    bytes: usize,
}

/// A follower's place is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behind;

/// Somebody who follows a sandbox's log.
pub(crate) struct Follower {
    sandbox: String,
    query: Query,
    /// The number of the next line to look at.
    next: u64,
    told: watch::Receiver<()>,
}

impl Logs {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { rings: Mutex::default(), counters }
    }

    /// Keeps what this sandbox logs from now on. Whoever calls this has to look whether there is one afterwards.
    pub(crate) fn keep(&self, sandbox: &str) {
        self.rings().by_sandbox.entry(sandbox.to_owned()).or_default();
    }

    /// Forgets what it logged.
    pub(crate) fn forget(&self, sandbox: &str) {
        let mut rings = self.rings();
        if let Some(ring) = rings.by_sandbox.remove(sandbox) {
            rings.bytes -= ring.bytes();
        }
    }

    /// Of so many lines from a place on, how many have come before: on another stream, which may not be read to its end yet.
    /// The rest counts as come from now on.
    pub(super) fn known(&self, sandbox: &str, from: &numbered::From, count: usize) -> usize {
        let mut rings = self.rings();
        rings.by_sandbox.get_mut(sandbox).map_or(0, |ring| ring.known(from, count))
    }

    /// Takes lines of a sandbox, cut to size. `false`: it is kept no more.
    pub(super) async fn push(&self, sandbox: &str, lines: Vec<SandboxLogLine>) -> bool {
        let mut lines = lines.into_iter().map(|line| line::bounded(line, sandbox)).peekable();
        loop {
            let followed = {
                let mut rings = self.rings();
                let Rings { by_sandbox, bytes } = &mut *rings;
                let Some(ring) = by_sandbox.get_mut(sandbox) else { return false };
                let before = ring.bytes();
                let mut count = 0;
                for line in lines.by_ref().take(CHUNK) {
                    ring.push(Arc::new(line));
                    count += 1;
                }
                *bytes = *bytes + ring.bytes() - before;
                self.counters.logged(count);
                let followed = ring.tell();
                rings.shrink(ALL_BYTES);
                followed
            };
            if lines.peek().is_none() {
                return true;
            }
            if followed {
                tokio::time::sleep(BREATH).await;
            }
        }
    }

    /// The latest lines that a query asks for, oldest first, and how many are held.
    pub(crate) fn latest(&self, sandbox: &str, query: &Query, at_most: usize) -> (Vec<Line>, usize) {
        let rings = self.rings();
        let Some(ring) = rings.by_sandbox.get(sandbox) else { return (Vec::new(), 0) };
        (ring.latest(query, at_most), ring.len())
    }

    /// Begins to follow, after the latest lines, which are at most so many.
    pub(crate) fn follow(&self, sandbox: &str, query: Query, tail: usize) -> (Vec<Line>, Option<Follower>) {
        let rings = self.rings();
        let Some(ring) = rings.by_sandbox.get(sandbox) else { return (Vec::new(), None) };
        let latest = ring.latest(&query, tail);
        let (next, told) = (ring.end(), ring.told());
        (latest, Some(Follower { sandbox: sandbox.to_owned(), query, next, told }))
    }

    fn rings(&self) -> MutexGuard<'_, Rings> {
        // No code that may panic runs under this lock.
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rings {
    /// Lets the longest logs lose their oldest lines.
    fn shrink(&mut self, at_most: usize) {
        while self.bytes > at_most {
            let Some(longest) = self.by_sandbox.values_mut().max_by_key(|ring| ring.bytes()) else { return };
            let before = longest.bytes();
            longest.halve();
            self.bytes -= before - longest.bytes();
        }
    }
}

impl Follower {
    /// The next lines, once there are any. It never ends by itself.
    ///
    /// # Errors
    /// [`Behind`].
    pub(crate) async fn next(&mut self, logs: &Logs) -> Result<Vec<Line>, Behind> {
        loop {
            // Before the look: what comes after it wakes us.
            self.told.mark_unchanged();
            let lines = match logs.rings().by_sandbox.get(&self.sandbox) {
                Some(ring) => ring.after(&mut self.next, &self.query, BATCH)?,
                None => Vec::new(),
            };
            if !lines.is_empty() {
                return Ok(lines);
            }
            if self.told.changed().await.is_err() {
                // The sandbox has gone; whoever follows is told otherwise.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
