//! How things end: those left behind, broken channels, zombies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openshell_sandbox::Sandbox;
use tokio::time::{sleep, timeout};

use crate::channel::{Channel, shell};
use crate::commands::{PATIENCE, running};

pub(crate) async fn whoever_is_left_behind_does_not_hold_up_the_end(sandbox: Arc<Sandbox>) {
    // It has the output open, and says nothing; or talks without end.
    for left in ["sleep 54321", "sh -c 'while :; do echo talk; done; : 54321'"] {
        let script = format!("{left} & head -c 60000 /dev/zero; exit 4");
        let end =
            timeout(PATIENCE, Channel::shell(&sandbox, &script).end()).await.expect("it is not waited for");
        assert_eq!(end.code, 4, "{left}");
        assert_eq!(
            end.stdout.iter().filter(|byte| **byte == 0).count(),
            60_000,
            "all that it printed itself"
        );
    }
    // What a command has left in order stays, as the sandbox's.
    let end = Channel::shell(&sandbox, "pkill -x -f 'sleep 54321'").end().await;
    assert_eq!(end.code, 0, "it was still there");
}

pub(crate) async fn a_broken_channel_ends_everything(sandbox: Arc<Sandbox>) {
    // In the group; out of the session; an orphan out of the session; one that does not listen to HUP.
    let script = "sleep 77771 & setsid sleep 77771 & (setsid sh -c 'setsid sleep 77771 & exit' &); \
        (trap '' HUP; sh -c 'sleep 77771; sleep 77771' &); echo ready; sleep 77771";
    let mut channel = Channel::shell(&sandbox, script);
    channel.until("ready").await;
    sleep(Duration::from_millis(100)).await;
    drop((channel.input, channel.output));
    timeout(PATIENCE, channel.served).await.expect("it is served no more").expect("in order");
    assert_eq!(running("77771").await, 0);
    // Whoever listens has the time to: this one takes its file along. It must not complain, since nobody reads it any
    // more.
    let script = "exec 2>/dev/null; f=/tmp/openshell-test-hup-$$; trap 'sleep 0.1; rm $f; exit' HUP; >$f; echo $$ ready; while :; do sleep 0.05; done";
    let mut channel = Channel::shell(&sandbox, script);
    let text = channel.until("ready").await;
    let file = format!("/tmp/openshell-test-hup-{}", text.split_whitespace().next().expect("a number"));
    let file = std::path::Path::new(&file);
    assert!(file.exists());
    drop(channel);
    for _ in 0..600 {
        sleep(Duration::from_millis(50)).await;
        if !file.exists() {
            return;
        }
    }
    panic!("HUP was to come before KILL");
}

pub(crate) async fn a_broken_channel_ends_who_forks_without_end(sandbox: Arc<Sandbox>) {
    // Out of every session, each started by somebody who is gone at once.
    let one = "while :; do (sh -c 'sleep 0.01; : 66662' 66662 &); sleep 0.002; done";
    let bomb = format!("for i in 1 2 3; do (setsid sh -c \"{one}\" 66662 &); done; echo ready; sleep 1000");
    let mut channel = Channel::shell(&sandbox, &bomb);
    channel.until("ready").await;
    sleep(Duration::from_millis(500)).await;
    drop(channel);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(running("66662").await, 0);
}

pub(crate) async fn a_broken_channel_is_seen_while_input_waits(sandbox: Arc<Sandbox>) {
    let mut command = shell("echo ready; sleep 88882");
    command.stdin = true;
    let mut channel = Channel::command(&sandbox, command);
    channel.until("ready").await;
    let message = openshell_proto::relay::v1alpha1::ToSupervisor {
        frame: Some(openshell_proto::relay::v1alpha1::to_supervisor::Frame::Stdin(vec![0; 200_000].into())),
    };
    let message: bytes::Bytes = prost::Message::encode_to_vec(&message).into();
    while timeout(Duration::from_millis(300), channel.input.send(message.clone())).await.is_ok() {}
    // Its output's end alone tells.
    drop(channel.output);
    timeout(PATIENCE, channel.served).await.expect("it is served no more").expect("in order");
    assert_eq!(running("88882").await, 0);
}

pub(crate) async fn leaves_no_zombie(sandbox: Arc<Sandbox>) {
    for _ in 0..20 {
        Channel::shell(&sandbox, "true").end().await;
        Channel::command(&sandbox, openshell_proto::relay::v1alpha1::Command::default()).end().await;
    }
    let us = std::process::id().to_string();
    let zombies = || -> Vec<String> {
        let processes = std::fs::read_dir("/proc").expect("processes").flatten();
        processes
            .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
            .filter(|stat| {
                let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
                fields.next() == Some("Z") && fields.next() == Some(&us)
            })
            .collect()
    };
    let begun = Instant::now();
    // Whoever has just ended is one until somebody looks.
    while !zombies().is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{:?}", zombies());
        sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn a_keeper_that_is_killed_takes_its_command_along(sandbox: Arc<Sandbox>) {
    let mut channel = Channel::shell(&sandbox, "echo $PPID is ready; sleep 44443; sleep 44443");
    let text = channel.until("ready").await;
    let keeper = text.split_whitespace().next().and_then(|number| number.parse().ok());
    let keeper = rustix::process::Pid::from_raw(keeper.expect("a number")).expect("a process");
    rustix::process::kill_process(keeper, rustix::process::Signal::KILL).expect("killed");
    assert_eq!(channel.end().await.code, 137);
    assert_eq!(running("44443").await, 0);
}

pub(crate) async fn a_keeper_that_is_stopped_keeps_no_channel(sandbox: Arc<Sandbox>) {
    // Whether its command has ended, which nobody would tell, or has not, which nobody could end.
    for rest in ["", "; sleep 44445; sleep 44445"] {
        let mut command = shell(&format!("echo $PPID is ready; read line{rest}"));
        command.stdin = true;
        let mut channel = Channel::command(&sandbox, command);
        let text = channel.until("ready").await;
        let keeper = text.split_whitespace().next().and_then(|number| number.parse().ok());
        let keeper = rustix::process::Pid::from_raw(keeper.expect("a number")).expect("a process");
        rustix::process::kill_process(keeper, rustix::process::Signal::STOP).expect("stopped");
        assert_eq!(channel.stdin(b"go on\n").await.end().await.code, 137, "{rest}");
        assert_eq!(running("44445").await, 0);
    }
}
