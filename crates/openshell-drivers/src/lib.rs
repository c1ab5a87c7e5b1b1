//! The drivers of this repository as programs of their own, each behind a socket: one generated bin a driver, and one
//! command line for all of them.
//!
//! ```text
//!   generated main ─ run(name, registration) ─▶ Args ─▶ Plan (configuration, gateway id) ─▶ DriverFactory::open
//!                                                              └── nothing is touched ──┘         │
//!                         SIGTERM or the end of the life line: drain, exit 0 ◀── openshell-driver-remote ◀─┘
//! ```
//!
//! The driver is opened as the gateway opens it, from the same table of the same `gateway.toml` and under the same
//! gateway id: in process and over the socket it is one driver.

#[rustfmt::skip]
mod generated;

mod args;
mod error;
mod life_line;
mod plan;
mod program;

pub use program::{run, run_foreign};
