//! Sandboxes with the gateway's supervisor as their first process, on a real engine: the workload is held to what it is held
//! to without one, finds nothing of the supervisor's, and takes nobody's place. No gateway answers here; the supervisor goes
//! on asking.
//!
//! The same for each engine: a module of the tests of each driver that delivers a supervisor, over that driver's own bench.

use std::path::PathBuf;

use openshell_driver_api::conditions::{READY, find};
use openshell_driver_api::program::needs_libraries;
use openshell_driver_api::supervisor::PROGRAM_NAME;
use openshell_driver_api::{SandboxRequest, Secret};
use serde_json::json;

use crate::bench::{Bench, PATIENCE, ask, request, sandbox_id};

const TOKEN: &str = "osb1.s3cret.t0ken";

/// What a workload sees of itself, and what it tries.
const WORKLOAD: &str = include_str!("../workload.sh");

/// A program that is started in the supervisor's stead.
const STRANGER: &str = r#"printf '#!/bin/sh\necho hole: root by $0\n' >"$1" && chmod 755 "$1""#;

/// The supervisor's program, as `cargo xtask test` has built it; `None`, and a word about it, without it.
pub(crate) fn program() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("OPENSHELL_TEST_BIN_DIR") else {
        let required = std::env::var("OPENSHELL_TEST_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|word| word.trim() == "programs"), "programs are required");
        println!("skipped: no supervisor: OPENSHELL_TEST_BIN_DIR is not set (cargo xtask test sets it)");
        return None;
    };
    let program = PathBuf::from(folder).join(PROGRAM_NAME);
    assert!(program.is_file(), "`{}` is missing from OPENSHELL_TEST_BIN_DIR", program.display());
    // In cargo's own folder, the tests of its crate leave another in its place.
    let dynamic = needs_libraries(&program).expect("it can be read");
    assert!(!dynamic, "`{}` is not linked static, as cargo xtask test links it", program.display());
    Some(program)
}

/// A sandbox that has a token, as all have that have a supervisor.
fn sandbox(id: &str, script: &str) -> SandboxRequest {
    let mut request = request(id, &["sh", "-c", script]);
    request.spec.token = Secret::new(TOKEN);
    request
}

