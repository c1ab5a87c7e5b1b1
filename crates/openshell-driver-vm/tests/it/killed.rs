//! A driver that is killed at whatever it does: nothing runs on, nothing is half there, and the next one goes on.
//!
//! A script is in QEMU's place, which says hello at once, so that there is time for many ends.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::bench::{Bench, request, sandbox_id, script};

/// Where the driver that is killed keeps its state, and whose it is.
const PLACE: &str = "OPENSHELL_TEST_VM_KILLED_IN";
const GATEWAY: &str = "OPENSHELL_TEST_VM_KILLED_OF";

/// A driver whose QEMU is the script, which lies above its state.
fn bench(state: &Path, gateway_id: &str) -> Option<Bench> {
    let qemu = state.with_file_name("qemu");
    let mut bench =
        Bench::closed(&format!("qemu_path = \"{}\"\nstop_timeout = 0", qemu.display()))?.at(state);
    bench.gateway_id = gateway_id.to_owned();
    Some(bench)
}

/// Not a test of its own: the driver that is killed.
#[tokio::test(flavor = "multi_thread")]
async fn driver_that_is_killed() {
    let (Some(place), Ok(gateway)) = (std::env::var_os(PLACE), std::env::var(GATEWAY)) else { return };
    let Some(mut bench) = bench(Path::new(&place), &gateway) else { return };
    bench.open().await;
    let (driver, id) = (bench.driver(), sandbox_id("one"));
    println!();
    loop {
        println!("create");
        driver.create(&request("one", &["true"])).await.expect("create");
        println!("stop");
        driver.stop(&id).await.expect("stop");
        println!("start");
        driver.start(&id).await.expect("start");
        println!("delete");
        assert!(driver.delete(&id).await.expect("delete"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_it_is_killed_the_next_one_goes_on() {
    let root = tempfile::tempdir().expect("a directory");
    let state = root.path().join("state");
    script(root.path());
    let gateway = format!("killed-{}", std::process::id());
    // How long after it has said what it is about to do. The image becomes a disk in the first of them, and is there afterwards.
    let rounds: [(&str, &[u64]); 5] = [
        ("create", &[0, 20, 150]),
        ("stop", &[0, 2, 10]),
        ("create", &[0, 5, 20, 50, 100, 150, 250]),
        ("start", &[0, 5, 20, 50]),
        ("delete", &[0, 2, 10, 30, 60]),
    ];
    for (step, millis) in rounds.iter().flat_map(|(step, all)| all.iter().map(move |millis| (*step, *millis)))
    {
        let Some(mut next) = bench(&state, &gateway) else { return };
        let mut driver = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "killed::driver_that_is_killed", "--nocapture"])
            .envs([(PLACE, state.as_os_str()), (GATEWAY, gateway.as_ref())])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a driver");
        let mut said = BufReader::new(driver.stdout.take().expect("its output")).lines();
        assert!(said.any(|line| line.expect("a line") == step), "{step}: it ended before");
        tokio::time::sleep(Duration::from_millis(millis)).await;
        driver.kill().expect("killed");
        driver.wait().expect("waited for");

        next.open().await;
        let at = format!("{millis} ms after `{step}`");
        let listed = next.driver().list().await.expect("a list");
        println!("{at}: {} sandboxes", listed.len());
        next.until_left(listed.len()).await;
        let work = std::fs::read_dir(state.join("images/work")).expect("a directory");
        assert_eq!(work.count(), 0, "{at}");
        for sandbox in &listed {
            next.driver().start(&sandbox.id).await.expect(&at);
            next.until(sandbox.id.as_str(), "Running").await;
            assert!(next.driver().delete(&sandbox.id).await.expect(&at));
        }
        next.until_left(0).await;
    }
}
