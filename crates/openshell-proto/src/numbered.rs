//! Which lines of a log a supervisor hands over, by headers: so that what a connection lost is handed over again, and nothing
//! twice.
//!
//! `PushSandboxLogs` is answered when its stream ends, so its messages say nothing of what has arrived. A gateway that counts
//! the lines of each run says so with [`COUNTS`] in its answer to `ConnectSupervisor`; only then does a supervisor begin
//! each stream with lines that it handed over before, and says with [`FROM`] which is the first.

/// The header by which a gateway says that it counts lines; its value is `1`.
pub const COUNTS: &str = "x-openshell-counts-log-lines";
/// The header by which a supervisor says where a stream of lines begins.
pub const FROM: &str = "x-openshell-log-from";

/// Where a stream of lines begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// The number of its first line; those of a run are numbered from 0 as they are handed over first.
    pub first: u64,
    /// The supervisor's run.
    pub run: String,
}

/// The longest name of a run: it is kept for as long as the log is.
const LONGEST: usize = 128;

impl From {
    /// The header's value: the number and the run, with a space between them.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} {}", self.first, self.run)
    }

    /// Reads the header's value; nothing where it is none.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (first, run) = text.split_once(' ').filter(|(_, run)| run.len() <= LONGEST)?;
        Some(Self { first: first.parse().ok()?, run: run.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_back() {
        let from = From { first: u64::MAX, run: "run 1".to_owned() };
        assert_eq!(From::read(&from.text()), Some(from));
        for text in ["", "7", "x 7", "-1 run", &format!("0 {}", "r".repeat(LONGEST + 1))] {
            assert_eq!(From::read(text), None, "{text}");
        }
    }
}
