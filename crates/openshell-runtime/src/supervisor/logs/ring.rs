//! One sandbox's latest lines: so many, and so many bytes.

use std::collections::VecDeque;

use openshell_proto::numbered;
use tokio::sync::watch;

use super::line::size;
use super::{Behind, Line, Query};

/// The most lines of a sandbox.
const LINES: usize = 2000;
/// The most bytes of a sandbox's lines.
const BYTES: usize = 512 * 1024;

#[derive(Default)]
pub(super) struct Ring {
    lines: VecDeque<Line>,
    /// The number of the first line that is kept; they are numbered as they come.
    first: u64,
    bytes: usize,
    /// Up to where a run's numbered lines have come.
    come: Option<numbered::From>,
    told: watch::Sender<()>,
}

impl Ring {
    pub(super) fn push(&mut self, line: Line) {
        self.bytes += size(&line);
        self.lines.push_back(line);
        while self.lines.len() > LINES || self.bytes > BYTES {
            self.drop_first();
        }
    }

    /// Of so many lines from a place on, how many have come before; the rest counts as come from now on.
    pub(super) fn known(&mut self, from: &numbered::From, count: usize) -> usize {
        let end = from.first.saturating_add(count as u64);
        let known = match &self.come {
            Some(come) if come.run == from.run => come.first.saturating_sub(from.first),
            _ => 0,
        };
        let known = usize::try_from(known).map_or(count, |known| known.min(count));
        if known < count {
            self.come = Some(numbered::From { first: end, run: from.run.clone() });
        }
        known
    }

    /// Loses the older half of its lines, or its only one.
    pub(super) fn halve(&mut self) {
        for _ in 0..self.lines.len().div_ceil(2) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(line) = self.lines.pop_front() {
            self.bytes -= size(&line);
            self.first += 1;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The number of the next line to come.
    pub(super) fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// Changes whenever there are new lines.
    pub(super) fn told(&self) -> watch::Receiver<()> {
        self.told.subscribe()
    }

    /// Wakes those who follow; whether there are any.
    pub(super) fn tell(&self) -> bool {
        self.told.send_replace(());
        self.told.receiver_count() > 0
    }

    /// The latest lines that are asked for, oldest first.
    pub(super) fn latest(&self, query: &Query, at_most: usize) -> Vec<Line> {
        let mut lines: Vec<Line> =
            self.lines.iter().rev().filter(|line| query.takes(line)).take(at_most).cloned().collect();
        lines.reverse();
        lines
    }

    /// The lines from a place on that are asked for, at most so many; the place moves behind what was looked at.
    pub(super) fn after(&self, next: &mut u64, query: &Query, at_most: usize) -> Result<Vec<Line>, Behind> {
        let skip = usize::try_from(next.checked_sub(self.first).ok_or(Behind)?).unwrap_or(usize::MAX);
        let mut lines = Vec::new();
        for line in self.lines.iter().skip(skip) {
            if lines.len() == at_most {
                break;
            }
            *next += 1;
            if query.takes(line) {
                lines.push(Line::clone(line));
            }
        }
        Ok(lines)
    }
}
