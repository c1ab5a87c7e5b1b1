//! `sandbox watch`, and `--wait`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use openshell_proto::openshell::v1::sandbox_stream_event::Payload;
use openshell_proto::openshell::v1::{PlatformEvent, Sandbox, SandboxPhase, SandboxStreamEvent};
use tonic::Status;

use crate::fake::{Gateway, Script, sandbox, seen};
use crate::{line, openshell};

fn state(phase: SandboxPhase) -> Sandbox {
    sandbox("a", phase, "", "")
}

/// A gateway that has `a`, and plays a script on its first watch.
fn playing(script: Script) -> Gateway {
    let gateway = Gateway::start();
    gateway.state().sandboxes.push(state(SandboxPhase::Provisioning));
    gateway.state().scripts.push_back(script);
    gateway
}

/// The lines of a watch without their times.
fn untimed(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.split_once("  ").expect("a time first").1).collect()
}

#[test]
fn watch_tells_each_phase_once_until_it_is_gone() {
    let pulling = sandbox("a", SandboxPhase::Provisioning, "ContainerCreated", "pulling");
    let gateway = playing(vec![
        seen(pulling.clone()),
        seen(pulling),
        seen(state(SandboxPhase::Ready)),
        seen(state(SandboxPhase::Deleting)),
    ]);
    let out = line(&gateway.socket(), "sandbox watch a").good();
    assert_eq!(untimed(&out), ["provisioning  ContainerCreated: pulling", "ready", "deleting", "gone"]);
    let asked = gateway.state().watches.remove(0);
    assert_eq!(asked.id, "id-a");
    assert!(asked.follow_status && !asked.follow_events && !asked.stop_on_terminal);
}

#[test]
fn watch_with_stop_on_terminal_ends_without_a_word() {
    let gateway = playing(vec![seen(state(SandboxPhase::Ready))]);
    let out = line(&gateway.socket(), "sandbox watch a --stop-on-terminal").good();
    assert_eq!(untimed(&out), ["ready"]);
    assert!(gateway.state().watches[0].stop_on_terminal);
}

#[test]
fn watch_shows_what_the_backend_says_when_asked() {
    let event = PlatformEvent {
        timestamp_ms: 0,
        source: "docker".to_owned(),
        reason: "Pulling".to_owned(),
        message: "layer 1\u{1b}[31m".to_owned(),
        ..PlatformEvent::default()
    };
    let said = || Ok(SandboxStreamEvent { payload: Some(Payload::Event(event.clone())) });
    let gateway = playing(vec![seen(state(SandboxPhase::Ready)), said()]);
    let out = line(&gateway.socket(), "sandbox watch a --events").good();
    assert!(out.contains("1970-01-01T00:00:00Z  event  docker Pulling: layer 1\\u{1b}[31m\n"), "{out}");
    assert!(gateway.state().watches[0].follow_events);

    gateway.state().scripts.push_back(vec![seen(state(SandboxPhase::Ready)), said()]);
    let out = line(&gateway.socket(), "sandbox watch a --events --json").good();
    let documents: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(documents[0]["sandbox"]["status"]["phase"], "ready");
    assert_eq!(documents[1]["event"]["message"], "layer 1\u{1b}[31m");
}

#[test]
fn a_watch_that_was_too_slow_comes_back() {
    let gateway = playing(vec![
        seen(state(SandboxPhase::Provisioning)),
        seen(state(SandboxPhase::Ready)),
        Err(Status::resource_exhausted("too slow")),
    ]);
    gateway.state().scripts.push_back(vec![seen(state(SandboxPhase::Stopped))]);
    let out = line(&gateway.socket(), "sandbox watch a").good();
    assert_eq!(untimed(&out), ["provisioning", "ready", "stopped", "gone"]);
    assert_eq!(gateway.state().watches.len(), 2);
}

#[test]
fn a_watch_that_is_always_cut_gives_up() {
    let gateway =
        playing(vec![seen(state(SandboxPhase::Ready)), Err(Status::resource_exhausted("too slow"))]);
    let run = line(&gateway.socket(), "sandbox watch a");
    assert_eq!(run.code, Some(6));
    assert_eq!(run.err, "error: cannot watch sandbox `a`\n  caused by: too slow\n");
}

#[test]
fn create_waits_until_it_is_ready() {
    let gateway = Gateway::start();
    gateway.state().endless = true;
    let script = || vec![seen(state(SandboxPhase::Provisioning)), seen(state(SandboxPhase::Ready))];
    gateway.state().scripts.extend([script(), script()]);
    let run = line(&gateway.socket(), "sandbox create --name a --wait -- sleep 5");
    assert_eq!(run.err, "a: provisioning\na: ready\n");
    assert_eq!(run.done(), "a\n");
    gateway.state().sandboxes.clear();
    let json = line(&gateway.socket(), "sandbox create --name a --wait=5s --json").json();
    assert_eq!(json["status"]["phase"], "ready");
}

#[test]
fn create_fails_when_the_sandbox_does() {
    let gateway = Gateway::start();
    let error = sandbox("a", SandboxPhase::Error, "ImagePullFailed", "no such image `x`");
    gateway.state().scripts.push_back(vec![seen(state(SandboxPhase::Provisioning)), seen(error)]);
    let run = line(&gateway.socket(), "sandbox create --name a --wait --quiet --image x");
    assert_eq!((run.code, run.out.as_str()), (Some(1), "a\n"));
    assert_eq!(
        run.err,
        "error: sandbox `a` has failed: ImagePullFailed: no such image `x`\n\
         hint: see why: openshell sandbox get a\n"
    );
}

