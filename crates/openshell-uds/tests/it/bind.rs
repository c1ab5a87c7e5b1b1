//! What `bind` makes, replaces and refuses.

use std::os::unix::fs::{DirBuilderExt, MetadataExt as _, symlink};
use std::os::unix::net::{UnixListener, UnixStream};

use openshell_uds::{BindError, Found, MAX_PATH, PeerPolicy, bind, bind_for, bind_mounted, check};

use crate::support::{NOBODY, dir, is_root, mode, set_mode};

#[test]
fn the_directory_is_made_0700_and_the_socket_0600() {
    let home = dir();
    let path = home.path().join("a/b/driver.sock");
    let listener = bind(&path).expect("bind");
    assert_eq!(listener.path(), path);
    assert_eq!(mode(&home.path().join("a")), 0o700);
    assert_eq!(mode(&home.path().join("a/b")), 0o700);
    assert_eq!(mode(&path), 0o600);
    UnixStream::connect(&path).expect("it listens");
}

#[test]
fn listed_peers_can_reach_the_socket() {
    let home = dir();
    let path = home.path().join("shared/driver.sock");
    let _listener =
        bind_for(&path, &PeerPolicy { allowed_uids: vec![1], ..PeerPolicy::default() }).expect("bind");
    assert_eq!(mode(&home.path().join("shared")), 0o711);
    assert_eq!(mode(&path), 0o666);
}

#[test]
#[cfg(target_os = "linux")]
fn a_socket_that_is_mounted_elsewhere_may_have_a_long_path() {
    let home = dir();
    let anybody = PeerPolicy { anybody: true, ..PeerPolicy::default() };
    let long = home.path().join("d".repeat(100)).join("e".repeat(100));
    let path = long.join("gateway.sock");
    assert!(matches!(bind_for(&path, &anybody), Err(BindError::TooLong { .. })));
    assert!(!long.exists(), "nothing is made for what is refused");
    let listener = bind_mounted(&path, &anybody).expect("bind");
    assert_eq!((listener.path(), mode(&path)), (path.as_path(), 0o666));
    assert!(matches!(bind_mounted(&path, &anybody), Err(BindError::AlreadyAnswers { .. })));
    // As a mount would give it a short path.
    let link = home.path().join("run");
    symlink(&long, &link).expect("a link");
    UnixStream::connect(link.join("gateway.sock")).expect("it listens");
    let inode = std::fs::metadata(&long).expect("the directory");
    drop(listener);
    assert!(!path.exists());
    drop(UnixListener::bind(link.join("gateway.sock")).expect("a stale one"));
    let _listener = bind_mounted(&path, &anybody).expect("bind over a stale socket");
    let now = std::fs::metadata(&long).expect("the directory");
    assert_eq!(inode.ino(), now.ino(), "the directory is still the same");
    let name = long.join("n".repeat(MAX_PATH));
    assert!(matches!(bind_mounted(&name, &anybody), Err(BindError::TooLong { .. })));
}

#[test]
fn dropping_removes_the_socket() {
    let home = dir();
    let path = home.path().join("s");
    drop(bind(&path).expect("bind"));
    assert!(!path.exists());
}

#[test]
fn dropping_leaves_what_somebody_else_put_there() {
    let home = dir();
    let path = home.path().join("s");
    let listener = bind(&path).expect("bind");
    std::fs::remove_file(&path).expect("remove");
    let other = UnixListener::bind(&path).expect("bind anew");
    drop(listener);
    assert!(path.exists(), "the other program's socket is still there");
    drop(other);
}

#[test]
fn a_stale_socket_is_replaced() {
    let home = dir();
    let path = home.path().join("s");
    drop(UnixListener::bind(&path).expect("bind"));
    assert!(path.exists(), "the standard library leaves its file");
    let _listener = bind(&path).expect("bind over a stale socket");
    assert_eq!(mode(&path), 0o600);
    UnixStream::connect(&path).expect("it listens");
}

#[test]
fn a_live_socket_is_refused_and_stays() {
    let home = dir();
    let path = home.path().join("s");
    let live = bind(&path).expect("bind");
    let error = bind(&path).expect_err("the second bind");
    assert!(matches!(error, BindError::AlreadyAnswers { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("a program already answers at `{}`", path.display()));
    UnixStream::connect(&path).expect("it still listens");
    drop(live);
}

#[test]
fn of_many_starts_at_once_exactly_one_wins() {
    let home = dir();
    let path = home.path().join("s");
    drop(UnixListener::bind(&path).expect("a stale socket to fight over"));
    let won: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| bind(&path))).collect();
        starts.into_iter().filter_map(|start| start.join().expect("no panic").ok()).collect()
    });
    assert_eq!(won.len(), 1);
    UnixStream::connect(&path).expect("the winner listens");
}

