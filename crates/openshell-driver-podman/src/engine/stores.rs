//! What outlives a container, or is there before it: volumes, secrets, networks.

use std::collections::HashMap;

use openshell_driver_api::Secret;

use super::models::{Network, SecretSummary, Volume, Words};
use super::spec::{NetworkSpec, VolumeSpec};
use super::{Engine, Filters, found};
use crate::client::Call;
use crate::error::Failure;

impl Engine {
    /// The volumes that match.
    pub(crate) async fn volumes(&self, filters: &Filters) -> Result<Vec<Volume>, Failure> {
        let mut volumes: Vec<Volume> =
            self.list(Call::get("list volumes", &["volumes", "json"]), filters).await?;
        volumes.retain(|volume| carries(&volume.labels, filters));
        Ok(volumes)
    }

    /// A volume by its name.
    pub(crate) async fn inspect_volume(&self, name: &str) -> Result<Option<Volume>, Failure> {
        let found: Option<Volume> =
            found(self.client.json(Call::get("inspect volume", &["volumes", name, "json"])).await)?;
        // Some versions take the beginning of a name for it.
        Ok(found.filter(|volume| volume.name == name))
    }

    /// Makes a volume.
    ///
    /// # Errors
    /// A [conflict](Failure::is_conflict) when its name is taken.
    pub(crate) async fn create_volume(&self, volume: &VolumeSpec) -> Result<Volume, Failure> {
        self.client.json(Call::post("create volume", &["volumes", "create"]).json(volume)?).await
    }

    /// Removes a volume; `false` when there was none.
    ///
    /// Looked at before: where no volume has the name, services remove the one whose name *begins* with it, whoever's it is.
    ///
    /// # Errors
    /// A [conflict](Failure::is_conflict) when a container has it.
    pub(crate) async fn remove_volume(&self, name: &str) -> Result<bool, Failure> {
        if self.inspect_volume(name).await?.is_none() {
            return Ok(false);
        }
        self.removed("remove volume", Call::delete("remove volume", &["volumes", name])).await
    }

    /// All secrets, without what is in them. Services before 4.6 keep no labels, so that there is nothing to select by
    /// but the name.
    pub(crate) async fn secrets(&self) -> Result<Vec<SecretSummary>, Failure> {
        let listed: Option<Vec<SecretSummary>> =
            self.client.json(Call::get("list secrets", &["secrets", "json"])).await?;
        Ok(listed.unwrap_or_default())
    }

    /// Makes a secret; services before 4.6 keep no labels of it.
    ///
    /// # Errors
    /// A [conflict](Failure::is_conflict) when its name is taken.
    pub(crate) async fn create_secret(
        &self,
        name: &str,
        labels: &HashMap<String, String>,
        content: &Secret,
    ) -> Result<(), Failure> {
        let call = Call::post("create secret", &["secrets", "create"])
            .query("name", name)
            .query_json("labels", labels)?
            .body("application/octet-stream", content.expose().as_bytes().to_vec());
        self.client.done(call).await
    }

    /// Removes a secret; `false` when there was none. A container that has it keeps its copy.
    pub(crate) async fn remove_secret(&self, name: &str) -> Result<bool, Failure> {
        self.removed("remove secret", Call::delete("remove secret", &["secrets", name])).await
    }

    /// The networks that match.
    pub(crate) async fn networks(&self, filters: &Filters) -> Result<Vec<Network>, Failure> {
        let mut networks: Vec<Network> =
            self.list(Call::get("list networks", &["networks", "json"]), filters).await?;
        networks.retain(|network| carries(&network.labels, filters));
        Ok(networks)
    }

    /// A network by its name.
    pub(crate) async fn inspect_network(&self, name: &str) -> Result<Option<Network>, Failure> {
        found(self.client.json(Call::get("inspect network", &["networks", name, "json"])).await)
    }

    /// Makes a network.
    ///
    /// # Errors
    /// A [conflict](Failure::is_conflict) when its name is taken.
    pub(crate) async fn create_network(&self, network: &NetworkSpec) -> Result<Network, Failure> {
        self.client.json(Call::post("create network", &["networks", "create"]).json(network)?).await
    }

    /// Removes a network; `false` when there was none.
    ///
    /// # Errors
    /// A [conflict](Failure::is_conflict) when a container is on it.
    pub(crate) async fn remove_network(&self, name: &str) -> Result<bool, Failure> {
        self.removed("remove network", Call::delete("remove network", &["networks", name])).await
    }
}

/// Whether all labels that are asked for are there. A service takes several filters on a volume's labels as "any of", where
/// those on containers and networks are "all of": what it lists may be somebody else's.
fn carries(labels: &Words, filters: &Filters) -> bool {
    let wanted = filters.get("label").into_iter().flatten();
    wanted
        .filter_map(|pair| pair.split_once('='))
        .all(|(key, value)| labels.get(key).is_some_and(|found| found == value))
}
