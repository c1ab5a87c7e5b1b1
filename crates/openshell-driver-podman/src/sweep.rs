//! What a container that somebody removed by hand leaves behind: its workspace, its network, and a secret or a helper where a
//! create was ended in the middle. Swept when the service tells of the removal, and at every list.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use openshell_driver_api::{DriverError, ObservedSandbox, SandboxId};

use crate::driver::Inner;

/// How many removals are remembered: far more than happen before the service tells of one.
const REMOVALS: usize = 1024;

/// The containers that the driver itself has removed, of late: it removes the rest, too, and nobody has to look for that.
#[derive(Debug, Default)]
pub(crate) struct Removals(Mutex<VecDeque<String>>);

impl Removals {
    /// Remembers one, by its container's id.
    pub(crate) fn note(&self, container: &str) {
        let mut removals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if removals.len() >= REMOVALS {
            removals.pop_front();
        }
        removals.push_back(container.to_owned());
    }

    /// Whether it is one of them.
    pub(crate) fn has(&self, container: &str) -> bool {
        let removals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        removals.iter().any(|removal| removal == container)
    }
}

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

#[cfg(test)]
mod tests {
    use openshell_driver_api::{DriverContext, labels};
    use openshell_driver_common::container::names::Scope;
    use serde_json::json;

    use super::*;
    use crate::client::fake::{Fake, ping, reply};
    use crate::config::Config;
    use crate::driver::PodmanDriver;
    use crate::engine::Words;

    /// Written by hand after the sources of Podman 4.6: no service that keeps a secret's labels was at hand.
    #[tokio::test]
    async fn a_secret_s_owner_is_read_from_its_labels_or_else_its_name() {
        let scope = Scope { gateway_id: "gw".into() };
        let id = |text: &str| SandboxId::new(text).expect("an id");
        let labelled = |of: &str| {
            let mut all = scope.labels();
            all.insert(labels::SANDBOX_ID.to_owned(), of.to_owned());
            all
        };
        let (long, other) = ("a".repeat(60), "b".repeat(60));
        let secret = |name: String, labels: Words| json!({"Spec": {"Name": name, "Labels": labels}});
        let secrets = json!([
            secret(scope.secret(&id(&long)), labelled(&long)),
            secret(scope.secret(&id(&other)), Words::new()),
            secret(scope.secret(&id("short")), Words::new()),
            secret("a-stranger-s".into(), labelled("taken")),
        ]);
        let fake = Fake::new(move |asked| match asked.line.as_str() {
            "GET /_ping" => ping("4.6.0"),
            line if line.ends_with("/libpod/info") => reply(200, include_str!("engine/replies/v4/info.json")),
            line if line.ends_with("/secrets/json") => reply(200, &secrets.to_string()),
            _ => reply(200, "null"),
        });
        let context = DriverContext {
            name: "podman".to_owned(),
            gateway_id: "gw".to_owned(),
            state_dir: "/nonexistent".into(),
            telemetry: false,
            endpoint: String::new(),
            supervisor: None,
        };
        let config = Config { socket_path: Some(fake.socket()), ..Config::default() };
        let driver = PodmanDriver::open(context, config).await.expect("a driver");
        let owners = driver.inner.owners_of_anything().await.expect("owners");
        assert_eq!(owners, BTreeSet::from([id(&long), id("short")]));
    }

    #[test]
    fn removals_are_known_again_and_bounded() {
        let removals = Removals::default();
        removals.note("a");
        assert!(removals.has("a") && !removals.has("b"));
        for number in 0..REMOVALS {
            removals.note(&number.to_string());
        }
        assert!(!removals.has("a") && removals.has("0"));
        assert_eq!(removals.0.lock().expect("a lock").len(), REMOVALS);
    }
}
