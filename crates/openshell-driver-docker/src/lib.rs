//! The Docker compute driver: one container a sandbox, over the Docker Engine API.
//!
//! ```text
//!   config, facts ─▶ Plan (container.rs) ─▶ image ─▶ network ─▶ volumes ─▶ container ─▶ files ─▶ start   create.rs
//!   engine events ─▶ inspect ─▶ conditions (state.rs: pure) ─▶ stream                                   watch.rs
//! ```
//!
//! What the driver makes on an engine is found again by its labels alone; it keeps no table of its own. The one thing
//! that an engine cannot tell, whether a container ended because it was asked to, is kept in
//! marks in its state directory. What is no engine's own is in `openshell-driver-common`.

mod config;
mod container;
mod create;
mod detect;
mod driver;
mod engine;
mod error;
mod facts;
mod files;
mod image;
mod network;
mod state;
mod volumes;
mod watch;

use std::sync::Arc;

use openshell_driver_api::supervisor::Delivers;
use openshell_driver_api::{
    ComputeDriver, ConfigError, Detection, DriverContext, DriverError, DriverFactory, ProbeEnv, Table,
    async_trait,
};
use openshell_driver_common::config::refused;

use crate::config::Config;
use crate::driver::DockerDriver;

openshell_driver_api::register!(Docker);

/// Makes Docker drivers.
#[derive(Debug, Clone, Copy)]
pub struct Docker;

#[async_trait]
impl DriverFactory for Docker {
    fn check_config(&self, table: &Table) -> Result<(), Vec<ConfigError>> {
        Config::read(table).map(|_| ())
    }

    async fn detect(&self, env: &ProbeEnv) -> Detection {
        detect::detect(env).await.detection()
    }

    fn delivers_supervisor(&self, _table: &Table) -> Delivers {
        Delivers::Program
    }

    async fn open(
        &self,
        context: DriverContext,
        table: &Table,
    ) -> Result<Arc<dyn ComputeDriver>, DriverError> {
        let config = Config::read(table).map_err(refused)?;
        Ok(Arc::new(DockerDriver::open(context, config).await?))
    }
}
