//! The driver contract as a test suite: more than a hundred named cases that any driver is held to, over its socket and
//! without a look at its source.
//!
//! ```text
//!   Target ─▶ Session (client.rs, session.rs) ─▶ Case ─▶ Case ─▶ … ─▶ Report ─▶ text, JSON, JUnit
//!   a socket, or a dyn ComputeDriver              └─ Ctx: makes sandboxes of its own, asks, waits, cleans up
//! ```
//!
//! A case speaks raw gRPC, is bounded in time, makes what it needs under ids of this run alone, and removes it again; the
//! last case looks whether anything is left. `docs/driver-contract.md` is made from the cases, so that what is promised
//! is what is tested.

mod bytes;
mod case;
mod cases;
mod client;
mod context;
mod contract;
#[cfg(target_os = "linux")]
mod foreign;
mod forms;
mod launched;
mod options;
mod program;
mod report;
mod restart;
mod runner;
mod session;
mod standalone;
mod state;
mod watching;

pub use case::{Case, Group, Level};
pub use cases::all as cases;
pub use contract::contract;
pub use launched::{Launched, Place};
pub use options::{Options, Selector, Target, UnknownCase};
pub use program::run as run_program;
pub use report::{Outcome, Report, Verdict};
pub use restart::{Restart, RestartCommand};
pub use runner::{RunError, run};
pub use standalone::hold_program;
