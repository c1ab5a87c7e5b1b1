//! What happens before the first request: the choice of the driver, and what it says.

use std::os::unix::net::UnixStream;

use crate::harness::{Home, docker, text};

#[test]
fn check_config_says_what_would_run_and_touches_nothing() {
    let home = Home::new();
    let output = home.gateway(&["check-config", "--drivers", "docker"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    assert!(out.contains("driver: docker (the command line says so)"), "{out}");
    assert!(!home.path("state").exists() && !home.path("run").exists(), "nothing is made");
    assert!(UnixStream::connect(home.socket()).is_err(), "nothing is bound");
}

#[test]
fn drivers_are_listed_offline_in_both_forms() {
    let home = Home::new();
    let out = text(&home.gateway(&["drivers"]).stdout);
    assert!(out.contains("docker") && out.contains("external"), "{out}");
    let json: serde_json::Value =
        serde_json::from_slice(&home.gateway(&["drivers", "--json"]).stdout).expect("JSON");
    assert_eq!(json["drivers"][0]["name"], "docker");
}

#[test]
fn with_nothing_named_the_engine_is_found() {
    if !docker() {
        return;
    }
    let home = Home::new();
    let out = text(&home.gateway(&["check-config"]).stdout);
    assert!(out.contains("driver: docker (detected: "), "{out}");
}

#[test]
fn with_no_engine_every_candidate_is_named() {
    let home = Home::new();
    let absent = home.path("absent.sock");
    // A home and a runtime directory without an engine; the system's own socket may be there all the same.
    let mut command = home.command(crate::harness::GATEWAY);
    command.arg("check-config").env("DOCKER_HOST", format!("unix://{}", absent.display()));
    let output = command.output().expect("the gateway starts");
    if output.status.success() {
        println!("skipped: an engine is at its usual place");
        return;
    }
    let error = text(&output.stderr);
    assert!(error.contains(&*absent.to_string_lossy()), "{error}");
}

#[test]
fn a_second_gateway_is_refused_by_name() {
    if !docker() {
        return;
    }
    let home = Home::new();
    let first = home.serve(&["--drivers", "docker"]);
    let second = home.gateway(&["--drivers", "docker"]);
    assert!(!second.status.success(), "{}", first.log());
    let error = text(&second.stderr);
    assert!(error.contains("error: "), "{error}");
    assert!(UnixStream::connect(home.socket()).is_ok(), "the first one still answers");
}
