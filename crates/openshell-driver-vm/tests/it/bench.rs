//! What every test stands on: a driver with a gateway id and a state directory of its own, and a clean-up that also runs
//! when the test panics.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use openshell_driver_api::conditions::{READY, find};
use openshell_driver_api::supervisor::{ENDPOINT, PROGRAM_NAME, SupervisorDelivery};
use openshell_driver_api::{
    ComputeDriver, DriverContext, DriverError, EventStream, ObservedSandbox, SandboxId, SandboxRequest,
    SandboxSpec, Table, Template, WatchEvent,
};
use openshell_driver_vm::REGISTRATION;

use crate::testbed::{Parts, skip};

/// How long anything may take: guests without KVM, on a host that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);
/// The image that every test runs.
pub(crate) const IMAGE: &str = "openshell-test/busybox:1";

/// One test's driver.
pub(crate) struct Bench {
    /// `None` once it was dropped, or killed, by the test.
    pub(crate) driver: Option<Arc<dyn ComputeDriver>>,
    pub(crate) gateway_id: String,
    pub(crate) table: Table,
    /// What the gateway would have said of a supervisor.
    supervisor: Option<SupervisorDelivery>,
    state: PathBuf,
    _root: tempfile::TempDir,
}

/// A table for what this host has, with the test's own lines over it; `None`, and a word about it, when something is away.
pub(crate) fn table(config: &str) -> Option<Table> {
    let parts = Parts::find()?;
    let text = |path: &Path| path.to_str().expect("a UTF-8 path").to_owned();
    let mut table = Table::new();
    for (key, value) in [
        ("kernel", text(&parts.kernel)),
        ("modules", text(&parts.modules)),
        ("init_path", text(&parts.init)),
        // Looking whether KVM works is a test of its own; where it seems to be there and is not, it takes long.
        ("accelerator", "tcg".to_owned()),
        ("memory", "96Mi".to_owned()),
        ("disk_size", "256Mi".to_owned()),
    ] {
        table.insert(key.to_owned(), value.into());
    }
    let images = Table::from_iter([(IMAGE.to_owned(), text(&parts.image).into())]);
    table.insert("images".to_owned(), images.into());
    for (key, value) in config.parse::<Table>().expect("the test's configuration") {
        table.insert(key, value);
    }
    Some(table)
}

impl Bench {
    /// A driver on this host; `None`, and a word about it, when something is away.
    pub(crate) async fn new(config: &str) -> Option<Self> {
        let mut bench = Self::closed(config)?;
        bench.open().await;
        Some(bench)
    }

