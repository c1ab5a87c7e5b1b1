//! The verification through its binary: wrong calls, files that are no programs, and the gateway of every driver, which is
//! clean as what it is and a leak as anything less.

use std::path::PathBuf;
use std::process::Output;

use super::{root, stderr, stdout, xtask};

const VERIFY: &str = "verify-compiled-out";

/// The gateway that `cargo xtask test` built with every driver.
pub(crate) fn gateway() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("OPENSHELL_TEST_BIN_DIR") else {
        println!("skipped: no gateway: OPENSHELL_TEST_BIN_DIR is not set (cargo xtask test sets it)");
        return None;
    };
    Some(PathBuf::from(folder).join("openshell-gateway"))
}

/// Runs the verification of a file; gives the exit code and what it printed.
fn verify(file: &str, args: &[&str]) -> (Option<i32>, String) {
    let output = judged(file, args);
    (output.status.code(), stdout(&output) + &stderr(&output))
}

fn judged(file: &str, args: &[&str]) -> Output {
    xtask(root(), &[&[VERIFY, "--binary", file], args].concat())
}

/// A driver of the manifest, and all the others.
fn drivers() -> (String, Vec<String>) {
    let list = stdout(&xtask(root(), &["list", "--json"]));
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    let drivers = list["drivers"].as_array().expect("a list").iter();
    let mut with_code = None;
    let mut others = Vec::new();
    for driver in drivers {
        let name = driver["name"].as_str().expect("a name").to_owned();
        match with_code {
            None if driver["kind"] == "in-tree" => with_code = Some(name),
            _ => others.push(name),
        }
    }
    (with_code.expect("an in-tree driver"), others)
}

#[test]
fn a_gateway_is_clean_as_what_it_is_and_a_leak_as_less() {
    let Some(gateway) = gateway() else { return };
    let file = gateway.to_string_lossy();
    let (code, said) = verify(&file, &["--all"]);
    assert_eq!(code, Some(0), "{said}");
    let (left_out, others) = drivers();
    let (code, said) = verify(&file, &["--drivers", &others.join(",")]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("arm:{left_out}")), "{said}");
    let said = stdout(&judged(&file, &["--all", "--json"]));
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let all = [vec![left_out], others].concat();
    let report = &said["verdicts"][0]["file"]["report"];
    let mut reported: Vec<_> = report["drivers"].as_array().expect("a list").iter().collect();
    let mut wanted: Vec<_> = all.into_iter().map(serde_json::Value::String).collect();
    reported.sort_by_key(|name| name.to_string());
    wanted.sort_by_key(ToString::to_string);
    assert_eq!(reported, wanted.iter().collect::<Vec<_>>(), "the section `.osgw`: {report}");
}

#[test]
fn what_runs_inside_a_sandbox_is_clean_and_a_gateway_is_no_such_thing() {
    let Some(gateway) = gateway() else { return };
    let list = stdout(&xtask(root(), &["list", "--json"]));
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    let drivers = list["drivers"].as_array().expect("a list").iter();
    let guests = drivers.flat_map(|driver| driver["guest"].as_array().expect("a list"));
    for guest in guests.map(|guest| guest.as_str().expect("a name")) {
        let file = gateway.with_file_name(guest);
        let (code, said) = verify(&file.to_string_lossy(), &["--guest", guest]);
        assert_eq!(code, Some(0), "{said}");
        let (code, said) = verify(&gateway.to_string_lossy(), &["--guest", guest]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("it is not linked static"), "{said}");
    }
}

#[test]
fn what_a_program_says_when_it_is_run_is_compared() {
    let Some(gateway) = gateway() else { return };
    let (code, said) = verify(&gateway.to_string_lossy(), &["--all", "--run"]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_is_no_program_is_never_clean() {
    let dir = tempfile::tempdir().expect("a temporary directory is writable");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let write = |name: &str, bytes: &[u8]| std::fs::write(path(name), bytes).expect("it is writable");
    write("empty", b"");
    write("script", b"#!/bin/sh\nexit 0\n");
    write("header", b"\x7fELF");
    for (file, expected) in [
        (path("empty"), 2),
        (path("script"), 2),
        (path("header"), 2),
        (dir.path().to_string_lossy().into_owned(), 2),
        (path("absent"), 3),
    ] {
        let (code, said) = verify(&file, &["--all"]);
        assert_eq!(code, Some(expected), "{file}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_wrong_call_is_no_verdict() {
    for args in [
        &["--binary"][..],
        &["--nothing"],
        &["--drivers", "no-such-driver"],
        &[],
        &["--report", "/nothing/there", "/nothing/else"],
        &["--binary", "x", "--program", "no-such-driver"],
        &["--binary", "x", "--guest", "no-such-guest"],
    ] {
        let output = xtask(root(), &[&[VERIFY], args].concat());
        assert_eq!(output.status.code(), Some(3), "{args:?}: {}", stderr(&output));
    }
    let output = xtask(root(), &[VERIFY, "--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("Exit codes: 0 clean, 1 leak"));
}
