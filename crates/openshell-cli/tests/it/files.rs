//! `upload` and `download`: what is there arrives, nothing arrives anywhere else, and memory stays what it was.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use openshell_proto::relay::v1alpha1::start;
use rustix::process::{Pid, Signal, kill_process};

use crate::exec::{gateway, on, terminal, until};
use crate::fake::Gateway;
use crate::{Run, openshell, run};

fn upload(gateway: &Gateway, paths: &[&Path]) -> Run {
    let words = ["sandbox", "upload", "a"].map(PathBuf::from).into_iter();
    run(&gateway.socket(), words.chain(paths.iter().map(|path| path.to_path_buf())))
}

fn download(gateway: &Gateway, paths: &[&Path]) -> Run {
    let words = ["sandbox", "download", "a"].map(PathBuf::from).into_iter();
    run(&gateway.socket(), words.chain(paths.iter().map(|path| path.to_path_buf())))
}

/// The names in a directory, sorted.
fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

fn asked(gateway: &Gateway) -> start::What {
    gateway.state().starts.pop().expect("a start").what.expect("something")
}

#[test]
fn a_tree_goes_in_and_comes_out_as_it_is() {
    let gateway = gateway();
    let dir = tempfile::tempdir().expect("a directory");
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("src/deep")).expect("directories");
    fs::write(at("src/deep/run"), "#!/bin/sh\n").expect("a file");
    fs::set_permissions(at("src/deep/run"), fs::Permissions::from_mode(0o751)).expect("permissions");
    symlink("deep/run", at("src/link")).expect("a link");

    // A new name, then into it; several into a directory; what is in one.
    assert_eq!(upload(&gateway, &[&at("src"), &at("in")]).good(), "");
    assert_eq!(names(&at("in")), ["deep", "link"]);
    upload(&gateway, &[&at("src"), &at("in")]).good();
    assert_eq!(names(&at("in")), ["deep", "link", "src"]);
    upload(&gateway, &[&at("src/link"), &at("src/deep"), &at("both")]).good();
    assert_eq!(names(&at("both")), ["deep", "link"]);
    upload(&gateway, &[&at("src/."), &at("content")]).good();
    assert_eq!(names(&at("content")), ["deep", "link"]);
    match asked(&gateway) {
        start::What::Upload(upload) => {
            assert_eq!((upload.directory, upload.name), (at("content").display().to_string(), String::new()));
        }
        other => panic!("{other:?}"),
    }

    assert_eq!(download(&gateway, &[&at("in"), &at("out")]).good(), "");
    assert_eq!(names(&at("out")), ["deep", "link", "src"]);
    let what = fs::metadata(at("out/deep/run")).expect("a file");
    assert_eq!((what.permissions().mode() & 0o7777, what.len()), (0o751, 10));
    assert_eq!(fs::read_link(at("out/link")).expect("a link"), Path::new("deep/run"));
    fs::create_dir(at("there")).expect("a directory");
    download(&gateway, &[&at("in/deep/run"), &at("there")]).good();
    assert_eq!(names(&at("there")), ["run"]);
    download(&gateway, &[&at("in/."), &at("there")]).good();
    assert_eq!(names(&at("there")), ["deep", "link", "run", "src"]);
}

