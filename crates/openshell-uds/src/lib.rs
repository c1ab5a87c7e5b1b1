//! Unix sockets that may be trusted: bind, dial, check the peer, serve HTTP/2.
//!
//! ```text
//!   bind(path) ──▶ Listener ──▶ serve(listener, policy, service, …)      one task a connection,
//!                  0600, ours,                │                          PeerCredentials in every request
//!                  removed on drop            └─ PeerPolicy on SO_PEERCRED
//!   connect(path, policy) ──▶ UnixStream                                  the same policy, the other way round
//! ```
//!
//! Whoever may connect to such a socket may do what its owner may, so every decision is made on the credentials that
//! the kernel gives for the connected peer; what lies at a path is looked at for a clear error, never for trust. There
//! is no gRPC here, only HTTP/2.

mod accept;
mod authority;
mod bind;
mod connect;
mod look;
mod peer;
mod serve;

pub use accept::{Acceptor, Visitor, patiently};
pub use authority::Mended;
pub use bind::{BindError, Listener, bind, bind_for, bind_mounted, check};
pub use connect::{ConnectError, connect};
pub use look::Found;
pub use peer::{PeerCredentials, PeerPolicy};
pub use serve::{Limits, serve, serve_with};

/// The most bytes that a path may have to be a Unix socket's address (`sun_path` without its NUL).
pub const MAX_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
