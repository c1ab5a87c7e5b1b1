//! What goes in comes out, and nothing comes out anywhere else.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use openshell_files::{Event, FilesError, Target, pack, unpack};
use tar::{Builder, EntryType, Header};

fn packed(paths: &[PathBuf]) -> (Vec<u8>, Vec<String>) {
    let mut out = Vec::new();
    let mut said = Vec::new();
    let skipped = pack(&mut out, paths, &mut |event| match event {
        Event::Total(total) => said.push(format!("total {total}")),
        Event::Skipped { path, why } => said.push(format!("{} {why}", path.display())),
        Event::Bytes(_) => {}
    })
    .expect("it is packed");
    assert_eq!(skipped, said.len() as u64 - 1);
    (out, said)
}

fn unpacked(directory: &Path, name: &str, only: Option<&str>, archive: impl Read) -> Result<u64, FilesError> {
    let target = Target::open(directory, OsStr::new(name))?;
    unpack(&target, only.map(OsStr::new), archive, &mut |_| {})
}

/// All that is in a directory: names, permissions, times, contents, links.
fn tree(path: &Path) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut open = vec![path.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path_of = entry.expect("an entry").path();
            let what = path_of.symlink_metadata().expect("it is there");
            let name = path_of.strip_prefix(path).expect("below").display().to_string();
            let mode = what.permissions().mode() & 0o7777;
            out.push(if what.is_dir() {
                open.push(path_of);
                format!("{name}/ {mode:o} {}", what.mtime())
            } else if what.is_symlink() {
                format!("{name} -> {}", fs::read_link(&path_of).expect("a link").display())
            } else {
                let content = fs::read(&path_of).expect("a file");
                format!("{name} {mode:o} {} {} {:?}", what.mtime(), content.len(), content.get(..9))
            });
        }
    }
    out.sort();
    out
}

/// A tree with all that a tree may have.
fn sample(dir: &Path) -> PathBuf {
    let top = dir.join("top");
    fs::create_dir_all(top.join("empty")).expect("directories");
    fs::create_dir_all(top.join("deep").join("x".repeat(200)).join("y".repeat(200))).expect("directories");
    fs::write(top.join("deep").join("x".repeat(200)).join("y".repeat(200)).join("z"), "deep")
        .expect("a file");
    fs::write(top.join("nothing"), "").expect("a file");
    fs::write(top.join("ünï\u{7}"), "name").expect("a file");
    fs::write(top.join("large"), vec![7; 700_001]).expect("a file");
    fs::write(top.join("run"), "#!/bin/sh\n").expect("a file");
    fs::set_permissions(top.join("run"), fs::Permissions::from_mode(0o755)).expect("permissions");
    fs::write(top.join("closed"), "c").expect("a file");
    fs::set_permissions(top.join("closed"), fs::Permissions::from_mode(0o400)).expect("permissions");
    symlink("run", top.join("link")).expect("a link");
    symlink("/etc/passwd", top.join("far")).expect("a link");
    symlink("l/".repeat(400), top.join("nowhere")).expect("a link");
    fs::create_dir(top.join("sealed")).expect("a directory");
    fs::write(top.join("sealed/in"), "in").expect("a file");
    fs::set_permissions(top.join("sealed"), fs::Permissions::from_mode(0o555)).expect("permissions");
    let then = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    for name in ["run", "sealed", "empty"] {
        let file = fs::File::open(top.join(name)).expect("it opens");
        file.set_times(fs::FileTimes::new().set_modified(then)).expect("times");
    }
    top
}

#[test]
fn a_tree_arrives_as_it_left() {
    let dir = tempfile::tempdir().expect("a directory");
    let top = sample(dir.path());
    let (archive, said) = packed(std::slice::from_ref(&top));
    assert_eq!(said, ["total 700022"]);
    let out = dir.path().join("out/of/here");
    assert_eq!(unpacked(&out, "", Some("top"), archive.as_slice()).expect("it is unpacked"), 0);
    assert_eq!(tree(&out.join("top")), tree(&top));
    // Again over what is there, sealed directory and all: root may, others may not, and neither leaves a half.
    let again = unpacked(&out, "", None, archive.as_slice());
    let root = fs::metadata(dir.path()).expect("it is there").uid() == 0;
    assert_eq!(again.is_ok(), root, "{again:?}");
    assert!(tree(&out).iter().all(|line| !line.contains(".part")), "{:?}", tree(&out));
    // Others' programs read it.
    let listed = std::process::Command::new("tar")
        .arg("-tf-")
        .stdin(fs::File::from(spooled(&archive)))
        .output()
        .expect("tar runs");
    assert!(listed.status.success(), "{listed:?}");
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), tree(&top).len() + 1, "{listed:?}");
}

fn spooled(bytes: &[u8]) -> std::os::fd::OwnedFd {
    use std::io::{Seek as _, Write as _};
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("it holds it");
    file.rewind().expect("its beginning");
    file.into()
}

