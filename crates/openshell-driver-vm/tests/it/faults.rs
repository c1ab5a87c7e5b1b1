//! Machines that end in ways that nobody asked for.

use crate::bench::{Bench, ready_message, request, sandbox_id, script, signal};

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_crashes_is_told_with_its_code() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver().create(&request("crash", &["sh", "-c", "kill -SEGV $$"])).await.expect("create");
    let seen = bench.until("crash", "ContainerExited").await;
    assert_eq!(ready_message(&seen), "the main process ended with exit code 139");
    bench.driver().create(&request("absent", &["/no/such/program"])).await.expect("create");
    let seen = bench.until("absent", "ContainerStartFailed").await;
    assert!(ready_message(&seen).contains("/no/such/program"), "{seen:?}");
    assert_eq!(bench.machines(""), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_that_panics_is_told_in_its_own_words() {
    let Some(mut bench) = Bench::closed("networks = [\"user\"]") else { return };
    let init = tempfile::NamedTempFile::new().expect("a file");
    let own = bench.table["init_path"].as_str().expect("a path").to_owned();
    std::fs::copy(own, init.path()).expect("a copy");
    bench.table.insert("init_path".to_owned(), init.path().to_str().expect("a UTF-8 path").into());
    bench.open().await;
    // With this one the initramfs is read that machines of its kind have from then on.
    bench.driver().create(&request("well", &["sleep", "300"])).await.expect("create");
    // A first program that no kernel runs. The file is read anew for machines with other devices.
    std::fs::write(init.path(), "#!/no/interpreter\n").expect("written");
    let mut asked = request("panic", &["sleep", "300"]);
    asked.spec.template.driver_config = [("network".to_owned(), "user".into())].into_iter().collect();
    bench.driver().create(&asked).await.expect("create");
    let seen = bench.until("panic", "ContainerDead").await;
    assert!(ready_message(&seen).contains("Kernel panic - not syncing: "), "{seen:?}");
    assert_eq!(bench.machines("panic"), Vec::<u32>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_hangs_is_ended() {
    // A guest that says no more than that it is there.
    let root = tempfile::tempdir().expect("a directory");
    let config = format!("hang_after = 5\nqemu_path = \"{}\"", script(root.path()).display());
    let Some(bench) = Bench::new(&config).await else { return };
    bench.driver().create(&request("hang", &["sleep", "300"])).await.expect("create");
    bench.until("hang", "Running").await;
    let seen = bench.until("hang", "ContainerDead").await;
    assert_eq!(ready_message(&seen), "the guest did not answer for 5 s and was killed");
    bench.driver().start(&sandbox_id("hang")).await.expect("start");
    bench.until("hang", "Running").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qemu_that_is_killed_is_told() {
    let Some(bench) = Bench::new("").await else { return };
    bench.driver().create(&request("killed", &["sleep", "300"])).await.expect("create");
    bench.until("killed", "Running").await;
    signal("KILL", bench.machines("killed")[0]);
    let seen = bench.until("killed", "ContainerDead").await;
    assert!(!ready_message(&seen).is_empty(), "{seen:?}");
    bench.driver().start(&sandbox_id("killed")).await.expect("start");
    bench.until("killed", "Running").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_takes_all_memory_is_told() {
    let Some(bench) = Bench::new("").await else { return };
    // `tail` keeps what may be the last line.
    bench.driver().create(&request("memory", &["tail", "/dev/zero"])).await.expect("create");
    let seen = bench.until("memory", "OOMKilled").await;
    assert_eq!(ready_message(&seen), "out of memory; exit code 137");
}
