//! The compute driver `{{name}}`: {{summary}}.
//!
//! ```text
//!   gateway ─▶ Driver (driver.rs): the contract ─▶ Backend (backend.rs): what runs sandboxes
//!                  ▲                                    │
//!                  └──────── watch ◀──── changes ───────┘
//! ```
//!
//! `config.rs` reads the table `[openshell.drivers.{{name}}]`. The backend is in memory and runs nothing: put yours behind
//! the trait `Backend`, and keep `tests/contract.rs` green.

mod backend;
mod config;
mod driver;

use std::sync::Arc;

use openshell_driver_api::{
    ComputeDriver, ConfigError, Detection, DriverContext, DriverError, DriverFactory, ProbeEnv, Table,
    async_trait,
};
use openshell_driver_common::config::refused;

use crate::backend::Memory;
use crate::config::Config;
use crate::driver::Driver;

openshell_driver_api::register!(Factory);

/// Makes drivers of this kind.
#[derive(Debug, Clone, Copy)]
pub struct Factory;

#[async_trait]
impl DriverFactory for Factory {
    fn check_config(&self, table: &Table) -> Result<(), Vec<ConfigError>> {
        Config::read(table).map(|_| ())
    }

    async fn detect(&self, _: &ProbeEnv) -> Detection {
        // Memory is everywhere, which is no reason to choose this driver: whoever wants it names it.
        Detection::default()
    }

    async fn open(
        &self,
        context: DriverContext,
        table: &Table,
    ) -> Result<Arc<dyn ComputeDriver>, DriverError> {
        let config = Config::read(table).map_err(refused)?;
        Ok(Arc::new(Driver::new(context, Memory::new(config.max_sandboxes))))
    }
}
