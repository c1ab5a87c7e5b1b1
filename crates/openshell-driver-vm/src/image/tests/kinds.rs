//! Every kind of file that the table may name.

use super::bench::{Bench, NAME, SIZE, ask, is_whole, skip};
use super::build::{Head, Tar, digest, docker_save, gzip, oci, write_all, zstd};
use crate::config::Config;
use crate::image::Runs;

fn lower() -> Vec<u8> {
    Tar::default()
        .directory("./")
        .directory("etc")
        .file("etc/release", b"one")
        .file("gone", b"x")
        .put(&Head { mode: 0o700, uid: 1000, ..Head::new("sandbox", b'5') }, b"")
        .end()
}

fn upper() -> Vec<u8> {
    Tar::default().file("etc/release", b"two").file(".wh.gone", b"").end()
}

fn plain(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

fn runs() -> Runs {
    Runs {
        entrypoint: vec!["/bin/entry".into()],
        cmd: vec!["arg".into()],
        env: vec!["A=1".into()],
        user: "1000:1000".into(),
        working_dir: "/w".into(),
    }
}

/// Prepares the one image and looks into its disk: both layers are there, and so is what they say.
async fn two_layers(bench: &Bench, name: &str) -> String {
    let image = bench.prepare(NAME).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(is_whole(&image.disk), "{name}");
    assert_eq!(ask(&image.disk, "cat /etc/release"), "two", "{name}");
    assert!(ask(&image.disk, "stat /gone").is_empty(), "{name}");
    let sandbox = ask(&image.disk, "stat /sandbox");
    assert!(sandbox.contains("Mode:  0700") && sandbox.contains("User:  1000"), "{name}: {sandbox}");
    assert_eq!((image.size, &image.runs), (SIZE, &runs()), "{name}");
    image.digest.clone()
}

#[tokio::test]
async fn the_archive_of_a_file_system_packed_or_not() {
    let archive = lower();
    for (name, bytes) in [("plain", archive.clone()), ("gzip", gzip(&archive)), ("zstd", zstd(&archive))] {
        let bench = Bench::of_file(&bytes);
        let image = bench.prepare(NAME).await.expect(name);
        assert!(is_whole(&image.disk), "{name}");
        assert_eq!((image.digest.clone(), &image.runs), (digest(&bytes), &Runs::default()), "{name}");
        assert_eq!(ask(&image.disk, "cat /etc/release"), "one", "{name}");
        assert!(ask(&image.disk, "stats").contains("has_journal"), "{name}");
        let told = bench.told();
        assert_eq!(
            (told[0].as_str(), told[told.len() - 1].as_str()),
            ("ImagePulling", "ImagePulled"),
            "{told:?}"
        );
        bench.idle().await;
        // Found again, and nothing is told.
        let again = bench.prepare(NAME).await.expect(name);
        assert_eq!((&again.disk, again.digest == image.digest), (&image.disk, true));
    }
}

#[tokio::test]
async fn the_root_of_a_disk_is_everybodys() {
    let archive = Tar::default().put(&Head { mode: 0o700, uid: 1000, ..Head::new("./", b'5') }, b"").end();
    let bench = Bench::of_file(&archive);
    let image = bench.prepare(NAME).await.expect("an image");
    let root = ask(&image.disk, "stat /");
    assert!(root.contains("Mode:  0755") && root.contains("User:     0"), "{root}");
}

#[tokio::test]
async fn what_docker_saves() {
    let saved = docker_save(NAME, &[lower(), upper()]);
    let plain = two_layers(&Bench::of_file(&saved), "plain").await;
    for (name, bytes) in [("gzip", gzip(&saved)), ("zstd", zstd(&saved))] {
        assert_eq!(two_layers(&Bench::of_file(&bytes), name).await, plain, "an image is its configuration");
    }
}

#[tokio::test]
async fn layouts_in_directories_and_in_archives() {
    for (name, pack) in [("plain", plain as fn(&[u8]) -> Vec<u8>), ("gzip", gzip), ("zstd", zstd)] {
        let (files, digest) = oci(&[lower(), upper()], pack);
        let root = tempfile::tempdir().expect("a directory");
        write_all(&root.path().join("image"), &files);
        let bench = Bench::of(root, Config::default());
        assert_eq!(two_layers(&bench, name).await, digest);
        let archive = files.iter().fold(Tar::default(), |tar, (name, bytes)| tar.file(name, bytes)).end();
        assert_eq!(two_layers(&Bench::of_file(&archive), name).await, digest);
        assert_eq!(two_layers(&Bench::of_file(&gzip(&archive)), name).await, digest);
    }
}

#[tokio::test]
async fn a_file_that_is_exchanged_is_another_image() {
    let bench = Bench::of_file(&lower());
    let first = bench.prepare(NAME).await.expect("an image");
    let other = Tar::default().directory("etc").file("etc/release", b"three").end();
    std::fs::write(bench.root.path().join("image"), &other).expect("a file");
    let second = bench.prepare(NAME).await.expect("an image");
    assert!(second.digest == digest(&other) && first.digest != second.digest);
    assert_eq!(ask(&second.disk, "cat /etc/release"), "three");
    // Another size is another disk.
    let larger = bench.prepare_of(NAME, 2 * SIZE).await.expect("an image");
    assert_eq!(std::fs::metadata(&larger.disk).expect("a disk").len(), 2 * SIZE);
}

/// The archive that the host's own tar makes of a tree, with everything that such a tree has.
#[tokio::test]
async fn what_tar_makes() {
    let root = tempfile::tempdir().expect("a directory");
    let script = "mkdir -p t/usr/bin t/var && cd t && echo hi > usr/bin/a && chmod 4755 usr/bin/a && ln usr/bin/a usr/bin/b && \
                  ln -s usr/bin bin && mkfifo var/pipe && echo long > \"$(printf 'n%.0s' $(seq 200))\" && \
                  for format in gnu pax ustar; do tar --format=$format --exclude='nnn*' -cf ../$format.tar . || exit 1; done; \
                  tar --format=gnu -cf ../long.tar . && tar --format=pax -cf ../longpax.tar .";
    let made =
        std::process::Command::new("sh").args(["-c", script]).current_dir(root.path()).status().expect("sh");
    assert!(made.success());
    for name in ["gnu", "pax", "ustar", "long", "longpax"] {
        let bench =
            Bench::of_file(&std::fs::read(root.path().join(format!("{name}.tar"))).expect("an archive"));
        let image = bench.prepare(NAME).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(is_whole(&image.disk), "{name}");
        let program = ask(&image.disk, "stat /usr/bin/b");
        assert!(program.contains("Mode:  04755") && program.contains("Links: 2"), "{name}: {program}");
        assert!(ask(&image.disk, "stat /bin").contains("usr/bin"), "{name}");
        assert!(ask(&image.disk, "stat /var/pipe").contains("FIFO"), "{name}");
        if name.starts_with("long") {
            assert_eq!(ask(&image.disk, &format!("cat /{}", "n".repeat(200))), "long\n", "{name}");
        }
    }
}

/// What an engine of the host saves of the image that the tests of its driver use.
#[tokio::test]
async fn what_an_engine_saves() {
    let Ok(image) = std::env::var("OPENSHELL_TEST_IMAGE_DOCKER") else {
        return skip("docker", "OPENSHELL_TEST_IMAGE_DOCKER is not set");
    };
    let root = tempfile::tempdir().expect("a directory");
    let file = std::fs::File::create(root.path().join("image")).expect("a file");
    let saved = std::process::Command::new("docker").args(["save", &image]).stdout(file).status();
    if !saved.is_ok_and(|status| status.success()) {
        return skip("docker", "`docker save` does not work here");
    }
    let bench = Bench::of(root, Config::default());
    let image = bench.prepare(NAME).await.expect("an image");
    assert!(is_whole(&image.disk));
    let sandbox = ask(&image.disk, "stat /sandbox");
    assert!(sandbox.contains("User:  1000"), "{sandbox}");
    assert!(ask(&image.disk, "cat /etc/passwd").contains("sandbox"));
}
