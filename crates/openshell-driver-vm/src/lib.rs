//! The micro-VM compute driver: one QEMU a sandbox.
//!
//! ```text
//!   request ─▶ Plan (plan.rs: pure) ─▶ image/ ─▶ record.rs: a directory ─▶ machine/ ─▶ life.rs looks after it   create.rs
//!   machine's events ─▶ table.rs ─▶ conditions (state.rs: pure) ─▶ stream                                      watch.rs
//! ```
//!
//! A sandbox is a directory: a record, a token, the image's disk and what was written over it. What runs is in memory
//! alone, since no machine outlives its driver. What happens inside of a guest is in the package `openshell-vm-init`,
//! which is `/init` there.

mod config;
mod create;
mod driver;
mod error;
mod guest;
mod image;
mod life;
mod machine;
mod plan;
mod record;
mod resources;
mod state;
mod table;
#[cfg(test)]
mod testbed;
mod watch;

use std::sync::Arc;

use openshell_driver_api::supervisor::Delivers;
use openshell_driver_api::{
    ComputeDriver, ConfigError, Detection, DriverContext, DriverError, DriverFactory, ProbeEnv, Table,
    async_trait,
};
use openshell_driver_common::config::refused;

use crate::config::Config;
use crate::driver::VmDriver;

openshell_driver_api::register!(Vm);

/// Makes micro-VM drivers.
#[derive(Debug, Clone, Copy)]
pub struct Vm;

#[async_trait]
impl DriverFactory for Vm {
    fn check_config(&self, table: &Table) -> Result<(), Vec<ConfigError>> {
        if Config::read(table)?.kernel.is_some() {
            return Ok(());
        }
        let message = "`kernel` is needed: the kernel that guests boot, which no default could name";
        Err(vec![ConfigError {
            // Of the table as a whole: there is no such key to point at.
            key: String::new(),
            message: message.to_owned(),
            hint: Some("kernel = \"/boot/vmlinuz-…\"; see docs/vm.md".to_owned()),
        }])
    }

    fn delivers_supervisor(&self, _table: &Table) -> Delivers {
        Delivers::Program
    }

    /// A virtual machine is asked for by name.
    async fn detect(&self, _env: &ProbeEnv) -> Detection {
        Detection::default()
    }

    async fn open(
        &self,
        context: DriverContext,
        table: &Table,
    ) -> Result<Arc<dyn ComputeDriver>, DriverError> {
        let config = Config::read(table).map_err(refused)?;
        Ok(Arc::new(VmDriver::open(context, config).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_without_a_kernel_is_refused_before_anything_is_opened() {
        let faults = Vm.check_config(&Table::new()).expect_err("no kernel");
        assert!(faults[0].message.starts_with("`kernel` is needed: "), "{faults:?}");
        let table = "kernel = \"/boot/vmlinuz\"".parse().expect("TOML");
        assert_eq!(Vm.check_config(&table), Ok(()));
    }
}
