//! One QEMU: its files, its user, its process, and the driver's ends of what connects the two.

use std::fs::File as OpenFile;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::process::Stdio;

use openshell_driver_api::{DriverError, ErrorKind};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::command::{self, File, Plan, User};
use super::host::Host;
use super::slots::Slot;
use super::spawn::Job;

pub(super) const OPERATION: &str = "start machine";

/// The disk of a machine: the two files that QEMU gets.
#[derive(Debug)]
pub(super) struct Disk {
    /// Locked for this machine alone.
    pub(super) overlay: OpenFile,
    pub(super) base: OpenFile,
}

/// A QEMU that was started.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) pid: u32,
    pub(super) console: UnixStream,
    pub(super) agent: UnixStream,
    /// Its supervisor's port, where the plan has one.
    pub(super) supervisor: Option<UnixStream>,
    /// Held until the process has been waited for.
    _slot: Option<Slot>,
}

impl Host {
    /// Starts QEMU. What it says is on its standard error.
    ///
    /// # Errors
    /// `ResourceExhausted` when there is no user left for it, or what the initramfs says; `Internal` when a program cannot
    /// be started.
    pub(super) async fn start(&self, plan: &Plan<'_>, disk: Option<Disk>) -> Result<Running, DriverError> {
        let initramfs = self.files.initramfs(plan.board, plan.network).await?;
        let trouble = |error: io::Error| {
            let kind = match error.kind() {
                io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock => ErrorKind::ResourceExhausted,
                _ => ErrorKind::Internal,
            };
            DriverError::new(kind, OPERATION, format!("QEMU cannot be started: {error}")).with_source(error)
        };
        let slot = self.slot()?;
        let user =
            slot.as_ref().map(|slot| User { uid: slot.uid, group: self.kvm_group().filter(|_| plan.kvm) });

        let (console, its_console) = pair().map_err(trouble)?;
        let (agent, its_agent) = pair().map_err(trouble)?;
        let mut files: Vec<(File, OwnedFd)> = vec![
            (File::Kernel, self.files.kernel().map_err(trouble)?.into()),
            (File::Initramfs, initramfs.try_clone().map_err(trouble)?.into()),
            (File::Console, its_console),
            (File::Agent, its_agent),
        ];
        let mut supervisor = None;
        if plan.supervisor {
            let (ours, its) = pair().map_err(trouble)?;
            files.push((File::Supervisor, its));
            supervisor = Some(ours);
        }
        if let Some(slot) = &slot {
            files.push((File::Slot, slot.lock.try_clone().map_err(trouble)?.into()));
        }
        if let Some(Disk { overlay, base }) = disk {
            files.extend([(File::Overlay, overlay.into()), (File::Base, base.into())]);
        }
        let files = files.into_iter().map(|(file, fd)| (file.number(), fd)).collect();

        let mut command = Command::new(&self.setpriv);
        command.args(command::setpriv(user, &self.qemu)).args(command::qemu(plan));
        command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = self.spawner.start(Job { command, files }).await.map_err(trouble)?;
        let pid = child.id().ok_or_else(|| trouble(io::ErrorKind::NotFound.into()))?;
        Ok(Running { child, pid, console, agent, supervisor, _slot: slot })
    }

    fn slot(&self) -> Result<Option<Slot>, DriverError> {
        let Some(slots) = &self.slots else { return Ok(None) };
        let taken = slots.take().map_err(|error| {
            let text = format!("the lock of a user for QEMU: {error}");
            DriverError::new(ErrorKind::Internal, OPERATION, text).with_source(error)
        })?;
        let none = || {
            DriverError::new(
                ErrorKind::ResourceExhausted,
                OPERATION,
                "every user of `uids` runs a machine already",
            )
            .with_hint("uids = { first = …, count = … } with a larger count")
        };
        Ok(Some(taken.ok_or_else(none)?))
    }
}

/// A connection: the driver's end and QEMU's.
fn pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, its) = Socket::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, its.into()))
}
