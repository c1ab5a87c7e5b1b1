//! Commands with pipes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openshell_proto::relay::v1alpha1::Command;
use openshell_proto::relay::v1alpha1::from_supervisor::Frame;
use openshell_sandbox::Sandbox;
use tokio::time::{sleep, timeout};

use crate::channel::{Channel, shell};

pub(crate) async fn says_what_it_prints_and_how_it_ended(sandbox: Arc<Sandbox>) {
    let end = Channel::shell(&sandbox, "printf 'a\\0b'; printf c >&2; exit 7").end().await;
    assert_eq!((end.code, end.stdout.as_slice(), end.stderr.as_slice()), (7, &b"a\0b"[..], &b"c"[..]));
    assert!(end.pid > 0);
    let end = Channel::shell(&sandbox, "kill -9 $$").end().await;
    assert_eq!(end.code, 137);
    // No shell reads the words.
    let argv = ["printf", "%s.", "a b", "$HOME", "*", ""].map(str::to_owned).to_vec();
    let end = Channel::command(&sandbox, Command { argv, ..Command::default() }).end().await;
    assert_eq!(end.text(), "a b.$HOME.*..");
}

pub(crate) async fn has_the_users_identity_and_no_secret(sandbox: Arc<Sandbox>) {
    let mut command = shell(
        "id -u; id -g; id -G; pwd; echo $A $B $HOME; env | grep OPENSHELL; \
        grep -E '^(Cap|NoNewPrivs)' /proc/self/status; echo to-stderr >/dev/stderr; echo to-stdout >/dev/stdout",
    );
    command.workdir = "/usr".to_owned();
    command.environment = [("B".to_owned(), "of the request".to_owned())].into();
    let end = Channel::command(&sandbox, command).end().await;
    let lines: Vec<_> = end.stdout.split(|byte| *byte == b'\n').map(String::from_utf8_lossy).collect();
    assert_eq!(
        lines[..5],
        ["1000", "1000", "1000 44", "/usr", "of the sandbox of the request /home/sandbox"]
    );
    let none = "0000000000000000";
    let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|set| format!("{set}:\t{none}"));
    assert_eq!(lines[5..10], sets, "and no variable of ours before them");
    assert_eq!(lines[10..], ["NoNewPrivs:\t1", "to-stdout", ""], "{}", end.errors());
    assert_eq!(end.errors(), "to-stderr\n");
}

pub(crate) async fn has_no_descriptor_of_the_supervisors(sandbox: Arc<Sandbox>) {
    // Some channels that are open meanwhile have descriptors of their own.
    let others = [Channel::shell(&sandbox, "sleep 100"), Channel::shell(&sandbox, "sleep 100")];
    sleep(Duration::from_millis(100)).await;
    let script = "exec ls /proc/self/fd";
    let end = Channel::shell(&sandbox, script).end().await;
    // Whoever has started the tests may have left some open; nothing is to be added.
    let mut plain = std::process::Command::new("sh");
    let plain = plain.args(["-c", script]).stdin(std::process::Stdio::null()).output().expect("a shell");
    assert_eq!(end.text(), String::from_utf8_lossy(&plain.stdout));
    drop(others);
}

pub(crate) async fn reads_its_input_to_the_end(sandbox: Arc<Sandbox>) {
    let mut command = shell("wc -c; sleep 0.1; echo done");
    command.stdin = true;
    let mut channel = Channel::command(&sandbox, command);
    for _ in 0..100 {
        channel = channel.stdin(&[b'x'; 50_000]).await;
    }
    let end = channel.stdin_end().await.end().await;
    assert_eq!((end.code, end.text().as_str()), (0, "5000000\ndone\n"));
    // Without one, it is empty.
    assert_eq!(Channel::shell(&sandbox, "wc -c").end().await.text(), "0\n");
}

pub(crate) async fn input_that_nobody_reads_is_no_harm(sandbox: Arc<Sandbox>) {
    let mut command = shell("exec <&-; sleep 0.3; echo alive");
    command.stdin = true;
    let mut channel = Channel::command(&sandbox, command);
    for _ in 0..20 {
        channel = channel.stdin(&[b'x'; 50_000]).await;
    }
    assert_eq!(channel.end().await.text(), "alive\n");
}

pub(crate) async fn a_program_that_is_not_there(sandbox: Arc<Sandbox>) {
    for (argv, workdir, code, words) in [
        ("no-such-program", "", 127, "`no-such-program`: the image has no such program in its PATH"),
        ("/no/such", "", 127, "`/no/such`: the image has no such program"),
        ("/etc/passwd", "", 126, "`/etc/passwd`: user 1000 may not execute it, its mode is 644"),
        ("true", "/no/where", 126, "`/no/where`: No such file or directory"),
        ("true", "/root", 126, "`/root`: Permission denied"),
        ("", "", 126, "there is no command"),
    ] {
        let argv = if argv.is_empty() { Vec::new() } else { vec![argv.to_owned()] };
        let command = Command { argv, workdir: workdir.to_owned(), ..Command::default() };
        let end = Channel::command(&sandbox, command).end().await;
        assert_eq!((end.code, end.pid), (code, 0), "{}", end.message);
        assert!(end.message.contains(words), "{}", end.message);
    }
}

