//! How machines end, and how each is told from the others.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::super::{Cause, Event, console};
use super::Bench;

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().expect("a number")).expect("a process");
    kill_process(pid, signal).expect("a signal");
}

/// More than any end takes by itself, however busy the machine is.
const GRACE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_of_the_main_process_is_told() {
    let Some(mut bench) = Bench::new().await else { return };
    bench.config.console_log_size = 16 << 10;
    // Far more than is kept: nobody waits for room.
    let script = "head -c 100000 /dev/zero | tr '\\0' x; echo; echo said on the console; exit 3";
    let mut machine = bench.host().await.boot(bench.boot("one", script)).await.expect("boots");
    machine.started().await;
    assert_eq!(machine.next().await, Event::Exited);
    let end = machine.end().await;
    assert_eq!(end.cause, Cause::Exited { code: 3, out_of_memory: false });
    let tail = console::tail(&bench.dir().join("one"), 20);
    assert!(tail.contains("said on the console"), "{tail}");
    assert!(!bench.dir().join("one/qemu.pid").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_asked_for_and_what_was_written_is_there_after_it() {
    let Some(bench) = Bench::new().await else { return };
    let host = bench.host().await;
    let script = "trap 'echo kept > /kept; exit 0' TERM; echo prepared; while :; do sleep 0.1; done";
    let mut machine = host.boot(bench.boot("one", script)).await.expect("boots");
    machine.started().await;
    // A shell that has just begun has no trap yet.
    while !console::tail(&bench.dir().join("one"), 20).contains("prepared") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let begun = Instant::now();
    machine.handle().stop(GRACE);
    let end = machine.end().await;
    assert_eq!(end.cause, Cause::Exited { code: 0, out_of_memory: false });
    assert!(begun.elapsed() < GRACE, "it took the grace to its end");

    let mut again =
        host.boot(bench.boot("one", "test \"$(cat /kept)\" = kept && exit 7")).await.expect("boots");
    assert_eq!(again.end().await.cause, Cause::Exited { code: 7, out_of_memory: false });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_before_the_guest_listens_is_a_kill() {
    let Some(bench) = Bench::new().await else { return };
    let mut machine = bench.host().await.boot(bench.boot("one", "exit 0")).await.expect("boots");
    let begun = Instant::now();
    machine.handle().stop(GRACE);
    assert_eq!(machine.end().await.cause, Cause::Stopped);
    assert!(begun.elapsed() < GRACE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qemu_that_somebody_kills_is_seen() {
    let Some(bench) = Bench::new().await else { return };
    let mut machine = bench.host().await.boot(bench.boot("one", "sleep 1000")).await.expect("boots");
    signal(machine.pid, Signal::KILL);
    let end = machine.end().await;
    assert_eq!((end.cause, end.message.as_str()), (Cause::Qemu, "QEMU ended, signal: 9 (SIGKILL)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_does_not_answer_is_silent_and_then_killed() {
    let Some(mut bench) = Bench::new().await else { return };
    bench.config.hang_after = Duration::from_secs(8);
    let mut machine = bench.host().await.boot(bench.boot("one", "sleep 1000")).await.expect("boots");
    machine.started().await;
    // Pings are answered all the while.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(machine.events.is_empty(), "{:?}", machine.events.try_recv());
    signal(machine.pid, Signal::STOP);
    assert_eq!(machine.next().await, Event::Silent);
    let end = machine.end().await;
    assert_eq!(
        (end.cause, end.message.as_str()),
        (Cause::Hung, "the guest did not answer for 8 s and was killed")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_does_not_come_up_is_not_waited_for_longer_than_said() {
    let Some(mut bench) = Bench::new().await else { return };
    bench.config.boot_timeout = Duration::from_secs(1);
    let mut machine = bench.host().await.boot(bench.boot("one", "exit 0")).await.expect("boots");
    let end = machine.end().await;
    assert_eq!(end.cause, Cause::Failed);
    assert!(
        end.message.starts_with("the guest has not come up within 1 s; its console ends with "),
        "{}",
        end.message
    );
}
