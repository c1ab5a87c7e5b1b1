//! The driver's own table of `gateway.toml`, read strictly: an unknown key is an error, and every fault is told at once.

use openshell_driver_api::{ConfigError, Table};
use openshell_driver_common::config::Reader;

/// How many sandboxes there may be unless told otherwise.
const MAX_SANDBOXES: usize = 1_000;
/// The most that may be asked for.
const MOST: i64 = 100_000;
/// Every key of the table.
const KEYS: [&str; 1] = ["max_sandboxes"];

/// What the table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// `max_sandboxes`: how many sandboxes there may be at a time.
    pub(crate) max_sandboxes: usize,
}

impl Config {
    /// Reads the table; an empty one gives the defaults.
    ///
    /// # Errors
    /// Every fault of it.
    pub(crate) fn read(table: &Table) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader::new(table);
        let max_sandboxes = reader.integer("max_sandboxes", 1, MOST);
        let faults = reader.faults(&KEYS);
        if !faults.is_empty() {
            return Err(faults);
        }
        let max_sandboxes = max_sandboxes.and_then(|number| usize::try_from(number).ok());
        Ok(Self { max_sandboxes: max_sandboxes.unwrap_or(MAX_SANDBOXES) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, Vec<String>> {
        let table: Table = text.parse().expect("TOML");
        Config::read(&table).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_key_and_its_default() {
        assert_eq!(read("max_sandboxes = 7"), Ok(Config { max_sandboxes: 7 }));
        assert_eq!(read(""), Ok(Config { max_sandboxes: MAX_SANDBOXES }));
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let faults = read("max_sandboxes = 0\nmax_sandboxs = 1").expect_err("two faults");
        assert_eq!(faults, ["`0` is not between 1 and 100000", "unknown key `max_sandboxs`"]);
        let faults = read("max_sandboxes = \"many\"").expect_err("no number");
        assert_eq!(faults, ["`max_sandboxes` is a string, not an integer"]);
    }
}
