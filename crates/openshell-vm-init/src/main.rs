//! The first program of a guest.
//!
//! ```text
//!   kernel ─▶ early (mounts, modules) ─▶ port ─ Hello / Spec ─▶ root (disk, /dev, /proc, /sys, switch)
//!                                                                   │
//!   power off ◀─ serve (pings, stop, output, reaping) ◀─ workload ◀─┘ limits, user, network
//!                                                            └─ the second stage of `openshell-guest`: this program
//!                                                               again, in the process that becomes the workload
//!
//!   supervised: the supervisor's program and socket; it is the workload then, and starts the main process
//!        └─ door: two threads between that socket and a port of its own
//! ```
//!
//! It is linked statically, since nothing else is in the initramfs. Whatever goes wrong is said to the driver
//! before the machine powers off, on the console if the port is not there yet.

mod door;
mod early;
mod failure;
mod limits;
mod network;
mod port;
mod power;
mod root;
mod serve;
mod supervised;
mod workload;

use std::process::ExitCode;

use openshell_guest::{second, user};
use openshell_vm_init::protocol::{FromGuest, Spec, VERSION};
use rustix::process::getpid;

use crate::failure::Failure;
use crate::port::{Port, Wanted};
use crate::supervised::Supervised;
use crate::workload::Workload;

fn main() -> ExitCode {
    if second::taken() {
        return ExitCode::FAILURE;
    }
    if !getpid().is_init() {
        eprintln!(
            "openshell-vm-init is the first program of a guest of openshell-driver-vm: it is of no use elsewhere"
        );
        return ExitCode::FAILURE;
    }
    let mut port = None;
    if let Err(failure) = live(&mut port) {
        eprintln!("openshell-vm-init: cannot {}: {}", failure.step, failure.message);
        if let Some(port) = &mut port {
            // A driver that is gone is no reason to stay.
            let _ = port.send(&FromGuest::Failed { step: failure.step.to_owned(), message: failure.message });
        }
    }
    power::off();
    // Only where the kernel refuses; the kernel's panic about its first program is then what ends the machine.
    ExitCode::FAILURE
}

/// All of the guest's life, up to the power-off.
fn live(slot: &mut Option<Port>) -> Result<(), Failure> {
    early::mount()?;
    early::load_modules()?;
    let port = slot.insert(Port::open()?);
    port.send(&FromGuest::Hello { version: VERSION })?;
    let spec = match port.wait_for_spec()? {
        Wanted::Run(spec) => spec,
        Wanted::Stop => return Ok(()),
    };
    let workload = start(&spec)?;
    port.send(&FromGuest::Started)?;
    serve::run(port, workload)
}

/// Makes the machine what the driver asked for, and starts the main process.
fn start(spec: &Spec) -> Result<Workload, Failure> {
    early::set_clock(spec.now_ms);
    early::restrict();
    let limits = limits::Limits::new(spec.pids_limit)?;
    let supervised = spec.supervisor.as_ref().map(Supervised::find).transpose()?;
    root::switch()?;
    network::set_up(spec)?;
    let user = user::find(&spec.user).map_err(|error| Failure::new("find the user", error.to_string()))?;
    root::fill(spec, &user)?;
    let door = supervised.map(Supervised::deliver).transpose()?;
    let workload = Workload::start(spec, &user, limits)?;
    if let Some(door) = door {
        door.attend(workload.process)?;
    }
    Ok(workload)
}
