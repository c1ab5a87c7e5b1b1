//! The Podman compute driver: one container a sandbox, over libpod's own API.
//!
//! ```text
//!   config, facts ─▶ Plan (plan.rs) ─▶ image ─▶ network, volume, secret ─▶ container ─▶ start    create.rs
//!   events ─▶ inspect ─▶ conditions (state.rs: pure) ─▶ stream                                   watch.rs, runs.rs
//!   lists, now and then ─▶ what the events did not tell ─▶ inspect                               heal.rs
//!   what somebody removed by hand leaves behind ─▶ gone                                          sweep.rs
//! ```
//!
//! What the driver makes on a service is found again by its labels and its name alone; it keeps no table of its own. The one
//! thing that a service cannot tell, whether a container ended because it was asked to, is kept in marks in the driver's
//! state directory. What is no engine's own is in `openshell-driver-common`.

mod client;
mod config;
mod create;
mod detect;
mod devices;
mod driver;
mod engine;
mod error;
mod facts;
mod heal;
mod image;
mod moment;
mod network;
mod owners;
mod plan;
mod runs;
mod state;
mod sweep;
mod watch;

use std::sync::Arc;

use openshell_driver_api::supervisor::Delivers;
use openshell_driver_api::{
    ComputeDriver, ConfigError, Detection, DriverContext, DriverError, DriverFactory, ProbeEnv, Table,
    async_trait,
};
use openshell_driver_common::config::refused;

use crate::config::Config;
use crate::driver::PodmanDriver;

openshell_driver_api::register!(Podman);

/// Makes Podman drivers.
#[derive(Debug, Clone, Copy)]
pub struct Podman;

#[async_trait]
impl DriverFactory for Podman {
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
        Ok(Arc::new(PodmanDriver::open(context, config).await?))
    }
}
