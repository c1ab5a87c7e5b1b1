//! A full disk and a read-only tree, for real: on a small file system of its own. Needs the right to mount one;
//! without it the faults of every step (`engine.rs`) are what is tested.

use std::fs;
use std::path::Path;
use std::process::Command;

use driver_codegen::engine::EngineError;

use crate::support::{copy, fixture, generated, photograph, write};

/// A file system that goes with the value.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        mount(&["-t", "tmpfs", "-o", "size=512k", "tmpfs"], directory.path()).then_some(Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).output();
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    let output = Command::new("mount").args(arguments).arg(at).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_disk_and_a_read_only_tree_change_nothing() {
    let Some(disk) = Mounted::new() else {
        println!("skipped: no right to mount a small file system");
        return;
    };
    copy(&fixture().join("tree"), disk.path());
    // Fill what is left, but for a little less than generation needs.
    let filler = disk.path().join("filler");
    let mut size = 512 * 1024;
    while size > 0 && fs::write(&filler, vec![b'x'; size]).is_err() {
        size -= 4096;
    }
    for spare in [0, 4096, 8192, 16 * 1024, 24 * 1024] {
        fs::write(&filler, vec![b'x'; size.saturating_sub(spare)]).expect("the filler fits");
        let before = photograph(disk.path());
        let error = write(disk.path(), &mut |_| Ok(())).expect_err("there is no room");
        assert!(matches!(error, EngineError::RolledBack { .. }), "{error:?}");
        assert_eq!(photograph(disk.path()), before, "with {spare} bytes to spare");
    }
    assert!(mount(&["-o", "remount,ro"], disk.path()), "it can be made read-only");
    let before = photograph(disk.path());
    let error = write(disk.path(), &mut |_| Ok(())).expect_err("it is read-only");
    assert!(matches!(error, EngineError::RolledBack { .. }), "{error:?}");
    assert_eq!(photograph(disk.path()), before);
    assert!(mount(&["-o", "remount,rw"], disk.path()), "it can be made writable again");
    fs::remove_file(&filler).expect("the filler goes");
    generated(disk.path());
}
