//! A tree goes into a sandbox and comes back as it was: kinds, modes, bytes, where links point.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::Inside;
use crate::supervisor::NAME;

/// What there is under a directory: its path, and all that has to be the same.
fn manifest(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).expect("it is there");
        let mode = metadata.permissions().mode();
        let says = if metadata.is_symlink() {
            // Its mode means nothing.
            format!("link to {}", fs::read_link(&path).expect("a link").display())
        } else if metadata.is_dir() {
            open.extend(
                fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").path()),
            );
            format!("directory {mode:o}")
        } else {
            format!("file {mode:o} {:?}", fs::read(&path).expect("a file"))
        };
        found.insert(path.strip_prefix(root).expect("below it").to_owned(), says);
    }
    found
}

fn plant(root: &Path) {
    for (directory, mode) in [("", 0o755), ("deep", 0o750), ("deep/er", 0o700), ("empty", 0o755)] {
        let path = root.join(directory);
        fs::create_dir(&path).expect("a directory");
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
    }
    let long = format!("deep/er/{}", "x".repeat(200));
    let big: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 249) as u8).collect();
    for (name, mode, bytes) in [
        ("plain", 0o644, &b"plain\n"[..]),
        ("empty/nothing", 0o600, b""),
        ("deep/run", 0o755, b"#!/bin/sh\necho ran\n"),
        ("deep/read only", 0o444, b"spaces and\0a nul"),
        ("deep/er/\u{e4}\u{1f980}", 0o640, "not ASCII".as_bytes()),
        (&long, 0o604, b"a long name"),
        ("big", 0o644, &big),
    ] {
        let path = root.join(name);
        fs::write(&path, bytes).expect("a file");
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
    }
    for (name, target) in
        [("deep/up", "../plain"), ("dangling", "no/such"), ("absolute", "/etc/passwd"), ("dir", "deep")]
    {
        symlink(target, root.join(name)).expect("a link");
    }
}

impl Inside {
    pub(super) fn files(&mut self) {
        let tree = self.world.home.path("tree");
        plant(&tree);
        let planted = manifest(&tree);
        let local = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        // Into a directory, under another name, what is in it, a file alone; twice, over what is there.
        for (from, to, then) in [
            (local(&tree), "/sandbox", "tree"),
            (local(&tree), "/sandbox/renamed", "renamed"),
            (local(&tree.join(".")), "/sandbox/content", "content"),
            (local(&tree), "/sandbox/", "tree"),
        ] {
            self.ok("upload", &[NAME, &from, to]);
            let back = self.world.home.path(&format!("back-{}", self.spawned));
            self.spawned += 1;
            self.ok("download", &[NAME, &format!("/sandbox/{then}"), &local(&back)]);
            assert_eq!(manifest(&back), planted, "{from} as {to}");
        }
        self.ok("upload", &[NAME, &local(&tree.join("deep/run")), "/sandbox/another"]);
        assert_eq!(self.exec(&[], &["/sandbox/another"]), (Some(0), "ran\n".to_owned()));
        let into = self.world.home.path("into");
        fs::create_dir(&into).expect("a directory");
        self.ok("download", &[NAME, "/sandbox/tree/deep/run", &local(&into)]);
        assert_eq!(fs::read(into.join("run")).expect("a file"), b"#!/bin/sh\necho ran\n");

        // What the workload may not write is refused, and so is what is not there.
        for (verb, args) in [
            ("upload", [NAME, &*local(&tree), "/etc/tree"]),
            ("download", [NAME, "/nowhere", &*local(&into)]),
        ] {
            let refused = self.client(verb, &args);
            assert!(!refused.status.success() && !refused.stderr.is_empty(), "{args:?}");
        }
        let all = ["tree", "renamed", "content", "another"].map(|name| format!("/sandbox/{name}"));
        let remove = [&[NAME, "--", "rm", "-r"], &all.each_ref().map(String::as_str)[..]].concat();
        self.ok("exec", &remove);
        assert_eq!(self.exec(&[], &["ls", "-A", "/sandbox"]), (Some(0), String::new()));
    }
}
