//! `exec`, `connect` and `signal`: the program against commands that run for real, and against a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openshell_proto::openshell::v1::SandboxPhase;
use openshell_proto::relay::v1alpha1::{start, to_supervisor};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tonic::Status;

use crate::fake::{Gateway, sandbox};
use crate::{Run, openshell, run};

/// A gateway with a sandbox `a`.
pub(crate) fn gateway() -> Gateway {
    let gateway = Gateway::start();
    gateway.state().sandboxes.push(sandbox("a", SandboxPhase::Ready, "", ""));
    gateway
}

fn exec(gateway: &Gateway, words: &[&str]) -> Run {
    run(&gateway.socket(), ["sandbox", "exec", "a"].iter().chain(words))
}

fn started(gateway: &Gateway) -> openshell_proto::relay::v1alpha1::Command {
    match gateway.state().starts.pop().expect("a start").what.expect("something") {
        start::What::Command(command) => command,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_exit_code_and_both_outputs_are_the_commands() {
    let gateway = gateway();
    let ran = exec(&gateway, &["--", "sh", "-c", "printf out; printf err >&2; exit 7"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(7), "out", "err"));
    let command = started(&gateway);
    assert_eq!(command.argv, ["sh", "-c", "printf out; printf err >&2; exit 7"]);
    assert!(command.stdin && command.terminal.is_none() && command.environment.is_empty());
    assert_eq!(exec(&gateway, &["--", "sh", "-c", "kill -KILL $$"]).code, Some(137));
    let ran = exec(
        &gateway,
        &["--env", "A=b c", "-w", "/", "--timeout", "1500ms", "--", "sh", "-c", "echo $A; pwd"],
    );
    assert_eq!(ran.good(), "b c\n/\n");
    let command = started(&gateway);
    assert_eq!((command.timeout_seconds, command.workdir.as_str()), (2, "/"));
}

#[test]
fn bytes_go_through_as_they_are_and_the_input_has_an_end() {
    let gateway = gateway();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let mut child = openshell(&gateway.socket());
    child.args(["sandbox", "exec", "a", "--", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().expect("the program runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let sent = bytes.clone();
    let feeder = std::thread::spawn(move || stdin.write_all(&sent));
    let output = child.wait_with_output().expect("it ends");
    feeder.join().expect("no panic").expect("it takes all");
    assert!(output.status.success() && output.stdout == bytes, "{}", output.stdout.len());
    // Nobody's input: the command's is empty, whatever ours is.
    let mut child = openshell(&gateway.socket());
    child.args(["sandbox", "exec", "--no-stdin", "a", "--", "cat"]).stdin(Stdio::piped());
    let output = child.output().expect("it ends");
    assert!(output.status.success() && output.stdout.is_empty());
    assert!(!started(&gateway).stdin);
}

#[test]
fn what_goes_wrong_here_is_told_from_what_goes_wrong_there() {
    let gateway = gateway();
    gateway.state().absent.push("nope".to_owned());
    let said = exec(&gateway, &["--", "nope"]).bad(127);
    assert!(said.contains("cannot run nope in sandbox `a`: there is no program `nope`"), "{said}");
    let said = run(&gateway.socket(), ["sandbox", "exec", "missing", "--", "true"]).bad(255);
    assert!(said.contains("there is no sandbox `missing`"), "{said}");
    let said = run(std::path::Path::new("/absent"), ["sandbox", "exec", "a", "--", "true"]).bad(255);
    assert!(said.contains("cannot reach the gateway") && said.contains("hint: "), "{said}");
    exec(&gateway, &["--no-such-option", "--", "true"]).bad(2);
    gateway.state().refusal = Some(Status::unavailable("its supervisor is not connected"));
    let said = exec(&gateway, &["--", "true"]).bad(255);
    assert!(said.contains("its supervisor is not connected"), "{said}");
    gateway.state().refusal = None;
    gateway.state().breaks = true;
    let said = exec(&gateway, &["--", "true"]).bad(255);
    assert!(said.contains("the connection to the sandbox broke"), "{said}");
}

#[test]
fn a_closed_pipe_ends_it_without_a_word() {
    let gateway = gateway();
    let mut child = openshell(&gateway.socket());
    child.args(["sandbox", "exec", "a", "--", "yes"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("the program runs");
    let mut first = [0; 4];
    child.stdout.take().expect("a pipe").read_exact(&mut first).expect("some of it");
    let ran = Run::from(child.wait_with_output().expect("it ends"));
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

#[test]
fn signals_go_to_the_command_and_a_second_one_ends_this() {
    let gateway = gateway();
    for (script, signal, times, code) in [
        ("trap 'echo caught; exit 9' INT; echo on; while :; do sleep 0.05; done", Signal::INT, 1, 9),
        ("echo on; exec sleep 60", Signal::TERM, 1, 143),
        ("trap '' INT; echo on; exec sleep 60", Signal::INT, 2, 130),
    ] {
        let mut child = openshell(&gateway.socket());
        child.args(["sandbox", "exec", "a", "--", "sh", "-c", script]).stdout(Stdio::piped());
        let mut child = child.spawn().expect("the program runs");
        let mut on = [0; 3];
        child.stdout.as_mut().expect("a pipe").read_exact(&mut on).expect("it runs");
        for _ in 0..times {
            kill_process(pid(&child), signal).expect("it runs");
            let before = Instant::now();
            while gateway.state().heard.is_empty() && before.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        assert_eq!(child.wait().expect("its end").code(), Some(code), "{script}");
        assert_eq!(
            std::mem::take(&mut gateway.state().heard),
            [to_supervisor::Frame::Signal(signal.as_raw())],
            "{script}"
        );
    }
}

/// A terminal: our side, and the side of whoever runs on it.
pub(crate) fn terminal() -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    let ours = openpt(flags).expect("a terminal");
    unlockpt(&ours).expect("its other end");
    let theirs = ioctl_tiocgptpeer(&ours, flags).expect("its other end");
    size(&ours, 100, 30);
    (File::from(ours), theirs)
}

fn size(terminal: impl std::os::fd::AsFd, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).expect("its size");
}

/// Starts the program on a terminal.
pub(crate) fn on(gateway: &Gateway, theirs: &OwnedFd, words: &[&str]) -> Child {
    let side = || Stdio::from(theirs.try_clone().expect("a copy"));
    let mut command: Command = openshell(&gateway.socket());
    command.args(["sandbox"]).args(words).env("TERM", "tests-own").process_group(0);
    command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("the program runs")
}

/// Reads what is shown until some text is in it.
pub(crate) fn until(ours: &mut File, text: &str) -> String {
    let mut shown = String::new();
    let mut buffer = [0; 4096];
    while !shown.contains(text) {
        let count = ours.read(&mut buffer).unwrap_or_else(|error| panic!("{error} after {shown:?}"));
        shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    shown
}

fn is_raw(terminal: &OwnedFd) -> bool {
    let modes = tcgetattr(terminal.as_fd()).expect("its settings").local_modes;
    !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
}

#[test]
fn connect_is_a_shell_on_this_terminal() {
    let gateway = gateway();
    gateway.state().absent.push("/bin/bash".to_owned());
    let (mut ours, theirs) = terminal();
    let mut child = on(&gateway, &theirs, &["connect", "a"]);
    // The second of the two shells, with the terminal's size and name.
    until(&mut ours, "/bin/sh 100x30 tests-own\r\n");
    assert!(is_raw(&theirs));
    // Keys are keys, Ctrl-C among them.
    ours.write_all(b"x\x03\x1a").expect("it is typed");
    until(&mut ours, r#"typed "x\u{3}\u{1a}""#);
    size(&ours, 90, 20);
    // Whoever leads a session is told by the kernel; this one is told here.
    kill_process(pid(&child), Signal::WINCH).expect("it runs");
    until(&mut ours, "size 90x20");
    ours.write_all(&[4]).expect("it is typed");
    assert_eq!(child.wait().expect("its end").code(), Some(3));
    assert!(!is_raw(&theirs));
}

#[test]
fn the_terminal_is_given_back_whatever_ends_it() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let gateway = gateway();
        let (mut ours, theirs) = terminal();
        let mut child = on(&gateway, &theirs, &["exec", "-t", "a", "--", "top"]);
        until(&mut ours, "top 100x30 tests-own\r\n");
        assert!(is_raw(&theirs));
        kill_process(pid(&child), signal).expect("it runs");
        assert_eq!(child.wait().expect("its end").code(), Some(128 + signal.as_raw()));
        assert!(!is_raw(&theirs), "{signal:?}");
        // It was meant for this program, not for that one.
        assert_eq!(gateway.state().heard, []);
    }
    let mut gateway = gateway();
    let (mut ours, theirs) = terminal();
    let mut child = on(&gateway, &theirs, &["connect", "a", "--", "top"]);
    until(&mut ours, "top 100x30 tests-own\r\n");
    gateway.kill();
    assert_eq!(child.wait().expect("its end").code(), Some(255));
    assert!(!is_raw(&theirs));
    // On a line of its own, as a terminal that is not raw shows it.
    assert!(until(&mut ours, "openshell status\r\n").contains("error: "));
}

#[test]
fn a_stop_gives_the_terminal_back_until_it_goes_on() {
    let gateway = gateway();
    let (mut ours, theirs) = terminal();
    let mut child = on(&gateway, &theirs, &["connect", "a", "--", "top"]);
    until(&mut ours, "top 100x30");
    kill_process(pid(&child), Signal::TSTP).expect("it runs");
    let status = format!("/proc/{}/stat", child.id());
    let waited = Instant::now();
    while !std::fs::read_to_string(&status).expect("it is there").contains(") T ") {
        assert!(waited.elapsed() < Duration::from_secs(60), "it does not stop");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!is_raw(&theirs));
    size(&ours, 70, 10);
    kill_process(pid(&child), Signal::CONT).expect("it is there");
    until(&mut ours, "size 70x10");
    assert!(is_raw(&theirs));
    ours.write_all(&[4]).expect("it is typed");
    assert_eq!(child.wait().expect("its end").code(), Some(3));
}

#[test]
fn connect_without_a_terminal_says_what_to_do() {
    let gateway = gateway();
    let said = run(&gateway.socket(), ["sandbox", "connect", "a"]).bad(2);
    assert!(said.contains("hint: run a command without one: openshell sandbox exec a -- COMMAND"), "{said}");
    // A command may have one even so.
    let ran = exec(&gateway, &["-t", "--env", "TERM=x", "--", "top"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(4), "top 80x24 x\r\n"));
}

#[test]
fn a_signal_for_the_main_process_goes_by_its_name_or_number() {
    let gateway = gateway();
    for (word, number) in [(&["TERM"][..], 15), (&["sigusr1"], 10), (&["9"], 9), (&[], 15)] {
        let words = ["sandbox", "signal", "a"].iter().chain(word);
        assert_eq!(run(&gateway.socket(), words).good(), "a\n");
        let sent = gateway.state().signals.pop().expect("one");
        assert_eq!((sent.sandbox_id.as_str(), sent.channel_id.as_str(), sent.signal), ("id-a", "", number));
    }
    let said = run(&gateway.socket(), ["sandbox", "signal", "a", "NOPE"]).bad(2);
    assert!(said.contains("no such signal"), "{said}");
}
