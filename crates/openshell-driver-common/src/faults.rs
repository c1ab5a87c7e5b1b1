//! Everything that is wrong with a request, collected before any of it is said.

use openshell_driver_api::DriverError;

/// Collects what is wrong with a request.
#[derive(Debug, Default)]
pub struct Faults(Vec<String>);

impl Faults {
    /// Keeps one.
    pub fn add(&mut self, fault: impl Into<String>) {
        self.0.push(fault.into());
    }

    /// The value, or its fault kept.
    pub fn take<T>(&mut self, result: Result<T, DriverError>) -> Option<T> {
        result.map_err(|error| self.add(error.message())).ok()
    }

    /// The value, or its fault kept with what it is about.
    pub fn about<T>(&mut self, what: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|fault| self.add(format!("{what}: {fault}"))).ok()
    }

    /// All of them, if any.
    ///
    /// # Errors
    /// `InvalidArgument` with every one, joined by `; `.
    pub fn into_result(self) -> Result<(), DriverError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(DriverError::invalid("validate sandbox", self.0.join("; ")))
        }
    }
}
