//! The program: its exit codes, its forms, and a driver that is another process.

use std::path::Path;
use std::process::{Command, Output};

use openshell_driver_fake::{Fake, Fault, Scenario};
use openshell_uds::PeerPolicy;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::bench::Bench;

/// Where the test below serves when it is run as a driver.
const SERVE: &str = "OPENSHELL_TEST_SERVE";

fn kit(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_openshell-driver-conformance"))
        .args(args)
        .output()
        .expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_are_0_1_and_2() {
    for (scenario, code, said) in [
        (Scenario::default(), 0, "it keeps the contract"),
        (Scenario::with(Fault::CreateTwiceAccepted), 1, "1 required case failed"),
        // Not required: said, and no failure.
        (Scenario::with(Fault::NoVersion), 0, "it keeps the contract"),
    ] {
        let bench = Bench::start(scenario);
        let path = bench.path().display().to_string();
        let only = ["--only", "lifecycle.create-twice", "--only", "handshake.driver-version"];
        let out = tokio::task::spawn_blocking(move || kit(&[&["--socket", &path], &only[..]].concat()));
        let out = out.await.expect("no panic");
        assert_eq!(out.status.code(), Some(code), "{}", text(&out.stdout));
        assert!(text(&out.stdout).contains(said), "{}", text(&out.stdout));
    }
    let home = TempDir::new().expect("a directory");
    let file = home.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let out = kit(&["--socket", &file.display().to_string()]);
    assert_eq!(out.status.code(), Some(2));
    let said = text(&out.stderr);
    assert!(said.starts_with("error: the driver's socket cannot be dialled\n  caused by: "), "{said}");
    assert!(said.contains("\nhint: check the path: ls -ld "), "{said}");
}

#[test]
fn a_name_that_nobody_has_is_refused_with_the_one_that_was_meant() {
    let out = kit(&["--list", "--only", "lifecycle.create-twise"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("did you mean `lifecycle.create-twice`?"), "{}", text(&out.stderr));
    let out = kit(&["--list", "--only", "secrets"]);
    let lines = text(&out.stdout);
    assert!(lines.lines().count() > 3 && lines.lines().all(|line| line.starts_with("secrets.")), "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_json() {
    let bench = Bench::start(Scenario::with(Fault::TokenInGet));
    let path = bench.path().display().to_string();
    let out =
        tokio::task::spawn_blocking(move || kit(&["--socket", &path, "--json", "--only", "secrets.get"]));
    let out = out.await.expect("no panic");
    let report: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(report["holds"], false);
    assert_eq!(report["cases"][0]["id"], "secrets.get");
    assert_eq!(report["cases"][0]["verdict"], "failed");
}

/// No test by itself: the driver process of the test below, which ends at SIGTERM.
#[test]
fn a_driver_process() {
    let Some(path) = std::env::var_os(SERVE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).expect("signals");
        let shutdown = async move { _ = terminate.recv().await };
        let fake = Fake::new(Scenario::default());
        fake.serve(Path::new(&path), PeerPolicy::default(), shutdown).await.expect("a clean end");
    });
}

#[test]
fn a_driver_process_is_stopped_with_sigterm_and_started_by_the_command() {
    let home = TempDir::new().expect("a directory");
    let path = home.path().join("run/driver.sock").display().to_string();
    let pid = home.path().join("pid").display().to_string();
    let me = std::env::current_exe().expect("this program");
    let start = format!(
        "{SERVE}={path} {} --exact program::a_driver_process >/dev/null 2>&1 & echo $! >{pid}",
        me.display()
    );
    assert!(Command::new("/bin/sh").args(["-c", &start]).status().expect("a shell").success());
    let only = ["restart.stops", "restart.watch-told", "restart.socket-removed", "restart.sandboxes-kept"];
    let mut args = vec!["--socket", &path, "--restart-command", &start, "--timeout", "5", "--json"];
    args.extend(only.iter().flat_map(|id| ["--only", id]));
    let out = kit(&args);
    let stopped = Command::new("/bin/sh").args(["-c", &format!("kill -TERM $(cat {pid})")]).status();
    assert!(stopped.expect("a shell").success(), "{}", text(&out.stdout));
    let report: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let verdict = |id: &str| {
        let cases = report["cases"].as_array().expect("cases");
        cases.iter().find(|case| case["id"] == id).expect(id)["verdict"].clone()
    };
    for id in &only[..3] {
        assert_eq!(verdict(id), "passed", "{report:#}");
    }
    // This driver keeps its sandboxes in memory alone.
    assert_eq!(verdict("restart.sandboxes-kept"), "failed");
    assert_eq!(out.status.code(), Some(1));
}
