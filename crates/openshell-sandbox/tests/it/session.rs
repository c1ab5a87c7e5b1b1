//! Sessions: they come up, they come back, and the main process notices nothing.

use std::time::Duration;

use openshell_proto::openshell::v1::SessionRejected;
use openshell_proto::openshell::v1::gateway_message::Payload;

use crate::gateway::{Gateway, Heard, Ways};
use crate::program::{Program, group_gone, group_lives, is_not_root, until};

/// A main process that prints a line every tenth of a second.
const TICKING: [&str; 3] = ["/bin/sh", "-c", "n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.1; done"];

#[tokio::test(flavor = "multi_thread")]
async fn it_says_hello_and_gives_signs_of_life() {
    if is_not_root() {
        return;
    }
    let gateway = Gateway::up(Ways { heartbeat: 2, ..Ways::default() });
    let _program = Program::start(&gateway, &["/bin/sleep", "1000"]);
    gateway.session(0).await;
    gateway.until("heartbeats", |heard| (heard.heartbeats >= 3).then_some(())).await;
    let heard = gateway.heard();
    assert_eq!((heard.hellos.len(), heard.connections), (1, 1), "one session: {:?}", heard.hellos);
    assert_eq!(heard.hellos[0].sandbox_id, "s-1");
    let instance = &heard.hellos[0].instance_id;
    assert!(instance.len() == 32 && instance.bytes().all(|byte| byte.is_ascii_hexdigit()), "{instance}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_comes_up_late_is_found() {
    if is_not_root() {
        return;
    }
    let mut gateway = Gateway::down(Ways::default());
    let program = Program::start(&gateway, &TICKING);
    until("the main process runs", || program.printed("stdout").contains("tick 5")).await;
    until("it is said", || program.printed("stderr").contains("cannot reach the gateway at")).await;
    gateway.start();
    gateway.session(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_and_comes_back_has_its_session_again() {
    if is_not_root() {
        return;
    }
    let mut gateway = Gateway::up(Ways::default());
    let program = Program::start(&gateway, &TICKING);
    let first = gateway.session(0).await;
    let mut exec = gateway.exec(&["/bin/sh", "-c", "sleep 1000 & sleep 1000"]).await;
    let pid = exec.started().await;
    assert!(group_lives(pid));

    gateway.kill();
    group_gone(pid).await;
    let ticks = program.printed("stdout").lines().count();
    until("the main process goes on", || program.printed("stdout").lines().count() > ticks + 3).await;
    gateway.start();
    gateway.session(first).await;
    assert_eq!(gateway.exec(&["/bin/echo", "again"]).await.outcome().await.stdout, b"again\n");

    let heard = gateway.heard();
    assert_eq!(heard.hellos[0], heard.hellos[1], "it is the same run of the main process");
    let printed = program.printed("stdout");
    let expected: Vec<_> = (1..=printed.lines().count()).map(|number| format!("tick {number}")).collect();
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected, "it ran on from its start");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_takes_its_processes_with_it() {
    if is_not_root() {
        return;
    }
    let gateway = Gateway::up(Ways::default());
    let _program = Program::start(&gateway, &["/bin/sleep", "1000"]);
    let first = gateway.session(0).await;
    let mut busy = gateway.exec(&["/bin/sh", "-c", "yes | cat"]).await;
    let mut idle = gateway.exec(&["/bin/sh", "-c", "sleep 1000 & cat"]).await;
    let (busy, idle) = (busy.started().await, idle.started().await);
    gateway.cut();
    group_gone(busy).await;
    group_gone(idle).await;
    gateway.session(first).await;
    assert_eq!(gateway.exec(&["/bin/true"]).await.outcome().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_alone_leaves_its_channels() {
    if is_not_root() {
        return;
    }
    let gateway = Gateway::up(Ways::default());
    let _program = Program::start(&gateway, &["/bin/sleep", "1000"]);
    let first = gateway.session(0).await;
    let mut exec = gateway.exec(&["/bin/cat"]).await;
    exec.started().await;
    exec.stdin(b"before\n").await;
    exec.printed("before\n").await;
    gateway.end_session();
    gateway.session(first).await;
    exec.stdin(b"after\n").await;
    exec.printed("after\n").await;
    exec.stdin_end().await;
    assert_eq!(exec.outcome().await.code, Some(0));
    assert_eq!(gateway.heard().connections, 1, "the connection was good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_leaves_in_order_has_its_channels_to_their_end() {
    if is_not_root() {
        return;
    }
    let gateway = Gateway::up(Ways::default());
    let _program = Program::start(&gateway, &["/bin/sleep", "1000"]);
    let first = gateway.session(0).await;
    let mut exec = gateway.exec(&["/bin/cat"]).await;
    exec.started().await;
    gateway.until("a stream of logs", |heard| (!heard.logs.is_empty()).then_some(())).await;
    gateway.leave();
    gateway.session(first).await;
    assert_eq!(gateway.heard().connections, 2);
    exec.stdin(b"still here").await;
    exec.stdin_end().await;
    let outcome = exec.outcome().await;
    assert_eq!((outcome.stdout.as_slice(), outcome.code), (&b"still here"[..], Some(0)));
    // The log has moved: the new connection carries a stream of its own.
    let streams =
        |heard: &Heard| heard.calls.iter().filter(|(method, _)| method == "PushSandboxLogs").count();
    gateway.until("another stream of logs", |heard| (streams(heard) == 2).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_a_sign_of_life_is_given_up() {
    if is_not_root() {
        return;
    }
    let gateway = Gateway::up(Ways { silent: true, heartbeat: 2, ..Ways::default() });
    let program = Program::start(&gateway, &["/bin/sleep", "1000"]);
    let first = gateway.session(0).await;
    let mut exec = gateway.exec(&["/bin/sleep", "1000"]).await;
    let pid = exec.started().await;
    gateway.session(first).await;
    group_gone(pid).await;
    assert!(program.printed("stderr").contains("no sign of life for 6s"), "{}", program.printed("stderr"));
    assert!(gateway.heard().connections >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_is_refused_is_said_again() {
    if is_not_root() {
        return;
    }
    let gateway = Gateway::up(Ways { reject: Some("no such sandbox".to_owned()), ..Ways::default() });
    let program = Program::start(&gateway, &["/bin/sleep", "1000"]);
    gateway.until("three hellos", |heard| (heard.hellos.len() >= 3).then_some(())).await;
    let printed = program.printed("stderr");
    assert_eq!(
        printed.matches("refuses this supervisor: no such sandbox").count(),
        1,
        "told once: {printed}"
    );
    gateway.ways().reject = None;
    let first = gateway.session(0).await;
    // A session that another one replaces is told so, and tries again.
    gateway
        .say(Payload::SessionRejected(SessionRejected { reason: "there is a newer one".to_owned() }))
        .await;
    gateway.session(first).await;
    assert!(program.printed("stderr").contains("there is a newer one"), "{}", program.printed("stderr"));
}

#[tokio::test(flavor = "multi_thread")]
async fn supervisors_whose_gateway_is_away_do_not_spin() {
    if is_not_root() {
        return;
    }
    let gateway = Gateway::down(Ways::default());
    let program = Program::start(&gateway, &["/bin/sleep", "1000"]);
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", program.pid())).expect("a process");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        fields[11].parse::<u64>().expect("user time") + fields[12].parse::<u64>().expect("system time")
    };
    until("it is said", || program.printed("stderr").contains("cannot reach the gateway at")).await;
    let before = ticks();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let ticks = ticks() - before;
    assert!(ticks < 20, "{ticks} hundredths of a second in three");
    assert_eq!(program.printed("stderr").lines().count(), 1, "{}", program.printed("stderr"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_on_a_network_is_dialled_with_tls_and_its_ca_or_not_at_all() {
    if is_not_root() {
        return;
    }
    for (endpoint, why) in [
        ("http://10.0.0.1:17670", "`http://10.0.0.1:17670` is a plain address"),
        ("https://10.0.0.1:17670", "`OPENSHELL_CA_FILE` is not set"),
    ] {
        let mut program = Program::start_at(endpoint, &["/bin/echo", "started"]);
        let status = program.ended().await;
        assert_eq!(status.code(), Some(125));
        let printed = program.printed("stderr");
        assert!(printed.contains(why), "{printed}");
        assert_eq!(program.printed("stdout"), "", "it is said before the main process starts");
    }
}
