//! How supervisors get at the gateway: each by a socket of its own on this host, or all by one port.

use std::sync::Arc;

use openshell_core::{Settings, paths};
use openshell_driver_api::supervisor::{self, SupervisorDelivery};
use openshell_front::{Front, Metrics, SandboxKey};
use openshell_runtime::{SandboxDoors, Supervision};

use super::network::Network;
use super::tokens::Tokens;
use super::{Doors, Supervised};
use crate::doors::Reserved;
use crate::error::StartError;
use crate::supervisor::Supervisor;

/// The way in for supervisors.
pub(crate) struct Way {
    key: Arc<SandboxKey>,
    kind: Kind,
    /// What is put into sandboxes for it, where we put anything.
    delivery: Option<SupervisorDelivery>,
}

enum Kind {
    Sockets(Arc<Doors>),
    Network(Arc<Network>),
}

impl Way {
    /// Makes what it needs in the state directory; nobody is listened to yet. `reserved` is the port of sandboxes on other
    /// hosts.
    ///
    /// # Errors
    /// When something of that cannot be made, or is open to others.
    pub(crate) fn prepare(
        supervisor: &Supervisor,
        settings: &Settings,
        reserved: Option<Reserved>,
        uid: u32,
        gateway_id: &str,
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let path = settings.state_dir.join(paths::SANDBOX_KEY);
        let key = SandboxKey::load_or_create(&path, gateway_id)
            .map_err(|source| StartError::SandboxKey { path, source })?;
        let key = Arc::new(key);
        let sockets = || Doors::prepare(settings, uid, Arc::clone(&key), metrics).map(Kind::Sockets);
        let (kind, delivery) = match supervisor {
            Supervisor::Brought => (sockets()?, None),
            Supervisor::Builtin(found) => {
                let program = found.program.clone();
                let sockets_dir = settings.state_dir.join(paths::SANDBOXES);
                (sockets()?, Some(SupervisorDelivery::Host { program, sockets: sockets_dir }))
            }
            Supervisor::Network(sandboxes) => {
                let network = Network::prepare(settings, sandboxes, reserved, Arc::clone(&key), metrics)?;
                let delivery = network.delivery();
                (Kind::Network(network), Some(delivery))
            }
        };
        Ok(Self { key, kind, delivery })
    }

    /// What the driver is handed.
    pub(crate) fn delivery(&self) -> Option<SupervisorDelivery> {
        self.delivery.clone()
    }

    /// What the runtime is lent of it.
    pub(crate) fn supervision(&self) -> Supervision {
        let doors: Arc<dyn SandboxDoors> = match &self.kind {
            Kind::Sockets(doors) => Arc::clone(doors) as _,
            Kind::Network(network) => Arc::clone(network) as _,
        };
        Supervision::new(Arc::new(Tokens(Arc::clone(&self.key))), doors)
    }

    /// Answers whoever comes.
    ///
    /// # Errors
    /// When the port is another's.
    pub(crate) async fn serve(&self, front: Front<Supervised>) -> Result<(), StartError> {
        match &self.kind {
            Kind::Sockets(doors) => doors.serve(front).await,
            Kind::Network(network) => network.serve(&front).await?,
        }
        Ok(())
    }

    /// Lets nobody in any more.
    pub(crate) async fn shutdown(&self) {
        match &self.kind {
            Kind::Sockets(doors) => doors.shutdown().await,
            Kind::Network(network) => network.shutdown().await,
        }
    }
}

/// Where a supervisor dials by a delivery; nowhere without one.
pub(crate) fn endpoint(delivery: Option<&SupervisorDelivery>) -> String {
    match delivery {
        None => String::new(),
        Some(SupervisorDelivery::Host { .. }) => supervisor::ENDPOINT.to_owned(),
        Some(SupervisorDelivery::Network { endpoint, .. }) => endpoint.clone(),
    }
}
