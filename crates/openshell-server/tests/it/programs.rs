//! The command line of the driver programs, which is one and the same for all: docker's stands for them.

use std::os::unix::net::UnixStream;
use std::process::Output;

use crate::harness::{Home, program, text};

/// A driver program, to run until it ends by itself; `None` when it is away.
fn run(home: &Home, args: &[&str]) -> Option<Output> {
    let mut command = home.command(program("openshell-driver-docker")?);
    Some(command.args(args).output().expect("the program starts"))
}

/// What it says when it refuses, and the exit code.
fn refusal(home: &Home, args: &[&str]) -> Option<(i32, String)> {
    let output = run(home, args)?;
    let error = text(&output.stderr);
    assert!(error.contains("error: ") && !error.contains("panicked"), "{args:?}: {error}");
    assert!(!home.path("state").exists(), "{args:?}: something was made");
    Some((output.status.code().expect("an exit code"), error))
}

#[test]
fn flags_that_are_missing_unknown_or_wrong_are_errors_of_the_command_line() {
    let home = Home::new();
    let socket = home.path("driver.sock");
    let bind = ["--bind-socket", socket.to_str().expect("UTF-8")];
    for (args, said) in [
        (vec![], "--bind-socket <PATH>"),
        (vec!["--bind-sockt", "x"], "'--bind-socket'"),
        ([&bind[..], &["--allow-uid", "nobody"]].concat(), "--allow-uid"),
        ([&bind[..], &["--gateway-id", "a b"]].concat(), "`a b` is no gateway id"),
        ([&bind[..], &["--log-level", "loud"]].concat(), "`--log-level`"),
        ([&bind[..], &["--config", "/nowhere.toml"]].concat(), "`/nowhere.toml`"),
    ] {
        let Some((code, error)) = refusal(&home, &args) else { return };
        assert_eq!(code, 2, "{args:?}");
        assert!(error.contains(said), "{args:?} does not say `{said}`:\n{error}");
        assert!(UnixStream::connect(&socket).is_err(), "{args:?}: bound");
    }
}

#[test]
fn it_does_not_make_up_a_gateway_id() {
    let home = Home::new();
    let socket = home.path("driver.sock");
    let Some((code, error)) = refusal(&home, &["--bind-socket", socket.to_str().expect("UTF-8")]) else {
        return;
    };
    assert_eq!(code, 1);
    assert!(error.contains("there is no gateway id"), "{error}");
    assert!(error.contains("hint: give the id of the gateway with `--gateway-id ID`"), "{error}");
    assert!(!socket.exists());
}

#[test]
fn its_table_is_checked_with_and_without_a_start() {
    let home = Home::new();
    let table = "[openshell.drivers.docker]\npids_limits = 3\nsocket_path = 5\n";
    let config = home.write("gateway.toml", table);
    let config = config.to_str().expect("UTF-8");
    let socket = home.path("driver.sock");
    let start = ["--bind-socket", socket.to_str().expect("UTF-8"), "--gateway-id", "e2e"];
    for args in [vec!["--check-config"], start.to_vec()] {
        let Some((code, error)) = refusal(&home, &[&args[..], &["--config", config]].concat()) else {
            return;
        };
        assert_eq!(code, 2);
        for said in ["gateway.toml:2:1", "did you mean `pids_limit`?", "gateway.toml:3:1", "2 errors"] {
            assert!(error.contains(said), "`{said}` is not in:\n{error}");
        }
        assert!(!socket.exists());
    }
    home.write("gateway.toml", "[openshell.drivers.docker]\npids_limit = 3\n");
    let output = run(&home, &["--check-config", "--config", config]).expect("it was there before");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("is fine"));
}

#[test]
fn a_file_in_its_way_is_left_there() {
    let home = Home::new();
    let file = home.write("driver.sock", "mine");
    let args = ["--bind-socket", file.to_str().expect("UTF-8"), "--gateway-id", "e2e"];
    let Some((code, error)) = refusal(&home, &args) else { return };
    assert_eq!(code, 1);
    assert!(error.contains("is a regular file, not a socket"), "{error}");
    assert_eq!(std::fs::read(&file).expect("a file"), b"mine");
}
