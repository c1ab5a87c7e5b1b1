//! Guests that say what no guest of ours says: a script in QEMU's place, with the same files, the same user and the same way to
//! be started.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use openshell_vm_init::protocol::{FromGuest, MAX_FROM_GUEST, VERSION, encode};

use super::super::console::{NAME, OLDER};
use super::super::{Boot, Cause, Event, Machine};
use super::Bench;
use crate::machine::command::File;

/// Bytes as a shell's `printf` takes them.
fn octal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:03o}")).collect()
}

fn said(messages: &[FromGuest]) -> Vec<u8> {
    messages.iter().flat_map(|message| encode(message).expect("a frame")).collect()
}

/// A machine whose QEMU does `script`, in which `agent`, `console` and `supervisor` are descriptors.
async fn machine(bench: &mut Bench, script: &str) -> Machine {
    let qemu = bench.dir().join("qemu");
    let (agent, console) = (File::Agent.number(), File::Console.number());
    let script = script.replace("&agent", &format!("&{agent}")).replace("&console", &format!("&{console}"));
    let script = script.replace("&supervisor", &format!("&{}", File::Supervisor.number()));
    let script =
        format!("#!/bin/sh\n[ \"$1\" = --version ] && exec echo 'QEMU emulator version 9.9.9'\n{script}\n");
    std::fs::write(&qemu, script).expect("written");
    for path in [&*qemu, bench.dir()] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("a mode");
    }
    bench.config.qemu_path = Some(qemu);
    let gateway = Some(bench.dir().join("no-gateway.sock"));
    bench.host().await.boot(Boot { gateway, ..bench.boot("one", "") }).await.expect("boots")
}

const HELLO: FromGuest = FromGuest::Hello { version: VERSION };
const EXITED: FromGuest = FromGuest::Exited { code: 0, signal: None, out_of_memory: false };

#[tokio::test(flavor = "multi_thread")]
async fn whoever_breaks_the_protocol_ends_at_once() {
    let failed = FromGuest::Failed { step: "x".to_owned(), message: "y\u{1b}[31m\nz".to_owned() };
    let long = u32::try_from(MAX_FROM_GUEST).expect("a length") + 1;
    let cases: [(&str, Vec<u8>, Cause, &str); 9] = [
        ("junk", b"GET / HTTP/1.1\r\n\r\n".to_vec(), Cause::Failed, "a frame of"),
        ("too long", long.to_le_bytes().to_vec(), Cause::Failed, "a frame of 16385 bytes"),
        ("nothing", vec![0; 4], Cause::Failed, "a frame that is no message"),
        ("no hello", said(&[FromGuest::Started]), Cause::Failed, "it did not begin with a hello"),
        ("two hellos", said(&[HELLO, HELLO]), Cause::Failed, "it said hello twice"),
        ("another build", said(&[FromGuest::Hello { version: 0 }]), Cause::Failed, "of version 0"),
        (
            "a pong too many",
            said(&[HELLO, FromGuest::Started, FromGuest::Pong(1)]),
            Cause::Qemu,
            "was not asked",
        ),
        ("twice", said(&[HELLO, FromGuest::Started, FromGuest::Started]), Cause::Qemu, "the same twice"),
        ("an end before", said(&[HELLO, EXITED]), Cause::Failed, "what cannot be"),
    ];
    for (name, bytes, cause, part) in cases {
        let Some(mut bench) = Bench::new().await else { return };
        let script = format!("printf '{}' >&agent; while :; do sleep 1; done", octal(&bytes));
        let mut machine = machine(&mut bench, &script).await;
        let begun = Instant::now();
        let end = machine.end().await;
        assert_eq!(end.cause, cause, "{name}: {end:?}");
        assert!(
            end.message.contains("the guest broke the protocol: ") && end.message.contains(part),
            "{name}: {end:?}"
        );
        assert!(begun.elapsed() < bench.config.boot_timeout, "{name}");
    }
    // What it may say of itself is one line without orders for a terminal.
    let Some(mut bench) = Bench::new().await else { return };
    let script = format!("printf '{}' >&agent; exit 0", octal(&said(&[HELLO, failed])));
    let end = machine(&mut bench, &script).await.end().await;
    assert_eq!((end.cause, end.message.as_str()), (Cause::Failed, "the guest could not x: yz"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_breaks_the_supervisor_s_line_ends_too() {
    let Some(mut bench) = Bench::new().await else { return };
    let hello = octal(&said(&[HELLO, FromGuest::Started]));
    let script =
        format!("printf '{hello}' >&agent; cat /proc/version >&supervisor; while :; do sleep 1; done");
    let mut machine = machine(&mut bench, &script).await;
    let end = machine.end().await;
    // Whether it is heard before or after what it said on the other port is chance.
    assert!(matches!(end.cause, Cause::Qemu | Cause::Failed), "{end:?}");
    assert!(end.message.ends_with("begin no frame of the supervisor's line"), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_talks_without_end_is_heard_out_by_nobody() {
    let Some(mut bench) = Bench::new().await else { return };
    bench.config.console_log_size = 16 << 10;
    let hello = octal(&said(&[HELLO, FromGuest::Started]));
    // The console is full of noise, and of the kernel's last words, which the machine then does not end by.
    let script = format!(
        "printf '{hello}' >&agent; echo 'Kernel panic - not syncing: a lie' >&console; cat /dev/urandom >&console"
    );
    let mut machine = machine(&mut bench, &script).await;
    machine.started().await;
    let dir = bench.dir().join("one");
    // Both halves have been written to, again and again.
    let begun = Instant::now();
    while !dir.join(OLDER).exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is kept");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for name in [NAME, OLDER] {
        let length = std::fs::metadata(dir.join(name)).map_or(0, |file| file.len());
        assert!(length <= 8 << 10, "{name}: {length}");
    }
    // An order comes through, however much there is to read.
    machine.handle().kill();
    assert_eq!(
        machine.next().await,
        Event::Ended(super::super::End { cause: Cause::Stopped, message: "stopped".to_owned() })
    );
}
