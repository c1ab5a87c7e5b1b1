//! Uploads and downloads.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use openshell_proto::relay::v1alpha1::start::What;
use openshell_proto::relay::v1alpha1::{Download, Upload};
use openshell_sandbox::Sandbox;
use tar::{Archive, Builder, EntryType, Header};
use tempfile::TempDir;

use crate::channel::{Channel, End};

/// A directory of the user's.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    chown(directory.path(), Some(1000), Some(1000)).expect("the user's");
    directory
}

async fn upload(sandbox: &Arc<Sandbox>, directory: &Path, archive: &[u8]) -> End {
    let wanted = Upload { directory: directory.display().to_string(), name: String::new() };
    let mut channel = Channel::open(sandbox, What::Upload(wanted));
    for piece in archive.chunks(256 << 10) {
        channel = channel.stdin(piece).await;
    }
    channel.stdin_end().await.end().await
}

async fn download(sandbox: &Arc<Sandbox>, path: &Path) -> End {
    Channel::open(sandbox, What::Download(Download { path: path.display().to_string() })).end().await
}

/// An archive, entry by entry, whatever its paths are.
#[derive(Default)]
struct Hostile(Vec<u8>);

impl Hostile {
    fn entry(mut self, kind: EntryType, path: &str, link: &str, mode: u32, body: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        header.set_size(body.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, body: &[u8]) -> Self {
        self.entry(EntryType::Regular, path, "", 0o644, body)
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, target, 0o777, b"")
    }

    fn done(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| format!("`{}`: {error}", path.display()))
}

pub(crate) async fn go_in_and_out_as_they_are(sandbox: Arc<Sandbox>) {
    let (source, target) = (directory(), directory());
    let tree = source.path().join("tree");
    let long = "d".repeat(90);
    let deep = tree.join(&long).join(&long);
    fs::create_dir_all(&deep).expect("directories");
    fs::write(tree.join("empty"), "").expect("a file");
    fs::write(tree.join("run"), "#!/bin/sh\n").expect("a file");
    fs::write(deep.join("deep"), vec![7; 300_001]).expect("a file");
    fs::set_permissions(tree.join("run"), fs::Permissions::from_mode(0o4755)).expect("a mode");
    fs::set_permissions(tree.join("empty"), fs::Permissions::from_mode(0o600)).expect("a mode");
    symlink(&long, tree.join("link")).expect("a link");
    symlink(format!("/nowhere/{}", "x".repeat(150)), tree.join("far")).expect("a link");
    Command::new("chown").args(["-hR", "1000:1000"]).arg(&tree).status().expect("chown");
    fs::set_permissions(&deep, fs::Permissions::from_mode(0o555)).expect("a mode");
    let out = download(&sandbox, &tree).await;
    assert_eq!((out.code, out.errors().as_str()), (0, ""));
    assert!(String::from_utf8_lossy(&out.stdout).contains("26 OPENSHELL.total=300011\n"));
    let end = upload(&sandbox, &target.path().join("made/anew"), &out.stdout).await;
    assert_eq!((end.code, end.errors().as_str()), (0, ""));
    let got = target.path().join("made/anew/tree");
    let compared =
        Command::new("diff").args(["-r", "--no-dereference"]).args([&tree, &got]).output().expect("diff");
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
    let mode = |path: &Path| fs::symlink_metadata(path).expect("metadata").mode() & 0o7777;
    assert_eq!(mode(&got.join("run")), 0o755, "a set-uid bit is dropped");
    assert_eq!(mode(&got.join("empty")), 0o600);
    assert_eq!(mode(&got.join(&long).join(&long)), 0o555);
    let found = fs::metadata(got.join("run")).expect("metadata");
    assert_eq!(found.uid(), 1000);
    assert_eq!(found.mtime(), fs::metadata(tree.join("run")).expect("metadata").mtime());
    // A file alone, and a path from where the main process was started.
    let out = download(&sandbox, &tree.join("run")).await;
    let mut archive = Archive::new(out.stdout.as_slice());
    let paths: Vec<_> = archive
        .entries()
        .expect("entries")
        .map(|entry| entry.expect("an entry").path().expect("a path").into_owned())
        .collect();
    assert_eq!(paths.last().map(|path| path.as_path()), Some(Path::new("run")));
    let relative = source.path().join("tree/empty");
    assert_eq!(download(&sandbox, relative.strip_prefix("/").expect("absolute")).await.code, 0);
    let missing = download(&sandbox, &tree.join("missing")).await;
    assert_eq!(missing.code, 1);
    assert!(missing.errors().contains("missing`: No such file"), "{}", missing.errors());
}

