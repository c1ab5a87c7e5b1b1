//! Bad input, each with a clear error, before anything is bound and with the state as it was.

use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use crate::harness::{Home, text};

/// Runs the gateway, which has to refuse, and gives what it said.
fn refusal(home: &Home, args: &[&str]) -> String {
    let output = home.gateway(args);
    let error = text(&output.stderr);
    assert!(!output.status.success(), "{args:?} was accepted");
    assert!(error.contains("error: "), "{args:?} says no error:\n{error}");
    assert!(!error.contains("panicked"), "{error}");
    assert!(UnixStream::connect(home.socket()).is_err(), "nothing is bound");
    error
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_gateway_toml_that_cannot_be_read_is_refused_with_its_place() {
    let home = Home::new();
    std::fs::create_dir(home.path("directory")).expect("a directory");
    symlink(home.path("nowhere"), home.path("dangling")).expect("a link");
    home.write("garbage", b"\x00\x01[[[ = =");
    home.write("truncated", "[openshell.gateway]\ncompute_drivers = [\"doc");
    home.write("latin1", b"[openshell.gateway]\n# caf\xe9\n");
    home.write("typo", "[openshell.gateway]\ncompute_driver = [\"docker\"]\n");
    for name in ["directory", "dangling", "garbage", "truncated", "latin1", "typo", "absent"] {
        let path = home.path(name);
        let error = refusal(&home, &["--config", utf8(&path)]);
        assert!(error.contains(name), "`{name}` is not named:\n{error}");
        assert!(!home.path("state").exists(), "`{name}`: something was made");
    }
    let typo = refusal(&home, &["--config", utf8(&home.path("typo"))]);
    assert!(typo.contains(":2:1") && typo.contains("compute_drivers"), "{typo}");
}

#[test]
fn an_empty_file_and_one_with_crlf_are_fine() {
    let home = Home::new();
    for (name, bytes) in
        [("empty", ""), ("crlf", "[openshell.gateway]\r\ncompute_drivers = [\"docker\"]\r\n")]
    {
        let path = home.write(name, bytes);
        let output = home.gateway(&["check-config", "--drivers", "docker", "--config", utf8(&path)]);
        assert!(output.status.success(), "`{name}`: {}", text(&output.stderr));
    }
}

#[test]
fn a_driver_that_nobody_knows_is_named_with_the_nearest() {
    let error = refusal(&Home::new(), &["--drivers", "dokcer"]);
    assert!(error.contains("`dokcer`") && error.contains("`docker`"), "{error}");
}

#[test]
fn a_driver_socket_that_cannot_be_one_is_refused_at_once() {
    let home = Home::new();
    home.write("file", "not a socket");
    std::fs::create_dir(home.path("dir")).expect("a directory");
    let live = UnixListener::bind(home.path("live.sock")).expect("a socket");
    symlink(home.path("live.sock"), home.path("link")).expect("a link");
    for name in ["file", "dir", "link"] {
        let path = home.path(name);
        let start = std::time::Instant::now();
        let error = refusal(&home, &["--compute-driver-socket", utf8(&path)]);
        assert!(error.contains(utf8(&path)), "{error}");
        // Less than `connect_timeout` is without a word about it.
        assert!(start.elapsed().as_secs() < 30, "`{name}` was waited for");
    }
    drop(live);
}

#[test]
fn a_driver_socket_that_is_absent_or_silent_is_waited_for_as_long_as_configured() {
    let home = Home::new();
    let _silent = UnixListener::bind(home.path("silent.sock")).expect("a socket");
    let config = home.write("gateway.toml", "[openshell.drivers.external]\nconnect_timeout = \"1s\"\n");
    for name in ["absent.sock", "silent.sock"] {
        let path = home.path(name);
        let start = std::time::Instant::now();
        let error = refusal(&home, &["--config", utf8(&config), "--compute-driver-socket", utf8(&path)]);
        assert!(error.contains(utf8(&path)) && error.contains("connect_timeout"), "{error}");
        assert!(start.elapsed().as_millis() >= 900, "`{name}` was not waited for: {:?}", start.elapsed());
        assert!(start.elapsed().as_secs() < 30, "`{name}` was waited for too long: {:?}", start.elapsed());
    }
}

#[test]
fn a_database_that_is_not_ours_is_left_as_it_is() {
    let home = Home::new();
    let garbage = home.write("garbage.db", vec![0x5a; 8192]);
    let before = std::fs::read(&garbage).expect("a file");
    let url = format!("sqlite:{}", garbage.display());
    let error = refusal(&home, &["--drivers", "docker", "--db-url", &url]);
    assert!(error.contains("garbage.db"), "{error}");
    assert_eq!(std::fs::read(&garbage).expect("a file"), before);
    let error = refusal(&home, &["--drivers", "docker", "--db-url", "postgres://user:secret@host/db"]);
    assert!(!error.contains("secret"), "a password is shown:\n{error}");
}

#[test]
fn a_listen_socket_that_cannot_be_one_is_refused_before_anything_is_made() {
    let home = Home::new();
    home.write("file", "not a socket");
    let _live = UnixListener::bind(home.path("live.sock")).expect("a socket");
    symlink(home.path("live.sock"), home.path("link")).expect("a link");
    for (name, said) in [
        ("file", "is a regular file, not a socket"),
        ("link", "is a symbolic link"),
        ("live.sock", "a program already answers"),
    ] {
        let error = refusal(&home, &["--drivers", "docker", "--listen-socket", utf8(&home.path(name))]);
        assert!(error.contains(said), "`{name}`: {error}");
        assert!(!home.path("state").exists(), "`{name}`: something was made");
    }
}

#[test]
fn a_name_in_the_file_is_refused_at_its_line() {
    let home = Home::new();
    let config = home.write("gateway.toml", "[openshell.gateway]\ncompute_drivers = [\"dokcer\"]\n");
    let error = refusal(&home, &["--config", utf8(&config)]);
    for said in ["no such compute driver: `dokcer`", "gateway.toml:2:19", "did you mean `docker`?"] {
        assert!(error.contains(said), "`{said}` is not in:\n{error}");
    }
}
