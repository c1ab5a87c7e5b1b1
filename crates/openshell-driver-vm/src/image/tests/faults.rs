//! Images that make no disk, and hosts that have no room: a clear error, and nothing left.

use openshell_driver_api::ErrorKind;
use openshell_driver_api::conditions::reason;

use super::bench::{Bench, NAME, SIZE, skip};
use super::build::{Head, Tar, docker_save, gzip, oci, write_all, zstd};
use crate::config::Config;

fn good() -> Vec<u8> {
    Tar::default().directory("etc").file("etc/a", vec![b'a'; 100_000]).end()
}

/// Prepares, and expects an error whose message names the image and has all `parts`; nothing is left of it.
async fn refused(bench: &Bench, kind: ErrorKind, parts: &[&str]) {
    let error = bench.prepare(NAME).await.expect_err("an error");
    assert_eq!((error.kind(), error.reason()), (kind, Some(reason::IMAGE_PULL_FAILED)), "{error}");
    assert!(error.message().contains(&format!("`{NAME}`")), "{error}");
    for part in parts {
        assert!(error.message().contains(part), "{part}: {error}");
    }
    assert!(
        bench.left("work").is_empty() && bench.left("bases").is_empty() && bench.left("names").is_empty()
    );
    // Asked first, and told of no step when not even the file could be opened.
    assert!(bench.told().last().is_none_or(|last| last == "ImagePullFailed"));
}

#[tokio::test]
async fn what_is_no_image() {
    let long = good();
    let cut = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let escape = Tar::default().file("a", b"").file("../../etc/cron.d/x", b"x").end();
    let device = Tar::default().put(&Head::new("dev/kmsg", b'3'), b"").end();
    let cases: Vec<(&str, Vec<u8>, Vec<&str>)> = vec![
        ("empty", Vec::new(), vec!["it is empty"]),
        ("text", b"hello, I am no image at all\n".repeat(100), vec!["it is no tar archive"]),
        ("cut", cut(&long), vec!["truncated"]),
        ("cut gzip", cut(&gzip(&long)), vec!["gzip data", "truncated"]),
        ("cut zstd", cut(&zstd(&long)), vec!["zstd data", "truncated"]),
        ("gzip of a text", gzip(b"hello"), vec!["it is no tar archive"]),
        ("escape", escape.clone(), vec!["`../../etc/cron.d/x`", "`..`"]),
        ("escape in gzip", gzip(&escape), vec!["`../../etc/cron.d/x`", "`..`"]),
        ("escape in a layer", docker_save(NAME, &[good(), escape]), vec!["`../../etc/cron.d/x`", "`..`"]),
        ("device", device, vec!["`dev/kmsg`", "is a device node"]),
        ("cut save", cut(&docker_save(NAME, &[vec![0; 4096], good()])), vec!["no"]),
    ];
    for (name, bytes, parts) in cases {
        println!("{name}");
        refused(&Bench::of_file(&bytes), ErrorKind::FailedPrecondition, &parts).await;
    }
}

#[tokio::test]
async fn what_is_larger_than_the_disk() {
    let giant = vec![b'x'; usize::try_from(SIZE / 2).expect("small") + 4096];
    let two = Tar::default().file("one", &giant).file("two", &giant).end();
    refused(&Bench::of_file(&two), ErrorKind::FailedPrecondition, &["larger than the disk", "`two`"]).await;
    // Fits by its numbers, and not beside the journal and the tables.
    let full = Tar::default().file("one", vec![b'x'; usize::try_from(SIZE).expect("small") - 8192]).end();
    refused(&Bench::of_file(&full), ErrorKind::FailedPrecondition, &["larger than the disk", "no room"])
        .await;
    // The same file again and again, out of next to nothing.
    let one = Tar::default().file("same", &giant).open();
    let bomb = gzip(&[one.repeat(10), vec![0; 1024]].concat());
    refused(
        &Bench::of_file(&bomb),
        ErrorKind::FailedPrecondition,
        &["larger than the disk", "several times"],
    )
    .await;
    let zeros = Tar::default().file("zeros", vec![0; usize::try_from(SIZE).expect("small") + 1]).end();
    refused(&Bench::of_file(&gzip(&zeros)), ErrorKind::FailedPrecondition, &["`zeros` does not fit"]).await;
}

