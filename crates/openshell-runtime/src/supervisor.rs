//! The supervisors inside sandboxes, seen from the gateway: their sessions, the channels into the sandboxes, and what
//! they log.
//!
//! ```text
//!   client ──ExecSandbox, ForwardTcp, OpenChannel──▶ exec, tcp ──▶ broker ──RelayOpen──▶ session ──▶ supervisor
//!                                                                    ▲                                  │
//!                                                                    └───────────RelayStream────────────┘
//! ```
//!
//! A session is the one stream that a supervisor keeps open; it carries small control messages alone. Each channel is a
//! stream of its own, with a bounded queue each way, so that whoever does not read holds up nobody else.

mod seams;

pub use seams::{SandboxDoors, SandboxToken, SandboxTokens, Supervision, SupervisorOf, TokenUse};
