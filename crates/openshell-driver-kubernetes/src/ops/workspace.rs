//! Namespaces, where each workspace has one of its own.

use k8s_openapi::api::core::v1::Namespace;
use kube::core::ObjectMeta;
use openshell_driver_api::{DriverError, ErrorKind};

use super::Removal;
use crate::calls::Calls;
use crate::driver::Inner;
use crate::error;
use crate::plan::namespace;

const ENSURE: &str = "ensure workspace";
const DELETE: &str = "delete workspace";

impl Inner {
    /// Makes what a workspace needs on the cluster: a namespace, where each has its own.
    pub(crate) async fn ensure_workspace(&self, workspace: &str) -> Result<(), DriverError> {
        let manifest = namespace::manifest(&self.config, &self.calls.scope, workspace);
        self.ensure_namespace(manifest.as_ref()).await
    }

    /// Makes a workspace's namespace where there is none. One that somebody else has made for it is used as it is.
    pub(super) async fn ensure_namespace(&self, manifest: Option<&Namespace>) -> Result<(), DriverError> {
        let Some(manifest) = manifest else { return Ok(()) };
        let failed = |error| error::cluster(ENSURE, error);
        let api = self.calls.namespaces();
        let name = manifest.metadata.name.clone().unwrap_or_default();
        let refused =
            |kind, why: &str| Err(DriverError::new(kind, ENSURE, format!("the namespace `{name}` {why}")));
        let mut found = Calls::within(api.get_opt(&name)).await.map_err(failed)?;
        if found.is_none() {
            // Not applied: refused that, a server does not say what right is wanting.
            match Calls::create(&api, manifest).await {
                Ok(_) => return Ok(()),
                // Somebody was quicker.
                Err(error) if error::status(&error) == Some(409) => {
                    found = Calls::within(api.get_opt(&name)).await.map_err(failed)?;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        match found {
            None => refused(ErrorKind::Aborted, "comes and goes"),
            Some(found) if found.metadata.deletion_timestamp.is_some() => {
                refused(ErrorKind::Aborted, "is being removed")
            }
            Some(found) if !namespace::is_usable(manifest, &found) => {
                refused(ErrorKind::FailedPrecondition, "is not this workspace's")
                    .map_err(|error| error.with_hint(namespace::how_to_label(manifest)))
            }
            Some(_) => Ok(()),
        }
    }

    /// Removes the namespace that was made for a workspace, and waits until it is gone; any other stays.
    pub(crate) async fn delete_namespace(&self, workspace: &str) -> Result<(), DriverError> {
        let Some(manifest) = namespace::manifest(&self.config, &self.calls.scope, workspace) else {
            return Ok(());
        };
        let name = manifest.metadata.name.clone().unwrap_or_default();
        let mine = |meta: &ObjectMeta| {
            let found = Namespace { metadata: meta.clone(), ..Default::default() };
            namespace::is_made(&manifest, &found)
        };
        let removal = Removal { operation: DELETE, what: "namespace", name: &name, mine: &mine, grace: None };
        self.remove(&self.calls.namespaces(), &removal).await.map(drop)
    }
}
