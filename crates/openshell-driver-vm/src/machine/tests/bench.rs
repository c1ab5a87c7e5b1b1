//! What the tests share: a host, a disk of the testbed's image, and machines on them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use openshell_vm_init::protocol::Spec;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use super::super::probe::Accelerator;
use super::super::{Boot, End, Event, Host, Machine, overlay};
use crate::config::Config;
use crate::guest::Board;

/// Far more than a boot takes.
const PATIENCE: Duration = Duration::from_secs(120);

const DISK_SIZE: u64 = 64 << 20;

/// One machine at a time: they would take each other's time away.
static TURN: Mutex<()> = Mutex::const_new(());

/// A place for one test.
pub(in super::super) struct Bench {
    pub(in super::super) config: Config,
    base: PathBuf,
    root: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Bench {
    /// The testbed's kernel, modules and image, or nothing and a word about it.
    pub(in super::super) async fn new() -> Option<Self> {
        static BASE: OnceLock<Result<(Config, PathBuf), String>> = OnceLock::new();
        let (config, base) = match BASE.get_or_init(testbed) {
            Ok(found) => found.clone(),
            Err(why) => {
                let required = std::env::var("OPENSHELL_TEST_REQUIRE").unwrap_or_default();
                assert!(!required.split(',').any(|name| name.trim() == "vm"), "vm is required: {why}");
                println!("skipped: vm: {why}");
                return None;
            }
        };
        let turn = TURN.lock().await;
        Some(Self { config, base, root: tempfile::tempdir().expect("a directory"), _turn: turn })
    }

    pub(in super::super) fn dir(&self) -> &Path {
        self.root.path()
    }

    /// A host that knows already what runs guests: finding out is a test of its own.
    pub(in super::super) async fn host(&self) -> Arc<Host> {
        let host = Host::open(&self.config, self.dir()).await.expect("a host");
        let known = Accelerator { board: Board::Q35, kvm: false, why_not_kvm: None };
        host.chosen.set(known).expect("not yet known");
        host
    }

    /// What a machine that runs `script` is made of; its overlay is made when it is not there.
    pub(in super::super) fn boot(&self, name: &str, script: &str) -> Boot {
        let dir = self.dir().join(name);
        std::fs::create_dir_all(&dir).expect("a directory");
        if !dir.join(overlay::NAME).exists() {
            overlay::create(&dir.join(overlay::NAME), DISK_SIZE).expect("an overlay");
        }
        let spec = Spec {
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            working_dir: "/".to_owned(),
            ..Spec::default()
        };
        let (base, name) = (self.base.clone(), name.to_owned());
        Boot { name, dir, base, cpus: 1, memory: 128 << 20, network: false, spec }
    }
}

fn testbed() -> Result<(Config, PathBuf), String> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from).ok_or(format!("{name} is not set"));
    let (kernel, modules) = (named("OPENSHELL_TEST_KERNEL")?, named("OPENSHELL_TEST_MODULES")?);
    let archive = named("OPENSHELL_TEST_ROOTFS")?;
    let config = Config {
        kernel: Some(kernel),
        modules: Some(modules),
        init_path: Some(init()?),
        ..Config::default()
    };
    Ok((config, disk(&archive)?))
}

/// The guest's first program, linked statically.
fn init() -> Result<PathBuf, String> {
    let beside = || {
        let test = std::env::current_exe().ok()?;
        // target/<triple>/debug/deps/<test>
        Some(test.ancestors().nth(3)?.join("release/openshell-vm-init"))
    };
    let path = std::env::var_os("OPENSHELL_TEST_VM_INIT").map(PathBuf::from).or_else(beside);
    let path = path.ok_or("nobody knows where the guest's first program is")?;
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("no `{}`: `cargo xtask build` makes it", path.display()))
    }
}

/// The image as a disk, made by hand and once: it lies in a directory that goes with the process's temporary files.
fn disk(archive: &Path) -> Result<PathBuf, String> {
    static ROOT: OnceLock<tempfile::TempDir> = OnceLock::new();
    let root = ROOT.get_or_init(|| tempfile::tempdir().expect("a directory")).path();
    let (tree, disk) = (root.join("tree"), root.join("disk.ext4"));
    std::fs::create_dir(&tree).map_err(|error| error.to_string())?;
    run(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(&tree))?;
    run(Command::new("chmod").arg("755").arg(&tree))?;
    run(Command::new("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(&tree).arg(&disk).arg("64M"))?;
    std::fs::remove_dir_all(&tree).map_err(|error| error.to_string())?;
    Ok(disk)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = || format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.status.success().then_some(()).ok_or_else(said)
}

impl Machine {
    /// The next event.
    pub(super) async fn next(&mut self) -> Event {
        timeout(PATIENCE, self.events.recv()).await.expect("in time").expect("an event")
    }

    /// Waits for the main process to run.
    pub(super) async fn started(&mut self) {
        assert_eq!(self.next().await, Event::Started);
    }

    /// Waits for the end, past whatever else happens.
    pub(super) async fn end(&mut self) -> End {
        loop {
            if let Event::Ended(end) = self.next().await {
                assert_eq!(self.events.recv().await, None, "nothing follows");
                return end;
            }
        }
    }
}
