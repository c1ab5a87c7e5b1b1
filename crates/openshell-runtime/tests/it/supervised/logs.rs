//! What sandboxes log, from their supervisors to those who ask.

use openshell_proto::openshell::v1::sandbox_stream_event::Payload;
use openshell_proto::openshell::v1::{self as proto};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::exec::ready;
use super::harness::{PATIENCE, Supervisor, a_gateway, client};
use crate::client::Gateway;
use crate::fake::Fake;

fn line(number: i64) -> proto::SandboxLogLine {
    proto::SandboxLogLine {
        timestamp_ms: number,
        level: if number % 2 == 0 { "INFO" } else { "DEBUG" }.to_owned(),
        source: "main".to_owned(),
        message: number.to_string(),
        ..Default::default()
    }
}

async fn push(supervisor: &mut Supervisor, of: &str, numbers: std::ops::Range<i64>) -> Result<(), Status> {
    let message =
        proto::PushSandboxLogsRequest { sandbox_id: of.to_owned(), logs: numbers.map(line).collect() };
    supervisor.rpc.push_sandbox_logs(tokio_stream::iter([message])).await.map(|_| ())
}

async fn get(gateway: &mut Gateway, asked: proto::GetSandboxLogsRequest) -> (Vec<i64>, u32) {
    let answer = gateway.client.get_sandbox_logs(asked).await.expect("as prepared").into_inner();
    (answer.logs.iter().map(|line| line.timestamp_ms).collect(), answer.buffer_total)
}

async fn next(events: &mut Streaming<proto::SandboxStreamEvent>) -> Result<Option<i64>, Status> {
    loop {
        let event = tokio::time::timeout(PATIENCE, events.message()).await.expect("in time")?;
        match event.map(|event| event.payload.expect("a payload")) {
            Some(Payload::Log(line)) => return Ok(Some(line.timestamp_ms)),
            Some(Payload::Sandbox(_)) => {}
            Some(other) => panic!("{other:?}"),
            None => return Ok(None),
        }
    }
}

#[tokio::test]
async fn the_latest_lines_as_they_are_asked_for() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let (other, _other) = ready(&mut gateway, "two").await;
    push(&mut supervisor, &id, 0..3000).await.unwrap();
    let ask = proto::GetSandboxLogsRequest { sandbox_id: id.clone(), ..Default::default() };
    assert_eq!(get(&mut gateway, ask.clone()).await, ((1000..3000).collect(), 2000));
    let few = proto::GetSandboxLogsRequest { lines: 2, min_level: "info".to_owned(), ..ask.clone() };
    assert_eq!(get(&mut gateway, few).await, (vec![2996, 2998], 2000));
    let late = proto::GetSandboxLogsRequest { since_ms: 2998, ..ask.clone() };
    assert_eq!(get(&mut gateway, late).await, (vec![2998, 2999], 2000));
    let sources = proto::GetSandboxLogsRequest { sources: vec!["supervisor".to_owned()], ..ask.clone() };
    assert_eq!(get(&mut gateway, sources).await, (vec![], 2000));
    let nothing = proto::GetSandboxLogsRequest { sandbox_id: other.clone(), ..Default::default() };
    assert_eq!(get(&mut gateway, nothing).await, (vec![], 0));
    for (bad, code) in [
        (proto::GetSandboxLogsRequest { min_level: "loud".to_owned(), ..ask.clone() }, Code::InvalidArgument),
        (proto::GetSandboxLogsRequest { workspace: "team".to_owned(), ..ask.clone() }, Code::NotFound),
        (proto::GetSandboxLogsRequest { sandbox_id: "nobody".to_owned(), ..ask }, Code::NotFound),
    ] {
        assert_eq!(gateway.client.get_sandbox_logs(bad).await.unwrap_err().code(), code);
    }
    let status = push(&mut supervisor, &other, 0..1).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    gateway.delete("one").await.unwrap();
    gateway.until_gone("one").await;
    assert_eq!(push(&mut supervisor, &id, 0..1).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn what_says_nothing_at_length_is_refused_and_so_is_one_stream_too_many() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let logs = vec![proto::SandboxLogLine::default(); 1_000_000];
    let message = proto::PushSandboxLogsRequest { sandbox_id: id.clone(), logs };
    let status = supervisor.rpc.push_sandbox_logs(tokio_stream::iter([message])).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "a message of 1000000 lines; it may have 8192");
    // The refused one has given its place back.
    let mut pushing = Vec::new();
    for number in 0..4 {
        let (messages, queue) = mpsc::channel(1);
        let mut rpc = supervisor.rpc.clone();
        let logs = vec![line(number)];
        messages.send(proto::PushSandboxLogsRequest { sandbox_id: id.clone(), logs }).await.unwrap();
        pushing.push((
            messages,
            tokio::spawn(async move { rpc.push_sandbox_logs(ReceiverStream::new(queue)).await }),
        ));
    }
    let ask = proto::GetSandboxLogsRequest { sandbox_id: id.clone(), ..Default::default() };
    while get(&mut gateway, ask.clone()).await.1 < 4 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let status = push(&mut supervisor, &id, 4..5).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    for (messages, pushed) in pushing {
        drop(messages);
        pushed.await.unwrap().unwrap();
    }
    push(&mut supervisor, &id, 4..5).await.unwrap();
}