#[test]
fn a_link_is_refused_even_a_dangling_one() {
    let home = dir();
    let target = home.path().join("target");
    let path = home.path().join("s");
    symlink(&target, &path).expect("link");
    let error = bind(&path).expect_err("bind at a dangling link");
    assert!(matches!(error, BindError::Symlink { .. }), "{error:?}");
    let _live = bind(&target).expect("bind the target");
    let error = bind(&path).expect_err("bind at a link to a socket");
    assert!(matches!(error, BindError::Symlink { .. }), "{error:?}");
    assert!(error.hint().is_some());
}

#[test]
fn a_file_and_a_directory_are_refused_and_stay() {
    let home = dir();
    let file = home.path().join("file");
    std::fs::write(&file, "precious").expect("write");
    let error = bind(&file).expect_err("bind at a file");
    assert!(matches!(error, BindError::NotASocket { found: Found::File, .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string(&file).expect("read"), "precious");

    let directory = home.path().join("directory");
    std::fs::create_dir(&directory).expect("make");
    let error = bind(&directory).expect_err("bind at a directory");
    assert!(matches!(error, BindError::NotASocket { found: Found::Directory, .. }), "{error:?}");
}

#[test]
fn anothers_socket_is_refused_live_or_stale() {
    if !is_root() {
        return;
    }
    let home = dir();
    let path = home.path().join("s");
    drop(UnixListener::bind(&path).expect("bind"));
    std::os::unix::fs::chown(&path, Some(NOBODY), None).expect("chown");
    let error = bind(&path).expect_err("bind at another's socket");
    assert!(matches!(error, BindError::WrongOwner { uid: NOBODY, .. }), "{error:?}");
    assert!(path.exists());
}

#[test]
fn anothers_directory_is_refused() {
    if !is_root() {
        return;
    }
    let home = dir();
    std::os::unix::fs::chown(home.path(), Some(NOBODY), None).expect("chown");
    let error = bind(&home.path().join("s")).expect_err("bind in another's directory");
    assert!(matches!(error, BindError::DirectoryWrongOwner { uid: NOBODY, .. }), "{error:?}");
}

#[test]
fn a_directory_that_others_write_to_is_refused_unless_sticky() {
    let home = dir();
    for writable in [0o777, 0o720, 0o702] {
        set_mode(home.path(), writable);
        let error = bind(&home.path().join("s")).expect_err("bind in a writable directory");
        assert!(matches!(error, BindError::DirectoryWritable { mode, .. } if mode == writable), "{error:?}");
        assert_eq!(error.hint(), Some(format!("chmod go-w {}", home.path().display())));
    }
    set_mode(home.path(), 0o1777);
    bind(&home.path().join("s")).expect("a sticky directory protects what is ours");
}

#[test]
fn a_parent_that_is_a_file_is_a_clear_error() {
    let home = dir();
    let file = home.path().join("file");
    std::fs::write(&file, "").expect("write");
    let error = bind(&file.join("s")).expect_err("bind below a file");
    assert!(matches!(error, BindError::Directory { .. }), "{error:?}");
}

#[test]
fn paths_that_cannot_be_addresses_are_refused() {
    let home = dir();
    let long = home.path().join("x".repeat(120));
    assert!(matches!(bind(&long), Err(BindError::TooLong { .. })));
    for path in ["", "/", "..", "/tmp/.."] {
        let error = bind(path.as_ref()).expect_err(path);
        assert!(matches!(error, BindError::NoFileName { .. }), "{path}: {error:?}");
    }
    let error = bind(&home.path().join("s/")).expect_err("a trailing slash");
    assert!(matches!(error, BindError::NoFileName { .. }), "{error:?}");
}

#[test]
fn a_failed_bind_leaves_no_socket() {
    let home = dir();
    let path = home.path().join("closed/s");
    std::fs::DirBuilder::new().mode(0o700).create(home.path().join("closed")).expect("make");
    set_mode(&home.path().join("closed"), 0o777);
    bind(&path).expect_err("a writable directory");
    assert!(!path.exists());
}

#[test]
fn a_check_says_what_a_bind_would_and_changes_nothing() {
    let home = dir();
    let path = home.path().join("a/s");
    check(&path).expect("the directory would be made");
    assert!(!home.path().join("a").exists());
    let listener = bind(&path).expect("bind");
    assert!(matches!(check(&path), Err(BindError::AlreadyAnswers { .. })));
    drop(listener);
    drop(UnixListener::bind(&path).expect("a socket"));
    check(&path).expect("a stale one would be replaced");
    assert!(path.exists(), "it is still there");
    let file = home.path().join("file");
    std::fs::write(&file, "").expect("write");
    assert!(matches!(check(&file), Err(BindError::NotASocket { found: Found::File, .. })));
}
