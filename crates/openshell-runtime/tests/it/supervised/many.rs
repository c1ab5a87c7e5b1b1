//! Many sessions on one gateway, many channels in one session, and one client among them that does not read.

use std::time::{Duration, Instant};

use openshell_proto::openshell::v1::exec_sandbox_event::Payload as Event;
use openshell_proto::openshell::v1::gateway_message::Payload as Said;
use openshell_proto::relay::v1alpha1::Exited;
use openshell_proto::relay::v1alpha1::from_supervisor::Frame as From;
use tonic::Code;

use super::exec::{ready, request};
use super::harness::{PATIENCE, Supervisor, a_gateway, client};
use crate::client::{eventually, id_of};
use crate::fake::Fake;

const SESSIONS: usize = 1000;
const CHANNELS: usize = 100;

/// Serves channels until the session ends: each prints, and is over.
async fn serve(mut supervisor: Supervisor) {
    while let Ok(Some(said)) = supervisor.hear().await {
        let Said::RelayOpen(open) = said else { continue };
        let relay = supervisor.join(&open.channel_id).await;
        tokio::spawn(async move {
            let mut relay = relay.expect("joined");
            if relay.command().await.argv == ["flood"] {
                while relay.tell(From::Stdout(vec![b'x'; 64 * 1024].into())).await {}
                return;
            }
            relay.tell(From::Stdout("out".into())).await;
            relay.tell(From::Exited(Exited { code: 0 })).await;
            while let Ok(Some(_)) = relay.next().await {}
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sessions() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let mut ids = Vec::new();
    for number in 0..SESSIONS {
        ids.push(id_of(&gateway.create(&format!("s{number}")).await));
    }
    let connecting =
        futures_util::future::join_all(ids.iter().map(|id| Supervisor::connect(&gateway, id, "run-1")));
    for supervisor in connecting.await {
        tokio::spawn(serve(supervisor));
    }
    assert_eq!(gateway.runtime.stats().supervisors.unwrap().sessions, SESSIONS as u64);
    let mut client = client(&gateway).await;
    for (number, id) in ids.iter().enumerate().step_by(97) {
        gateway.until(&format!("s{number}"), openshell_proto::openshell::v1::SandboxPhase::Ready).await;
        let mut events = client.exec_sandbox(request(id, &["true"])).await.unwrap().into_inner();
        let mut last = None;
        while let Some(event) = events.message().await.unwrap() {
            last = event.payload;
        }
        assert!(matches!(last, Some(Event::Exit(_))), "{last:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_slows_only_itself() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, supervisor) = ready(&mut gateway, "one").await;
    tokio::spawn(serve(supervisor));
    let mut stuck = client(&gateway).await.exec_sandbox(request(&id, &["flood"])).await.unwrap().into_inner();
    assert!(stuck.message().await.unwrap().is_some());
    // Until nothing moves any more: every window and every queue on its way is full.
    let received = || gateway.runtime.stats().supervisors.unwrap().received;
    let (mut before, mut still) = (0, 0);
    // Two seconds long, so that a machine that is busy with something else is not taken for a full window.
    while still < 20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = received();
        (before, still) = (now, if now == before { still + 1 } else { 0 });
    }
    assert!((1 << 18..16 << 20).contains(&before), "{before} bytes lie about");
    let client = client(&gateway).await;
    let others = (0..CHANNELS).map(|_| {
        let (mut client, asked) = (client.clone(), request(&id, &["true"]));
        async move {
            let mut events = client.exec_sandbox(asked).await.unwrap().into_inner();
            let (mut out, mut code) = (Vec::new(), None);
            while let Some(event) = events.message().await.unwrap() {
                match event.payload {
                    Some(Event::Stdout(stdout)) => out.extend_from_slice(&stdout.data),
                    Some(Event::Exit(exit)) => code = Some(exit.exit_code),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!((out.as_slice(), code), (b"out".as_slice(), Some(0)));
        }
    });
    tokio::time::timeout(PATIENCE, futures_util::future::join_all(others)).await.expect("nobody waits");
    // Of each `out` and the code, which is 0, with their tags and lengths.
    assert_eq!(received() - before, (CHANNELS * (5 + 2)) as u64, "the stuck one has not moved");
    drop(stuck);
    eventually("it is over", || gateway.runtime.stats().supervisors.unwrap().channels == 0).await;
}

#[tokio::test]
async fn channels_of_a_sandbox_are_bounded() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, mut supervisor) = ready(&mut gateway, "one").await;
    let (two, mut other) = ready(&mut gateway, "two").await;
    let mut asking = Vec::new();
    for _ in 0..200 {
        // Connections carry some hundred streams.
        let (mut client, asked) = (client(&gateway).await, request(&id, &["a"]));
        asking.push(tokio::spawn(async move { client.exec_sandbox(asked).await.map(|_| ()) }));
    }
    eventually("they are asked for", || gateway.runtime.stats().supervisors.unwrap().channels == 200).await;
    let mut client = client(&gateway).await;
    let status = client.exec_sandbox(request(&id, &["a"])).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    tokio::select! {
        _ = other.asked() => {}
        other = client.exec_sandbox(request(&two, &["a"])) => panic!("{other:?}"),
    }
    supervisor.asked().await;
    asking.iter().for_each(tokio::task::JoinHandle::abort);
    eventually("they are forgotten", || gateway.runtime.stats().supervisors.unwrap().channels == 0).await;
}

/// Not held to a bound, for what it measures is this host: see the line that it prints.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_command_costs_the_gateway() {
    let mut gateway = a_gateway(&Fake::new()).await;
    let (id, supervisor) = ready(&mut gateway, "one").await;
    tokio::spawn(serve(supervisor));
    let mut client = client(&gateway).await;
    let mut took = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        let mut events = client.exec_sandbox(request(&id, &["true"])).await.unwrap().into_inner();
        while events.message().await.unwrap().is_some() {}
        took.push(begun.elapsed());
    }
    took.sort();
    println!("exec of nothing, both ends in memory: p50 {:?}, p99 {:?}", took[100], took[198]);
    assert_eq!(gateway.runtime.stats().supervisors.unwrap().opened, 200);
}
