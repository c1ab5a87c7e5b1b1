//! What a client makes of services that answer well, badly, slowly, and not at all.

use std::time::Duration;

use openshell_driver_api::ErrorKind;
use serde_json::Value;

use super::fake::{Fake, Step, chunk, endless, nowhere, reply};
use super::*;

fn client(fake: &Fake) -> Client {
    Client::new(&fake.socket(), "/v4.0.0/libpod")
}

fn call() -> Call {
    Call::get("look", &["info"]).within(Duration::from_secs(5))
}

fn raw(text: &str) -> Vec<Step> {
    vec![Step::Write(text.as_bytes().to_vec())]
}

async fn json(answer: Vec<Step>) -> Result<Value, Failure> {
    let fake = Fake::new(move |_| answer.clone());
    client(&fake).json(call()).await
}

async fn fault(answer: Vec<Step>) -> (ErrorKind, String) {
    let failure = json(answer).await.expect_err("a failure");
    (failure.kind(), failure.message())
}

#[tokio::test]
async fn a_call_and_its_answer() {
    let fake = Fake::new(|_| reply(201, r#"{"Id": "a"}"#));
    let call = Call::post("make", &["x", "a b"])
        .query("force", "true")
        .json(&serde_json::json!({"k": 1}))
        .expect("a call");
    let made: Value = client(&fake).json(call).await.expect("an answer");
    assert_eq!(made["Id"], "a");
    let asked = fake.asked().remove(0);
    assert_eq!(asked.line, "POST /v4.0.0/libpod/x/a%20b?force=true");
    assert!(asked.head.contains("content-type: application/json") && asked.head.contains("host: localhost"));
    assert_eq!(asked.body, r#"{"k":1}"#);
    fake.left_alone().await;
}

#[tokio::test]
async fn refusals_in_any_form() {
    let json = r#"{"cause":"no such container","message":"no container \"a\"","response":404}"#;
    assert_eq!(
        fault(reply(404, json)).await,
        (ErrorKind::NotFound, "the engine says: no container \"a\"".into())
    );
    let page = fault(reply(503, "<html>\n<b>away</b>")).await;
    assert_eq!(page, (ErrorKind::Unavailable, "the engine says: <html>\\n<b>away</b>".into()));
    let cut = raw("HTTP/1.1 500 X\r\nContent-Length: 900\r\n\r\n{\"mess");
    assert_eq!(fault(cut).await.0, ErrorKind::Internal);
    let giant = fault(reply(500, &"x".repeat(MAX_REFUSAL + 1))).await;
    assert_eq!(giant, (ErrorKind::Internal, "the engine refuses with HTTP status 500 and no word".into()));
    // "Not modified" is how a start says that it has been done already.
    let fake = Fake::new(|_| raw("HTTP/1.1 304 Not Modified\r\n\r\n"));
    client(&fake).done(call()).await.expect("nothing to do");
}

#[tokio::test]
async fn answers_that_make_no_sense_are_not_repeated() {
    for (body, problem) in [
        ("s3cret", "it is not JSON (line 1, column 1)"),
        ("{\"s3cret\": ", "it is not JSON (line 1, column 11)"),
    ] {
        let (kind, message) = fault(reply(200, body)).await;
        assert_eq!(
            (kind, message),
            (ErrorKind::Internal, format!("the engine's answer makes no sense: {problem}"))
        );
    }
    let fake = Fake::new(|_| reply(200, r#"["s3cret"]"#));
    let failure = client(&fake).json::<u32>(call()).await.expect_err("a list is no number");
    assert!(failure.message().contains("is not what was expected"), "{}", failure.message());
    assert!(!format!("{failure:?}").contains("s3cret"));
    let (kind, message) = fault(raw("SSH-2.0-OpenSSH\r\n\r\n")).await;
    assert_eq!(
        (kind, message.as_str()),
        (ErrorKind::Internal, "the engine's answer makes no sense: it is not HTTP")
    );
}

#[tokio::test]
async fn answers_that_break_off() {
    for answer in [
        raw(""),
        raw("HTTP/1.1 200 OK\r\nContent-Le"),
        raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"),
        vec![endless(), chunk("{}")],
    ] {
        assert_eq!(fault(answer).await, (ErrorKind::Unavailable, "the engine does not answer".into()));
    }
}

#[tokio::test]
async fn an_answer_beyond_its_bound() {
    let fake = Fake::new(|_| reply(200, &"x".repeat(100)));
    let bytes = client(&fake).bytes(call(), 100).await.expect("just so");
    assert_eq!(bytes.len(), 100);
    let failure = client(&fake).bytes(call(), 99).await.expect_err("too large");
    assert_eq!(failure.message(), "the engine's answer makes no sense: it is larger than 99 bytes");
}

#[tokio::test]
async fn a_service_that_hangs_is_a_deadline() {
    let hung: [Vec<Step>; 3] = [
        vec![Step::Hold],
        vec![Step::Write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec()), Step::Hold],
        vec![Step::Write(b"HTTP/1.1 500 X\r\nContent-Length: 9\r\n\r\n{".to_vec()), Step::Hold],
    ];
    for answer in hung {
        let fake = Fake::new(move |_| answer.clone());
        let patience = Duration::from_millis(100);
        let failure = client(&fake).done(call().within(patience)).await.expect_err("a deadline");
        assert_eq!(failure.kind(), ErrorKind::DeadlineExceeded);
        // And the service sees that nobody waits any more.
        fake.left_alone().await;
    }
}

#[tokio::test]
async fn a_socket_without_a_service() {
    let failure = Client::new(&nowhere(), "/v").done(call()).await.expect_err("nobody there");
    assert_eq!((failure.kind(), failure.status()), (ErrorKind::Unavailable, None));
    let fake = Fake::new(|_| reply(200, "{}"));
    client(&fake).done(call()).await.expect("an answer");
    fake.vanish();
    let failure = client(&fake).done(call()).await.expect_err("it is gone");
    assert_eq!(failure.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn lines_come_one_by_one_however_they_are_cut() {
    let fake = Fake::new(|_| {
        vec![
            Step::Wait(Duration::from_millis(30)),
            endless(),
            chunk("{\"n\":1}\n{\"n\""),
            Step::Wait(Duration::from_millis(30)),
            chunk(":2}\n\n\r\n"),
            chunk("{\"n\":3}"),
            Step::Write(b"0\r\n\r\n".to_vec()),
        ]
    });
    let mut lines = client(&fake).lines(call()).await.expect("lines");
    let mut numbers = Vec::new();
    // Whoever looks at two things at once gives up waiting time and again.
    loop {
        match tokio::time::timeout(Duration::from_millis(1), lines.next::<Value>()).await {
            Err(_) => {}
            Ok(Ok(Some(line))) => numbers.push(line["n"].as_i64()),
            Ok(Ok(None)) => break,
            Ok(Err(failure)) => panic!("{}", failure.message()),
        }
    }
    assert_eq!(numbers, [Some(1), Some(2), Some(3)]);
}

#[tokio::test]
async fn lines_that_end_badly() {
    let long = "x".repeat(2 * 1024 * 1024);
    for (answer, kind) in [
        (vec![endless(), chunk("{}\n"), chunk("{\"n\"")], ErrorKind::Unavailable),
        (vec![endless(), chunk("{}\n{nonsense}\n"), Step::Hold], ErrorKind::Internal),
        (vec![endless(), chunk("{}\n"), chunk(&long), Step::Hold], ErrorKind::Internal),
    ] {
        let fake = Fake::new(move |_| answer.clone());
        let mut lines = client(&fake).lines(call()).await.expect("lines");
        assert!(lines.next::<Value>().await.expect("a line").is_some());
        assert_eq!(lines.next::<Value>().await.expect_err("a failure").kind(), kind);
        drop(lines);
        fake.left_alone().await;
    }
    let fake = Fake::new(|_| reply(500, r#"{"cause":"x","message":"no events here"}"#));
    let mut lines = client(&fake).lines(call()).await.expect("lines");
    let failure = lines.next::<Value>().await.expect_err("a refusal");
    assert_eq!(
        (failure.status(), failure.message().as_str()),
        (Some(500), "the engine says: no events here")
    );
}
