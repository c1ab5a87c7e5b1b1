//! The Kubernetes compute driver: one pod a sandbox, over the cluster's own API.
//!
//! ```text
//!   config ─▶ Plan (plan.rs: pure) ─▶ record ─▶ claim, secret, policy ─▶ pod      ops.rs
//!   records and pods, listed and followed ─▶ conditions (state.rs: pure) ─▶ stream  watch.rs
//! ```
//!
//! What the driver makes on a cluster is found again by its labels alone; it keeps no table of its own. What a cluster
//! cannot tell, how to make a pod again that was stopped, is kept on the cluster, too: see `record.rs`.

mod agent;
mod asked;
mod calls;
mod config;
mod connect;
mod detect;
mod driver;
mod error;
mod events;
mod names;
mod ops;
mod plan;
mod record;
mod state;
mod storage;
mod watch;

use std::sync::Arc;

use openshell_driver_api::{
    ComputeDriver, ConfigError, Detection, DriverContext, DriverError, DriverFactory, ProbeEnv, Table,
    async_trait,
};

use openshell_driver_api::supervisor::Delivers;

use crate::config::Config;
use crate::driver::KubernetesDriver;

openshell_driver_api::register!(Kubernetes);

/// Makes Kubernetes drivers.
#[derive(Debug, Clone, Copy)]
pub struct Kubernetes;

#[async_trait]
impl DriverFactory for Kubernetes {
    fn check_config(&self, table: &Table) -> Result<(), Vec<ConfigError>> {
        Config::read(table).map(|_| ())
    }

    async fn detect(&self, env: &ProbeEnv) -> Detection {
        detect::detect(env)
    }

    /// Over the network, where the operator says which image the program comes in.
    fn delivers_supervisor(&self, table: &Table) -> Delivers {
        let read = Config::read(table);
        if read.is_ok_and(|config| config.supervisor.is_some()) {
            Delivers::Network
        } else {
            Delivers::Nothing
        }
    }

    async fn open(
        &self,
        context: DriverContext,
        table: &Table,
    ) -> Result<Arc<dyn ComputeDriver>, DriverError> {
        let config = Config::read(table).map_err(openshell_driver_common::config::refused)?;
        Ok(Arc::new(KubernetesDriver::open(context, config).await?))
    }
}