#[test]
fn names_go_as_with_cp() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("src/sub")).expect("directories");
    fs::write(at("src/sub/f"), "f").expect("a file");
    fs::write(at("one"), "1").expect("a file");
    let names = |path: &str| -> Vec<String> {
        tree(&at(path)).iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
    };

    // A new name; then, since it is a directory now, into it.
    let (archive, _) = packed(&[at("src")]);
    unpacked(&at("d"), "new", None, archive.as_slice()).expect("unpacked");
    assert_eq!(names("d"), ["new/", "new/sub/", "new/sub/f"]);
    unpacked(&at("d"), "new", None, archive.as_slice()).expect("unpacked");
    assert_eq!(names("d/new/src"), ["sub/", "sub/f"]);
    // What is in a directory.
    let (archive, _) = packed(&[at("src/.")]);
    unpacked(&at("content"), "", None, archive.as_slice()).expect("unpacked");
    assert_eq!(names("content"), ["sub/", "sub/f"]);
    // Several, and several that cannot become one.
    let (archive, _) = packed(&[at("src"), at("one")]);
    unpacked(&at("both"), "", None, archive.as_slice()).expect("unpacked");
    assert_eq!(names("both"), ["one", "src/", "src/sub/", "src/sub/f"]);
    let error = unpacked(&at("no"), "name", None, archive.as_slice()).expect_err("two of them");
    assert!(error.to_string().contains("`one`, which is not the only one"), "{error}");
    // A file over a file and over a link, which is not written through; not over a directory, nor the other way.
    let (archive, _) = packed(&[at("one")]);
    fs::write(at("victim"), "old").expect("a file");
    symlink("victim", at("alias")).expect("a link");
    unpacked(dir.path(), "alias", None, archive.as_slice()).expect("unpacked");
    assert_eq!(fs::read_to_string(at("victim")).expect("a file"), "old");
    assert_eq!(fs::read_to_string(at("alias")).expect("a file"), "1");
    fs::create_dir_all(at("taken/one")).expect("directories");
    let error = unpacked(&at("taken"), "", None, archive.as_slice()).expect_err("a directory is there");
    assert!(error.to_string().starts_with("cannot replace"), "{error}");
    let (archive, _) = packed(&[at("src")]);
    fs::create_dir(at("full")).expect("a directory");
    fs::write(at("full/src"), "old").expect("a file");
    let error = unpacked(&at("full"), "", None, archive.as_slice()).expect_err("a file is there");
    assert!(error.to_string().starts_with("cannot put a directory in the place of"), "{error}");
}

#[test]
fn what_is_no_file_is_left_out_and_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("s")).expect("a socket");
    fs::write(dir.path().join("f"), "f").expect("a file");
    let (archive, said) = packed(&[dir.path().join(".")]);
    let socket = format!("{} is a socket, a pipe or a device", dir.path().join("./s").display());
    assert_eq!(said, ["total 1", &socket]);
    let mut archive = Builder::new(archive[..archive.len() - 1024].to_vec());
    entry(&mut archive, EntryType::Fifo, "pipe", "", b"");
    let out = dir.path().join("out");
    assert_eq!(unpacked(&out, "", None, end(archive).as_slice()).expect("unpacked"), 1);
    assert_eq!(tree(&out).len(), 1, "{:?}", tree(&out));
    let error = pack(io::sink(), &[dir.path().join("absent")], &mut |_| {}).expect_err("nothing there");
    assert!(error.to_string().starts_with("cannot read `"), "{error}");
}

/// An entry of any kind and name, as no honest program would write it.
fn entry(archive: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, link: &str, data: &[u8]) {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(data.len() as u64);
    header.set_mode(0o4755);
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    archive.append(&header, data).expect("it takes it");
}

fn end(archive: Builder<Vec<u8>>) -> Vec<u8> {
    archive.into_inner().expect("its end")
}

