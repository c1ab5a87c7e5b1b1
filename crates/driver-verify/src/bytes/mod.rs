//! One pass over a file for everything that is looked for.

mod lanes;
mod probe;

use std::collections::HashMap;

use aho_corasick::dfa::DFA;
use aho_corasick::nfa::contiguous::NFA;

use probe::Shape;
pub(crate) use probe::{Known, Probe};

/// How many hits of one probe are kept; the rest is counted.
const KEPT: usize = 4;
/// As many bytes of needles make a table of some 30 MB at the very most.
const TABLE: usize = 48 << 10;

/// Finds any of many probes in one pass.
#[derive(Debug)]
pub(crate) struct Scanner<'q> {
    known: Known<'q>,
    probes: Vec<Probe>,
    index: HashMap<Probe, usize>,
}

/// What was seen of one probe.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) count: usize,
    /// The first of them.
    pub(crate) hits: Vec<Hit>,
}

/// Where a probe was seen.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) offset: u64,
    pub(crate) text: String,
}

impl<'q> Scanner<'q> {
    pub(crate) fn new(known: Known<'q>) -> Self {
        Self { known, probes: Vec::new(), index: HashMap::new() }
    }

    pub(crate) fn known(&self) -> &Known<'q> {
        &self.known
    }

    /// Adds a probe, once; gives the index of what [`scan`](Self::scan) sees of it.
    pub(crate) fn add(&mut self, probe: Probe) -> usize {
        *self.index.entry(probe).or_insert_with_key(|probe| {
            self.probes.push(probe.clone());
            self.probes.len() - 1
        })
    }

    /// Looks through `data`.
    pub(crate) fn scan(&self, data: &[u8]) -> Result<Vec<Seen>, String> {
        let mut needles: Vec<(String, usize, Shape)> = Vec::new();
        for (index, probe) in self.probes.iter().enumerate() {
            needles.extend(probe.needles().into_iter().map(|(needle, shape)| (needle, index, shape)));
        }
        needles.retain(|(needle, ..)| !needle.is_empty());
        let size: usize = needles.iter().map(|(needle, ..)| needle.len()).sum();
        let patterns = needles.iter().map(|(needle, ..)| needle);
        let mut seen = vec![Seen::default(); self.probes.len()];
        let each = |pattern: usize, end: usize| {
            let (needle, index, shape) = &needles[pattern];
            let start = end - needle.len();
            if self.probes[*index].is_hit(*shape, data, start, end, &self.known) {
                seen[*index].add(start as u64, || probe::show(data, start, end, *shape));
            }
        };
        // Few enough: a table that answers each byte with one look. Else a walk that is slower and smaller.
        if size <= TABLE {
            let automaton =
                DFA::builder().prefilter(false).build(patterns).map_err(|error| error.to_string())?;
            lanes::matches(&automaton, data, each).map_err(|error| error.to_string())?;
        } else {
            let automaton =
                NFA::builder().prefilter(false).build(patterns).map_err(|error| error.to_string())?;
            lanes::matches(&automaton, data, each).map_err(|error| error.to_string())?;
        }
        Ok(seen)
    }
}

impl Seen {
    /// Counts a hit, and keeps it when it is among the first of the file.
    fn add(&mut self, offset: u64, text: impl FnOnce() -> String) {
        self.count += 1;
        let at = self.hits.partition_point(|hit| hit.offset < offset);
        if at < KEPT {
            self.hits.truncate(KEPT - 1);
            self.hits.insert(at, Hit { offset, text: text() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_everything_and_keeps_the_first() {
        let mut scanner = Scanner::new(Known::default());
        let ab = scanner.add(Probe::Text("ab".to_owned()));
        let abc = scanner.add(Probe::Text("abc".to_owned()));
        assert_eq!(scanner.add(Probe::Text("ab".to_owned())), ab);
        let data = "abc.".repeat(10);
        let seen = scanner.scan(data.as_bytes()).unwrap();
        assert_eq!((seen[ab].count, seen[abc].count), (10, 10));
        let offsets: Vec<_> = seen[abc].hits.iter().map(|hit| hit.offset).collect();
        assert_eq!(offsets, [0, 4, 8, 12]);
    }

    #[test]
    fn more_needles_than_the_table_holds_are_found_as_well() {
        let mut scanner = Scanner::new(Known::default());
        for number in 0..5000 {
            scanner.add(Probe::Text(format!("text number {number:06}")));
        }
        let seen = scanner.scan("… text number 004999 …".as_bytes()).unwrap();
        assert_eq!(seen.iter().filter(|seen| seen.count == 1).count(), 1);
    }
}
