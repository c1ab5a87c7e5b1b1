//! The doors that supervisors come in by: open before the driver is asked, closed when the row has gone.

use std::sync::Arc;

use openshell_driver_api::{DriverError, ErrorKind, SandboxId, Secret};

use super::TokenUse;
use crate::engine::Engine;

impl Engine {
    /// Opens the door of a sandbox, if sandboxes have one; twice is as good as once.
    ///
    /// # Errors
    /// `Unavailable`: it is tried again.
    pub(crate) async fn open_door(&self, sandbox: &str) -> Result<(), DriverError> {
        let Some(supervision) = &self.settings.supervision else { return Ok(()) };
        let id = SandboxId::new(sandbox)?;
        supervision.doors.open(&id).await.map_err(|error| {
            let message = format!("the gateway cannot listen for the sandbox's supervisor: {error}");
            DriverError::new(ErrorKind::Unavailable, "open the supervisor's door", message).with_source(error)
        })
    }

    /// What a sandbox's supervisor shows when it comes in first; empty where there is none.
    pub(crate) fn boot_token(&self, sandbox: &str) -> Secret {
        let supervision = self.settings.supervision.as_ref();
        supervision.map_or_else(Secret::default, |supervision| {
            supervision.tokens.issue(sandbox, TokenUse::Boot).text
        })
    }

    /// Closes the doors of sandboxes that have gone, until the gateway stops.
    pub(crate) async fn close_doors(self: Arc<Self>) {
        let Some(supervision) = &self.settings.supervision else { return };
        let mut gone = self.supervisors.gone_queue.lock().await;
        loop {
            let next = tokio::select! {
                biased;
                next = gone.recv() => next,
                () = self.stopped() => return,
            };
            let Some(id) = next else { return };
            if let Ok(id) = SandboxId::new(id) {
                supervision.doors.close(&id).await;
            }
        }
    }
}
