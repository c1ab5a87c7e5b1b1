//! What is known of the driver behind a socket, from one connection to the next.

use std::sync::{Mutex, MutexGuard, PoisonError};

use openshell_driver_api::Capabilities;

/// The state that a driver's connections share: why nothing is asked of it, if so.
#[derive(Debug, Default)]
pub(crate) struct Session(Mutex<Option<String>>);

impl Session {
    /// A connection was made and the driver said who it is; it may be another one than before.
    pub(crate) fn greeted(&self, capabilities: &Capabilities) -> Result<(), String> {
        let refusal = capabilities
            .driver_name
            .is_empty()
            .then(|| "its answer to `GetCapabilities` is empty, it has no `driver_name`".to_owned());
        self.refusal().clone_from(&refusal);
        refusal.map_or(Ok(()), Err)
    }

    /// Why nothing is asked of this driver, if so.
    pub(crate) fn refused(&self) -> Option<String> {
        self.refusal().clone()
    }

    // Every change is one assignment: a panic elsewhere leaves nothing half done.
    fn refusal(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
