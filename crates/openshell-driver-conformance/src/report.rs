//! What came of a run.

use std::fmt;
use std::time::Duration;

use crate::case::{Case, Level};
use crate::forms;

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The driver does it.
    Passed,
    /// It does not; what it did instead.
    Failed(String),
    /// It was not looked at; why.
    Skipped(String),
}

/// A case and what came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The case.
    pub case: &'static Case,
    /// What came of it.
    pub verdict: Verdict,
    /// How long it took, without its cleaning up.
    pub took: Duration,
}

/// All outcomes of a run, in order.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was tested, in words.
    pub target: String,
    /// The driver's name and version for itself.
    pub driver: (String, String),
    /// The outcomes.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Whether no required case failed.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.failed().any(|case| case.level == Level::Required)
    }

    /// The cases that failed, of every level.
    pub fn failed(&self) -> impl Iterator<Item = &'static Case> {
        let failed = self.outcomes.iter().filter(|outcome| matches!(outcome.verdict, Verdict::Failed(_)));
        failed.map(|outcome| outcome.case)
    }

    /// The outcome of a case that was run.
    #[must_use]
    pub fn outcome(&self, id: &str) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.case.id == id)
    }

    /// How many passed, failed and were skipped.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |is: fn(&Verdict) -> bool| self.outcomes.iter().filter(|o| is(&o.verdict)).count();
        (
            count(|verdict| matches!(verdict, Verdict::Passed)),
            count(|verdict| matches!(verdict, Verdict::Failed(_))),
            count(|verdict| matches!(verdict, Verdict::Skipped(_))),
        )
    }
}

/// What did not pass, as the program prints it, and the sum.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = self.outcomes.iter().filter(|outcome| outcome.verdict != Verdict::Passed);
        others.map(forms::line).try_for_each(|line| f.write_str(&line))?;
        f.write_str(&forms::summary(self))
    }
}
