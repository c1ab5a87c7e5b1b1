//! `sandbox watch`, and `--wait`.

use openshell_proto::openshell::v1::sandbox_stream_event::Payload;
use openshell_proto::openshell::v1::{PlatformEvent, Sandbox, SandboxPhase, SandboxStreamEvent};
use tonic::Status;

use crate::fake::{Gateway, Script, sandbox, seen};
use crate::line;

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
    assert_eq!(line(&gateway.socket(), "sandbox create --name a --wait -- sleep 5").good(), "a\n");
    gateway.state().sandboxes.clear();
    let json = line(&gateway.socket(), "sandbox create --name a --wait=5s --json").json();
    assert_eq!(json["status"]["phase"], "ready");
}

#[test]
fn create_fails_when_the_sandbox_does() {
    let gateway = Gateway::start();
    let error = sandbox("a", SandboxPhase::Error, "ImagePullFailed", "no such image `x`");
    gateway.state().scripts.push_back(vec![seen(state(SandboxPhase::Provisioning)), seen(error)]);
    let run = line(&gateway.socket(), "sandbox create --name a --wait --image x");
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
    let run = line(&gateway.socket(), "sandbox create --name a --wait=200ms");
    assert_eq!(run.code, Some(8));
    assert_eq!(
        run.err,
        "error: sandbox `a` is provisioning after 200ms\nhint: keep watching it: openshell sandbox watch a\n"
    );
}

#[test]
fn a_sandbox_that_vanishes_is_not_waited_for() {
    let gateway = playing(vec![seen(state(SandboxPhase::Starting))]);
    let err = line(&gateway.socket(), "sandbox start a --wait").bad(1);
    assert!(err.starts_with("error: sandbox `a` is gone\nhint: "), "{err}");
}

#[test]
fn stop_waits_until_it_is_stopped() {
    let gateway = playing(vec![seen(state(SandboxPhase::Stopping)), seen(state(SandboxPhase::Stopped))]);
    assert_eq!(line(&gateway.socket(), "sandbox stop a --wait").good(), "a\n");
}
