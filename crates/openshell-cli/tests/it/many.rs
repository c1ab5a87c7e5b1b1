//! Which sandboxes a command line means: names, beginnings of ids, several, all; and lists with filters.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use openshell_proto::openshell::v1::SandboxPhase;
use serde_json::json;

use crate::fake::{Gateway, sandbox, seen};
use crate::{line, openshell};

/// A gateway with sandboxes of these names and ids.
fn with(sandboxes: &[(&str, &str, SandboxPhase)]) -> Gateway {
    let gateway = Gateway::start();
    for (number, (name, id, phase)) in sandboxes.iter().enumerate() {
        let mut one = sandbox(name, *phase, "", "");
        let metadata = one.metadata.as_mut().expect("metadata");
        (*id).clone_into(&mut metadata.id);
        metadata.created_at_ms += i64::try_from(number).expect("few") * 1000;
        gateway.state().sandboxes.push(one);
    }
    gateway
}

#[test]
fn the_beginning_of_an_id_will_do() {
    let gateway = with(&[
        ("one", "0b5c1f0e", SandboxPhase::Ready),
        ("two", "0b5c2222", SandboxPhase::Ready),
        ("0b5c1", "11112222", SandboxPhase::Ready),
    ]);
    let socket = gateway.socket();
    assert_eq!(line(&socket, "sandbox get 0b5c2 -o name").good(), "two\n");
    assert_eq!(line(&socket, "sandbox get 0b5c1 -o name").good(), "0b5c1\n", "a name wins");
    assert_eq!(line(&socket, "sandbox stop 0b5c1f").good(), "one\n");
    assert_eq!(
        line(&socket, "sandbox delete 0b5c").bad(11),
        "error: `0b5c` begins the ids of several sandboxes: 0b5c1f0e (one), 0b5c2222 (two)\n\
         hint: give more of the id, or the name\n"
    );
    // Three characters are a slip, and a slip has a nearest name.
    assert_eq!(
        line(&socket, "sandbox get tow").bad(3),
        "error: cannot get sandbox `tow`\n  caused by: there is no sandbox `tow` in workspace `default`\n\
         hint: did you mean `two`?\n"
    );
    assert!(gateway.state().lists.iter().all(|list| list.all_workspaces));
    line(&socket, "sandbox get 0b5c2 --workspace other -o name").done();
    let asked = gateway.state().lists.pop().expect("a request");
    assert_eq!((asked.all_workspaces, asked.workspace.as_str()), (false, "other"));
}

#[test]
fn several_are_done_one_by_one() {
    let gateway = with(&[("a", "id-a", SandboxPhase::Ready), ("b", "id-b", SandboxPhase::Ready)]);
    let socket = gateway.socket();
    let run = line(&socket, "sandbox stop a nope b a");
    assert_eq!((run.code, run.out.as_str()), (Some(3), "a\nb\n"));
    assert!(run.err.starts_with("error: cannot stop sandbox `nope`\n"), "{}", run.err);
    assert!(run.err.ends_with("error: 1 of 3 failed\n"), "{}", run.err);
    let documents = line(&socket, "sandbox get a b --json").json();
    assert_eq!(documents.as_array().expect("an array").len(), 2);
    assert_eq!(
        line(&socket, "sandbox delete a b --json").json(),
        json!([{ "name": "a", "deleted": true }, { "name": "b", "deleted": true }])
    );
    assert!(line(&socket, "sandbox get a b").good().contains("\n\nname:"));
}

#[test]
fn all_is_not_done_unasked() {
    let gateway = with(&[("a", "id-a", SandboxPhase::Ready), ("b", "id-b", SandboxPhase::Ready)]);
    let socket = gateway.socket();
    assert_eq!(
        line(&socket, "sandbox delete --all").bad(2),
        "error: this would delete 2 sandboxes: a, b\nhint: if that is meant, add --yes\n"
    );
    line(&socket, "sandbox delete -l tier=web").bad(2);
    assert_eq!(gateway.state().lists.pop().expect("a request").label_selector, "tier=web");
    assert_eq!(line(&socket, "sandbox delete --all --yes").good(), "a\nb\n");
    assert!(line(&socket, "sandbox delete").bad(2).contains("<NAME>..."));
    line(&socket, "sandbox delete a --all").bad(2);
    // None is no failure: what was asked for is so.
    gateway.state().sandboxes.clear();
    assert_eq!(line(&socket, "sandbox delete --all").good(), "");
    assert_eq!(line(&socket, "sandbox delete --all --json").json(), json!([]));
}

