//! Many sandboxes at once.

use crate::bench::{Bench, request, sandbox_id, script};

const MANY: usize = 20;
/// What the driver may need for them beyond their QEMUs, in KiB.
const MOST: u64 = 20 * 1000;

/// This process's memory, in KiB: the driver is in it.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_idle_sandboxes_are_little_memory() {
    // What a driver has of a machine is the same whatever the guest is; twenty real ones would be a test of the host.
    let root = tempfile::tempdir().expect("a directory");
    let config = format!("hang_after = 600\nqemu_path = \"{}\"", script(root.path()).display());
    let Some(bench) = Bench::new(&config).await else { return };
    // The first has the image made, which is not what is measured.
    bench.driver().create(&request("n0", &["sleep", "3000"])).await.expect("create");
    bench.until("n0", "Running").await;
    let before = resident();
    for n in 1..MANY {
        bench.driver().create(&request(&format!("n{n}"), &["sleep", "3000"])).await.expect("create");
        bench.until(&format!("n{n}"), "Running").await;
    }
    let after = resident();
    println!("{MANY} idle sandboxes: {} KiB before the second, {} KiB with all", before, after);
    assert!(after.saturating_sub(before) <= MOST, "{before} KiB, then {after} KiB");
    for n in 0..MANY {
        assert!(bench.driver().delete(&sandbox_id(&format!("n{n}"))).await.expect("delete"));
    }
    bench.until_left(0).await;
}
