//! `logs`: what is asked for, how lines are shown, and that none is shown twice or lost over a break.

use openshell_proto::openshell::v1::sandbox_stream_event::Payload;
use openshell_proto::openshell::v1::{SandboxLogLine, SandboxPhase, SandboxStreamEvent};
use tonic::Status;

use crate::exec::gateway;
use crate::fake::{sandbox, seen};
use crate::line;

fn log(timestamp_ms: i64, source: &str, message: &str) -> SandboxLogLine {
    SandboxLogLine {
        sandbox_id: "id-a".to_owned(),
        timestamp_ms,
        level: "info".to_owned(),
        target: "process".to_owned(),
        message: message.to_owned(),
        source: source.to_owned(),
        ..SandboxLogLine::default()
    }
}

fn event(line: SandboxLogLine) -> Result<SandboxStreamEvent, Status> {
    Ok(SandboxStreamEvent { payload: Some(Payload::Log(line)) })
}

#[test]
fn lines_are_shown_as_they_were_written() {
    let gateway = gateway();
    let socket = gateway.socket();
    gateway.state().logs = vec![
        log(1_767_323_045_000, "main", "hello \u{1b}[1mthere"),
        log(1_767_323_046_000, "supervisor", "it ended"),
    ];
    assert_eq!(
        line(&socket, "sandbox logs a").good(),
        "hello \u{1b}[1mthere\n[supervisor] info process: it ended\n"
    );
    assert_eq!(
        line(&socket, "sandbox logs a --timestamps").good().lines().next(),
        Some("2026-01-02T03:04:05Z  hello \u{1b}[1mthere")
    );
    let json = line(&socket, "sandbox logs a --json").good();
    let json: serde_json::Value = serde_json::from_str(json.lines().next().expect("a line")).expect("JSON");
    assert_eq!(
        (json["message"].as_str(), json["source"].as_str()),
        (Some("hello \u{1b}[1mthere"), Some("main"))
    );

    let asked = gateway.state().log_requests.pop().expect("a request");
    assert_eq!((asked.sandbox_id.as_str(), asked.lines, asked.since_ms), ("id-a", u32::MAX, 0));
    line(&socket, "sandbox logs a --tail 5 --since 5m --source main --level warn").good();
    let asked = gateway.state().log_requests.pop().expect("a request");
    assert_eq!((asked.lines, asked.min_level.as_str(), asked.sources), (5, "warn", vec!["main".to_owned()]));
    assert!(asked.since_ms > 1_767_323_045_000, "{}", asked.since_ms);
    assert!(line(&socket, "sandbox logs nope").bad(3).contains("nope"));
}

#[test]
fn following_goes_on_over_a_break_without_saying_anything_twice() {
    let gateway = gateway();
    let state = || seen(sandbox("a", SandboxPhase::Ready, "", ""));
    gateway.state().scripts.extend([
        vec![
            state(),
            event(log(1_000, "main", "one")),
            event(log(2_000, "main", "two")),
            event(log(2_000, "main", "two")),
            Err(Status::resource_exhausted("too slow")),
        ],
        vec![
            state(),
            event(log(2_000, "main", "two")),
            event(log(2_000, "main", "two")),
            event(log(2_000, "main", "three")),
        ],
    ]);
    let ran = line(&gateway.socket(), "sandbox logs a --follow --tail 3");
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "one\ntwo\ntwo\nthree\n"), "{}", ran.err);
    let state = gateway.state();
    let asked: Vec<(u32, i64, bool)> =
        state.watches.iter().map(|it| (it.log_tail_lines, it.log_since_ms, it.follow_logs)).collect();
    assert_eq!(asked, [(3, 0, true), (u32::MAX, 0, true)]);
}

#[test]
fn a_gateway_that_comes_back_is_followed_on() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;

    let mut gateway = gateway();
    gateway.state().endless = true;
    let state = || seen(sandbox("a", SandboxPhase::Ready, "", ""));
    gateway.state().scripts.push_back(vec![state(), event(log(1_000, "main", "one"))]);
    let mut command = crate::openshell(&gateway.socket());
    command.args(["sandbox", "logs", "a", "-f"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut next = || {
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        line
    };
    assert_eq!(next(), "one\n");
    gateway.state().endless = false;
    gateway.state().scripts.push_back(vec![
        state(),
        event(log(1_000, "main", "one")),
        event(log(1_500, "main", "two")),
    ]);
    gateway.revive();
    assert_eq!(next(), "two\n");
    let ran = crate::Run::from(child.wait_with_output().expect("its end"));
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), "warning: the gateway went away; waiting for it\n"));
}
