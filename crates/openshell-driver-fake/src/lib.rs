//! A compute driver in memory. At its best it keeps the whole contract, at the level of the wire; a scenario breaks any
//! part of it by name.
//!
//! ```text
//!   scenario.toml ─▶ Scenario (Fault…) ─┐
//!   socket ═ door.rs ═ service.rs ──────┼─▶ World (world.rs) ─▶ view.rs: how a sandbox is shown
//!            bytes     messages         │      └─ watch.rs: snapshot, changes, the end of a watch
//!                                       └─ every fault is one `if` at the place where the contract would be kept
//! ```
//!
//! What checks drivers and what dials them is tested against this: a fault that nobody notices is a hole in them. There
//! is no `ComputeDriver` in here on purpose, since the server half of a socket would mend half of the faults.

mod deeds;
mod door;
mod fault;
mod relay;
mod run;
mod scenario;
mod serve;
mod service;
mod tokens;
mod validate;
mod view;
mod watch;
mod world;

pub use fault::Fault;
pub use run::run;
pub use scenario::{Contract, Scenario, ScenarioError};
pub use serve::{Fake, Served, StartError};