pub(crate) async fn is_signalled_as_a_group(sandbox: Arc<Sandbox>) {
    let script = "trap 'echo parent' TERM; (trap 'echo child; exit' TERM; echo ready; while :; do sleep 0.05; done) & wait; wait; exit 3";
    let mut channel = Channel::shell(&sandbox, script);
    channel.until("ready").await;
    let end = channel.signal(15).await.end().await;
    assert_eq!(end.code, 3);
    assert!(end.text().contains("parent") && end.text().contains("child"), "{}", end.text());
}

pub(crate) async fn is_ended_in_time(sandbox: Arc<Sandbox>) {
    for (script, least) in [
        ("sleep 100", 1.0),
        // It does not listen, and has others.
        ("trap '' TERM; (setsid sleep 98765 &) ; while :; do sleep 1; done", 3.0),
    ] {
        let mut command = shell(script);
        command.timeout_seconds = 1;
        let begun = Instant::now();
        let end = Channel::command(&sandbox, command).end().await;
        let took = begun.elapsed().as_secs_f64();
        assert_eq!(end.code, 124, "{script}");
        assert!(took >= least && took < PATIENCE.as_secs_f64(), "{script}: {took}");
    }
    assert_eq!(running("98765").await, 0, "what it has started is gone, too");
}

/// How long a test waits for what has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How many processes have such a word among their arguments, once those that are about to die have died.
pub(crate) async fn running(word: &str) -> usize {
    let count = || {
        let named = |entry: std::fs::DirEntry| {
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            words.split(|byte| *byte == 0).any(|found| found == word.as_bytes())
        };
        std::fs::read_dir("/proc").expect("processes").flatten().map(named).filter(|is| *is).count()
    };
    for _ in 0..1000 {
        if count() == 0 {
            return 0;
        }
        sleep(Duration::from_millis(30)).await;
    }
    count()
}

pub(crate) async fn waits_for_who_does_not_read(sandbox: Arc<Sandbox>) {
    // 20 MB, of which nobody takes anything for a while: the writer has to wait.
    let mut channel = Channel::shell(&sandbox, "head -c 20000000 /dev/zero; echo written >&2");
    assert!(matches!(channel.next().await, Some(Frame::Started(_))));
    sleep(Duration::from_millis(500)).await;
    let mut count = 0;
    while let Some(frame) = channel.next().await {
        match frame {
            Frame::Stdout(bytes) => count += bytes.len(),
            Frame::Stderr(_) => assert!(count > 15_000_000, "it was done with {count} bytes taken"),
            Frame::Exited(exited) => assert_eq!((exited.code, count), (0, 20_000_000)),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn a_hundred_at_once(sandbox: Arc<Sandbox>) {
    let script = "cat; head -c 100000 /dev/zero | tr '\\0' x; echo err >&2; exit 5";
    let all: Vec<_> = (0..100)
        .map(|number: u32| {
            let sandbox = sandbox.clone();
            tokio::spawn(async move {
                let mut command = shell(script);
                command.stdin = true;
                let said = format!("number {number}\n");
                let channel = Channel::command(&sandbox, command).stdin(said.as_bytes()).await;
                let end = channel.stdin_end().await.end().await;
                assert_eq!((end.code, end.errors().as_str()), (5, "err\n"));
                assert!(end.text().starts_with(&said) && end.stdout.len() == said.len() + 100_000);
            })
        })
        .collect();
    for one in all {
        one.await.expect("one of a hundred");
    }
}

pub(crate) async fn one_that_is_stuck_holds_up_nobody(sandbox: Arc<Sandbox>) {
    let mut reading = shell("sleep 1000");
    reading.stdin = true;
    let mut stuck = Vec::new();
    for _ in 0..5 {
        // One whose output nobody takes, and one that takes no input.
        stuck.push(Channel::shell(&sandbox, "cat /dev/zero"));
        let full = Channel::command(&sandbox, reading.clone());
        for _ in 0..QUEUE_AND_PIPE {
            let message = openshell_proto::relay::v1alpha1::ToSupervisor {
                frame: Some(openshell_proto::relay::v1alpha1::to_supervisor::Frame::Stdin(
                    vec![0; 65_536].into(),
                )),
            };
            let _ = full.input.try_send(prost::Message::encode_to_vec(&message).into());
            tokio::task::yield_now().await;
        }
        stuck.push(full);
    }
    sleep(Duration::from_millis(300)).await;
    for _ in 0..10 {
        let one = Channel::shell(&sandbox, "echo free").end();
        assert_eq!(timeout(PATIENCE, one).await.expect("in time").text(), "free\n");
    }
}

/// More messages than a queue and a pipe hold.
const QUEUE_AND_PIPE: usize = 12;
