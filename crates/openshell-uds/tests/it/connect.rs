//! What `connect` accepts at the other end, and what it says of all else.

use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use openshell_uds::{ConnectError, Found, PeerPolicy, bind, connect};

use crate::support::{NOBODY, as_nobody, dir, given_path, is_root, set_mode};

fn private() -> PeerPolicy {
    PeerPolicy::default()
}

#[tokio::test]
async fn our_own_socket_is_reached() {
    let home = dir();
    let path = home.path().join("s");
    let _listener = bind(&path).expect("bind");
    connect(&path, &private()).await.expect("connect");
}

#[tokio::test]
async fn one_process_may_be_meant_and_no_other() {
    let home = dir();
    let path = home.path().join("s");
    let _listener = bind(&path).expect("bind");
    let own = i32::try_from(std::process::id()).expect("a pid");
    let meant = |pid| PeerPolicy { pid: Some(pid), ..private() };
    connect(&path, &meant(own)).await.expect("connect");
    let error = connect(&path, &meant(own + 1)).await.expect_err("another one");
    assert!(matches!(error, ConnectError::WrongProcess { .. }) && !error.is_transient(), "{error:?}");
    assert!(error.to_string().contains(&format!("pid {own}")), "{error}");
}

#[tokio::test]
async fn a_late_program_is_told_from_a_wrong_path() {
    let home = dir();
    let absent = connect(&home.path().join("none"), &private()).await.expect_err("nothing is there");
    assert!(matches!(absent, ConnectError::Absent { .. }) && absent.is_transient(), "{absent:?}");

    let stale = home.path().join("stale");
    drop(UnixListener::bind(&stale).expect("bind"));
    let refused = connect(&stale, &private()).await.expect_err("nobody listens");
    assert!(matches!(refused, ConnectError::Refused { .. }) && refused.is_transient(), "{refused:?}");

    let file = home.path().join("file");
    std::fs::write(&file, "").expect("write");
    for (path, what) in [(file.as_path(), Found::File), (home.path(), Found::Directory)] {
        let error = connect(path, &private()).await.expect_err("no socket");
        assert!(!error.is_transient());
        assert!(matches!(error, ConnectError::NotASocket { found, .. } if found == what), "{error:?}");
    }
    let below_a_file = connect(&file.join("s"), &private()).await.expect_err("no directory");
    assert!(!below_a_file.is_transient(), "{below_a_file:?}");
}

#[tokio::test]
async fn a_link_to_a_good_socket_is_not_followed() {
    let home = dir();
    let target = home.path().join("target");
    let _listener = bind(&target).expect("bind");
    let link = home.path().join("link");
    symlink(&target, &link).expect("link");
    let error = connect(&link, &private()).await.expect_err("a link");
    assert!(matches!(error, ConnectError::Symlink { .. }) && !error.is_transient(), "{error:?}");
    assert_eq!(error.hint(), Some(format!("name the link's target instead: readlink -f {}", link.display())));
}

#[tokio::test]
async fn a_full_queue_is_busy_and_does_not_block() {
    let home = dir();
    let path = home.path().join("s");
    let socket = rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None)
        .expect("a socket");
    rustix::net::bind(&socket, &rustix::net::SocketAddrUnix::new(&path).expect("an address")).expect("bind");
    set_mode(&path, 0o600);
    rustix::net::listen(&socket, 0).expect("listen");
    let mut held = Vec::new();
    let error = loop {
        match connect(&path, &private()).await {
            Ok(stream) => held.push(stream),
            Err(error) => break error,
        }
        assert!(held.len() < 100, "a queue of none takes a hundred");
    };
    assert!(matches!(error, ConnectError::Busy { .. }) && error.is_transient(), "{error:?}");
    // Somebody is there, however busy: another start must not take the socket for a stale one.
    let error = bind(&path).expect_err("a live socket");
    assert!(matches!(error, openshell_uds::BindError::AlreadyAnswers { .. }), "{error:?}");
}

