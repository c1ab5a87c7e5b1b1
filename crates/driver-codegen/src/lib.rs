//! An assembly to the set of generated files, and the one engine that writes, checks and prints them.
//!
//! ```text
//!   Assembly ──generate──▶ ArtifactSet ──plan(tree)──▶ Plan ──┬─ report   (gen --check)
//!     + bindings of proto/  (pure values)   (what differs)    ├─ apply    (gen)
//!                                                             └─ text_of  (gen --print)
//! ```
//!
//! Everything up to the [`ArtifactSet`] is a pure function: no clock, no absolute path, no order of a hash map.
//! [`engine`] alone touches the tree. Nothing here spawns a process, and nothing here knows a driver by name.

mod artifact;
mod cargo_toml;
mod generate;
mod layout;
mod lock;
mod packages;
mod platform;
mod region;
mod rust;
mod schema;
mod tables;

pub mod engine;
pub mod matrix;

pub use artifact::{Artifact, ArtifactSet, RenderError};
pub use cargo_toml::{CargoEdit, CargoTomlError, owned_projection};
pub use generate::generate;
pub use layout::{BINDINGS, COMMAND, LOCK, MANIFEST, MARK};
pub use lock::{GENERATOR, Lock, digest};
pub use packages::{metadata_projection, package_facts, package_manifests};
pub use region::{RegionError, region_body};
