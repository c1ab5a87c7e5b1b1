//! `gateway`: what is kept of gateways, and which one is chosen.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::fake::Gateway;
use crate::{Run, bare};

fn run(home: &Path, line: &str) -> Run {
    bare(home).args(line.split(' ')).output().expect("the program runs").into()
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// The rows of `gateway list` without those of gateways that happen to run here, which root's tests share with the machine.
fn listed(home: &Path) -> Vec<String> {
    let out = run(home, "gateway list").good();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    out.lines().filter(|line| !line.ends_with("runs here")).map(words).collect()
}

#[test]
fn contexts_are_kept_listed_selected_and_forgotten() {
    let home = home();
    let run = |line: &str| run(home.path(), line);
    assert_eq!(listed(home.path()), ["NAME ENDPOINT AUTH WORKSPACE NOTE"]);
    assert_eq!(run("gateway add a --endpoint unix:///run/a.sock --workspace team").good(), "a\n");
    assert_eq!(
        run("gateway add b --endpoint https://gw.example.org -o json").json(),
        json!({ "name": "b", "endpoint": "https://gw.example.org:443", "auth_mode": "none", "selected": false })
    );
    assert_eq!(
        run("gateway add b --endpoint https://gw.example.org").bad(4),
        "error: there is a gateway `b` already\nhint: forget that one first: openshell gateway remove b\n"
    );
    assert_eq!(run("gateway select a").good(), "a\n");
    assert_eq!(
        listed(home.path())[1..],
        ["a unix:///run/a.sock none team selected", "b https://gw.example.org:443 none - -"]
    );
    assert_eq!(
        run("gateway show").good(),
        "name:       a\nendpoint:   unix:///run/a.sock\nauth:       none\nworkspace:  team\n\
         chosen:     it is the selected gateway\n"
    );
    assert!(run("gateway show b").good().contains("trusts:    the system's certificates\n"));
    assert_eq!(run("gateway select a --workspace=").good(), "a\n");
    assert!(!run("gateway show").good().contains("workspace"));
    assert_eq!(run("gateway remove a").good(), "a\n");
    assert_eq!(listed(home.path())[1..], ["b https://gw.example.org:443 none - -"]);
    assert_eq!(
        run("gateway select a").bad(3),
        "error: there is no gateway `a`\nhint: see which there are: openshell gateway list\n"
    );
}

#[test]
fn secrets_are_readable_by_nobody_else() {
    let home = home();
    let given = home.path().join("token");
    std::fs::write(&given, " abc \n").expect("a file");
    std::fs::set_permissions(&given, std::fs::Permissions::from_mode(0o644)).expect("its mode");
    let line = format!("gateway add lab --endpoint http://127.0.0.1:1 --token-file {}", given.display());
    run(home.path(), &line).good();
    let kept = home.path().join(".config/openshell/gateways/lab/token");
    assert_eq!(std::fs::read_to_string(&kept).expect("a file"), "abc\n");
    assert_eq!(std::fs::metadata(&kept).expect("a file").permissions().mode() & 0o777, 0o600);
    for form in ["table", "json"] {
        assert!(!run(home.path(), &format!("gateway show lab -o {form}")).good().contains("abc"));
    }
}

#[test]
fn a_context_that_is_broken_is_told_and_can_be_forgotten() {
    let home = home();
    run(home.path(), "gateway add lab --endpoint http://127.0.0.1:1 --select").good();
    let dir = home.path().join(".config/openshell/gateways/lab");
    std::fs::write(dir.join("metadata.json"), "{").expect("a file");
    for line in ["status", "gateway show lab", "gateway select lab"] {
        let err = run(home.path(), line).bad(1);
        assert!(err.contains("metadata.json"), "{err}");
        assert!(
            err.ends_with("\nhint: mend it, or forget it and add it anew: openshell gateway remove lab\n"),
            "{err}"
        );
    }
    run(home.path(), "gateway remove lab").good();
    assert!(!dir.exists());
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let home = home();
    let empty = home.path().join("empty");
    std::fs::write(&empty, "\n").expect("a file");
    let empty = empty.display();
    for (line, code, says) in [
        ("gateway add a/b --endpoint unix:///a".to_owned(), 2, "cannot be a gateway's name"),
        ("gateway add a --endpoint 127.0.0.1:80".to_owned(), 2, "does not begin with"),
        ("gateway add a --endpoint https://u:p@h".to_owned(), 2, "--token-file"),
        (
            "gateway add a --endpoint http://127.0.0.1:1 --ca /absent".to_owned(),
            2,
            "cannot read CA certificate",
        ),
        (format!("gateway add a --endpoint https://h --ca {empty}"), 2, "no certificate in PEM form"),
        (format!("gateway add a --endpoint https://h --token-file {empty}"), 2, "it is empty"),
        (format!("gateway add a --endpoint unix:///a --token-file {empty}"), 2, "it is empty"),
        ("gateway add a --endpoint https://h --cert x".to_owned(), 2, "--key"),
    ] {
        let err = run(home.path(), &line).bad(code);
        assert!(err.contains(says), "{line}: {err}");
    }
    assert_eq!(listed(home.path()).len(), 1);
}

/// Each source wins over those after it.
#[test]
fn the_gateway_is_chosen_by_rank() {
    let gateway = Gateway::start();
    let socket = gateway.socket();
    let socket = socket.display();
    let home = home();
    run(home.path(), &format!("gateway add real --endpoint unix://{socket}")).good();
    run(home.path(), "gateway add dead --endpoint unix:///absent.sock").good();
    run(home.path(), "gateway select dead").good();
    let chosen = |flags: &[&str], variables: &[(&str, &str)]| -> String {
        let mut command = bare(home.path());
        command.args(flags).args(["status", "--json"]).envs(variables.iter().copied());
        Run::from(command.output().expect("it runs")).json()["chosen_by"].as_str().expect("a word").to_owned()
    };
    let path = socket.to_string();
    let endpoint = format!("unix://{socket}");
    let dead = ("OPENSHELL_GATEWAY_SOCKET", "/absent.sock");
    assert_eq!(chosen(&["--gateway-socket", &path], &[dead]), "--gateway-socket");
    assert_eq!(chosen(&["--gateway", "real"], &[dead]), "--gateway");
    assert_eq!(chosen(&["--gateway", &endpoint], &[dead]), "--gateway");
    assert_eq!(
        chosen(&[], &[("OPENSHELL_GATEWAY_SOCKET", &path), ("OPENSHELL_GATEWAY", "dead")]),
        "OPENSHELL_GATEWAY_SOCKET"
    );
    assert_eq!(chosen(&[], &[("OPENSHELL_GATEWAY", "real")]), "OPENSHELL_GATEWAY");
    run(home.path(), "gateway select real").good();
    assert_eq!(chosen(&[], &[]), "selected");

    let err = run(home.path(), "--gateway raal status").bad(3);
    assert_eq!(
        err,
        "error: there is no gateway `raal`, which --gateway names\nhint: did you mean `real`?\n\
         hint: see which there are: openshell gateway list\n"
    );
    run(home.path(), "--gateway real --gateway-socket /x status").bad(2);
    // Selected, and then removed by hand.
    std::fs::write(home.path().join(".config/openshell/active_gateway"), "gone\n").expect("a file");
    assert!(run(home.path(), "status").bad(3).contains("active_gateway` names"));
}

#[test]
fn a_context_has_a_workspace_of_its_own() {
    let gateway = Gateway::start();
    let home = home();
    let add = format!(
        "gateway add real --endpoint unix://{} --select --workspace team",
        gateway.socket().display()
    );
    run(home.path(), &add).good();
    run(home.path(), "sandbox list").good();
    assert_eq!(gateway.state().lists.pop().expect("a request").workspace, "team");
    run(home.path(), "sandbox create --name a").good();
    assert_eq!(gateway.state().creates.pop().expect("a request").workspace, "team");
}
