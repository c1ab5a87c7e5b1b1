//! What is tested, and how.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openshell_core::suggest;
use openshell_driver_api::ComputeDriver;

use crate::case::{Case, Group};
use crate::restart::Restart;

/// What is held to the contract.
#[derive(Clone)]
pub enum Target {
    /// A driver's socket.
    Socket(PathBuf),
    /// A driver in this process; it is served on a temporary socket of its own.
    Driver(Arc<dyn ComputeDriver>),
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => f.debug_tuple("Socket").field(path).finish(),
            Self::Driver(_) => f.write_str("Driver(…)"),
        }
    }
}

/// How it is tested.
#[derive(Clone)]
pub struct Options {
    /// The image of the sandboxes that are made; none: the driver's default.
    pub image: Option<String>,
    /// What the sandboxes run.
    pub command: Vec<String>,
    /// How long an answer, or a change of state, may take.
    pub timeout: Duration,
    /// How long the socket may be late.
    pub connect_timeout: Duration,
    /// How long an answer may take that has to come at once.
    pub prompt: Duration,
    /// For how long is looked where nothing may happen.
    pub quiet: Duration,
    /// How long everything may take together.
    pub whole: Duration,
    /// Only these; empty: all.
    pub only: Vec<Selector>,
    /// User ids that may serve the socket besides this user and root; the socket's mode may be open then.
    pub allow_uids: Vec<u32>,
    /// How many cases run at a time, where they do not disturb each other; 0 counts as 1.
    pub side_by_side: usize,
    /// How many sandboxes may be made at a time, for the cases that need many.
    pub many: Option<usize>,
    /// How to stop and start the driver, for the cases that need it.
    pub restart: Option<Arc<dyn Restart>>,
    /// Where the driver keeps its files, for the case that looks for tokens there.
    pub state_dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            image: None,
            command: vec!["sleep".to_owned(), "3600".to_owned()],
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(30),
            prompt: Duration::from_secs(2),
            quiet: Duration::from_millis(500),
            whole: Duration::from_secs(30 * 60),
            only: Vec::new(),
            allow_uids: Vec::new(),
            side_by_side: 1,
            many: None,
            restart: None,
            state_dir: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("image", &self.image)
            .field("timeout", &self.timeout)
            .field("only", &self.only)
            .field("many", &self.many)
            .field("restart", &self.restart.is_some())
            .finish_non_exhaustive()
    }
}

/// A case or a group, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(String);

/// A name that is neither a case's nor a group's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no case and no group is called `{name}`{}", meant(*nearest))]
pub struct UnknownCase {
    name: String,
    nearest: Option<&'static str>,
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

impl Selector {
    /// Reads a name.
    ///
    /// # Errors
    /// When nothing is called that.
    pub fn parse(name: &str) -> Result<Self, UnknownCase> {
        let names: Vec<&'static str> =
            Group::ALL.iter().map(|group| group.name()).chain(crate::cases().map(|case| case.id)).collect();
        if names.contains(&name) {
            return Ok(Self(name.to_owned()));
        }
        let nearest = suggest::nearest(name, names);
        Err(UnknownCase { name: name.to_owned(), nearest })
    }

    /// Whether a case is meant.
    #[must_use]
    pub fn takes(&self, case: &Case) -> bool {
        self.0 == case.id || self.0 == case.group().name()
    }
}

impl Options {
    /// Whether a case is to run. The one that looks whether anything is left always is.
    pub(crate) fn takes(&self, case: &Case) -> bool {
        self.only.is_empty()
            || case.group() == Group::Cleanup
            || self.only.iter().any(|selector| selector.takes(case))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_a_case_or_a_group() {
        let case = crate::cases().find(|case| case.id == "lifecycle.create-twice").expect("the case");
        assert!(Selector::parse("lifecycle").expect("a group").takes(case));
        assert!(Selector::parse("lifecycle.create-twice").expect("a case").takes(case));
        assert!(!Selector::parse("watch").expect("a group").takes(case));
        assert_eq!(
            Selector::parse("lifecycle.create-twise").expect_err("a slip").to_string(),
            "no case and no group is called `lifecycle.create-twise`; did you mean `lifecycle.create-twice`?"
        );
    }
}