#[test]
fn a_file_of_100_mib_goes_both_ways_in_little_memory() {
    let gateway = gateway();
    let dir = tempfile::tempdir().expect("a directory");
    let at = |path: &str| dir.path().join(path);
    let piece: Vec<u8> =
        (0..1_048_576_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut file = fs::File::create(at("large")).expect("a file");
    for _ in 0..100 {
        file.write_all(&piece).expect("room");
    }
    for (words, from, to) in [("upload", "large", "in"), ("download", "in", "out")] {
        let mut command = openshell(&gateway.socket());
        command.args(["sandbox", words, "a"]).arg(at(from)).arg(at(to));
        let mut child = command.spawn().expect("the program runs");
        let most = most_memory(&mut child);
        assert!(child.wait().expect("its end").success(), "{words}");
        assert!(most < 40 << 10, "{words} took {most} KiB");
        println!("{words}: at most {most} KiB resident");
    }
    let (before, after) = (fs::read(at("large")).expect("a file"), fs::read(at("out")).expect("a file"));
    assert!(before == after, "{} and {}", before.len(), after.len());
}

/// What a program had resident at most, in KiB.
fn most_memory(child: &mut Child) -> u64 {
    let mut most = 0;
    while child.try_wait().expect("it can be asked").is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        most = most.max(now.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    most
}

#[test]
fn what_fails_says_where_and_why() {
    let gateway = gateway();
    let dir = tempfile::tempdir().expect("a directory");
    let at = |path: &str| dir.path().join(path);
    fs::write(at("file"), "content").expect("a file");
    let said = upload(&gateway, &[&at("absent"), Path::new("/tmp")]).bad(1);
    assert!(said.contains("cannot read") && said.contains("absent"), "{said}");
    assert!(gateway.state().starts.is_empty());
    // The sandbox's side says so.
    let said = upload(&gateway, &[&at("file"), Path::new("/proc/no/such/")]).bad(1);
    assert!(
        said.contains("cannot upload to `/proc/no/such/` in sandbox `a`: cannot make the directory"),
        "{said}"
    );
    let said = download(&gateway, &[&at("absent"), &at("new/place")]).bad(1);
    assert!(said.contains("cannot download") && said.contains("No such file"), "{said}");
    assert!(!at("new").exists());
    // This side does.
    let said = download(&gateway, &[&at("file"), Path::new("/proc/no/such")]).bad(1);
    assert!(said.contains("cannot make the directory `/proc/no`"), "{said}");
    fs::create_dir_all(at("taken/file")).expect("directories");
    let said = download(&gateway, &[&at("file"), &at("taken")]).bad(1);
    assert!(said.contains("cannot replace `") && names(&at("taken")) == ["file"], "{said}");
    gateway.state().breaks = true;
    let said = download(&gateway, &[&at("file"), &at("x")]).bad(5);
    assert!(said.contains("the connection to the sandbox broke") && !at("x").exists(), "{said}");
}

#[test]
fn a_sandbox_cannot_write_what_was_not_asked_for() {
    let gateway = gateway();
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("out");
    for (name, link, refused) in [
        ("../escaped", "", "leads out"),
        ("/escaped", "", "is an absolute path"),
        (".profile", "", "is none of what was asked for"),
        ("asked/x", "..", "stands where a directory would have to be"),
        ("\u{1b}[2J", "", "\\u{1b}[2J"),
    ] {
        let mut archive = tar::Builder::new(Vec::new());
        let mut put = |name: &str, kind, link: &str| {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(kind);
            header.set_size(0);
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_cksum();
            archive.append(&header, &b""[..]).expect("it takes it");
        };
        if !link.is_empty() {
            put("asked", tar::EntryType::Symlink, link);
        }
        put(name, tar::EntryType::Regular, "");
        gateway.state().archive = Some(archive.into_inner().expect("its end"));
        fs::create_dir(&out).expect("a directory");
        let said = download(&gateway, &[Path::new("/srv/asked"), &out]).bad(1);
        assert!(said.contains(refused), "{said}");
        assert_eq!(names(dir.path()), ["out"], "{name}");
        assert!(names(&out).iter().all(|name| name == "asked"), "{name}: {:?}", names(&out));
        fs::remove_dir_all(&out).expect("it goes");
    }
}

#[test]
fn a_dash_is_an_archive_that_others_understand() {
    let gateway = gateway();
    let dir = tempfile::tempdir().expect("a directory");
    let at = |path: &str| dir.path().join(path);
    fs::create_dir(at("src")).expect("a directory");
    fs::write(at("src/f"), "content").expect("a file");
    let words = |line: &[&str]| line.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let ran = openshell(&gateway.socket())
        .args(words(&["sandbox", "download", "a", &at("src").display().to_string(), "-"]))
        .output()
        .expect("the program runs");
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
    fs::write(at("archive"), &ran.stdout).expect("a file");
    let listed = std::process::Command::new("tar").arg("-tf").arg(at("archive")).output().expect("tar runs");
    assert_eq!(
        (String::from_utf8_lossy(&listed.stdout).as_ref(), listed.stderr.as_slice()),
        ("src\nsrc/f\n", &b""[..])
    );
    let ran = openshell(&gateway.socket())
        .args(words(&["sandbox", "upload", "a", "-", &at("in").display().to_string()]))
        .stdin(fs::File::open(at("archive")).expect("a file"))
        .output()
        .expect("the program runs");
    assert!(Run::from(ran).good().is_empty());
    assert_eq!(fs::read(at("in/src/f")).expect("a file"), b"content");
}

#[test]
fn a_transfer_that_is_stopped_leaves_nothing_half() {
    let gateway = gateway();
    let dir = tempfile::tempdir().expect("a directory");
    let at = |path: &str| dir.path().join(path);
    // It never comes to its end: a sparse file of 1 TiB.
    fs::File::create(at("endless")).expect("a file").set_len(1 << 40).expect("its length");
    fs::create_dir_all(at("in")).expect("a directory");
    fs::create_dir_all(at("out")).expect("a directory");
    for (words, to) in [("upload", "in"), ("download", "out")] {
        let mut command = openshell(&gateway.socket());
        command.args(["sandbox", words, "a"]).arg(at("endless")).arg(at(to)).stderr(Stdio::piped());
        let child = command.spawn().expect("the program runs");
        let waited = Instant::now();
        while names(&at(to)).is_empty() {
            assert!(waited.elapsed() < Duration::from_secs(60), "{words} does not begin");
            std::thread::sleep(Duration::from_millis(10));
        }
        kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
        let ran = Run::from(child.wait_with_output().expect("its end"));
        assert_eq!(ran.code, Some(130), "{words}: {}", ran.err);
        assert!(ran.err.contains("hint: start again with the same command"), "{}", ran.err);
        assert_eq!(names(&at(to)), Vec::<String>::new(), "{words}");
    }
}

#[test]
fn what_is_left_out_is_said_and_counts() {
    let gateway = gateway();
    let dir = tempfile::tempdir().expect("a directory");
    let at = |path: &str| dir.path().join(path);
    fs::create_dir(at("src")).expect("a directory");
    let _socket = std::os::unix::net::UnixListener::bind(at("src/s")).expect("a socket");
    fs::write(at("src/f"), "f").expect("a file");
    let said = upload(&gateway, &[&at("src"), &at("in")]).bad(1);
    assert!(said.starts_with("warning: `") && said.contains("src/s` is left out: it is a socket"), "{said}");
    assert_eq!(names(&at("in")), ["f"]);
}

#[test]
fn a_transfer_on_a_terminal_is_a_bar_with_its_rate_and_the_time_left() {
    let gateway = gateway();
    let dir = tempfile::tempdir().expect("a directory");
    let endless = dir.path().join("endless");
    fs::File::create(&endless).expect("a file").set_len(1 << 40).expect("its length");
    let (from, to) = (endless.display().to_string(), dir.path().join("to").display().to_string());
    for quiet in [false, true] {
        let (mut ours, theirs) = terminal();
        let words = ["upload", "a", &from, &to, "-q"];
        let mut child = on(&gateway, &theirs, if quiet { &words } else { &words[..4] });
        let waited = Instant::now();
        if !quiet {
            let shown = until(&mut ours, " left");
            assert!(shown.contains("\rendless: [....") && shown.contains("/1.0 TiB  "), "{shown:?}");
            assert!(shown.contains("/s  "), "{shown:?}");
        }
        while gateway.state().starts.is_empty() || waited.elapsed() < Duration::from_millis(600) {
            std::thread::sleep(Duration::from_millis(10));
        }
        gateway.state().starts.clear();
        kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
        assert_eq!(child.wait().expect("its end").code(), Some(130));
        let shown = until(&mut ours, "is replaced");
        // The bar goes before anything is said, and with --quiet there was none.
        assert!(shown.contains("\u{1b}[Kerror: stopped") != quiet, "{shown:?}");
    }
}
