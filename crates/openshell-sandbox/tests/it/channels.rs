//! Channels of the service: joined, bounded, each by itself, each with an end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use openshell_proto::openshell::v1::gateway_message::Payload;
use openshell_proto::openshell::v1::relay_open::Target;
use openshell_proto::openshell::v1::{RelayClose, RelayOpen, SshRelayTarget};
use openshell_proto::relay::v1alpha1::from_supervisor::Frame as Out;
use openshell_proto::relay::v1alpha1::to_supervisor::Frame as In;
use tokio::task::JoinSet;

use crate::channel::{Channel, SERVICE};
use crate::gateway::{Gateway, PATIENCE, Ways};
use crate::program::{Program, group_gone, group_lives, is_not_root};

async fn up() -> (Gateway, Program) {
    let gateway = Gateway::up(Ways::default());
    let program = Program::start(&gateway, &["/bin/sleep", "1000"]);
    gateway.session(0).await;
    (gateway, program)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_goes_round() {
    if is_not_root() {
        return;
    }
    let (gateway, _program) = up().await;
    let mut exec = gateway.exec(&["/bin/sh", "-c", "cat; exit 3"]).await;
    exec.started().await;
    exec.stdin(b"over and ").await;
    exec.stdin(b"back").await;
    exec.stdin_end().await;
    let outcome = exec.outcome().await;
    assert_eq!((outcome.stdout.as_slice(), outcome.code), (&b"over and back"[..], Some(3)));
    assert!(gateway.heard().closes.is_empty(), "a good end needs no reason: {:?}", gateway.heard().closes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_is_refused_in_words() {
    if is_not_root() {
        return;
    }
    let (gateway, _program) = up().await;
    let open = |service_id: &str, target| RelayOpen {
        channel_id: gateway.channel_id(),
        service_id: service_id.to_owned(),
        target,
    };
    for (open, words) in [
        (
            open("another", None),
            "there is no service `another` in this sandbox; there is `openshell.process.v1alpha1`",
        ),
        (open("", Some(Target::Ssh(SshRelayTarget {}))), "there is no SSH server in this sandbox"),
        (
            RelayOpen { channel_id: String::new(), service_id: SERVICE.to_owned(), target: None },
            "a channel needs an id",
        ),
    ] {
        let refused = gateway.open(open).await.map(|_| ()).expect_err("it cannot be opened");
        assert!(refused.contains(words), "{refused}");
    }
    let present = gateway.exec(&["/bin/cat"]).await;
    let again = RelayOpen { channel_id: present.id.clone(), service_id: SERVICE.to_owned(), target: None };
    let refused = gateway.open(again).await.map(|_| ()).expect_err("its id is taken");
    assert_eq!(refused, "a channel with this id is open already");
    present.stdin_end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_does_not_begin_with_a_start_fails() {
    if is_not_root() {
        return;
    }
    let (gateway, _program) = up().await;
    let mut channel = gateway.service().await;
    channel.stdin(b"too early").await;
    match channel.next().await {
        Some(Out::Failed(failed)) => assert!(failed.message.contains("has to be `start`"), "{failed:?}"),
        other => panic!("no failure: {other:?}"),
    }
    assert_eq!(channel.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_end_of_its_half_ends_no_process() {
    if is_not_root() {
        return;
    }
    let (gateway, _program) = up().await;
    let mut exec = gateway.exec(&["/bin/sh", "-c", "sleep 0.5; head -c 3000000 /dev/zero; exit 5"]).await;
    exec.started().await;
    exec.to_sandbox = None;
    let outcome = exec.outcome().await;
    assert_eq!((outcome.stdout.len(), outcome.code), (3_000_000, Some(5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_dropped_or_closed_ends_its_process_group() {
    if is_not_root() {
        return;
    }
    let (gateway, _program) = up().await;
    let script = ["/bin/sh", "-c", "sleep 1000 & sleep 1000"];
    let mut dropped = gateway.exec(&script).await;
    let pid = dropped.started().await;
    drop(dropped);
    group_gone(pid).await;

    let mut closed = gateway.exec(&script).await;
    let pid = closed.started().await;
    close(&gateway, &closed).await;
    group_gone(pid).await;
    assert_eq!(closed.outcome().await.code, None, "it ended before its process");

    // Also one that is stuck in both directions: no word of the stream itself gets through then.
    let mut stuck = gateway.exec(&["/bin/sh", "-c", "yes"]).await;
    let pid = stuck.started().await;
    fill(&stuck).await;
    close(&gateway, &stuck).await;
    group_gone(pid).await;
    // Nothing of it is left: its id can be used again.
    let id = stuck.id.clone();
    drop(stuck);
    open_again(&gateway, &id).await;
}

/// Opens a channel of the service once there is a place for it.
async fn open_again(gateway: &Gateway, id: &str) -> Channel {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let open = RelayOpen { channel_id: id.to_owned(), service_id: SERVICE.to_owned(), target: None };
        match gateway.open(open).await {
            Ok(channel) => return channel,
            Err(refusal) => assert!(Instant::now() < deadline, "{refusal}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Ends a channel by the session.
async fn close(gateway: &Gateway, channel: &Channel) {
    let close = RelayClose { channel_id: channel.id.clone(), reason: "the client is gone".to_owned() };
    gateway.say(Payload::RelayClose(close)).await;
}

/// Sends standard input until no more is taken.
async fn fill(channel: &Channel) {
    let piece = Bytes::from(vec![b'x'; 128 << 10]);
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_millis(500), channel.frame(In::Stdin(piece.clone())))
        .await
        .is_ok()
    {
        sent += piece.len();
        assert!(sent < 8 << 20, "nothing may be taken without end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_commands_at_once_and_one_that_nobody_reads() {
    if is_not_root() {
        return;
    }
    const SIZE: usize = 2_000_000;
    let (gateway, program) = up().await;
    let mut stuck = gateway.exec(&["/bin/sh", "-c", "yes; true"]).await;
    let pid = stuck.started().await;
    // And one that does not read what it is sent.
    let deaf = gateway.exec(&["/bin/sleep", "1000"]).await;
    fill(&deaf).await;

    let began = Instant::now();
    let gateway = std::sync::Arc::new(gateway);
    let mut others = JoinSet::new();
    for number in 0..100 {
        let gateway = std::sync::Arc::clone(&gateway);
        others.spawn(async move {
            let script = format!("cat >/dev/null; head -c {SIZE} /dev/zero; exit {number}");
            let mut exec = gateway.exec(&["/bin/sh", "-c", &script]).await;
            exec.stdin(b"something").await;
            exec.stdin_end().await;
            (number, exec.outcome().await)
        });
    }
    while let Some(ended) = others.join_next().await {
        let (number, outcome) = ended.expect("no panic");
        assert_eq!((outcome.stdout.len(), outcome.code), (SIZE, Some(number)));
    }
    println!("100 at once, 2 MB each: {:?}; {}", began.elapsed(), program.memory());
    assert!(group_lives(pid), "the one that is stuck waits");
    // It is stuck, not broken.
    stuck.printed("y\ny\n").await;
    drop(stuck);
    group_gone(pid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_may_be_a_thousand_and_no_more() {
    if is_not_root() {
        return;
    }
    let (gateway, _program) = up().await;
    let mut channels = Vec::new();
    for _ in 0..1024 {
        channels.push(gateway.service().await);
    }
    let open = RelayOpen { channel_id: gateway.channel_id(), service_id: SERVICE.to_owned(), target: None };
    let refused = gateway.open(open).await.map(|_| ()).expect_err("one too many");
    assert!(refused.contains("1024 channels open"), "{refused}");
    drop(channels.pop());
    // Its end is seen a moment later.
    channels.push(open_again(&gateway, "the last one").await);
    drop(channels);
    drop(open_again(&gateway, "another").await);
    assert_eq!(gateway.exec(&["/bin/true"]).await.outcome().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_are_dropped_at_once_while_they_talk_leave_the_connection_alone() {
    if is_not_root() {
        return;
    }
    let (gateway, _program) = up().await;
    let mut readers = JoinSet::new();
    let mut pids = Vec::new();
    for _ in 0..64 {
        let mut exec = gateway.exec(&["/usr/bin/yes"]).await;
        pids.push(exec.started().await);
        readers.spawn(async move { while exec.next().await.is_some() {} });
    }
    let steady = gateway.exec(&["/bin/cat"]).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    readers.shutdown().await;
    for pid in pids {
        group_gone(pid).await;
    }
    let mut steady = steady;
    steady.started().await;
    steady.stdin(b"still here").await;
    steady.stdin_end().await;
    assert_eq!(steady.outcome().await.stdout, b"still here");
    assert_eq!(gateway.heard().connections, 1);
}
