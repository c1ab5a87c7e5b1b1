//! Telemetry against an endpoint that answers, one that is dead, and one that hangs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::selection::DriverName;
use crate::telemetry::{Action, DriverKind, Outcome};
use crate::testing::Build;

const HURRY: Timing = Timing {
    flush: Duration::from_millis(20),
    request: Duration::from_secs(5),
    pause: Duration::from_millis(20),
    longest_pause: Duration::from_millis(40),
};

fn event() -> UsageEvent {
    let catalog = Build::with(&[]).catalog();
    UsageEvent {
        action: Action::SandboxCreate,
        driver: DriverKind::of(&catalog, &DriverName::Named("docker".into())),
        outcome: Outcome::Ok,
        took: Duration::from_millis(5),
    }
}

fn to(port: u16) -> Settings {
    let endpoint = format!("http://127.0.0.1:{port}/v1/events").parse().expect("a URL");
    Settings { enabled: true, endpoint: Some(endpoint), roots: None }
}

/// Reads one request and answers it with `status`; gives its head and body.
async fn answer(mut stream: TcpStream, status: &str) -> (String, Value) {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.expect("a request");
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if let Ok(value) = serde_json::from_str(body) {
            let reply = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(reply.as_bytes()).await.expect("a peer");
            return (head.to_owned(), value);
        }
    }
}

/// A server that answers every request, and what it got.
async fn server(status: &'static str) -> (u16, mpsc::UnboundedReceiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (got, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = got.send(answer(stream, status).await);
        }
    });
    (port, requests)
}

fn settings(vars: &[(&str, &str)]) -> (Settings, Vec<Problem>) {
    let keys = TelemetryKeys { endpoint: Some("http://file/".parse().expect("a URL")) };
    let mut problems = Vec::new();
    let settings = Settings::resolve(&Environment::new(vars.iter().copied(), 0), &keys, &mut problems);
    (settings, problems)
}

#[test]
fn the_variable_switches_it_off() {
    for off in ["0", "false", "no", "off", "FALSE", "Off", " no "] {
        assert!(!settings(&[(ENV_ENABLED, off)]).0.is_enabled(), "{off:?}");
    }
    for on in ["", "1", "true", "yes", "on", "whatever"] {
        assert!(settings(&[(ENV_ENABLED, on)]).0.is_enabled(), "{on:?}");
    }
}

#[test]
fn the_variable_comes_before_the_file() {
    assert_eq!(settings(&[]).0.endpoint.expect("the file's").to_string(), "http://file/");
    let (settings_, problems) = settings(&[(ENV_ENDPOINT, "https://variable/x")]);
    assert_eq!(settings_.endpoint.expect("the variable's").to_string(), "https://variable/x");
    assert!(problems.is_empty());
    assert_eq!(settings(&[(ENV_ENDPOINT, "nonsense")]).1.len(), 1);
}

