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

pub(crate) use model::reason;
pub use model::{Begun, Desired, Life, OwnCondition, Phase, Step};
pub(crate) use outcome::{Answer, Failed, Patience, Turn};
pub(crate) use request::{Refusal, Request};

#[cfg(test)]
mod tests;