    /// The same, not opened yet.
    pub(crate) fn closed(config: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let table = table(config)?;
        let gateway_id = format!("it-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let root = tempfile::tempdir().expect("a state directory");
        let state = root.path().join("drivers/vm");
        Some(Self { driver: None, gateway_id, table, supervisor: None, state, _root: root })
    }

    /// A driver that puts the supervisor into its sandboxes.
    pub(crate) async fn supervised(config: &str) -> Option<Self> {
        let mut bench = Self::closed(config)?;
        let program = match std::env::var_os("OPENSHELL_TEST_BIN_DIR") {
            Some(folder) => PathBuf::from(folder).join(PROGRAM_NAME),
            None => {
                skip("no supervisor: OPENSHELL_TEST_BIN_DIR is not set (cargo xtask test sets it)");
                return None;
            }
        };
        assert!(program.is_file(), "`{}` is missing from OPENSHELL_TEST_BIN_DIR", program.display());
        bench.supervisor = Some(SupervisorDelivery::Host { program, sockets: bench.sockets() });
        bench.open().await;
        Some(bench)
    }

    /// Where the sandboxes' own sockets are.
    pub(crate) fn sockets(&self) -> PathBuf {
        self.state.with_file_name("sandboxes")
    }

    /// Keeps its state elsewhere.
    pub(crate) fn at(mut self, state: &Path) -> Self {
        self.state = state.to_owned();
        self
    }

    /// Opens the driver, or fails the test.
    pub(crate) async fn open(&mut self) {
        self.driver = Some(self.try_open().await.expect("a driver"));
    }

    /// Opens a driver.
    pub(crate) async fn try_open(&self) -> Result<Arc<dyn ComputeDriver>, DriverError> {
        let context = DriverContext {
            name: "vm".to_owned(),
            gateway_id: self.gateway_id.clone(),
            state_dir: self.state.clone(),
            telemetry: false,
            endpoint: self.supervisor.as_ref().map_or_else(String::new, |_| ENDPOINT.to_owned()),
            supervisor: self.supervisor.clone(),
        };
        REGISTRATION.factory.open(context, &self.table).await
    }

    /// The driver.
    pub(crate) fn driver(&self) -> &dyn ComputeDriver {
        &**self.driver.as_ref().expect("an open driver")
    }

    /// Where the driver keeps its state.
    pub(crate) fn state_dir(&self) -> &Path {
        &self.state
    }

    /// The directory of a sandbox.
    pub(crate) fn directory(&self, id: &str) -> PathBuf {
        self.state.join(&self.gateway_id).join("sandboxes").join(id)
    }

    /// What a sandbox's console has shown.
    pub(crate) fn console(&self, id: &str) -> String {
        let log = std::fs::read(self.directory(id).join("console.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Polls until the sandbox's `Ready` has this reason. (The driver has a watch for this; its tests do not poll.)
    pub(crate) async fn until(&self, id: &str, reason: &str) -> ObservedSandbox {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let seen = self.driver().get(&sandbox_id(id)).await.expect("a sandbox");
            if ready_reason(&seen) == reason {
                return seen;
            }
            let late = tokio::time::Instant::now() >= deadline;
            assert!(!late, "waited for `{reason}`, and it is {seen:?}; console: {}", self.console(id));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the sandbox's console shows a text.
    pub(crate) async fn until_shown(&self, id: &str, text: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.console(id).contains(text) {
            assert!(
                tokio::time::Instant::now() < deadline,
                "no `{text}` on the console: {}",
                self.console(id)
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until no more than `count` directories, processes and mounts are left. (Of the script's own children some outlive
    /// it for as long as it takes to see that nobody is there.)
    pub(crate) async fn until_left(&self, count: usize) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.leftovers().len() > count {
            assert!(tokio::time::Instant::now() < deadline, "left: {:?}", self.leftovers());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The QEMUs of this gateway, or of one of its sandboxes.
    pub(crate) fn machines(&self, id: &str) -> Vec<u32> {
        let name = format!("openshell-{}.{id}", self.gateway_id);
        processes(&name)
    }

    /// Everything of this gateway: directories of sandboxes, processes, mounts.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let sandboxes = self.state.join(&self.gateway_id).join("sandboxes");
        let entries = std::fs::read_dir(sandboxes).into_iter().flatten().flatten();
        let mut left: Vec<String> = entries.map(|entry| entry.path().display().to_string()).collect();
        left.extend(self.machines("").into_iter().map(|pid| format!("process {pid}")));
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
        let state = self.state.to_str().expect("a UTF-8 path").to_owned();
        left.extend(mounts.lines().filter(|line| line.contains(&format!("{state}/"))).map(str::to_owned));
        left
    }
}

/// What stands in QEMU's place where a guest's own work is of no interest: the guest is there at once. Descriptor 6 is its port.
/// It ends when it is told to stop, and not because nobody talks to it any more.
const QEMU: &str = r#"#!/bin/sh
[ "$1" = --version ] && exec echo 'QEMU emulator version 9.9.9'
printf '\027\000\000\000{"hello":{"version":2}}\011\000\000\000"started"' >&6
while :; do
  heard=$(dd bs=65536 count=1 <&6 2>/dev/null | tr -d '\000')
  case $heard in *stop*) exit 0 ;; '') sleep 1 ;; esac
done
"#;

/// Writes that script into `root`, where QEMU's own user can run it, and gives its path.
pub(crate) fn script(root: &Path) -> PathBuf {
    let qemu = root.join("qemu");
    std::fs::write(&qemu, QEMU).expect("written");
    for path in [&*qemu, root] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("a mode");
    }
    qemu
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.driver = None;
        for pid in self.machines("") {
            signal("KILL", pid);
        }
    }
}

/// The QEMUs whose command line holds a text. Not those of `setpriv`, which becomes QEMU.
fn processes(text: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("processes").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    })
    .collect()
}

/// Sends a signal to a process that the test's driver started.
pub(crate) fn signal(signal: &str, pid: u32) {
    let sent = std::process::Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
    assert!(sent.is_ok(), "there is a `kill`");
}

pub(crate) fn sandbox_id(id: &str) -> SandboxId {
    SandboxId::new(id).expect("an id")
}

/// A sandbox of the test's image that runs `command`.
pub(crate) fn request(id: &str, command: &[&str]) -> SandboxRequest {
    SandboxRequest {
        id: sandbox_id(id),
        name: format!("name-of-{id}"),
        namespace: String::new(),
        workspace: "default".to_owned(),
        spec: SandboxSpec {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            template: Template { image: IMAGE.to_owned(), ..Template::default() },
            ..SandboxSpec::default()
        },
    }
}

/// The reason of a sandbox's `Ready`.
pub(crate) fn ready_reason(sandbox: &ObservedSandbox) -> &str {
    find(&sandbox.status.conditions, READY).map_or("", |condition| condition.reason.as_str())
}

/// The message of a sandbox's `Ready`.
pub(crate) fn ready_message(sandbox: &ObservedSandbox) -> &str {
    find(&sandbox.status.conditions, READY).map_or("", |condition| condition.message.as_str())
}

/// Reads a watch until an event fits, and gives all of them up to that one.
pub(crate) async fn read_until(
    events: &mut EventStream,
    mut fits: impl FnMut(&WatchEvent) -> bool,
) -> Vec<WatchEvent> {
    let mut seen = Vec::new();
    let read = async {
        loop {
            let event = events.next().await.expect("the watch goes on").expect("an event");
            seen.push(event);
            if fits(&seen[seen.len() - 1]) {
                return;
            }
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, read).await;
    assert!(in_time.is_ok(), "no such event in {seen:#?}");
    seen
}
