//! The watch: every change is the driver's own news, since nobody else changes a sandbox.

use std::sync::Arc;

use futures_util::stream;
use openshell_driver_api::{DriverError, EventStream, ObservedSandbox, SandboxId, async_trait};
use openshell_driver_common::watch::{self, Observer};

use crate::driver::Inner;

/// Starts a watch.
pub(crate) fn watch(inner: &Arc<Inner>) -> EventStream {
    watch::watch(Arc::clone(inner), inner.news.subscribe(), stream::pending())
}

#[async_trait]
impl Observer for Inner {
    async fn observe_all(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        Ok(self.table.all())
    }

    async fn observe(&self, id: &SandboxId) -> Result<Option<ObservedSandbox>, DriverError> {
        Ok(self.table.one(id))
    }

    /// Nothing here has another name than the sandbox's id.
    async fn look(&self, resource: &str) -> Result<Option<ObservedSandbox>, DriverError> {
        Ok(self.table.one(&SandboxId::new(resource)?))
    }
}
