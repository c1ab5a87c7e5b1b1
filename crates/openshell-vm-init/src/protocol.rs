//! The messages, and how they lie on the port: a length (`u32`, little-endian), then that many bytes of JSON.
//!
//! ```text
//!   guest                          driver
//!     Hello ─────────────────────────▶      the port is open, the root disk not yet mounted
//!     ◀──────────────────────── Spec        sent once; whatever is wrong from here on is a `Failed`
//!     Started ───────────────────────▶      the main process runs: its `execve` has succeeded
//!     ◀──────────────── Ping / Pong ▶       at any time
//!     ◀──────────────────────── Stop        TERM, the grace, KILL
//!     Exited ────────────────────────▶      then the disk is synced and the machine powers itself off
//! ```
//!
//! The driver must not believe a guest: [`Frames`] has a limit, and a frame that is no message is an error.

use std::fmt;

pub use openshell_guest::frames::{FrameError, Frames, MAX_FRAME, encode, read, write};
use serde::{Deserialize, Serialize};

/// The name of the virtio-serial port.
pub const PORT: &str = "org.openshell.agent";

/// The version that [`FromGuest::Hello`] carries; a driver and a guest of different versions do not work together.
pub const VERSION: u32 = 2;

/// The most bytes of JSON that a guest needs for a message: what a driver should give to [`Frames::new`].
pub const MAX_FROM_GUEST: usize = 16 << 10;

/// What a guest is to be and to run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The machine's host name; empty: none is set.
    pub hostname: String,
    /// The main process, word for word, no shell between. The driver has put the image's own entrypoint and command here
    /// where the request names none; empty: `/bin/sh`. Not read where there is a supervisor.
    pub argv: Vec<String>,
    /// Its environment; a later one wins. `PATH`, `HOME` and `HOSTNAME` are added where they are missing.
    pub env: Vec<(String, String)>,
    /// Who runs it: `name`, `uid`, `name:group`, `uid:gid`; empty: root. Names are looked up in the guest's own
    /// `/etc/passwd` and `/etc/group`.
    pub user: String,
    /// Where it starts; empty: `/`. Made, owned by the user, when it is not there.
    pub working_dir: String,
    /// The directory that the user is to own, itself and not what is in it; made where it is not there; empty: none.
    pub workspace: String,
    /// Whether it gets a terminal of its own, whose output goes to the console.
    pub tty: bool,
    /// Whether its standard input is held open, so that reading it waits; otherwise there is nothing in it. A terminal waits
    /// in any case.
    pub stdin: bool,
    /// The sandbox's token, for a file that only the user may read, or only root where there is a supervisor.
    pub token: Option<Token>,
    /// What is started in place of `argv`, and starts the main process itself; `None`: `argv` is started.
    pub supervisor: Option<Supervisor>,
    /// The network that the guest finds.
    pub network: Network,
    /// The most processes and threads that the workload may have at a time; 0: no limit.
    pub pids_limit: u64,
    /// The wall clock in milliseconds since 1970, for machines that have no clock of their own; 0: leave it.
    pub now_ms: u64,
}

/// The supervisor of a guest: root, with what it takes to become the user and nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supervisor {
    /// The absolute path at which its program is seen, read-only; the program itself comes with the initramfs.
    pub program: String,
    /// The absolute path of the socket at which it reaches its gateway ([`crate::line`]).
    pub socket: String,
    /// Its whole command line.
    pub command: Vec<String>,
}

/// A secret in a file of the guest's memory.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The file's absolute path; its directory becomes a file system in memory.
    pub path: String,
    /// What is in it.
    pub content: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The network of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Loopback alone.
    #[default]
    None,
    /// QEMU's user-mode network: the guest is 10.0.2.15/24, the gateway 10.0.2.2, the name server 10.0.2.3.
    User,
}

/// What the driver tells the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToGuest {
    /// The answer to [`FromGuest::Hello`], once.
    Spec(Box<Spec>),
    /// End the workload: TERM to the main process, then KILL to everything, then power off.
    Stop {
        /// How long the main process may take, in milliseconds.
        grace_ms: u64,
    },
    /// To be answered with a [`FromGuest::Pong`] of the same number.
    Ping(u64),
}

/// What the guest tells the driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromGuest {
    /// The first message.
    Hello {
        /// [`VERSION`].
        version: u32,
    },
    /// The main process runs.
    Started,
    /// The main process has ended; the machine powers off.
    Exited {
        /// Its exit code, or 128 and the signal's number.
        code: i32,
        /// The signal that ended it, if one did.
        signal: Option<i32>,
        /// Whether the guest's kernel has killed a process of the workload for want of memory.
        #[serde(default)]
        out_of_memory: bool,
    },
    /// The main process could not be started; the machine powers off.
    Failed {
        /// What was being done: `mount the root disk`, `find the user`, `run the command`, …
        step: String,
        /// What came of it.
        message: String,
    },
    /// The answer to [`ToGuest::Ping`].
    Pong(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_printed() {
        let token = Token { path: "/run/openshell/token".to_owned(), content: "s3cret".to_owned() };
        let spec = ToGuest::Spec(Box::new(Spec { token: Some(token), ..Spec::default() }));
        let printed = format!("{spec:?}");
        assert!(printed.contains("/run/openshell/token") && !printed.contains("s3cret"), "{printed}");
    }
}
