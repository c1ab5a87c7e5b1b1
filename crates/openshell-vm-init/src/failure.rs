//! What goes wrong on the way to the workload.

use std::fmt::Display;

/// A step that failed; becomes `FromGuest::Failed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What was being done, as it reads after "cannot".
    pub(crate) step: &'static str,
    /// What came of it.
    pub(crate) message: String,
}

impl Failure {
    /// A failure in words.
    pub(crate) fn new(step: &'static str, message: impl Into<String>) -> Self {
        Self { step, message: message.into() }
    }
}

/// Says during which step something failed, and with what.
pub(crate) trait During<T> {
    /// `what` is the path, device or name that it failed on.
    fn during(self, step: &'static str, what: impl Display) -> Result<T, Failure>;
}

impl<T, E: Display> During<T> for Result<T, E> {
    fn during(self, step: &'static str, what: impl Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(step, format!("`{what}`: {error}")))
    }
}
