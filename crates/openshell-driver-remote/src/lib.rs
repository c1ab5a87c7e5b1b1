//! Both halves of a driver's socket: a `ComputeDriver` that dials one, and a server that serves any `ComputeDriver`.
//!
//! ```text
//!   gateway ─ dyn ComputeDriver ─▶ RemoteDriver ═ HTTP/2 over a Unix socket ═▶ server ─▶ dyn ComputeDriver ─▶ backend
//!                                     client.rs      convert.rs, status.rs     server.rs
//! ```
//!
//! With the feature `process`, the gateway starts the program at the other end itself: `process`.
//!
//! What crosses is `openshell.compute.v1.ComputeDriver`, which other people's drivers speak too; a driver of ours is the
//! same driver in process and behind a socket. There is nothing here that only one driver needs.

mod begun;
mod client;
pub mod convert;
mod dial;
mod link;
#[cfg(feature = "process")]
mod process;
mod pump;
mod server;
mod session;
mod status;
mod wire;

pub use client::{Deadlines, RemoteDriver};
pub use dial::{DIALER, DialError, SocketDialer};
#[cfg(feature = "process")]
pub use process::{LAUNCHER, ProcessLauncher};
pub use server::{ServeOptions, serve};
pub use status::{error_of, status_of};

/// The largest message that either half takes or sends. A list of ten thousand sandboxes has about a fifth of it.
pub const MAX_MESSAGE: usize = 64 * 1024 * 1024;
