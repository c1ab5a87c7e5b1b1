//! What an operator or an image may do wrong: a clear error, and nothing left behind.

use std::path::Path;

use openshell_driver_api::ErrorKind;
use openshell_driver_common::container::files::{Archive, Owner};

use crate::bench::{Bench, IMAGE, request, sandbox_id};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_what_a_machine_needs() {
    for (config, part) in [
        ("qemu_path = \"/no/qemu\"", "/no/qemu"),
        ("setpriv_path = \"/no/setpriv\"", "/no/setpriv"),
        ("kernel = \"/no/kernel\"", "/no/kernel"),
        ("modules = \"/no/modules\"", "/no/modules"),
        ("init_path = \"/no/init\"", "/no/init"),
        ("cpus = 255", "`cpus` is 255, and the host has"),
        ("memory = \"1Ti\"", "`memory` is 1048576Mi, and the host has"),
    ] {
        let Some(bench) = Bench::closed(config) else { return };
        let Err(error) = bench.try_open().await else { panic!("{config}: it opened") };
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{config}: {error}");
        assert!(error.message().contains(part), "{config}: {error}");
        assert_eq!(bench.leftovers(), Vec::<String>::new(), "{config}");
    }
    let Some(mut bench) = Bench::closed("") else { return };
    bench.table.remove("kernel");
    let Err(error) = bench.try_open().await else { panic!("it opened without a kernel") };
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
    assert!(error.message().contains("kernel") && error.hint().is_some(), "{error}");
}

/// An archive with one device in it.
fn device() -> Vec<u8> {
    let mut archive = Archive::default();
    archive.file("dev/sda", 0o600, Owner::default(), b"");
    let mut bytes = archive.finish();
    // A block device instead of a file; the header's sum grows by as much.
    bytes[156] += b'4' - b'0';
    let sum: u32 = bytes[..512]
        .iter()
        .enumerate()
        .map(|(place, byte)| if (148..156).contains(&place) { 32 } else { u32::from(*byte) })
        .sum();
    bytes[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_none() {
    let root = tempfile::tempdir().expect("a directory");
    let write = |name: &str, bytes: &[u8]| std::fs::write(root.path().join(name), bytes).expect("a file");
    let one = |name: &str, content: &[u8]| {
        let mut archive = Archive::default();
        archive.file(name, 0o755, Owner::default(), content);
        archive.finish()
    };
    write("junk", &[0x5a; 4096]);
    write("empty", b"");
    write("up", &one("../evil", b"x"));
    write("device", &device());
    let whole = one("bin/sh", &[1; 100_000]);
    write("cut", &whole[..50_000]);
    write("large", &one("bin/sh", &vec![7; 20 << 20]));
    for (name, part) in [
        ("junk", "junk"),
        ("empty", "empty"),
        ("up", "../evil"),
        ("device", "dev/sda"),
        ("cut", "truncated"),
        ("large", "larger than the disk"),
        ("away", "away"),
    ] {
        let path = root.path().join(name);
        let config = format!("disk_size = \"16Mi\"\n[images]\n\"{IMAGE}\" = \"{}\"", path.display());
        let Some(bench) = Bench::new(&config).await else { return };
        let error = bench.driver().create(&request("bad", &["true"])).await.expect_err(name);
        assert_eq!(error.reason(), Some("ImagePullFailed"), "{name}: {error}");
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{name}: {error}");
        assert!(error.message().contains(part), "{name}: {error}");
        assert_eq!(bench.leftovers(), Vec::<String>::new(), "{name}");
        assert_eq!(bench.driver().list().await.expect("a list"), [], "{name}");
        assert!(!bench.driver().delete(&sandbox_id("bad")).await.expect("delete"), "{name}");
        assert!(!Path::new("/tmp/evil").exists());
    }
}
