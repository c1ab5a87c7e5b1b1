//! Commands that take several names: what is printed for them, and what becomes of errors.

use serde_json::Value;

use crate::error::{CliError, Kind};
use crate::output;

/// What was asked for: one by its name, or several, be it none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    One,
    Several(usize),
}

impl Asked {
    /// By this many names.
    pub(crate) fn names(count: usize) -> Self {
        if count == 1 { Self::One } else { Self::Several(count) }
    }

    /// Prints the document of the one, or an array of those of several; of one that failed there may be none.
    pub(crate) fn print(self, documents: Vec<Value>) -> Result<(), CliError> {
        match self {
            Self::One => documents.first().map_or(Ok(()), output::json),
            Self::Several(_) => output::json(&Value::Array(documents)),
        }
    }
}

/// What went wrong: with some of several it is told at once, and does not keep the others from being done.
#[derive(Debug)]
pub(crate) struct Failures {
    asked: Asked,
    failed: usize,
    kind: Option<Kind>,
    last: Option<CliError>,
}

impl Failures {
    pub(crate) fn new(asked: Asked) -> Self {
        Self { asked, failed: 0, kind: None, last: None }
    }

    /// Takes an error, and says whether to go on: not after one that all others would meet, too.
    pub(crate) fn push(&mut self, error: CliError) -> bool {
        if self.asked == Asked::One || error.is_everybodys() {
            self.last = Some(error);
            return false;
        }
        error.tell();
        self.failed += 1;
        let kind = error.kind();
        // In different ways: then the exit code says no more than that.
        self.kind = Some(if self.kind.is_none_or(|before| before == kind) { kind } else { Kind::Failure });
        true
    }

    /// The outcome of all.
    pub(crate) fn end(self) -> Result<(), CliError> {
        match (self.last, self.kind, self.asked) {
            (Some(error), ..) => Err(error),
            (None, Some(kind), Asked::Several(all)) => Err(CliError::Some { failed: self.failed, all, kind }),
            (None, ..) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(kind: Kind) -> CliError {
        match kind {
            Kind::Usage => CliError::Usage("a".to_owned()),
            _ => CliError::Empty { what: "b".to_owned() },
        }
    }

    #[test]
    fn the_exit_code_is_the_common_one() {
        for (kinds, code) in [
            (&[Kind::Usage][..], 2),
            (&[Kind::Usage, Kind::Usage], 2),
            (&[Kind::Usage, Kind::Failure], 1),
            (&[Kind::Failure, Kind::Usage, Kind::Usage], 1),
        ] {
            let mut failures = Failures::new(Asked::Several(5));
            assert!(kinds.iter().all(|kind| failures.push(wrong(*kind))));
            let error = failures.end().unwrap_err();
            assert_eq!(error.kind().code(), code);
            assert_eq!(error.to_string(), format!("{} of 5 failed", kinds.len()));
        }
        assert!(Failures::new(Asked::Several(5)).end().is_ok());
    }

    #[test]
    fn an_error_that_all_would_meet_is_the_last() {
        let mut failures = Failures::new(Asked::Several(5));
        let silent = CliError::Silent { what: "c".to_owned(), limit: std::time::Duration::from_secs(1) };
        assert!(!failures.push(silent));
        assert_eq!(failures.end().unwrap_err().to_string(), "cannot c: no answer within 1s");
    }
}
