//! The one state machine of a sandbox: what is wanted and what the backend reports make its phase and the driver
//! call that is owed. Pure: no clock, no driver, no store in here.
//!
//! ```text
//!                      CreateSandbox
//!                           │
//!                           ▼            timeout, terminal reason,
//!      ┌──────────── PROVISIONING ─────── failed create, backend gone ────────┐
//!      │                    │ Ready=True                                      ▼
//!      │                    ▼                 the same                      ERROR
//!      │    ┌──────────── READY ────────────────────────────────────────▶  │  ▲
//!      │    │ stop          ▲                                              │  │
//!      │    ▼               │ Ready=True                             start │  │ the same
//!      │ STOPPING       STARTING ◀─────────────────────────────────────────┘  │
//!      │    │ Suspended=True ▲  └──────────────────────────────────────────────┘
//!      │    ▼                │ start
//!      │ STOPPED ────────────┘
//!      │
//!      └─ delete, from every phase ──▶ DELETING ──▶ (the driver says that it is gone) the row goes
//! ```
//!
//! Besides, once it has been where it should be, the backend's word alone counts: it may be reported as stopped, failed,
//! on its way, going or unknown at any time, and the phase follows. These are all the changes of phase there are; a test
//! compares the list with the code, and `tests/table.txt` says for every situation what brings them about:
//!
//! ```text
//!   PROVISIONING → READY STOPPING STOPPED STARTING ERROR UNKNOWN DELETING
//!   READY        → STOPPING STOPPED STARTING PROVISIONING ERROR UNKNOWN DELETING
//!   STOPPING     → STOPPED READY ERROR DELETING
//!   STOPPED      → STARTING READY STOPPING PROVISIONING ERROR UNKNOWN DELETING
//!   STARTING     → READY STOPPED ERROR DELETING
//!   ERROR        → STARTING READY PROVISIONING DELETING
//!   UNKNOWN      → READY STOPPING STOPPED STARTING PROVISIONING ERROR DELETING
//!   DELETING     → READY STOPPING STOPPED STARTING PROVISIONING ERROR UNKNOWN
//! ```
//!
//! Where a sandbox has a supervisor, "Ready=True" in the drawing means that the supervisor is connected, too: it is awaited
//! in PROVISIONING or STARTING, and in PROVISIONING again once it has been away for longer than a hiccup. A supervisor that
//! comes back is enough to be READY again. `supervised.rs` has these changes.
//!
//! A sandbox leaves DELETING for another phase only where nobody asked for its deletion and the backend had reported it
//! as going by itself. The little machine of a workspace is in `workspace.rs`.
//!
//! Every change is stored before the driver is asked, with the call that is owed ([`Step`]). A step leaves the row
//! with the driver's answer, so that a gateway that was killed in between owes it still and asks again: every call of
//! the contract may be asked twice.
//!
//! | owed | call | then |
//! | --- | --- | --- |
//! | `Create` | create | ok: nothing owed; `ALREADY_EXISTS`: `Adopt`; away: again until the timeout; else ERROR, and `CleanUp` where the answer leaves it open what was made |
//! | `Adopt` | start | ok or `UNIMPLEMENTED`: nothing owed, for the killed gateway had made it and perhaps not started it |
//! | `Start` | start | ok: nothing owed; `NOT_FOUND`: `Create`; else as it was before |
//! | `Stop` | stop | ok: nothing owed; `NOT_FOUND`: ERROR; else as it was before |
//! | `Delete` | delete | gone: the row goes; else again, for ever |
//! | `CleanUp` | delete | gone: nothing owed, still ERROR; else again |

mod model;
mod observe;
mod outcome;
mod request;
mod supervised;
mod workspace;

pub(crate) use model::reason;
pub use model::{Begun, Desired, Life, OwnCondition, Phase, Step, Supervisor};
pub(crate) use observe::Report;
pub(crate) use outcome::{Answer, Failed, Patience, Turn};
pub(crate) use request::{Refusal, Request};
pub use workspace::WorkspacePhase;
pub(crate) use workspace::{DEFAULT_WORKSPACE, WorkspaceRefusal, may_go, removed};

#[cfg(test)]
mod tests;