#[tokio::test]
async fn blobs_that_are_not_what_they_should_be() {
    let other = Tar::default().file("b", b"b").end();
    let (files, _) = oci(&[good(), other], gzip);
    for (index, part) in
        [(2, "its `blobs/sha256/"), (3, "its `blobs/sha256/"), (4, "its layer 1 has the digest")]
    {
        let mut files = files.clone();
        // A change that leaves it JSON, and a layer good gzip.
        let blob = &mut files[index].1;
        if index == 4 {
            *blob = gzip(&Tar::default().file("evil", b"").end())
        } else {
            blob.push(b' ')
        }
        let root = tempfile::tempdir().expect("a directory");
        write_all(&root.path().join("image"), &files);
        refused(&Bench::of(root, Config::default()), ErrorKind::FailedPrecondition, &[part, "not `sha256:"])
            .await;
    }
    let mut missing = files.clone();
    missing.truncate(4);
    let root = tempfile::tempdir().expect("a directory");
    write_all(&root.path().join("image"), &missing);
    refused(
        &Bench::of(root, Config::default()),
        ErrorKind::FailedPrecondition,
        &["it has no `blobs/sha256/"],
    )
    .await;
    // A layer of a save is held to what its configuration says.
    let saved = docker_save(NAME, &[good()]);
    let at = saved.windows(5).position(|window| window == b"aaaaa").expect("its data");
    let mut bent = saved;
    bent[at] = b'b';
    refused(&Bench::of_file(&bent), ErrorKind::FailedPrecondition, &["its layer 1 has the digest"]).await;
}

#[tokio::test]
async fn paths_that_cannot_be_read() {
    let root = tempfile::tempdir().expect("a directory");
    let bench = Bench::of(root, Config::default());
    refused(&bench, ErrorKind::FailedPrecondition, &["cannot read `", "No such file"]).await;
    let path = bench.root.path().join("image");
    std::fs::create_dir(&path).expect("a directory");
    refused(&bench, ErrorKind::FailedPrecondition, &["no OCI layout"]).await;
    std::fs::remove_dir(&path).expect("gone");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .expect("a FIFO");
    refused(&bench, ErrorKind::FailedPrecondition, &["neither a file nor a directory"]).await;
}

#[tokio::test]
async fn no_program_that_makes_disks() {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("image"), good()).expect("a file");
    let config = Config { mke2fs_path: Some("/nowhere/mke2fs".into()), ..Config::default() };
    let bench = Bench::of(root, config);
    refused(&bench, ErrorKind::FailedPrecondition, &["`/nowhere/mke2fs` is no program"]).await;
    // One that says no.
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("image"), good()).expect("a file");
    let bench = Bench::of(root, Config { mke2fs_path: Some("/bin/false".into()), ..Config::default() });
    refused(&bench, ErrorKind::FailedPrecondition, &["mke2fs does not make a disk of it"]).await;
}

/// A file system of a few MiB, gone with the value.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(size: &str) -> Option<Self> {
        let root = tempfile::tempdir().expect("a directory");
        let options = format!("size={size}");
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "none"])
            .arg(root.path())
            .output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self(root))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Room for neither the tree nor the disk, for the tree alone, and for half of the disk.
#[tokio::test]
async fn a_full_disk_is_told_and_cleared() {
    let archive = Tar::default().file("a", vec![b'x'; 8 << 20]).end();
    for size in ["4m", "8500k", "12m"] {
        let Some(small) = Small::mount(size) else {
            return skip("mount", "no file system can be mounted here");
        };
        let source = tempfile::tempdir().expect("a directory");
        std::fs::write(source.path().join("image"), &archive).expect("a file");
        let config =
            Config { images: [(NAME.to_owned(), source.path().join("image"))].into(), ..Config::default() };
        let cache = small.0.path().join("cache");
        let images = crate::image::Images::open(&config, &cache).expect("images");
        let error = images.prepare(NAME, SIZE, &|_| {}).await.expect_err("no room");
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{size}: {error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("df -h")));
        for directory in ["work", "bases", "names"] {
            assert_eq!(
                std::fs::read_dir(cache.join(directory)).expect("a directory").count(),
                0,
                "{size}: {directory}"
            );
        }
    }
}