#[test]
fn what_stands_for_one_is_still_an_array() {
    let gateway = with(&[("a", "id-a", SandboxPhase::Ready)]);
    let socket = gateway.socket();
    let stopped = line(&socket, "sandbox stop --all --yes --json").json();
    assert_eq!(stopped.as_array().map(Vec::len), Some(1), "{stopped}");
    gateway.state().refusal = Some(tonic::Status::unauthenticated("who?"));
    let err = line(&socket, "sandbox stop a b c").bad(10);
    assert_eq!(err.matches("error: ").count(), 1, "all of them would meet it: {err}");
}

#[test]
fn several_are_waited_for_together() {
    let gateway = with(&[("a", "id-a", SandboxPhase::Ready), ("b", "id-b", SandboxPhase::Ready)]);
    let state = |name, phase| seen(sandbox(name, phase, "", ""));
    gateway.state().scripts.extend([
        vec![state("a", SandboxPhase::Stopping), state("a", SandboxPhase::Stopped)],
        vec![state("b", SandboxPhase::Stopping), state("b", SandboxPhase::Error)],
    ]);
    let run = line(&gateway.socket(), "sandbox stop a b --wait");
    assert_eq!((run.code, run.out.as_str()), (Some(1), "a\n"));
    assert!(
        run.err
            .starts_with("a: stopping\na: stopped\nb: stopping\nb: error\nerror: sandbox `b` has failed\n"),
        "{}",
        run.err
    );
}

#[test]
fn lists_are_filtered_and_sorted() {
    let gateway = with(&[
        ("b", "id-1", SandboxPhase::Ready),
        ("a", "id-2", SandboxPhase::Error),
        ("c", "id-3", SandboxPhase::Stopped),
    ]);
    let socket = gateway.socket();
    for (options, names) in [
        ("", "b a c"),
        (" --sort name", "a b c"),
        (" --sort age", "c a b"),
        (" --sort phase", "a b c"),
        (" --sort age --limit 1", "c"),
        (" --phase ready,error", "b a"),
        (" --phase error --phase stopped", "a c"),
        (" --phase stopped --limit 1", "c"),
    ] {
        let out = line(&socket, &format!("sandbox list -o name{options}")).good();
        assert_eq!(out.split_whitespace().collect::<Vec<_>>().join(" "), names, "{options}");
    }
    assert!(line(&socket, "sandbox list --phase rady").bad(2).contains("ready"));
    assert_eq!(line(&socket, "sandbox list --no-headers --phase error").good().lines().count(), 1);
    let wide = line(&socket, "sandbox list -o wide").good();
    assert!(wide.starts_with("NAME  PHASE    AGE"), "{wide}");
    assert!(wide.lines().next().is_some_and(|line| line.ends_with("LABELS  RESOURCE  WHY")), "{wide}");
}

#[test]
fn a_watched_list_has_a_row_for_each_change() {
    let gateway = with(&[("a", "id-a", SandboxPhase::Provisioning)]);
    let mut child = openshell(&gateway.socket())
        .args(["sandbox", "list", "--watch", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || -> (String, String) {
        let line = lines.next().expect("a line").expect("text");
        let document: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let text = |value: &serde_json::Value| value.as_str().expect("a word").to_owned();
        (text(&document["change"]), text(&document["sandbox"]["status"]["phase"]))
    };
    assert_eq!(next(), ("added".to_owned(), "provisioning".to_owned()));
    gateway.state().sandboxes[0] = sandbox("a", SandboxPhase::Ready, "", "");
    assert_eq!(next(), ("changed".to_owned(), "ready".to_owned()));
    gateway.state().sandboxes.clear();
    assert_eq!(next(), ("gone".to_owned(), "ready".to_owned()));
    child.kill().expect("it lives");
    child.wait().expect("its end");
}
