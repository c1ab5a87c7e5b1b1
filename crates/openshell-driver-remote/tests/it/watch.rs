//! Watches over a socket: the snapshot, a reader that falls behind, a server that stops.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use openshell_driver_api::{ComputeDriver, ErrorKind, WatchEvent};
use openshell_driver_remote::ServeOptions;
use openshell_proto::compute::v1::WatchSandboxesRequest;
use openshell_uds::Limits;
use tonic::Code;

use crate::fake::{Fake, observed};
use crate::support::{dial, place, raw, serve_at};

#[tokio::test]
async fn a_snapshot_larger_than_the_queue_comes_whole_then_changes_then_the_end_of_the_server() {
    let (_home, path) = place();
    let fake = Fake::new();
    for n in 0..1000 {
        fake.add(&format!("{n:04}"), "n");
    }
    let served = serve_at(&path, &fake, ServeOptions { watch_queue: 4, ..ServeOptions::default() });
    let remote = dial(&path).await;
    let mut events = remote.watch().await.expect("watch");
    for n in 0..1000 {
        let event = events.next().await.expect("an event").expect("no error");
        assert_eq!(event, WatchEvent::Sandbox(observed(&format!("{n:04}"), "n")));
    }
    let step = events.next().await.expect("an event").expect("no error");
    assert!(
        matches!(step, WatchEvent::Platform { event, .. } if event.reason == "Pulled" && event.metadata["k"] == "v")
    );
    let gone = events.next().await.expect("an event").expect("no error");
    assert!(matches!(gone, WatchEvent::Deleted(id) if id.as_str() == "gone"));

    // A watch that runs does not hold up the end, and learns of it.
    let began = Instant::now();
    served.stop().await;
    assert!(began.elapsed() < Limits::default().drain, "took {:?}", began.elapsed());
    let error = events.next().await.expect("an end with a reason").expect_err("an error");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_cut_and_told_so_without_a_gap() {
    let (_home, path) = place();
    let fake = Fake::new();
    fake.state().flood = true;
    let options =
        ServeOptions { watch_queue: 4, watch_stall: Duration::from_millis(200), ..ServeOptions::default() };
    let served = serve_at(&path, &fake, options);
    let mut client = raw(&path).await;
    let mut events = client.watch_sandboxes(WatchSandboxesRequest {}).await.expect("watch").into_inner();
    let (mut expected, mut pause) = (0, Duration::from_secs(1));
    let end = loop {
        // Once in a while it is so far behind that it is cut, however slow the server is at filling what lies between.
        if expected % 10_000 == 0 {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        match events.message().await {
            Ok(Some(event)) => {
                let text = format!("{:?}", event.payload);
                assert!(text.contains(&format!("timestamp_ms: {expected},")), "a gap before {expected}");
                expected += 1;
            }
            other => break other,
        }
    };
    assert!(expected > 0, "what was queued still comes");
    assert_eq!(end.expect_err("never a clean end").code(), Code::ResourceExhausted);
    drop((events, client));
    served.stop().await;
}

#[tokio::test]
async fn a_reader_that_keeps_up_is_not_cut() {
    let (_home, path) = place();
    let fake = Fake::new();
    fake.state().flood = true;
    let options =
        ServeOptions { watch_queue: 4, watch_stall: Duration::from_secs(30), ..ServeOptions::default() };
    let served = serve_at(&path, &fake, options);
    let remote = dial(&path).await;
    let mut events = remote.watch().await.expect("watch");
    for _ in 0..500 {
        events.next().await.expect("an event").expect("no error");
    }
    drop((events, remote));
    served.stop().await;
}
