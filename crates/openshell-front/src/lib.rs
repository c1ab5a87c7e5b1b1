//! The gateway's front door: who comes in, by which listener, as whom, how fast, and what is told of it.
//!
//! ```text
//!   Unix ─┐                       ┌──────────────────────── Front ────────────────────────┐
//!   TCP  ─┼─▶ request with `Peer` ─▶ request id ▸ probes ▸ identity ▸ role ▸ rate ▸ metrics ─▶ the gateway's services
//!   TLS  ─┘                       └────────────────────────────────────────────────────────┘
//! ```
//!
//! Nothing here knows a sandbox, a driver or a line of `gateway.toml`: it is handed what it needs.

mod access;
pub mod certs;
mod files;
mod listen;
mod observe;
mod peer;
mod probes;
mod request_id;
mod sandbox;
mod service;
mod tls;
mod validity;

pub use access::{AccessSettings, IdentityRule, Policy, Rate, token};
pub use listen::{Entrance, Guest, Limits, serve};
pub use observe::{Closed, Door, DoorCounters, Family, FrontBody, Kind, Metrics, Sample, Value, code_name};
pub use peer::{ClientCertificate, Identity, Peer, Role};
pub use probes::Backend;
pub use request_id::RequestId;
pub use sandbox::{Issued, Purpose, Sandbox, SandboxKey, SandboxRoll};
pub use service::{Front, FrontFuture, FrontOptions};
pub use tls::{Tls, TlsError, TlsFiles};
