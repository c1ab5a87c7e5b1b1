//! Sandboxes with the gateway's supervisor as their first process, on a real service: the workload is held to what it is held
//! to without one, and finds nothing of the supervisor's. No gateway answers here; the supervisor goes on asking.

use openshell_driver_api::Secret;
use openshell_driver_api::conditions::{READY, find};

use crate::bench::{Bench, request, sandbox_id};

const TOKEN: &str = "osb1.s3cret.t0ken";

/// What a workload sees of itself, and what it tries.
const WORKLOAD: &str = include_str!("../../../openshell-driver-common/tests/workload.sh");

#[tokio::test]
async fn the_workload_has_what_it_has_without_and_finds_nothing_of_the_supervisor_s() {
    // A root in there is the owner of the token's file; what that is good for is the gateway's to bound.
    for (config, expected) in [
        ("", "user 0 group 0 in /sandbox\nreads the token\n"),
        ("user = 'sandbox'\nread_only_root = true", "user 1000 group 1000 in /sandbox\n"),
    ] {
        let Some(bench) = Bench::supervised(config).await else { return };
        bench.open_door("inside");
        let mut request = request("inside", &["sh", "-c", WORKLOAD]);
        request.spec.token = Secret::new(TOKEN);
        bench.driver.create(&request).await.expect("create");
        let ended = bench.until("inside", "ContainerExited").await;
        let condition = find(&ended.status.conditions, READY).expect("a condition");
        assert!(condition.message.contains('7'), "the exit code is the main process's: {condition:?}");
        let output = bench.output("inside").await;
        let lines = output.lines().filter(|line| !line.starts_with("openshell-sandbox: "));
        let found: String = lines.map(|line| format!("{line}\n")).collect();
        let own = "OPENSHELL_SANDBOX=name-of-inside\nOPENSHELL_SANDBOX_ID=inside\nOPENSHELL_TELEMETRY_ENABLED=false\n";
        assert_eq!(found, format!("{expected}{own}alive\n"), "{config}");
        assert!(
            !bench.inspect("inside").await.to_string().contains(TOKEN),
            "the description holds the token"
        );
        // A start finds the token and the socket's directory where they were.
        bench.driver.start(&sandbox_id("inside")).await.expect("start");
        bench.until("inside", "ContainerExited").await;
        assert!(bench.driver.delete(&sandbox_id("inside")).await.expect("delete"));
        bench.until_nothing_is_left().await;
    }
}
