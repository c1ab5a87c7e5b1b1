//! What a compute driver is to the gateway: a trait, its types and errors, and how a crate registers one.
//!
//! ```text
//!   driver crate ── register!(Factory) ──▶ Registration ──▶ DriverFactory ──open──▶ dyn ComputeDriver
//!                                             │                                         │
//!                                      marker in `.osdrv`                    create / stop / watch …
//! ```
//!
//! There is no gRPC and no SDK of any backend here, and no driver's name: the manifest's counts.

mod driver;
mod error;
mod factory;
mod launch;
mod sandbox;

pub mod conditions;
pub mod environment;
pub mod labels;
pub mod marker;
pub mod probe;
pub mod program;
pub mod quantity;
pub mod supervisor;

pub use driver::{Capabilities, ComputeDriver, EventStream, ListenerRequirement, PlatformEvent, WatchEvent};
pub use error::{DriverError, ErrorKind};
pub use factory::{
    ConfigError, Detection, DialRequest, Dialer, DriverContext, DriverFactory, ProbeEnv, Registration,
    SocketPolicy, Tried,
};
pub use launch::{CheckRequest, Checked, LaunchRequest, Launcher, ProgramSearch, ProgramSought};
pub use sandbox::{
    Condition, ConditionStatus, GpuRequest, ObservedSandbox, Resources, SandboxId, SandboxRequest,
    SandboxSpec, SandboxStatus, Secret, Template,
};

pub use async_trait::async_trait;
pub use toml::Table;

/// The version of this contract. A driver crate names it in `[package.metadata.openshell-driver] api`,
/// and `cargo xtask gen` refuses one that does not fit.
pub const API_VERSION: &str = "1";
