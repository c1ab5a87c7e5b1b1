//! What the tests share: a host, a disk of the testbed's image, and machines on them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openshell_vm_init::protocol::Spec;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use super::super::probe::Accelerator;
use super::super::{Boot, End, Event, Host, Machine, overlay};
use crate::config::Config;
use crate::guest::Board;
use crate::guest::boot::disk;
use crate::testbed::Parts;

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
        let parts = Parts::find()?;
        let base = disk(&parts);
        let config = Config {
            kernel: Some(parts.kernel),
            modules: Some(parts.modules),
            init_path: Some(parts.init),
            ..Config::default()
        };
        let turn = TURN.lock().await;
        Some(Self { config, base, root: tempfile::tempdir().expect("a directory"), _turn: turn })
    }

    pub(in super::super) fn dir(&self) -> &Path {
        self.root.path()
    }

    /// A host that knows already what runs guests: finding out is a test of its own.
    pub(in super::super) async fn host(&self) -> Arc<Host> {
        let host = Host::open(&self.config, self.dir(), None).await.expect("a host");
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
        Boot { name, dir, base, cpus: 1, memory: 128 << 20, network: false, gateway: None, spec }
    }
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