#[tokio::test]
async fn without_an_endpoint_or_when_off_nothing_is_started() {
    assert!(Telemetry::start(&Settings { enabled: true, endpoint: None, roots: None }).0.is_none());
    let off = Telemetry::start(&Settings { enabled: false, ..to(1) });
    assert!(off.0.is_none());
    off.record(event());
    off.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn events_leave_in_a_batch_that_names_nobody() {
    let (port, mut requests) = server("204 No Content").await;
    let telemetry = Telemetry::start_with(&to(port), HURRY);
    telemetry.record(event());
    telemetry.record(UsageEvent { outcome: Outcome::Failed, took: Duration::from_secs(61), ..event() });
    let (head, body) = requests.recv().await.expect("a request");
    assert!(head.starts_with("POST /v1/events HTTP/1.1\r\n"), "{head}");
    assert_eq!(
        body,
        json!({
            "schema": 1,
            "version": env!("CARGO_PKG_VERSION"),
            "os": std::env::consts::OS,
            "arch": std::env::consts::ARCH,
            "dropped": 0,
            "events": [
                { "event": "sandbox.create", "driver": "docker", "outcome": "ok", "duration": "<100ms" },
                { "event": "sandbox.create", "driver": "docker", "outcome": "failed", "duration": ">=1m" },
            ],
        })
    );
}

#[tokio::test]
async fn an_answer_is_an_answer_whatever_it_says() {
    let (port, mut requests) = server("500 Internal Server Error").await;
    let telemetry = Telemetry::start_with(&to(port), HURRY);
    telemetry.record(event());
    requests.recv().await.expect("a request");
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(requests.try_recv().is_err(), "it was sent a second time");
}

#[tokio::test]
async fn shutdown_sends_what_waits() {
    let (port, mut requests) = server("200 OK").await;
    let timing = Timing { flush: Duration::from_secs(3600), ..HURRY };
    let telemetry = Telemetry::start_with(&to(port), timing);
    for _ in 0..3 {
        telemetry.record(event());
    }
    telemetry.clone().shutdown(Duration::from_secs(5)).await;
    let (_, body) = requests.recv().await.expect("a request");
    assert_eq!(body["events"].as_array().map(Vec::len), Some(3));
    // Afterwards it is harmless, and a second time too.
    telemetry.record(event());
    telemetry.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_dead_endpoint_blocks_nobody_and_the_queue_is_bounded() {
    // No port that the kernel gives to whoever wants any: nobody listens there.
    let telemetry = Telemetry::start_with(&to(1), HURRY);
    let start = Instant::now();
    for _ in 0..10_000 {
        telemetry.record(event());
    }
    assert!(start.elapsed() < Duration::from_secs(30));
    assert!(telemetry.dropped() >= 10_000 - (QUEUE as u64), "{}", telemetry.dropped());
    telemetry.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_batch_is_given_up_and_the_next_one_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let telemetry = Telemetry::start_with(&to(port), HURRY);
    telemetry.record(event());
    // Hung up on for as often as it tries.
    for _ in 0..5 {
        drop(listener.accept().await.expect("a try"));
    }
    while telemetry.dropped() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    telemetry.record(event());
    let (stream, _) = listener.accept().await.expect("the next batch");
    let (_, body) = answer(stream, "200 OK").await;
    assert_eq!(body["dropped"], 1);
    assert_eq!(body["events"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_hanging_endpoint_blocks_neither_requests_nor_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let timing = Timing { request: Duration::from_secs(3600), ..HURRY };
    let telemetry = Telemetry::start_with(&to(port), timing);
    telemetry.record(event());
    let _held = listener.accept().await.expect("a connection");
    for _ in 0..1_000 {
        telemetry.record(event());
    }
    let start = Instant::now();
    telemetry.shutdown(Duration::from_millis(100)).await;
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn a_full_batch_at_the_end_is_tried_once_more_and_no_oftener() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let timing = Timing { request: Duration::from_secs(3600), ..HURRY };
    let telemetry = Telemetry::start_with(&to(port), timing);
    for _ in 0..64 {
        telemetry.record(event());
    }
    let held = listener.accept().await.expect("the first try");
    let connections = tokio::spawn(async move {
        let mut held = vec![held];
        while let Ok(Ok(more)) = tokio::time::timeout(Duration::from_secs(5), listener.accept()).await {
            held.push(more);
        }
        held.len()
    });
    telemetry.shutdown(Duration::from_secs(1)).await;
    assert_eq!(connections.await.expect("a count"), 2);
}

#[tokio::test]
async fn tls_needs_nobody_to_install_a_provider() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let endpoint = format!("https://127.0.0.1:{port}/").parse().expect("a URL");
    let telemetry =
        Telemetry::start_with(&Settings { enabled: true, endpoint: Some(endpoint), roots: None }, HURRY);
    telemetry.record(event());
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.expect("a greeting");
    assert_eq!(first[0], 0x16, "a TLS handshake");
    assert_eq!(Arc::strong_count(telemetry.0.as_ref().expect("it runs")), 1);
}