pub(crate) async fn gnu_tar_understands_and_is_understood(sandbox: Arc<Sandbox>) {
    let (source, target) = (directory(), directory());
    let long = source.path().join(format!("t/{}", "ä".repeat(100)));
    fs::create_dir_all(&long).expect("directories");
    fs::write(long.join("b".repeat(200)), "long").expect("a file");
    fs::write(source.path().join("t/one"), "same").expect("a file");
    fs::hard_link(source.path().join("t/one"), source.path().join("t/two")).expect("a link");
    for format in ["gnu", "pax"] {
        let made = Command::new("tar")
            .arg(format!("--format={format}"))
            .arg("-C")
            .arg(source.path())
            .args(["-c", "t"])
            .output();
        let there = target.path().join(format);
        let end = upload(&sandbox, &there, &made.expect("tar").stdout).await;
        assert_eq!((end.code, end.errors().as_str()), (0, ""), "{format}");
        let compared =
            Command::new("diff").arg("-r").args([&source.path().join("t"), &there.join("t")]).status();
        assert!(compared.expect("diff").success(), "{format}");
        let inode = |name: &str| fs::metadata(there.join(name)).expect("metadata").ino();
        assert_eq!(inode("t/one"), inode("t/two"), "a hard link stays one");
    }
    let out = download(&sandbox, &source.path().join("t")).await;
    let archive = target.path().join("archive");
    fs::write(&archive, &out.stdout).expect("written");
    let read =
        Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(target.path()).output().expect("tar");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let compared =
        Command::new("diff").arg("-r").args([&source.path().join("t"), &target.path().join("t")]).status();
    assert!(compared.expect("diff").success());
}

pub(crate) async fn no_path_leads_out(sandbox: Arc<Sandbox>) {
    let outside = directory();
    let out = outside.path().display().to_string();
    fs::write(outside.path().join("victim"), "mine").expect("a file");
    chown(outside.path().join("victim"), Some(1000), Some(1000)).expect("the user's");
    let victim = format!("{out}/victim");
    let archives = [
        ("..", Hostile::default().file("../escaped", b"x").done()),
        ("a/../..", Hostile::default().file("a/../../escaped", b"x").done()),
        ("absolute", Hostile::default().file(&format!("{out}/escaped"), b"x").done()),
        ("through a link", Hostile::default().symlink("l", &out).file("l/escaped", b"x").done()),
        ("through a relative link", Hostile::default().symlink("l", "..").file("l/escaped", b"x").done()),
        (
            "through two links",
            Hostile::default().symlink("a", ".").symlink("a/b", "..").file("b/escaped", b"x").done(),
        ),
        (
            "through a directory that was a link",
            Hostile::default()
                .symlink("l", &out)
                .entry(EntryType::Directory, "l/escaped", "", 0o755, b"")
                .done(),
        ),
        ("/proc", Hostile::default().symlink("l", "/proc/self/cwd").file("l/escaped", b"x").done()),
        (
            "a hard link",
            Hostile::default().entry(EntryType::Link, "h", &victim, 0o644, b"").file("h", b"x").done(),
        ),
        (
            "a hard link by ..",
            Hostile::default().entry(EntryType::Link, "h", "../../../etc/passwd", 0o644, b"").done(),
        ),
        (
            "a hard link through a link",
            Hostile::default().symlink("l", &out).entry(EntryType::Link, "h", "l/victim", 0o644, b"").done(),
        ),
        ("a device", Hostile::default().entry(EntryType::Char, "null", "", 0o666, b"").done()),
    ];
    for (name, archive) in archives {
        let parent = directory();
        let target = parent.path().join("target");
        let end = upload(&sandbox, &target, &archive).await;
        assert_eq!(end.code, 1, "{name}: {}", end.errors());
        assert!(!end.errors().is_empty(), "{name}");
        assert!(!outside.path().join("escaped").exists(), "{name}");
        assert_eq!(fs::read_dir(parent.path()).expect("a directory").count(), 1, "{name}");
        assert_eq!(text(&outside.path().join("victim")), "mine", "{name}");
        assert_eq!(fs::metadata(&victim).expect("metadata").nlink(), 1, "{name}");
    }
    assert!(!Path::new("/escaped").exists());
    // A link that stays inside is not followed on the way either: the rule has no exception.
    let target = directory();
    let inside = Hostile::default()
        .entry(EntryType::Directory, "d", "", 0o755, b"")
        .symlink("l", "d")
        .file("l/in", b"x");
    let end = upload(&sandbox, target.path(), &inside.done()).await;
    assert_eq!(end.code, 1);
    assert!(end.errors().contains("a symbolic link stands where"), "{}", end.errors());
    assert!(!target.path().join("d/in").exists());
}

