//! What the programs that run inside of sandboxes share: the first program of a virtual machine's guest, and the
//! supervisor.
//!
//! ```text
//!   user      "name:group" ─▶ uid, gid, groups, home, by the sandbox's own /etc/passwd and /etc/group
//!   streams   pipes and terminals for a process, owned by whom it runs as
//!   start     this program again, in the process that is to become the command ── Plan ─▶ second: gives up what the
//!   second    command shall not have, execs           ◀─ nothing: it runs; a Refusal: why not
//!   reap      one place waits for children, whoever they are
//! ```
//!
//! Synchronous, small, and without `unsafe`: that is why there is a second stage. A program that uses [`start`]
//! begins its `main` with [`second::taken`].

pub mod fds;
pub mod frames;
pub mod reap;
pub mod second;
pub mod start;
pub mod streams;
pub mod user;
