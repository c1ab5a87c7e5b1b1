//! The gateway's own network on an engine: made for its first sandbox, removed with its last.
//!
//! One for a gateway and not one for a sandbox, since engines have address ranges for some thirty networks. Sandboxes
//! on it reach the world and not each other.

use std::collections::HashMap;

use bollard::models::{
    ContainerInspectResponse, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
};
use bollard::query_parameters::ListNetworksOptionsBuilder;
use openshell_driver_api::{DriverError, ErrorKind};
use openshell_driver_common::container::values::Network;
use tokio::sync::{RwLock, RwLockReadGuard};

use crate::engine::Engine;
use crate::error;

/// Keeps the making and the removing of the network apart: who is about to use it reads, who removes it writes.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    gate: RwLock<()>,
}

impl Networks {
    /// Sees to it that the network is there, and keeps it while the guard lives.
    pub(crate) async fn hold(
        &self,
        engine: &Engine,
        network: &Network,
    ) -> Result<RwLockReadGuard<'_, ()>, DriverError> {
        let reader = self.gate.read().await;
        if *network != Network::Own || !own(engine).await?.is_empty() {
            return Ok(reader);
        }
        drop(reader);
        let writer = self.gate.write().await;
        // Engines allow two networks of one name, so it is looked for again now that nobody else makes one.
        if own(engine).await?.is_empty() {
            make(engine).await?;
        }
        Ok(writer.downgrade())
    }

    /// Removes the network when the gateway has no sandbox left on the engine.
    pub(crate) async fn release(&self, engine: &Engine) -> Result<(), DriverError> {
        let _writer = self.gate.write().await;
        if !engine.containers(&engine.scope.filters()).await?.is_empty() {
            return Ok(());
        }
        for network in own(engine).await? {
            match engine.docker.remove_network(&network).await {
                Err(error) if error::status(&error) != Some(404) => {
                    return Err(error::engine("remove network", error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The ids of the gateway's own networks: one, or none.
async fn own(engine: &Engine) -> Result<Vec<String>, DriverError> {
    let options = ListNetworksOptionsBuilder::new().filters(&engine.scope.filters()).build();
    let listed = engine.docker.list_networks(Some(options)).await;
    let listed = listed.map_err(|error| error::engine("list networks", error))?;
    Ok(listed.into_iter().filter_map(|network| network.id).collect())
}

/// Moves a container that does not run to the gateway's network of today.
///
/// Engines drop a network that nothing runs on when somebody prunes. A container remembers the id of the one that it was
/// last on, and does not start without it, also when there is another of the same name by now.
pub(crate) async fn rejoin(
    engine: &Engine,
    name: &str,
    container: &ContainerInspectResponse,
) -> Result<(), DriverError> {
    let own = own(engine).await?;
    let Some(today) = own.first() else { return Ok(()) };
    let joined = container.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
    let remembered = joined.and_then(|networks| networks.get(&engine.scope.network()));
    match remembered.map(|endpoint| endpoint.network_id.as_deref().unwrap_or_default()) {
        // Without an id the engine goes by the name.
        Some(id) if id.is_empty() || own.iter().any(|network| network == id) => return Ok(()),
        Some(_) => {
            let request = NetworkDisconnectRequest { container: name.to_owned(), force: Some(true) };
            let left = engine.docker.disconnect_network(today, request).await;
            left.map_err(|error| error::engine("leave network", error))?;
        }
        // An earlier attempt that ended half-way.
        None => {}
    }
    let request = NetworkConnectRequest { container: name.to_owned(), endpoint_config: None };
    engine.docker.connect_network(today, request).await.map_err(|error| error::engine("join network", error))
}

async fn make(engine: &Engine) -> Result<(), DriverError> {
    // "icc" is the traffic between containers.
    let options = HashMap::from([("com.docker.network.bridge.enable_icc".to_owned(), "false".to_owned())]);
    let request = NetworkCreateRequest {
        name: engine.scope.network(),
        driver: Some("bridge".to_owned()),
        options: Some(options),
        labels: Some(engine.scope.labels()),
        ..NetworkCreateRequest::default()
    };
    engine.docker.create_network(request).await.map(|_| ()).map_err(|error| {
        error::mapped("create network", error, |kind| match kind {
            ErrorKind::Unavailable | ErrorKind::DeadlineExceeded => kind,
            // No address range left, no bridge in this kernel: not the request's fault, and not gone by itself.
            _ => ErrorKind::FailedPrecondition,
        })
    })
}
