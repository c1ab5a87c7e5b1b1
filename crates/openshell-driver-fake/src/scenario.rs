//! A scenario: what the driver says of itself, how long things take, and which parts of the contract it breaks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openshell_core::shell::Remedy;
use openshell_driver_api::{ConfigError, Table};
use openshell_driver_common::config::{Reader, did_you_mean};

use crate::Fault;

/// The longest time that a scenario may ask for, in milliseconds.
const LONGEST_MS: i64 = 600_000;

const KEYS: &[&str] =
    &["driver_name", "driver_version", "default_image", "contract", "start_ms", "socket_late_ms", "faults"];

/// Which fields of the contract the driver was built with. Both are whole contracts: what one does not know is dropped, as
/// the other side's protobuf library drops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Contract {
    /// The present ones.
    #[default]
    Current,
    /// Those before `workspace`, `resource_requirements`, `command`, `tty`, `deleting` and `gateway_manages_lifecycle`;
    /// `GetCapabilities` still has `supports_gpu` and `gpu_count`, whose numbers are reserved now.
    Early,
}

impl Contract {
    fn parse(word: &str) -> Result<Self, (String, Option<String>)> {
        match word {
            "current" => Ok(Self::Current),
            "early" => Ok(Self::Early),
            _ => Err(("is no contract".to_owned(), Some("`current` or `early`".to_owned()))),
        }
    }
}

/// How the driver behaves. The default keeps the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// What `GetCapabilities` says; need not be the name that a gateway has it under.
    pub driver_name: String,
    /// What `GetCapabilities` says.
    pub driver_version: String,
    /// What `GetCapabilities` says; empty: there is none.
    pub default_image: String,
    /// Which fields it knows.
    pub contract: Contract,
    /// How long a sandbox takes to become ready.
    pub start: Duration,
    /// How long the socket is late.
    pub socket_late: Duration,
    /// What is broken.
    pub faults: BTreeSet<Fault>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            driver_name: "fake".to_owned(),
            driver_version: env!("CARGO_PKG_VERSION").to_owned(),
            default_image: "fake:latest".to_owned(),
            contract: Contract::default(),
            start: Duration::from_millis(20),
            socket_late: Duration::ZERO,
            faults: BTreeSet::new(),
        }
    }
}

/// Why a scenario cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read the scenario `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no TOML.
    #[error("the scenario `{}` is not TOML", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: toml::de::Error,
    },
    /// Keys or values that nobody knows.
    #[error("the scenario `{}`: {}", path.display(), said(faults))]
    Values {
        /// The file.
        path: PathBuf,
        /// All of them.
        faults: Vec<ConfigError>,
    },
}

fn said(faults: &[ConfigError]) -> String {
    faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>().join("; ")
}

impl Remedy for ScenarioError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Read { .. } => Vec::new(),
            Self::Toml { .. } => vec!["a scenario is lines such as: faults = [\"silent-watch\"]".to_owned()],
            Self::Values { faults, .. } => faults.iter().filter_map(|fault| fault.hint.clone()).collect(),
        }
    }
}

impl Scenario {
    /// The default with one thing broken.
    #[must_use]
    pub fn with(fault: Fault) -> Self {
        Self { faults: BTreeSet::from([fault]), ..Self::default() }
    }

    /// Whether this is broken.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is no TOML, or says what nobody knows: everything at once, with what was meant.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ScenarioError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Reads a text; `path` is for errors.
    ///
    /// # Errors
    /// As those of [`read`](Self::read).
    pub fn parse(path: &Path, text: &str) -> Result<Self, ScenarioError> {
        let table: Table =
            text.parse().map_err(|source| ScenarioError::Toml { path: path.to_owned(), source })?;
        let mut reader = Reader::new(&table);
        let default = Self::default();
        let own = |text: &str| Ok(text.to_owned());
        let driver_name = reader.text("driver_name", own).unwrap_or(default.driver_name);
        let driver_version = reader.text("driver_version", own).unwrap_or(default.driver_version);
        let default_image = reader.text("default_image", own).unwrap_or(default.default_image);
        let contract = reader.text("contract", Contract::parse).unwrap_or_default();
        let mut millis = |key, otherwise| {
            let given = reader.integer(key, 0, LONGEST_MS).and_then(|given| u64::try_from(given).ok());
            given.map_or(otherwise, Duration::from_millis)
        };
        let start = millis("start_ms", default.start);
        let socket_late = millis("socket_late_ms", default.socket_late);
        let faults = reader.texts("faults", fault).into_iter().collect();
        let wrong = reader.faults(KEYS);
        if !wrong.is_empty() {
            return Err(ScenarioError::Values { path: path.to_owned(), faults: wrong });
        }
        Ok(Self { driver_name, driver_version, default_image, contract, start, socket_late, faults })
    }
}

/// A fault by its name.
pub(crate) fn fault(name: &str) -> Result<Fault, (String, Option<String>)> {
    if let Some(fault) = Fault::ALL.iter().find(|fault| fault.name() == name) {
        return Ok(*fault);
    }
    let names: Vec<&str> = Fault::ALL.iter().map(|fault| fault.name()).collect();
    let hint = match did_you_mean(name, &names) {
        near if near.starts_with("did you mean") => near,
        // A hundred names are no hint.
        _ => "openshell-driver-fake --list-faults".to_owned(),
    };
    Err(("is no fault".to_owned(), Some(hint)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_read_whole() {
        let text = "driver_name = 'other'\ncontract = 'early'\nstart_ms = 7\nfaults = ['silent-watch', 'list-capped']";
        let scenario = Scenario::parse(Path::new("s.toml"), text).expect("a scenario");
        assert_eq!((scenario.driver_name.as_str(), scenario.start), ("other", Duration::from_millis(7)));
        assert!(scenario.has(Fault::SilentWatch) && scenario.has(Fault::ListCapped));
        assert!(!scenario.has(Fault::Flood));
        assert_eq!(scenario.contract, Contract::Early);
    }

    #[test]
    fn every_mistake_is_said_with_what_was_meant() {
        let text = "drivername = 'x'\nstart_ms = -1\nfaults = ['silent-wach', 'bewildered']";
        let error = Scenario::parse(Path::new("s.toml"), text).expect_err("four mistakes");
        assert_eq!(
            error.to_string(),
            "the scenario `s.toml`: `-1` is not between 0 and 600000; `silent-wach` is no fault; \
             `bewildered` is no fault; unknown key `drivername`"
        );
        assert_eq!(
            error.hints(),
            [
                "did you mean `silent-watch`?",
                "openshell-driver-fake --list-faults",
                "did you mean `driver_name`?"
            ]
        );
        assert!(Scenario::parse(Path::new("s.toml"), "faults = [").is_err());
    }
}
