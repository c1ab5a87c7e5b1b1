//! A cache of a test's own, and a look into the disks that come of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use openshell_driver_api::{DriverError, PlatformEvent};

use crate::config::Config;
use crate::image::{Images, Prepared};

/// What the disks of tests are large: enough for a journal.
pub(super) const SIZE: u64 = 64 << 20;

/// The reference that the table of a test has.
pub(super) const NAME: &str = "test/image:1";

/// Images with a table of one entry.
pub(super) struct Bench {
    pub(super) root: tempfile::TempDir,
    pub(super) config: Config,
    pub(super) images: Images,
    events: Arc<Mutex<Vec<PlatformEvent>>>,
}

impl Bench {
    /// A table whose one image is this file.
    pub(super) fn of_file(bytes: &[u8]) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::write(root.path().join("image"), bytes).expect("a file");
        Self::of(root, Config::default())
    }

    /// A table whose one image is `image` in a directory.
    pub(super) fn of(root: tempfile::TempDir, config: Config) -> Self {
        let images = [(NAME.to_owned(), root.path().join("image"))].into();
        let config = Config { images, ..config };
        let images = Images::open(&config, &root.path().join("cache")).expect("images");
        Self { root, config, images, events: Arc::default() }
    }

    pub(super) async fn prepare(&self, reference: &str) -> Result<Arc<Prepared>, DriverError> {
        self.prepare_of(reference, SIZE).await
    }

    pub(super) async fn prepare_of(&self, reference: &str, size: u64) -> Result<Arc<Prepared>, DriverError> {
        let events = Arc::clone(&self.events);
        self.images.prepare(reference, size, &move |event| events.lock().expect("events").push(event)).await
    }

    /// What was told so far, by its reasons.
    pub(super) fn told(&self) -> Vec<String> {
        self.events.lock().expect("events").iter().map(|event| event.reason.clone()).collect()
    }

    /// What is in a directory of the cache.
    pub(super) fn left(&self, directory: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.root.path().join("cache").join(directory)).expect("a directory");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// After a success, what it worked in goes behind its back.
    pub(super) async fn idle(&self) {
        for _ in 0..500 {
            if self.left("work").is_empty() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("work is left: {:?}", self.left("work"));
    }
}

/// What `debugfs` says of a disk.
pub(in crate::image) fn ask(disk: &Path, command: &str) -> String {
    let output = Command::new("/usr/sbin/debugfs").args(["-R", command]).arg(disk).output().expect("debugfs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a disk is a whole ext4.
pub(in crate::image) fn is_whole(disk: &Path) -> bool {
    Command::new("/usr/sbin/e2fsck").args(["-fn"]).arg(disk).output().expect("e2fsck").status.success()
}

/// Says that a test is skipped because `what` is away; a failure where OPENSHELL_TEST_REQUIRE names it.
pub(super) fn skip(what: &str, why: &str) {
    let required = std::env::var("OPENSHELL_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|name| name.trim() == what), "{what} is required: {why}");
    println!("skipped: {why}");
}