#[test]
fn no_archive_reaches_beyond_its_target() {
    use EntryType::{Directory, Link, Regular, Symlink};
    let dir = tempfile::tempdir().expect("a directory");
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).expect("a directory");
    fs::write(outside.join("secret"), "secret").expect("a file");
    let absolute = outside.join("x").display().to_string();
    let to_outside = outside.display().to_string();
    let secret = outside.join("secret").display().to_string();
    type Entries<'a> = &'a [(EntryType, &'a str, &'a str)];
    let cases: &[(&str, Entries<'_>)] = &[
        ("up", &[(Regular, "../outside/x", "")]),
        ("up later", &[(Directory, "a", ""), (Regular, "a/../../outside/x", "")]),
        ("absolute", &[(Regular, &absolute, "")]),
        ("through a link", &[(Symlink, "l", &to_outside), (Regular, "l/x", "")]),
        ("through a relative link", &[(Symlink, "l", "../outside"), (Regular, "l/x", "")]),
        ("through two", &[(Symlink, "l", ".."), (Symlink, "m", "l/outside"), (Regular, "m/x", "")]),
        (
            "a directory over a link",
            &[(Symlink, "l", "../outside"), (Directory, "l", ""), (Regular, "l/x", "")],
        ),
        ("a link through a link", &[(Symlink, "l", "../outside"), (Symlink, "l/x", "y")]),
        ("a directory through a link", &[(Symlink, "l", "../outside"), (Directory, "l/x", "")]),
        ("a hard link up", &[(Link, "h", "../outside/secret")]),
        ("a hard link away", &[(Link, "h", &secret)]),
        ("a hard link through a link", &[(Symlink, "l", "../outside"), (Link, "h", "l/secret")]),
        ("dots alone", &[(Regular, "..", "")]),
    ];
    for (what, entries) in cases {
        let mut archive = Builder::new(Vec::new());
        for (kind, name, link) in *entries {
            entry(&mut archive, *kind, name, link, if *kind == Regular { b"bad" } else { b"" });
        }
        let out = dir.path().join("out");
        let result = unpacked(&out, "", None, end(archive).as_slice());
        assert!(result.is_err(), "{what}: {:?}", tree(&out));
        assert_eq!(tree(&outside).len(), 1, "{what}: {:?}", tree(&outside));
        assert_eq!(fs::metadata(outside.join("secret")).expect("it is there").nlink(), 1, "{what}");
        fs::remove_dir_all(&out).expect("it goes");
    }
    // What a link leads to is never written: it is replaced itself.
    let mut archive = Builder::new(Vec::new());
    entry(&mut archive, Symlink, "l", "../outside/secret", b"");
    entry(&mut archive, Regular, "l", "", b"new");
    let out = dir.path().join("out");
    unpacked(&out, "", None, end(archive).as_slice()).expect("both are fine");
    assert_eq!(fs::read(outside.join("secret")).expect("it is there"), b"secret");
    // And nobody is made another user's program.
    assert_eq!(fs::metadata(out.join("l")).expect("it is there").mode() & 0o7777, 0o755);
}

#[test]
fn an_archive_holds_what_was_asked_for_and_hard_links_within_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut archive = Builder::new(Vec::new());
    entry(&mut archive, EntryType::Directory, "asked/", "", b"");
    entry(&mut archive, EntryType::Regular, "asked/a", "", b"a");
    entry(&mut archive, EntryType::Link, "asked/b", "asked/a", b"");
    entry(&mut archive, EntryType::Link, "asked/b", "asked/a", b"");
    let good = end(archive);
    unpacked(dir.path(), "new", Some("asked"), good.as_slice()).expect("unpacked");
    let (a, b) = (dir.path().join("new/a"), dir.path().join("new/b"));
    assert_eq!(fs::metadata(&a).expect("a file").ino(), fs::metadata(&b).expect("a file").ino());
    assert_eq!(tree(&dir.path().join("new")).len(), 2);
    for (name, link) in [(".profile", ""), ("asked", "elsewhere/x")] {
        let mut archive = Builder::new(Vec::new());
        let kind = if link.is_empty() { EntryType::Regular } else { EntryType::Link };
        entry(&mut archive, kind, name, link, b"");
        let error = unpacked(dir.path(), "", Some("asked"), end(archive).as_slice()).expect_err(name);
        assert!(error.to_string().ends_with("which is none of what was asked for"), "{error}");
    }
}

#[test]
fn what_is_cut_off_anywhere_leaves_no_half() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("src")).expect("a directory");
    for name in ["a", "b"] {
        fs::write(dir.path().join("src").join(name), vec![1; 1000]).expect("a file");
    }
    let (archive, _) = packed(&[dir.path().join("src")]);
    for length in (0..archive.len() - 1023).step_by(64) {
        let out = dir.path().join("out");
        let error = unpacked(&out, "", None, &archive[..length]).expect_err("it is cut off");
        let cut = matches!(error, FilesError::Truncated | FilesError::Archive(_));
        assert!(cut, "{length}: {error}");
        let left = tree(&out);
        assert!(left.iter().all(|line| line.contains(" 1000 ") || line.contains('/')), "{length}: {left:?}");
        assert!(left.iter().all(|line| !line.contains(".part")), "{length}: {left:?}");
        fs::remove_dir_all(&out).expect("it goes");
    }
}

#[test]
fn a_header_that_would_fill_the_memory_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    for kind in [EntryType::XHeader, EntryType::GNULongName, EntryType::GNULongLink] {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(1 << 40);
        header.set_cksum();
        let endless = header.as_bytes().chain(io::repeat(b'x'));
        let error = unpacked(dir.path(), "", None, endless).expect_err("far too long");
        let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(why.contains("the headers of one entry are longer"), "{error}: {why}");
    }
    let mut archive = Builder::new(Vec::new());
    entry(&mut archive, EntryType::GNUSparse, "s", "", b"");
    assert!(unpacked(dir.path(), "", None, end(archive).as_slice()).is_err());
}
