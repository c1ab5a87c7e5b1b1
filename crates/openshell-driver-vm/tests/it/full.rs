//! A disk that is full: a file system in memory of the test's own.

use std::path::Path;
use std::process::Command;

use openshell_driver_api::ErrorKind;

use crate::bench::{Bench, ready_message, request, sandbox_id, script};
use crate::testbed::skip;

/// A small file system, gone with this value.
struct Small(tempfile::TempDir);

impl Small {
    fn new(size: &str) -> Option<Self> {
        let root = tempfile::tempdir().expect("a directory");
        let options = format!("size={size},mode=700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(root.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(root)),
            _ => {
                skip("no right to mount a file system");
                None
            }
        }
    }

    fn fill(&self) -> std::path::PathBuf {
        let path = self.0.path().join("filler");
        // Ends with an error: there is no more room.
        let _ =
            Command::new("dd").args(["if=/dev/zero", "bs=4k"]).arg(format!("of={}", path.display())).output();
        path
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_nothing_is_left_on_it() {
    let root = tempfile::tempdir().expect("a directory");
    let config = format!("disk_size = \"64Mi\"\nqemu_path = \"{}\"", script(root.path()).display());
    let Some(bench) = Bench::closed(&config) else { return };
    // The image needs more than one and less than the other.
    let Some(small) = Small::new("96m") else { return };
    let mut bench = bench.at(&small.path().join("drivers/vm"));
    bench.open().await;
    let filler = small.fill();
    let error = bench.driver().create(&request("full", &["sleep", "300"])).await.expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    assert_eq!(bench.leftovers(), Vec::<String>::new());
    assert_eq!(bench.driver().list().await.expect("a list"), []);

    std::fs::remove_file(filler).expect("room again");
    bench.driver().create(&request("full", &["sleep", "300"])).await.expect("create");
    bench.until("full", "Running").await;
    // The image is there by now; a sandbox more has no room.
    let filler = small.fill();
    let error = bench.driver().create(&request("more", &["sleep", "300"])).await.expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    assert_eq!(bench.driver().list().await.expect("a list").len(), 1);

    // A stop and a delete need none.
    bench.driver().stop(&sandbox_id("full")).await.expect("stop");
    assert!(bench.driver().delete(&sandbox_id("full")).await.expect("delete"));
    std::fs::remove_file(filler).expect("a file");
    bench.until_left(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_runs_when_the_disk_fills_is_told_so_itself() {
    let Some(bench) = Bench::closed("disk_size = \"64Mi\"") else { return };
    let Some(small) = Small::new("96m") else { return };
    let mut bench = bench.at(&small.path().join("drivers/vm"));
    bench.open().await;
    let script = "while dd if=/dev/zero of=/sandbox/x bs=1M count=30 conv=fsync; do sleep 1; done; exit 9";
    bench.driver().create(&request("told", &["sh", "-c", script])).await.expect("create");
    bench.until("told", "Running").await;
    small.fill();
    // An exit, and not a guest that is taken for hung.
    let seen = bench.until("told", "ContainerExited").await;
    assert_eq!(ready_message(&seen), "the main process ended with exit code 9");
    assert!(bench.driver().delete(&sandbox_id("told")).await.expect("delete"));
    assert_eq!(bench.leftovers(), Vec::<String>::new());
}
