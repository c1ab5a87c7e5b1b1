//! Commands with a terminal.

use std::sync::Arc;

use openshell_proto::relay::v1alpha1::{Command, WindowSize};
use openshell_sandbox::Sandbox;

use crate::channel::{Channel, shell};

fn with_terminal(script: &str) -> Command {
    Command { terminal: Some(WindowSize { columns: 97, rows: 31 }), stdin: true, ..shell(script) }
}

pub(crate) async fn is_one(sandbox: Arc<Sandbox>) {
    let script = "test -t 0 && test -t 1 && test -t 2 && echo all; tty; stat -c %u:%a $(tty); echo $TERM; echo x >/dev/tty; exit 6";
    let end = Channel::command(&sandbox, with_terminal(script)).end().await;
    let text = end.text();
    let lines: Vec<_> = text.split("\r\n").collect();
    assert_eq!(end.code, 6);
    assert_eq!(lines[0], "all", "{text}");
    assert!(lines[1].starts_with("/dev/pts/"), "{text}");
    assert!(lines[2].starts_with("1000:"), "{text}");
    assert_eq!(lines[3..], ["xterm", "x", ""]);
    // Whatever it printed last is there, however much that is and though the terminal goes with it.
    let end = Channel::command(&sandbox, with_terminal("seq 20000")).end().await;
    assert_eq!(end.text().lines().count(), 20_000);
}

pub(crate) async fn has_the_size_that_it_is_given(sandbox: Arc<Sandbox>) {
    let script = "trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.05; done";
    let mut channel = Channel::command(&sandbox, with_terminal(script));
    channel.until("31 97").await;
    let end = channel.resize(120, 40).await.end().await;
    assert!(end.text().contains("40 120"), "{}", end.text());
}

pub(crate) async fn passes_control_c_and_the_end_of_input(sandbox: Arc<Sandbox>) {
    let mut channel = Channel::command(
        &sandbox,
        with_terminal("trap 'echo got INT; exit 9' INT; echo ready; while :; do sleep 0.05; done"),
    );
    channel.until("ready").await;
    let end = channel.stdin(&[3]).await.end().await;
    assert_eq!(end.code, 9, "{}", end.text());
    let mut channel = Channel::command(&sandbox, with_terminal("echo ready; cat; echo over"));
    channel.until("ready").await;
    let end = channel.stdin(b"a line\n").await.stdin_end().await.end().await;
    assert!(end.text().contains("a line\r\na line\r\nover"), "{}", end.text());
    // A terminal that is hung up on tells its processes.
    let mut channel = Channel::command(&sandbox, with_terminal("echo ready; sleep 55551"));
    channel.until("ready").await;
    drop(channel);
    assert_eq!(crate::commands::running("55551").await, 0);
}
