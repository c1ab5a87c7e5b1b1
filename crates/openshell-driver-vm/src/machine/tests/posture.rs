//! What a QEMU may, what it holds, and that nothing of it stays.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use openshell_driver_api::ErrorKind;

use super::super::{Cause, overlay, sweep};
use super::Bench;

/// One line of `/proc/PID/status`.
fn status(pid: u32, key: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("a line");
    line.trim_start_matches(':').trim().to_owned()
}

/// Waits until `setpriv` has become QEMU and QEMU has taken its own sandbox.
async fn settled(pid: u32) {
    let begun = Instant::now();
    while status(pid, "Seccomp") != "2" {
        assert!(begun.elapsed() < Duration::from_secs(60), "no seccomp: {}", status(pid, "Name"));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_has_no_rights_and_no_files_but_its_own() {
    let Some(bench) = Bench::new().await else { return };
    let mut machine = bench.host().await.boot(bench.boot("one", "sleep 1000")).await.expect("boots");
    settled(machine.pid).await;
    if rustix::process::geteuid().is_root() {
        let first = bench.config.uids.first.to_string();
        assert_eq!(
            status(machine.pid, "Uid").split_whitespace().collect::<Vec<_>>(),
            vec![first.as_str(); 4]
        );
        assert_eq!(
            status(machine.pid, "Gid").split_whitespace().collect::<Vec<_>>(),
            vec![first.as_str(); 4]
        );
        assert_eq!(status(machine.pid, "Groups"), "");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status(machine.pid, set), "0000000000000000", "{set}");
        }
        // Files of the host that it could reach by a descriptor are those of its plan.
        let held = std::fs::read_dir(format!("/proc/{}/fd", machine.pid)).expect("files");
        let of_the_host = held
            .filter_map(|entry| std::fs::read_link(entry.expect("an entry").path()).ok())
            .filter(|path| path.starts_with("/") && !path.starts_with("/dev"))
            .filter(|path| !path.to_string_lossy().starts_with("/memfd:"))
            .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned());
        let mut names: Vec<String> = of_the_host.collect();
        names.sort();
        names.dedup();
        let uid = bench.config.uids.first.to_string();
        let kernel =
            bench.config.kernel.as_ref().and_then(|path| path.file_name()).expect("a name").to_string_lossy();
        assert_eq!(names, [uid.as_str(), "disk.ext4", "overlay.qcow2", &*kernel]);
    }
    assert_eq!(status(machine.pid, "NoNewPrivs"), "1");
    for name in [overlay::NAME, "console.log", "qemu.pid"] {
        let mode =
            std::fs::metadata(bench.dir().join("one").join(name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    machine.handle().kill();
    assert_eq!(machine.end().await.cause, Cause::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_disk_has_one_machine() {
    let Some(bench) = Bench::new().await else { return };
    let host = bench.host().await;
    let mut machine = host.boot(bench.boot("one", "sleep 1000")).await.expect("boots");
    let error = host.boot(bench.boot("one", "sleep 1000")).await.expect_err("taken");
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
    assert!(error.message().ends_with("overlay.qcow2` already"), "{error}");
    let mut another = host.boot(bench.boot("two", "sleep 1000")).await.expect("its own disk");
    if rustix::process::geteuid().is_root() {
        settled(another.pid).await;
        let second = (bench.config.uids.first + 1).to_string();
        assert_eq!(status(another.pid, "Uid").split_whitespace().next(), Some(second.as_str()));
    }
    for machine in [&mut machine, &mut another] {
        machine.handle().kill();
        machine.end().await;
    }
}

/// Open files and children of this process.
fn held() -> (usize, usize) {
    let files = std::fs::read_dir("/proc/self/fd").expect("files").count();
    let own = std::process::id().to_string();
    let of_this = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1).map(str::to_owned)
    };
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    let children =
        processes.filter(|entry| entry.file_name().to_str().and_then(of_this).as_ref() == Some(&own));
    (files, children.count())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_after_many_machines() {
    let Some(bench) = Bench::new().await else { return };
    let host = bench.host().await;
    let mut before = None;
    for _ in 0..=8 {
        let machine = host.boot(bench.boot("one", "sleep 1000")).await.expect("boots");
        settled(machine.pid).await;
        let pid = machine.pid;
        // Dropped, not killed: that is to be enough.
        drop(machine);
        let begun = Instant::now();
        while std::path::Path::new(&format!("/proc/{pid}")).exists()
            || bench.dir().join("one/qemu.pid").exists()
        {
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not go");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The first one makes what is kept: the initramfs.
        before.get_or_insert_with(held);
    }
    assert_eq!(Some(held()), before, "open files, children");
}

const PLACE: &str = "OPENSHELL_TEST_VM_DRIVER_IN";

/// Not a test of its own: a driver that is killed by the next one.
#[tokio::test(flavor = "multi_thread")]
async fn driver_that_is_killed() {
    if std::env::var_os(PLACE).is_none() {
        return;
    }
    let Some(bench) = Bench::new().await else { return };
    let mut machine = bench.host().await.boot(bench.boot("one", "sleep 1000")).await.expect("boots");
    settled(machine.pid).await;
    println!("\nmachine {}", machine.pid);
    machine.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_ends_with_its_driver() {
    let Some(bench) = Bench::new().await else { return };
    let mut driver = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "machine::tests::posture::driver_that_is_killed", "--nocapture"])
        .env(PLACE, "1")
        .env("TMPDIR", bench.dir())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a driver");
    let output = BufReader::new(driver.stdout.take().expect("its output"));
    let pid =
        output.lines().find_map(|line| line.expect("a line").strip_prefix("machine ").map(str::to_owned));
    let pid: u32 = pid.expect("a machine").parse().expect("a number");
    assert!(status(pid, "Name").starts_with("qemu-system"));
    driver.kill().expect("killed");
    driver.wait().expect("waited for");
    let begun = Instant::now();
    while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(begun.elapsed() < Duration::from_secs(60), "an orphan");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leftover_is_ended_before_anything_else() {
    let Some(bench) = Bench::new().await else { return };
    let mut machine = bench.host().await.boot(bench.boot("one", "sleep 1000")).await.expect("boots");
    settled(machine.pid).await;
    let dir = bench.dir().join("one");
    let swept = tokio::task::spawn_blocking(move || sweep(&dir)).await.expect("no panic");
    assert!(swept.expect("swept"));
    assert_eq!(machine.end().await.cause, Cause::Qemu);
}
