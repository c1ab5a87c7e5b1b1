//! What this host has for machines, looked at once when the driver opens.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use openshell_driver_api::{DriverError, ErrorKind};
use tokio::process::Command;
use tokio::sync::{OnceCell, mpsc};

use super::command::Plan;
use super::console::Log;
use super::files::{Files, Programs};
use super::probe::Accelerator;
use super::programs::Needed;
use super::relay::Relay;
use super::slots::Slots;
use super::spawn::Spawner;
use super::start::{Disk, OPERATION};
use super::task::{Limits, Task};
use super::{Boot, Handle, Machine, leftover, overlay};
use crate::config::Config;
use crate::error;

const QEMU: Needed = Needed {
    name: "qemu-system-x86_64",
    key: "qemu_path",
    package: "QEMU for x86 (Debian: `qemu-system-x86`)",
};
const SETPRIV: Needed = Needed { name: "setpriv", key: "setpriv_path", package: "util-linux" };

/// The oldest QEMU whose flags are those that are used here.
const OLDEST: (u32, u32) = (6, 0);

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the users' slots are locked, in the directory that all gateway ids share.
const UIDS: &str = "uids";

/// Programs, kernel, users and accelerator of this host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(super) config: Config,
    pub(super) qemu: PathBuf,
    pub(super) setpriv: PathBuf,
    pub(super) files: Files,
    /// None where the driver is not root: QEMU is the driver's user then.
    pub(super) slots: Option<Slots>,
    pub(super) spawner: Spawner,
    pub(super) chosen: OnceCell<Accelerator>,
}

impl Host {
    /// Looks for everything that the configuration names, and starts nothing but `qemu --version`. `shared` is the state
    /// directory that all gateway ids have in common, `supervisor` the program that goes into guests, where one does.
    ///
    /// # Errors
    /// `FailedPrecondition`, and in the hint what to do: QEMU, `setpriv`, the kernel, its modules or the guest's first
    /// program are not there, or not what they should be.
    pub(crate) async fn open(
        config: &Config,
        shared: &Path,
        supervisor: Option<&Path>,
    ) -> Result<Arc<Self>, DriverError> {
        let root = rustix::process::geteuid().is_root();
        let qemu = QEMU.find(config.qemu_path.as_deref())?;
        let setpriv = SETPRIV.find(config.setpriv_path.as_deref())?;
        let (kernel, modules) = (config.kernel.as_deref(), config.modules.as_deref());
        let programs = Programs::find(config.init_path.as_deref(), supervisor)?;
        let files = Files::open(kernel, modules, programs, root)?;
        let version = check_version(&qemu).await?;
        tracing::debug!(qemu = %qemu.display(), version, "QEMU found");
        let users = || {
            let dir = shared.join(UIDS);
            Slots::open(dir.clone(), config.uids)
                .map_err(|error| error::file("open the users' locks", &dir, error))
        };
        let spawner = Spawner::new().map_err(|error| {
            DriverError::new(ErrorKind::ResourceExhausted, "open the driver", error.to_string())
                .with_source(error)
        })?;
        Ok(Arc::new(Self {
            config: config.clone(),
            qemu,
            setpriv,
            files,
            slots: root.then(users).transpose()?,
            spawner,
            chosen: OnceCell::new(),
        }))
    }

