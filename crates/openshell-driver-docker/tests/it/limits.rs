//! Limits, as the kernel holds a container to them: read in its own control group, and run into.

use openshell_driver_api::Resources;
use serde_json::json;

use crate::bench::{Bench, ask, request, sandbox_id};

/// What a sandbox with a script printed once it had ended.
async fn run(bench: &Bench, id: &str, script: &str, resources: Resources) -> String {
    let mut request = request(id, &["sh", "-c", script]);
    request.spec.template.resources = resources;
    bench.driver.create(&request).await.expect("create");
    bench.until(id, "ContainerExited").await;
    bench.output(id).await
}

#[tokio::test]
async fn the_control_group_has_the_limits() {
    let Some(bench) = Bench::new("pids_limit = 77").await else { return };
    // Version 2 has one directory, version 1 one a controller.
    let script = "cd /sys/fs/cgroup; if [ -e cgroup.controllers ]; then cat memory.max memory.swap.max memory.low cpu.max \
                  pids.max; else cd memory; m=$(cat memory.limit_in_bytes); s=$(cat memory.memsw.limit_in_bytes); \
                  echo $m; echo $((s - m)); cat memory.soft_limit_in_bytes; cd ../cpu; \
                  echo $(cat cpu.cfs_quota_us cpu.cfs_period_us); cat ../pids/pids.max; fi";
    let resources = Resources {
        cpu_limit: "500m".to_owned(),
        memory_limit: "64Mi".to_owned(),
        memory_request: "32Mi".to_owned(),
        ..Resources::default()
    };
    let output = run(&bench, "group", script, resources).await;
    assert_eq!(output.lines().collect::<Vec<_>>(), ["67108864", "0", "33554432", "50000 100000", "77"]);
}

#[tokio::test]
async fn a_fork_bomb_goes_no_further_than_its_limit() {
    let Some(bench) = Bench::new("").await else { return };
    let bomb =
        "bomb() { bomb | bomb & }; i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); done; echo unbounded";
    let mut request = request("bomb", &["sh", "-c", bomb]);
    ask(&mut request, json!({"pids_limit": 24}));
    bench.driver.create(&request).await.expect("create");
    bench.until("bomb", "ContainerExited").await;
    let output = bench.output("bomb").await;
    assert!(output.contains("can't fork") && !output.contains("unbounded"), "{output}");
    assert!(bench.driver.delete(&sandbox_id("bomb")).await.expect("delete"));
}

#[tokio::test]
async fn a_busy_loop_is_throttled() {
    let Some(bench) = Bench::new("").await else { return };
    let script =
        "timeout 1 sh -c 'while :; do :; done'; cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/cpu/cpu.stat 2>&-";
    let resources = Resources { cpu_limit: "100m".to_owned(), ..Resources::default() };
    let output = run(&bench, "busy", script, resources).await;
    let throttled = output.lines().find_map(|line| line.strip_prefix("nr_throttled "));
    assert!(throttled.and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count > 0), "{output}");
}

#[tokio::test]
async fn too_much_memory_is_the_end_and_says_so() {
    let Some(bench) = Bench::new("").await else { return };
    let mut request = request("oom", &["sh", "-c", "a=xxxxxxxx; while true; do a=$a$a; done"]);
    request.spec.template.resources.memory_limit = "16Mi".to_owned();
    bench.driver.create(&request).await.expect("create");
    bench.until("oom", "OOMKilled").await;
}

#[tokio::test]
async fn files_shared_memory_and_what_lies_in_memory() {
    let Some(bench) = Bench::new("nofile_limit = 256\ntmpfs_max = '32Mi'").await else { return };
    let script = "ulimit -n; df -k /dev/shm | tail -1 | awk '{print $2}'; \
                  dd if=/dev/zero of=/scratch/x bs=1M count=9 2>&1 | grep -o 'No space left on device'; \
                  grep -E '^tmpfs /scratch ' /proc/mounts; stat -c %a /scratch";
    let mut request = request("small", &["sh", "-c", script]);
    ask(
        &mut request,
        json!({"shm_size": "4Mi", "mounts": [{"type": "tmpfs", "target": "/scratch", "size": "8Mi", "mode": "1700"}]}),
    );
    bench.driver.create(&request).await.expect("create");
    bench.until("small", "ContainerExited").await;
    let output = bench.output("small").await;
    let [files, shm, full, mount, mode] = output.lines().collect::<Vec<_>>()[..] else { panic!("{output}") };
    assert_eq!((files, shm, full, mode), ("256", "4096", "No space left on device", "1700"));
    for option in ["nosuid", "nodev", "noexec", "size=8192k"] {
        assert!(mount.contains(option), "`{option}` in {mount}");
    }
}

#[tokio::test]
async fn more_than_the_host_has_is_refused_by_the_engine_and_leaves_nothing() {
    let Some(bench) = Bench::new("").await else { return };
    let mut request = request("vast", &["true"]);
    request.spec.template.resources.cpu_limit = "4096".to_owned();
    let error = bench.driver.create(&request).await.expect_err("no host has so many");
    assert_eq!(error.kind(), openshell_driver_api::ErrorKind::InvalidArgument);
    assert!(error.message().contains("CPUs"), "{error}");
    assert_eq!(bench.leftovers().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_this_engine_cannot_hold_to_is_refused_by_name() {
    let Some(bench) = Bench::new("").await else { return };
    let info = bench.docker.info().await.expect("a description");
    let backing = info.driver_status.into_iter().flatten().find(|pair| pair[0] == "Backing Filesystem");
    let quota = info.driver.as_deref() != Some("overlay2") || backing.is_some_and(|pair| pair[1] == "xfs");
    let mut request = request("sized", &["true"]);
    ask(&mut request, json!({"storage_size": "1Gi"}));
    let answer = bench.driver.validate_create(&request).await;
    if quota {
        return println!("skipped: this engine's storage may have quotas");
    }
    let error = answer.expect_err("overlay2 without quotas");
    assert!(
        error.message().contains("driver_config.storage_size: the engine's storage, overlay2 on "),
        "{error}"
    );
}
