//! What a container that somebody removed by hand leaves behind: its workspace, its network, and a secret or a helper where a
//! create was ended in the middle. Swept when the service tells of the removal, and at every list.

use std::collections::BTreeSet;
use std::sync::Arc;

use openshell_driver_api::{DriverError, ObservedSandbox, SandboxId};

use crate::driver::Inner;

impl Inner {
    /// Removes what a sandbox has left when it has no container, unless somebody works on that sandbox: whoever creates
    /// it has parts of it before there is a container, and whoever deletes it removes them anyway.
    pub(crate) async fn sweep(&self, id: &SandboxId) {
        // One at a time: somebody may remove hundreds at once, and the service has other things to do.
        let _alone = self.sweeping.lock().await;
        let Some(_turn) = self.locks.try_turn(id) else { return };
        match self.sweep_now(id).await {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!(sandbox = %id, "its container was removed by hand; what it left is removed, too");
            }
            Err(error) => tracing::warn!(sandbox = %id, %error, "cannot remove what a sandbox has left"),
        }
    }

    async fn sweep_now(&self, id: &SandboxId) -> Result<bool, DriverError> {
        if self.container_of(id).await?.is_some() {
            return Ok(false);
        }
        self.remove_all(id).await
    }

    /// Sweeps, beside everything else, whatever belongs to sandboxes that are none of these.
    pub(crate) fn sweep_all(self: &Arc<Self>, present: &[ObservedSandbox]) {
        let present: BTreeSet<SandboxId> = present.iter().map(|sandbox| sandbox.id.clone()).collect();
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            match inner.owners_of_anything().await {
                Ok(owners) => {
                    for id in owners.difference(&present) {
                        inner.sweep(id).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot look for what sandboxes have left"),
            }
        });
    }

    /// The sandboxes that something but their container belongs to: also one of the helpers that are looked into for the users
    /// of an image, which the end of a gateway's process may have left alone.
    async fn owners_of_anything(&self) -> Result<BTreeSet<SandboxId>, DriverError> {
        let filters = self.filters();
        let (helpers, volumes, networks, secrets) = tokio::join!(
            self.engine.containers(&filters),
            self.engine.volumes(&filters),
            self.engine.networks(&filters),
            self.engine.secrets()
        );
        let helpers = helpers?.into_iter().filter_map(|found| {
            let owner = self.scope.owner(&found.labels)?;
            found.names.contains(&self.scope.files_container(&owner)).then_some(Some(owner))
        });
        let volumes = volumes?.into_iter().map(|volume| self.scope.owner(&volume.labels));
        let networks = networks?.into_iter().map(|network| self.scope.owner(&network.labels));
        // By its labels, where the service keeps them: an id that is too long for a name can be read from there alone.
        let secrets = secrets?.into_iter().map(|secret| {
            let labelled = self.scope.owner(&secret.spec.labels);
            let labelled = labelled.filter(|owner| self.scope.secret(owner) == secret.spec.name);
            labelled.or_else(|| self.scope.owner_of_secret(&secret.spec.name))
        });
        Ok(helpers.chain(volumes).chain(networks).chain(secrets).flatten().collect())
    }
}