pub(crate) async fn what_is_there_is_replaced_and_not_followed(sandbox: Arc<Sandbox>) {
    let (outside, target) = (directory(), directory());
    let victim = outside.path().join("victim");
    fs::write(&victim, "mine").expect("a file");
    chown(&victim, Some(1000), Some(1000)).expect("the user's");
    symlink(&victim, target.path().join("link")).expect("a link");
    fs::hard_link(&victim, target.path().join("hard")).expect("a link");
    symlink(outside.path(), target.path().join("directory")).expect("a link");
    fs::write(target.path().join("file"), "old and longer").expect("a file");
    let archive = Hostile::default()
        .file("link", b"new")
        .file("hard", b"new")
        .file("file", b"new")
        .symlink("file2", "x")
        .symlink("file2", "y")
        .done();
    let end = upload(&sandbox, target.path(), &archive).await;
    assert_eq!((end.code, end.errors().as_str()), (0, ""));
    for name in ["link", "hard", "file"] {
        assert_eq!(text(&target.path().join(name)), "new", "{name}");
    }
    assert_eq!(text(&victim), "mine");
    assert_eq!(fs::read_link(target.path().join("file2")).expect("a link"), Path::new("y"));
    // A link to a directory is no directory, and none takes its place.
    let over = Hostile::default()
        .entry(EntryType::Directory, "directory", "", 0o700, b"")
        .file("directory/inner", b"new")
        .done();
    let end = upload(&sandbox, target.path(), &over).await;
    assert_eq!(end.code, 1, "{}", end.errors());
    assert_eq!(fs::read_dir(outside.path()).expect("a directory").count(), 1);
}

pub(crate) async fn what_the_user_may_not_is_refused(sandbox: Arc<Sandbox>) {
    let root = tempfile::tempdir().expect("a directory");
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o700)).expect("a mode");
    fs::write(root.path().join("secret"), "s").expect("a file");
    let end = upload(&sandbox, &root.path().join("x"), &Hostile::default().file("a", b"x").done()).await;
    assert_eq!(end.code, 1);
    assert!(end.errors().contains("Permission denied"), "{}", end.errors());
    let end = download(&sandbox, root.path()).await;
    assert_eq!(end.code, 1);
    assert!(end.errors().contains("Permission denied"), "{}", end.errors());
    // What can be read is there nevertheless.
    let mixed = directory();
    fs::write(mixed.path().join("mine"), "m").expect("a file");
    fs::write(mixed.path().join("secret"), "s").expect("a file");
    fs::set_permissions(mixed.path().join("secret"), fs::Permissions::from_mode(0o600)).expect("a mode");
    let end = download(&sandbox, mixed.path()).await;
    assert_eq!(end.code, 1);
    assert!(
        end.errors().contains("secret` is left out: it cannot be read: Permission denied"),
        "{}",
        end.errors()
    );
    let names: Vec<_> = Archive::new(end.stdout.as_slice())
        .entries()
        .expect("entries")
        .filter_map(|entry| Some(entry.ok()?.path().ok()?.file_name()?.to_owned()))
        .collect();
    assert!(names.contains(&"mine".into()) && !names.contains(&"secret".into()), "{names:?}");
}

