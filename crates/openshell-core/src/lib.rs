//! Configuration, selection of the driver, detection, telemetry: what happens before the first request.
//!
//! ```text
//!   flags, variables ─┐
//!                     ├─▶ Settings ─▶ Sources ─┐
//!   gateway.toml ─────┘      │                 ├─▶ Selection ─▶ (composition opens the driver)
//!                            │      Probes ────┘
//!                            └─▶ paths, identity, telemetry, logging
//! ```
//!
//! No driver's name, no gRPC, no list: what a build knows of drivers comes in by the generated [`catalog::Catalog`].

pub mod catalog;
pub mod cli;
pub mod config;
pub mod detect;
pub mod environment;
pub mod identity;
pub mod logging;
pub mod otlp;
pub mod paths;
pub mod registration;
pub mod report;
pub mod selection;
pub mod settings;
pub mod shell;
pub mod suggest;
pub mod telemetry;

#[cfg(test)]
mod testing;

pub use catalog::Catalog;
pub use cli::GatewayArgs;
pub use config::Config;
pub use environment::Environment;
pub use selection::{Selection, select};
pub use settings::Settings;
