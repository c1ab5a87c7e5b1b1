//! A driver that is a program of ours: found, asked whether it takes its table, started, and kept up.
//!
//! ```text
//!   find ─▶ check (--check-config) ─▶ start ─▶ dial, its pid alone ─▶ Launched: dyn ComputeDriver
//!                                       ▲                                 │ calls go to the program that is up
//!                                       └── backoff ◀── ended ◀── keeper ─┘ or say when the next one is tried
//! ```
//!
//! The program's standard input is its life line: it holds nothing, and ends when this process does, however that
//! happens. Its standard error is its log, which goes into ours.

mod backoff;
mod check;
mod child;
mod driver;
mod keeper;
mod lines;
mod log;

use std::path::PathBuf;
use std::sync::Arc;

use openshell_driver_api::{
    CheckRequest, Checked, ComputeDriver, DriverError, LaunchRequest, Launcher, ProgramSearch, ProgramSought,
    async_trait, program,
};

/// Starts drivers that are programs.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessLauncher;

/// The one launcher, for generated code.
pub static LAUNCHER: ProcessLauncher = ProcessLauncher;

#[async_trait]
impl Launcher for ProcessLauncher {
    fn look(&self, search: &ProgramSearch) -> ProgramSought {
        program::look(search)
    }

    fn find(&self, search: &ProgramSearch) -> Result<PathBuf, DriverError> {
        program::find(search)
    }

    async fn check(&self, request: &CheckRequest) -> Result<Checked, DriverError> {
        check::check(request).await
    }

    async fn launch(&self, request: LaunchRequest) -> Result<Arc<dyn ComputeDriver>, DriverError> {
        Ok(Arc::new(driver::Launched::start(request).await?))
    }
}