#[tokio::test]
async fn lines_that_are_handed_over_again_are_taken_once() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    for (from, numbers) in [
        (Some("0 run-1"), 0..10),
        // What was lost, and some before that.
        (Some("5 run-1"), 5..15),
        (Some("0 run-1"), 0..15),
        (Some("15 run-1"), 15..16),
        // Another run counts anew, and who does not count is believed.
        (Some("0 run-2"), 16..20),
        (Some("nonsense"), 20..21),
        (None, 21..22),
    ] {
        let message =
            proto::PushSandboxLogsRequest { sandbox_id: id.clone(), logs: numbers.map(line).collect() };
        let mut request = tonic::Request::new(tokio_stream::iter([message]));
        if let Some(from) = from {
            request.metadata_mut().insert("x-openshell-log-from", from.parse().expect("a value"));
        }
        supervisor.rpc.push_sandbox_logs(request).await.expect("taken");
    }
    let ask = proto::GetSandboxLogsRequest { sandbox_id: id, ..Default::default() };
    assert_eq!(get(&mut gateway, ask).await, ((0..22).collect(), 22));
}

#[tokio::test]
async fn a_watch_follows_the_log_after_its_tail() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    push(&mut supervisor, &id, 0..10).await.unwrap();
    let watch = proto::WatchSandboxRequest {
        id: id.clone(),
        follow_logs: true,
        log_tail_lines: 2,
        log_min_level: "info".to_owned(),
        ..Default::default()
    };
    let mut events = gateway.watch(watch.clone()).await;
    assert_eq!((next(&mut events).await.unwrap(), next(&mut events).await.unwrap()), (Some(6), Some(8)));
    let mut new_ones = gateway.watch(proto::WatchSandboxRequest { log_tail_lines: 0, ..watch.clone() }).await;
    // Its first event is the state; from then on it follows.
    assert!(matches!(new_ones.message().await.unwrap().unwrap().payload, Some(Payload::Sandbox(_))));
    let mut since = proto::WatchSandboxRequest { log_tail_lines: 0, log_since_ms: 8, ..watch };
    since.log_min_level.clear();
    let mut since = gateway.watch(since).await;
    assert_eq!((next(&mut since).await.unwrap(), next(&mut since).await.unwrap()), (Some(8), Some(9)));
    push(&mut supervisor, &id, 10..1000).await.unwrap();
    for expected in (10..1000).step_by(2) {
        assert_eq!(next(&mut events).await.unwrap(), Some(expected));
        assert_eq!(next(&mut new_ones).await.unwrap(), Some(expected));
    }
    gateway.delete("one").await.unwrap();
    assert_eq!(next(&mut events).await.unwrap(), None, "the sandbox is gone");
}

#[tokio::test]
async fn a_slow_reader_of_a_log_is_cut_and_nobody_else_is() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let watch = proto::WatchSandboxRequest { id: id.clone(), follow_logs: true, ..Default::default() };
    let mut slow = client(&gateway).await.watch_sandbox(watch.clone()).await.unwrap().into_inner();
    let mut fast = client(&gateway).await.watch_sandbox(watch).await.unwrap().into_inner();
    assert!(fast.message().await.unwrap().is_some());
    let (messages, queue) = mpsc::channel(1);
    let pushing =
        tokio::spawn(async move { supervisor.rpc.push_sandbox_logs(ReceiverStream::new(queue)).await });
    let mut seen = 0;
    // More than the ring and all windows in between hold.
    for number in 0..60 {
        let large = |at| proto::SandboxLogLine { message: "m".repeat(4000), ..line(at) };
        let logs = (0..20).map(|at| large(number * 20 + at)).collect();
        messages.send(proto::PushSandboxLogsRequest { sandbox_id: id.clone(), logs }).await.unwrap();
        while seen < (number + 1) * 20 {
            assert_eq!(next(&mut fast).await.unwrap(), Some(seen));
            seen += 1;
        }
    }
    let mut expected = 0;
    let cut = loop {
        match next(&mut slow).await {
            Ok(Some(number)) => assert_eq!(number, expected, "a gap"),
            Ok(None) => panic!("no word of the cut"),
            Err(status) => break status,
        }
        expected += 1;
    };
    assert_eq!(cut.code(), Code::ResourceExhausted, "{cut:?} after {expected}");
    drop(messages);
    pushing.await.unwrap().unwrap();
}