pub(crate) async fn a_cut_archive_is_an_error(sandbox: Arc<Sandbox>) {
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(100_000);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append_data(&mut header, "a", [1; 100_000].as_slice()).expect("appended");
    let whole = builder.into_inner().expect("an archive");
    for cut in [100, 512, 5_000, 100_000] {
        let target = directory();
        let end = upload(&sandbox, target.path(), &whole[..cut]).await;
        assert_eq!(end.code, 1, "cut at {cut}");
        assert!(end.errors().contains("the archive ends too early"), "{cut}: {}", end.errors());
    }
    let end = upload(&sandbox, directory().path(), &[b'x'; 2000]).await;
    assert_eq!(end.code, 1);
}

pub(crate) async fn one_entry_may_get_another_name(sandbox: Arc<Sandbox>) {
    let target = directory();
    let archive = Hostile::default().file("one", b"x").done();
    for _ in 0..2 {
        let wanted = Upload { directory: target.path().display().to_string(), name: "new".to_owned() };
        let channel = Channel::open(&sandbox, What::Upload(wanted)).stdin(&archive).await;
        let end = channel.stdin_end().await.end().await;
        assert_eq!((end.code, end.errors().as_str()), (0, ""));
        assert_eq!(text(&target.path().join("new")), "x");
    }
}

pub(crate) async fn a_channel_that_breaks_leaves_no_half(sandbox: Arc<Sandbox>) {
    let target = directory();
    let names = || -> Vec<_> {
        fs::read_dir(target.path())
            .expect("a directory")
            .map(|entry| entry.expect("it").file_name())
            .collect()
    };
    let whole = Hostile::default().file("big", &[7; 300_000]).0;
    let wanted = Upload { directory: target.path().display().to_string(), name: String::new() };
    let channel = Channel::open(&sandbox, What::Upload(wanted)).stdin(&whole[..200_000]).await;
    while names().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    drop(channel);
    // Before it would be killed, and so without its doing.
    let begun = std::time::Instant::now();
    while !names().is_empty() {
        assert!(begun.elapsed().as_secs() < 60, "{:?}", names());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

pub(crate) async fn large_ones_need_little_memory(sandbox: Arc<Sandbox>) {
    const SIZE: usize = 200 << 20;
    let target = directory();
    let wanted = Upload { directory: target.path().display().to_string(), name: String::new() };
    let mut channel = Channel::open(&sandbox, What::Upload(wanted));
    let Some(openshell_proto::relay::v1alpha1::from_supervisor::Frame::Started(started)) =
        channel.next().await
    else {
        panic!("it was to start");
    };
    let header = Hostile::default().file("big", &[]).0;
    let mut sized = Header::from_byte_slice(&header).clone();
    sized.set_size(SIZE as u64);
    sized.set_cksum();
    channel = channel.stdin(sized.as_bytes()).await;
    let piece = vec![b'x'; 256 << 10];
    let anonymous = |pid: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).map(str::to_owned);
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok()).unwrap_or_default()
    };
    let before = anonymous("self");
    for _ in 0..SIZE / piece.len() {
        channel = channel.stdin(&piece).await;
    }
    let (theirs, ours) = (anonymous(&started.pid.to_string()), anonymous("self"));
    assert!(theirs > 0 && theirs < 4_000, "{theirs} KiB of the process that unpacks");
    assert!(ours < before + 8_000, "{before} KiB, then {ours} KiB of the supervisor");
    let end = channel.stdin(&[0; 1024]).await.stdin_end().await.end().await;
    assert_eq!((end.code, end.errors().as_str()), (0, ""));
    assert_eq!(fs::metadata(target.path().join("big")).expect("metadata").len(), SIZE as u64);
    // And out again, counted and not kept.
    let wanted = Download { path: target.path().join("big").display().to_string() };
    let mut channel = Channel::open(&sandbox, What::Download(wanted));
    let mut count = 0;
    while let Some(frame) = channel.next().await {
        match frame {
            openshell_proto::relay::v1alpha1::from_supervisor::Frame::Stdout(bytes) => count += bytes.len(),
            openshell_proto::relay::v1alpha1::from_supervisor::Frame::Exited(exited) => {
                assert_eq!(exited.code, 0)
            }
            _ => {}
        }
    }
    // Global header with its body, header, body, end.
    assert_eq!(count, 512 + 512 + 512 + SIZE + 1024);
}
