//! Which lines of a log somebody asks for.

use openshell_proto::openshell::v1::SandboxLogLine;

/// Levels in their order; a word that is none of them is as `info`.
const LEVELS: &[&[&str]] =
    &[&["trace"], &["debug"], &["info"], &["warn", "warning"], &["error", "err", "fatal", "critical"]];
const INFO: usize = 2;

/// Which lines somebody asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    /// None older than this, in milliseconds since the Unix epoch.
    pub(crate) since_ms: i64,
    /// Of these sources; empty: of all.
    pub(crate) sources: Vec<String>,
    /// The least level, as a place in [`LEVELS`].
    least: usize,
}

impl Query {
    /// Reads a query; the level has been checked, and one that is off takes nothing.
    pub(crate) fn new(since_ms: i64, sources: Vec<String>, min_level: &str) -> Self {
        let least = match min_level {
            "" => 0,
            level if level.eq_ignore_ascii_case("off") => LEVELS.len(),
            level => rank(level),
        };
        Self { since_ms, sources, least }
    }

    /// Whether it asks for a line.
    pub(super) fn takes(&self, line: &SandboxLogLine) -> bool {
        line.timestamp_ms >= self.since_ms
            && (self.sources.is_empty() || self.sources.contains(&line.source))
            && (self.least == 0 || rank(&line.level) >= self.least)
    }
}

fn rank(level: &str) -> usize {
    let is = |words: &&[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(level));
    LEVELS.iter().position(is).unwrap_or(INFO)
}