#[test]
fn waiting_has_an_end() {
    let gateway = Gateway::start();
    gateway.state().endless = true;
    gateway.state().scripts.push_back(vec![seen(state(SandboxPhase::Provisioning))]);
    let run = line(&gateway.socket(), "sandbox create --name a --wait=200ms --quiet");
    assert_eq!(run.code, Some(8));
    assert_eq!(
        run.err,
        "error: sandbox `a` is provisioning after 200ms\nhint: keep watching it: openshell sandbox watch a\n"
    );
}

#[test]
fn a_sandbox_that_vanishes_is_not_waited_for() {
    let gateway = playing(vec![seen(state(SandboxPhase::Starting))]);
    let err = line(&gateway.socket(), "sandbox start a --wait -q").bad(1);
    assert!(err.starts_with("error: sandbox `a` is gone\nhint: "), "{err}");
}

#[test]
fn stop_waits_until_it_is_stopped() {
    let gateway = playing(vec![seen(state(SandboxPhase::Stopping)), seen(state(SandboxPhase::Stopped))]);
    assert_eq!(line(&gateway.socket(), "sandbox stop a --wait -q").good(), "a\n");
}

fn event(reason: &str, metadata: &[(&str, &str)]) -> Result<SandboxStreamEvent, Status> {
    let event = PlatformEvent {
        timestamp_ms: 1_767_323_045_000,
        source: "docker".to_owned(),
        r#type: "Normal".to_owned(),
        reason: reason.to_owned(),
        message: format!("{reason} it"),
        metadata: metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    };
    Ok(SandboxStreamEvent { payload: Some(Payload::Event(event)) })
}

#[test]
fn create_tells_how_the_image_gets_here() {
    let gateway = Gateway::start();
    let image = ("image", "busybox:1");
    let pull = |done, bytes| {
        let metadata =
            [image, ("layers", "2"), ("layers_done", done), ("bytes", bytes), ("bytes_total", "90")];
        event("ImagePullProgress", &metadata)
    };
    gateway.state().scripts.push_back(vec![
        seen(state(SandboxPhase::Provisioning)),
        event("ImagePulling", &[image]),
        pull("0", "10"),
        pull("0", "40"),
        pull("1", "60"),
        event("ImagePulled", &[image]),
        event("Started", &[]),
        seen(state(SandboxPhase::Ready)),
    ]);
    let run = line(&gateway.socket(), "sandbox create --name a --wait");
    assert_eq!(
        run.err,
        "a: provisioning\na: pulling busybox:1\na: pulling busybox:1  0/2 layers\n\
         a: pulling busybox:1  1/2 layers\na: pulled busybox:1\na: Started: Started it\na: ready\n"
    );
    assert_eq!(run.done(), "a\n");
    let asked = gateway.state().watches.remove(0);
    assert!(asked.follow_events && asked.event_tail > 0);
}

#[test]
fn ctrl_c_leaves_the_sandbox_and_says_how_to_go_on() {
    let gateway = Gateway::start();
    gateway.state().endless = true;
    gateway
        .state()
        .scripts
        .push_back(vec![seen(state(SandboxPhase::Provisioning)), event("ImagePulling", &[])]);
    let mut child = openshell(&gateway.socket())
        .args(["sandbox", "create", "--name", "a", "--wait"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    // It listens for the signal once it tells what it sees.
    let mut err = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut told = String::new();
    while !told.contains("pulling") {
        assert_ne!(err.read_line(&mut told).expect("a line"), 0, "{told}");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    told.clear();
    err.read_to_string(&mut told).expect("its end");
    assert_eq!(
        told,
        "error: no longer waiting: sandbox `a` is left as it is, provisioning\n\
         hint: keep watching it: openshell sandbox watch a\nhint: or remove it: openshell sandbox delete a\n"
    );
    assert_eq!(child.wait().expect("its end").code(), Some(130));
    assert_eq!(gateway.state().sandboxes.len(), 1);
}

#[test]
fn events_are_shown_and_end() {
    let script = || vec![seen(state(SandboxPhase::Ready)), event("Created", &[]), event("Started", &[])];
    let gateway = playing(script());
    gateway.state().endless = true;
    let socket = gateway.socket();
    assert_eq!(
        line(&socket, "sandbox events a --tail 7").good(),
        "TIME                  TYPE    SOURCE  REASON   MESSAGE\n\
         2026-01-02T03:04:05Z  Normal  docker  Created  Created it\n\
         2026-01-02T03:04:05Z  Normal  docker  Started  Started it\n"
    );
    assert_eq!(gateway.state().watches[0].event_tail, 7);
    gateway.state().scripts.push_back(script());
    assert_eq!(line(&socket, "sandbox events a --json").json()[1]["reason"], "Started");
    gateway.state().endless = false;
    gateway.state().scripts.push_back(script());
    assert_eq!(line(&socket, "sandbox events a --follow -o name").good(), "Created\nStarted\n");
    // The latest of them are with the sandbox, too.
    gateway.state().scripts.push_back(script());
    let text = line(&socket, "sandbox get a").good();
    assert!(text.contains("\nevents:\n  AGE"), "{text}");
}

#[test]
fn get_can_be_watched() {
    let gateway = playing(vec![
        seen(state(SandboxPhase::Provisioning)),
        seen(state(SandboxPhase::Provisioning)),
        seen(state(SandboxPhase::Ready)),
    ]);
    let out = line(&gateway.socket(), "sandbox get a --watch").good();
    let phases: Vec<&str> =
        out.lines().filter_map(|line| line.strip_prefix("phase:")).map(str::trim).collect();
    assert_eq!(phases, ["provisioning", "ready"]);
    assert!(line(&gateway.socket(), "sandbox get a b --watch").bad(2).contains("one sandbox"));
}