#[tokio::test]
async fn a_socket_that_others_may_write_to_is_refused_unless_somebody_is_listed() {
    let home = dir();
    let path = home.path().join("s");
    let _listener = bind(&path).expect("bind");
    set_mode(&path, 0o666);
    let error = connect(&path, &private()).await.expect_err("writable by all");
    assert!(matches!(error, ConnectError::WritableByOthers { mode: 0o666, .. }), "{error:?}");
    let listed = PeerPolicy { allowed_uids: vec![4242], ..private() };
    connect(&path, &listed).await.expect("the operator lists somebody, and the peer is oneself");

    // What Go's and Rust's standard libraries leave under the usual umasks.
    for mode in [0o755, 0o775] {
        set_mode(&path, mode);
        connect(&path, &private()).await.expect("writable by one's own group at most");
    }
    if is_root() {
        chown(&path, None, Some(NOBODY)).expect("chown");
        let error = connect(&path, &private()).await.expect_err("writable by a foreign group");
        assert!(matches!(error, ConnectError::WritableByOthers { mode: 0o775, .. }), "{error:?}");
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_path_longer_than_an_address_is_reached_all_the_same() {
    let home = dir();
    let deep = home.path().join("d".repeat(100));
    std::fs::create_dir(&deep).expect("make");
    let short = home.path().join("s");
    let _listener = bind(&short).expect("bind");
    std::fs::rename(&short, deep.join("s")).expect("move");
    connect(&deep.join("s"), &private()).await.expect("connect");
}

#[tokio::test]
async fn the_listeners_credentials_decide_not_the_files() {
    if !is_root() {
        return;
    }
    let home = dir();
    set_mode(home.path(), 0o1777);
    let path = home.path().join("s");
    let mut child = as_nobody("connect::child_listens", &path);
    let deadline = Instant::now() + Duration::from_secs(20);
    let error = loop {
        match connect(&path, &private()).await {
            Err(error) if error.is_transient() && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => break other.expect_err("nobody's program"),
        }
    };
    assert!(matches!(error, ConnectError::WrongOwner { peer, .. } if peer.uid == NOBODY), "{error:?}");
    assert_eq!(error.hint(), Some(format!("if that program is to be trusted: allowed_uids = [{NOBODY}]")));

    // The file's owner does not help it.
    chown(&path, Some(0), Some(0)).expect("chown");
    let error = connect(&path, &private()).await.expect_err("nobody's program behind root's file");
    assert!(matches!(error, ConnectError::WrongOwner { .. }), "{error:?}");

    let by_uid = PeerPolicy { allowed_uids: vec![NOBODY], ..PeerPolicy::default() };
    connect(&path, &by_uid).await.expect("listed by uid");
    let by_gid = PeerPolicy { allowed_gids: vec![NOBODY], ..PeerPolicy::default() };
    connect(&path, &by_gid).await.expect("listed by gid");
    child.kill().expect("kill");
    child.wait().expect("wait");
}

#[test]
#[ignore = "the child of another test"]
fn child_listens() {
    let _listener = bind(&given_path()).expect("bind");
    std::thread::sleep(Duration::from_secs(60));
}

#[tokio::test]
async fn a_path_that_this_user_may_not_reach_is_named() {
    if !is_root() {
        return;
    }
    let home = dir();
    set_mode(home.path(), 0o755);
    let closed = home.path().join("closed");
    let _listener = bind(&closed.join("s")).expect("bind");
    let marker = home.path().join("s");
    std::fs::write(&marker, "").expect("write");
    let status = as_nobody("connect::child_is_kept_out", &marker).wait().expect("wait");
    assert!(status.success(), "see the child's output");
}

#[tokio::test]
#[ignore = "the child of another test"]
async fn child_is_kept_out() {
    let path = given_path().parent().expect("a parent").join("closed/s");
    let error = connect(&path, &private()).await.expect_err("a closed directory");
    assert!(matches!(error, ConnectError::Permission { .. }) && !error.is_transient(), "{error:?}");
    let error = bind(&path).expect_err("a closed directory");
    assert!(matches!(error, openshell_uds::BindError::Directory { .. }), "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.starts_with("sudo install -d")));
}