/// What was printed without what the supervisor says of its gateway, which is not there.
async fn printed(bench: &Bench, id: &str) -> String {
    let output = bench.output(id).await;
    let lines = output.lines().filter(|line| !line.starts_with("openshell-sandbox: "));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Removes a sandbox, and waits until nothing is left: what removes it may not have been waited for.
async fn remove(bench: &Bench, id: &str) {
    assert!(bench.driver.delete(&sandbox_id(id)).await.expect("delete"));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let left = bench.leftovers().await;
        if left.is_empty() {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "left: {left:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn the_workload_has_what_it_has_without_and_finds_nothing_of_the_supervisor_s() {
    // A root in there is the owner of the token's file; what that is good for is the gateway's to bound.
    for (config, expected) in [
        ("", "user 0 group 0 in /sandbox\nreads the token\n"),
        ("user = 'sandbox'", "user 1000 group 1000 in /sandbox\n"),
        ("user = '4321'\nread_only_root = true", "user 4321 group 0 in /sandbox\n"),
    ] {
        let Some(bench) = Bench::supervised(config).await else { return };
        bench.open_door("inside");
        bench.driver.create(&sandbox("inside", WORKLOAD)).await.expect("create");
        let ended = bench.until("inside", "ContainerExited").await;
        let condition = find(&ended.status.conditions, READY).expect("a condition");
        assert!(condition.message.contains('7'), "the exit code is the main process's: {condition:?}");
        let own = "OPENSHELL_SANDBOX=name-of-inside\nOPENSHELL_SANDBOX_ID=inside\nOPENSHELL_TELEMETRY_ENABLED=false\n";
        assert_eq!(printed(&bench, "inside").await, format!("{expected}{own}alive\n"), "{config}");
        let described = serde_json::to_string(&bench.inspect("inside").await).expect("JSON");
        assert!(!described.contains(TOKEN), "the engine's description holds the token");
        remove(&bench, "inside").await;
    }
}

#[tokio::test]
async fn it_stops_starts_and_goes_like_any_other() {
    let Some(bench) = Bench::supervised("user = 'sandbox'").await else { return };
    bench.open_door("cycle");
    let script = "echo up $(cat /sandbox/count 2>/dev/null); echo again >/sandbox/count; trap 'echo bye; exit 0' TERM; \
                  while :; do sleep 0.1; done";
    bench.driver.create(&sandbox("cycle", script)).await.expect("create");
    for round in 1..=2 {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while bench.output("cycle").await.matches("up").count() < round {
            assert!(tokio::time::Instant::now() < deadline, "{}", bench.output("cycle").await);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        bench.driver.stop(&sandbox_id("cycle")).await.expect("stop");
        bench.until("cycle", "Stopped").await;
        if round == 1 {
            // A start finds the token and the socket's directory where they were.
            bench.driver.start(&sandbox_id("cycle")).await.expect("start");
        }
    }
    assert_eq!(printed(&bench, "cycle").await, "up\nbye\nup again\nbye\n", "signals come through");
    remove(&bench, "cycle").await;
}

/// A volume of the image's, where a link leads to the supervisor's directory: what the image has there is laid over it.
#[tokio::test]
async fn an_image_puts_nothing_in_the_supervisor_s_place() {
    let Some(mut supervised) = Bench::supervised("user = 'sandbox'").await else { return };
    let Some(bench) = Bench::new("").await else { return };
    let script = format!(
        "mkdir -p /run/openshell /tmp/a/b && ln -s /run/openshell /tmp/a/b/c && set -- /run/openshell/supervisor && {STRANGER}"
    );
    bench.driver.create(&request("maker", &["sh", "-c", &script])).await.expect("create");
    bench.until("maker", "ContainerExited").await;
    assert_eq!(bench.output("maker").await, "");
    let image = bench.commit("maker", "/tmp/a/b/c").await;
    supervised.images.push(image.clone());
    supervised.open_door("stranger");
    let mut stranger =
        sandbox("stranger", "echo ran as $(id -u); test -e /tmp/a/b/c/supervisor && echo beside it");
    stranger.spec.template.image = image;
    supervised.driver.create(&stranger).await.expect("create");
    supervised.until("stranger", "ContainerExited").await;
    let output = printed(&supervised, "stranger").await;
    assert_eq!(output, "ran as 1000\nbeside it\n", "the volume is there, and nobody runs it");
    remove(&supervised, "stranger").await;
}

/// A volume of the request's, whose place the workload exchanges for a link before it is started again.
#[tokio::test]
async fn a_workload_puts_nothing_in_the_supervisor_s_place() {
    let Some(bench) = Bench::supervised("user = 'sandbox'\nallow_volumes = true").await else { return };
    bench.open_door("again");
    let script = format!(
        "echo run as $(id -u); mv /sandbox/x /sandbox/moved && mkdir -p /sandbox/x/y && ln -s /run/openshell /sandbox/x/y/z && \
         set -- /sandbox/moved/y/z/supervisor && {STRANGER} && echo laid"
    );
    let mut again = sandbox("again", &script);
    ask(&mut again, json!({"mounts": [{"type": "volume", "target": "/sandbox/x/y/z", "source": "data"}]}));
    bench.driver.create(&again).await.expect("create");
    bench.until("again", "ContainerExited").await;
    assert_eq!(printed(&bench, "again").await, "run as 1000\nlaid\n");
    // Whether it runs is the workload's own doing; what runs in its stead is not.
    let _ = bench.driver.start(&sandbox_id("again")).await;
    bench.until("again", "ContainerExited").await;
    let output = bench.output("again").await;
    assert!(!output.contains("hole"), "{output}");
    assert!(bench.driver.delete(&sandbox_id("again")).await.expect("delete"));
}
