//! The wire contracts: committed tonic and prost output of proto/.
//!
//! `cargo xtask gen` writes `src/generated/`; written by hand are only what the wire types need in Rust: a `Debug`
//! that redacts where a message holds a credential, the way between `google.protobuf.Struct` and JSON, and headers that
//! both ends of a call read.
//! What the messages mean is said in the protos.

pub mod numbered;
mod redact;
pub mod structs;

#[rustfmt::skip]
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
mod generated;

pub use generated::openshell::{compute, datamodel, gateway, relay};
pub use prost_types::Struct;

/// The gateway's API.
pub mod openshell {
    pub use crate::generated::openshell::v1;
}
