//! What happens before the first request: the choice of the driver, and what it says.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use crate::backend::docker_engine;
use crate::harness::{GATEWAY, Home, text};

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

/// `check-config` with this in gateway.toml: what it says, all of it.
fn checked(config: &str, args: &[&str]) -> (bool, String) {
    let home = Home::new();
    let path = home.write("gateway.toml", config);
    let args = [&["check-config", "--config", path.to_str().expect("UTF-8")], args].concat();
    let output = home.gateway(&args);
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn a_name_and_a_socket_in_the_file_are_all_that_a_driver_needs() {
    let table = "[openshell.drivers.kyma]\ndriver_socket = \"/run/kyma.sock\"\n";
    let (fine, said) = checked(table, &["--drivers", "kyma"]);
    assert!(
        fine && said.contains("driver: kyma (the command line says so)\nbehind: /run/kyma.sock\n"),
        "{said}"
    );
    let chosen = format!("[openshell.gateway]\ncompute_drivers = [\"kyma\"]\n{table}");
    let (fine, said) = checked(&chosen, &[]);
    assert!(fine && said.contains("driver: kyma (gateway.toml says so)\nbehind: /run/kyma.sock\n"), "{said}");
    let (fine, said) = checked(&format!("{table}image = \"x\"\n"), &["--drivers", "kyma"]);
    assert!(!fine && said.contains("unknown key `image`"), "{said}");
    assert!(
        said.contains("`kyma` runs as a program of its own: give this to that program's configuration"),
        "{said}"
    );
}

#[test]
fn a_socket_replaces_a_driver_of_this_build_and_that_is_said() {
    let socket = ["--drivers", "docker", "--compute-driver-socket", "/run/other.sock"];
    let (fine, said) = checked("", &socket);
    assert!(
        fine && said.contains("driver: docker (the command line says so)\nbehind: /run/other.sock\n"),
        "{said}"
    );
    let note = "note: `docker` is in this build, and runs behind the socket `/run/other.sock` all the same\n";
    assert!(said.contains(note) && !said.contains("warning"), "{said}");
    let (fine, said) = checked("[openshell.drivers.docker]\nnetwork = \"none\"\n", &socket);
    assert!(fine, "{said}");
    assert!(
        said.contains("`network` of `docker` has no effect: it runs behind the socket `/run/other.sock`"),
        "{said}"
    );
}

#[test]
fn a_driver_behind_a_socket_may_bring_the_supervisor_and_no_other_may() {
    let brings = |name: &str| format!("[openshell.drivers.{name}]\nsupervisor = \"driver\"\n");
    let (fine, said) = checked(&brings("external"), &["--compute-driver-socket", "/run/other.sock"]);
    assert!(fine && said.contains("supervisor: the driver's own\n") && !said.contains("warning"), "{said}");
    let (fine, said) = checked(&brings("docker"), &["--drivers", "docker"]);
    assert!(fine && !said.contains("supervisor: "), "{said}");
    assert!(
        said.contains(
            "`supervisor = \"driver\"` has no effect: `docker` is no driver behind a socket, and brings none"
        ),
        "{said}"
    );
}

/// What `drivers --json` says of one driver.
fn listed(listing: &serde_json::Value, name: &str) -> serde_json::Value {
    let mut drivers = listing["drivers"].as_array().expect("a list").iter();
    drivers.find(|driver| driver["name"] == name).expect("a driver").clone()
}

#[test]
fn drivers_are_listed_offline_in_both_forms() {
    let home = Home::new();
    let out = text(&home.gateway(&["drivers"]).stdout);
    let json: serde_json::Value =
        serde_json::from_slice(&home.gateway(&["drivers", "--json"]).stdout).expect("JSON");
    for name in ["docker", "external"] {
        assert!(out.contains(name), "{out}");
        listed(&json, name);
    }
}

#[test]
fn with_nothing_named_the_first_engine_in_order_is_found() {
    if !docker_engine() {
        return;
    }
    let home = Home::new();
    let json: serde_json::Value =
        serde_json::from_slice(&home.gateway(&["drivers", "--json"]).stdout).expect("JSON");
    let mut drivers = json["drivers"].as_array().expect("a list").iter();
    let first = drivers.find(|driver| driver["probe"]["result"] == "found").expect("an engine");
    let out = text(&home.gateway(&["check-config"]).stdout);
    let name = first["name"].as_str().expect("a name");
    assert!(out.contains(&format!("driver: {name} (detected: ")), "{out}\n{json:#}");
}

#[test]
fn every_candidate_of_a_probe_is_named() {
    let home = Home::new();
    let absent = home.path("absent.sock");
    let mut command = home.command(&*GATEWAY);
    command.args(["drivers", "--json"]).env("DOCKER_HOST", format!("unix://{}", absent.display()));
    let output = command.output().expect("the gateway starts");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let first = &listed(&json, "docker")["probe"]["tried"][0];
    assert_eq!(first["candidate"], *absent.to_string_lossy(), "{json:#}");
    assert_eq!(first["outcome"], "no such socket", "{json:#}");
}

#[test]
fn a_second_gateway_is_refused_by_name() {
    if !docker_engine() {
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

#[test]
fn settings_of_a_listener_that_is_off_are_a_warning() {
    let home = Home::new();
    let out =
        text(&home.gateway(&["check-config", "--drivers", "docker", "--no-tcp", "--port", "99"]).stdout);
    assert!(out.starts_with("warning: the TCP listener is switched off: `--port` has no effect\n"), "{out}");
}

#[test]
fn its_help_says_what_it_is_for() {
    let out = text(&Home::new().gateway(&["--help"]).stdout);
    assert!(out.starts_with("Runs sandboxes for agents on one compute driver\n"), "{out}");
    for said in ["Examples:", "Listeners:", "token", "generate-certs", "check-config"] {
        assert!(out.contains(said), "`{said}` is not in:\n{out}");
    }
}

#[test]
fn a_reader_that_has_gone_is_no_failure_and_a_full_disk_no_panic() {
    let home = Home::new();
    for args in [["check-config", "--drivers=docker"], ["drivers", "--json"]] {
        let code = |stdout: Stdio| {
            let output =
                home.command(&*GATEWAY).args(args).stdout(stdout).output().expect("the gateway starts");
            (output.status.code(), text(&output.stderr))
        };
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        assert_eq!(code(writer.into()), (Some(0), String::new()), "{args:?}");
        if let Ok(full) = File::options().write(true).open("/dev/full") {
            let (code, said) = code(full.into());
            assert!(code == Some(1) && said.starts_with("error: "), "{args:?}: {said}");
        }
    }
}
