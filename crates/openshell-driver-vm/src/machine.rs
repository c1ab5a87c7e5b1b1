//! Virtual machines: what this host can run, and one QEMU a sandbox.
//!
//! ```text
//!   Host   programs, kernel, slots ── probe ▶ Accelerator        Boot ─ start ▶ setpriv ▶ QEMU ▶ guest
//!     boot ▶ Machine { events } ◀── task: channel to the guest, console's log, deadlines, the process
//!              Handle { stop, kill }       └─ relay: the guest's supervisor to its gateway
//! ```
//!
//! What happens to a machine comes out of [`Machine::events`]; the last of it is always [`Event::Ended`]. A machine that is
//! dropped is killed, and none outlives the driver.

mod command;
pub(crate) mod console;
mod files;
mod host;
mod leftover;
pub(crate) mod overlay;
mod probe;
pub(crate) mod programs;
mod relay;
mod slots;
mod spawn;
mod start;
mod task;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use openshell_vm_init::protocol::Spec;
use tokio::sync::mpsc;

pub(crate) use self::host::Host;
pub(crate) use self::leftover::sweep;
use crate::guest::Board;

/// What a machine is made of.
#[derive(Debug)]
pub(crate) struct Boot {
    /// What QEMU is called in lists of processes: the sandbox's id, plain.
    pub(crate) name: String,
    /// The sandbox's directory. [`overlay::NAME`] is there already; QEMU's pid file and the console's log are written to it.
    pub(crate) dir: PathBuf,
    /// The image's disk, raw ext4, only read.
    pub(crate) base: PathBuf,
    /// Processors, at least one.
    pub(crate) cpus: u32,
    /// Memory in bytes; whole MiB of it are used.
    pub(crate) memory: u64,
    /// Whether the machine has QEMU's user-mode network.
    pub(crate) network: bool,
    /// The socket at which the gateway waits for the sandbox's supervisor, where there is one.
    pub(crate) gateway: Option<PathBuf>,
    /// What the guest's first program is told. The clock is set when it is sent.
    pub(crate) spec: Spec,
}

/// What happens to a machine, in the order in which it happens; each at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The main process runs.
    Started,
    /// The main process is gone; the guest powers itself off, and `Ended` follows.
    Exited,
    /// The guest has not answered for `hang_after`. It is killed, and `Ended` follows.
    Silent,
    /// QEMU is gone and has been waited for. Nothing follows.
    Ended(End),
}

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    /// Why, for programs.
    pub(crate) cause: Cause,
    /// Why, for people: one line, with the panic's text, the guest's or QEMU's last words where they say it.
    pub(crate) message: String,
}

/// Why a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It was asked to, and its main process did not say more.
    Stopped,
    /// Its main process ended, by itself or asked to.
    Exited {
        /// Its exit code, or 128 and the signal's number.
        code: i32,
        /// Whether the guest's kernel killed a process of the workload for want of memory.
        out_of_memory: bool,
    },
    /// The guest's kernel panicked.
    Panicked,
    /// The guest did not answer for `hang_after`.
    Hung,
    /// The guest did not come up: its main process did not run within `boot_timeout`, or could not.
    Failed,
    /// The guest reset itself or broke the protocol, QEMU ended by itself, or somebody else killed it.
    Qemu,
}

/// A running machine. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Machine {
    /// What happens to it. There are never more than fit, so that a reader who is slow loses none.
    pub(crate) events: mpsc::Receiver<Event>,
    handle: Handle,
    /// QEMU's process.
    #[cfg(test)]
    pid: u32,
}

impl Machine {
    /// What others stop it with.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.handle.kill();
    }
}

/// Stops a machine. Copies act on the same machine and do not keep it.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    orders: mpsc::UnboundedSender<Order>,
}

/// What a machine's task is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Stop { grace: Duration },
    Kill,
}

impl Handle {
    /// Asks the guest to end its workload: `SIGTERM`, `grace`, `SIGKILL`. A guest that has not powered itself off some seconds
    /// after `grace` is killed, and one that does not listen yet at once. The end comes as an event.
    pub(crate) fn stop(&self, grace: Duration) {
        // One that is gone needs no order.
        let _ = self.orders.send(Order::Stop { grace });
    }

    /// Kills the machine, whatever state it is in. Its disk is that of a computer whose power was cut. The end comes as
    /// an event.
    pub(crate) fn kill(&self) {
        let _ = self.orders.send(Order::Kill);
    }
}
