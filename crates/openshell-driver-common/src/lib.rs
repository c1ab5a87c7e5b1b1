//! What several drivers share and no SDK is needed for.
//!
//! ```text
//!   any driver         config (a table, read strictly)   fields (a request's own block)   faults   locks
//!                      operations (to the end, conflicts)   watch (events, snapshot, changes)   names
//!   container engines  container/: what a request may ask of one, how its resources are called, credentials, files
//! ```
//!
//! There is no name of a driver here: whoever shows one is told it.

pub mod config;
pub mod container;
pub mod faults;
pub mod fields;
pub mod locks;
pub mod names;
pub mod operations;
pub mod watch;