    /// Starts a sandbox's machine. Returns when QEMU runs; that the main process does comes as an event. The sandbox's
    /// directory holds the overlay already.
    ///
    /// # Errors
    /// `FailedPrecondition`: a machine runs on this overlay, or no guest runs on this host. `ResourceExhausted`: no user
    /// is left for it, or no room. Otherwise what is wrong with which file.
    pub(crate) async fn boot(&self, boot: Boot) -> Result<Machine, DriverError> {
        let accelerator = self.accelerator().await?;
        let Boot { name, dir, base, cpus, memory, network, gateway, spec } = boot;
        let path = dir.join(overlay::NAME);
        let file = leftover::lock(&path).map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => {
                let text = format!("a machine runs on `{}` already", path.display());
                DriverError::new(ErrorKind::FailedPrecondition, OPERATION, text)
            }
            _ => error::file(OPERATION, &path, error),
        })?;
        let base = File::open(&base).map_err(|error| error::file(OPERATION, &base, error))?;
        let log = Log::open(&dir, self.config.console_log_size)
            .map_err(|error| error::file(OPERATION, &dir.join(super::console::NAME), error))?;
        let plan = Plan {
            name: &name,
            board: accelerator.board,
            kvm: accelerator.kvm,
            cpus,
            memory: memory >> 20,
            disk: true,
            network,
            supervisor: gateway.is_some(),
        };
        let mut running = self.start(&plan, Some(Disk { overlay: file, base })).await?;
        if let Err(error) = leftover::note(&dir, running.pid) {
            // Without it a leftover is still found by the lock; a machine that has ended at once tells why by itself.
            tracing::debug!(machine = name, %error, "no pid file");
        }
        tracing::debug!(machine = name, pid = running.pid, %accelerator, "machine started");

        let (events, received) = mpsc::channel(Task::MOST_EVENTS);
        let (orders, received_orders) = mpsc::unbounded_channel();
        #[cfg(test)]
        let pid = running.pid;
        let limits = Limits { boot: self.config.boot_timeout, hang: self.config.hang_after };
        let spawner = self.spawner.clone();
        let relay = running.supervisor.take().zip(gateway);
        let relay = relay.map_or_else(Relay::default, |(port, socket)| Relay::start(port, socket));
        let task = Task::new(name, dir, running, relay, log, limits, spec, events, received_orders);
        tokio::spawn(async move {
            task.run().await;
            // The thread that started QEMU has to live as long as that does.
            drop(spawner);
        });
        Ok(Machine {
            events: received,
            handle: Handle { orders },
            #[cfg(test)]
            pid,
        })
    }

    /// Whether QEMU's user may open `/dev/kvm`, or the reason why not.
    pub(super) fn kvm(&self) -> Result<(), String> {
        let node = kvm_node()?;
        if self.slots.is_none() {
            let opened = File::options().read(true).write(true).open(KVM);
            return opened.map(|_| ()).map_err(|error| format!("`{KVM}`: {error}"));
        }
        if node.mode() & 0o006 == 0o006 || self.group_of(&node).is_some() {
            return Ok(());
        }
        let (mode, group) = (node.mode() & 0o777, node.gid());
        Err(format!("`{KVM}` (mode {mode:o}, group {group}) may not be opened by QEMU's own user"))
    }

    /// The group that QEMU's user needs for `/dev/kvm`.
    pub(super) fn kvm_group(&self) -> Option<u32> {
        let node = kvm_node().ok()?;
        (node.mode() & 0o006 != 0o006).then(|| self.group_of(&node))?
    }

    /// The node's group, where having it is enough and no more than that: root's group opens too much else.
    fn group_of(&self, node: &std::fs::Metadata) -> Option<u32> {
        let enough = self.config.kvm_group && node.mode() & 0o060 == 0o060 && node.gid() != 0;
        enough.then(|| node.gid())
    }
}

const KVM: &str = "/dev/kvm";

fn kvm_node() -> Result<std::fs::Metadata, String> {
    std::fs::metadata(KVM).map_err(|error| format!("`{KVM}`: {error}"))
}

/// Asks QEMU for its version.
async fn check_version(qemu: &Path) -> Result<String, DriverError> {
    let refused = |what: String| {
        DriverError::new(ErrorKind::FailedPrecondition, "ask QEMU for its version", what)
            .with_hint(format!("`qemu_path` is to be a QEMU of version {}.{} or later", OLDEST.0, OLDEST.1))
    };
    let shown = qemu.display();
    let mut command = Command::new(qemu);
    command.arg("--version").env_clear().env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => {
            return Err(refused(format!("`{shown}` cannot be started: {error}")).with_source(error));
        }
        Err(_) => return Err(refused(format!("`{shown} --version` does not end"))),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    match version(&text) {
        Some((number, text)) if number >= OLDEST => Ok(text.to_owned()),
        Some((_, text)) => Err(refused(format!("`{shown}` is QEMU {text}, which is too old"))),
        None => Err(refused(format!("`{shown}` does not say that it is QEMU"))),
    }
}

/// `QEMU emulator version 7.2.22 (Debian …)`: the number, and its text.
fn version(text: &str) -> Option<((u32, u32), &str)> {
    let (_, rest) = text.split_once("QEMU emulator version ")?;
    let word = rest.split_whitespace().next()?;
    let mut parts = word.split('.');
    Some(((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?), word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(
            version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg)\nCopyright"),
            Some(((7, 2), "7.2.22"))
        );
        assert_eq!(version("QEMU emulator version 10.0.2"), Some(((10, 0), "10.0.2")));
        assert_eq!(version("busybox"), None);
    }

    #[tokio::test]
    async fn what_is_no_qemu_is_said() {
        let error = check_version(Path::new("/bin/true")).await.expect_err("refused");
        assert_eq!(error.message(), "`/bin/true` does not say that it is QEMU");
        assert_eq!(error.hint(), Some("`qemu_path` is to be a QEMU of version 6.0 or later"));
        let error = check_version(Path::new("/none/qemu")).await.expect_err("refused");
        assert_eq!(error.message(), "`/none/qemu` cannot be started: No such file or directory (os error 2)");
    }
}
