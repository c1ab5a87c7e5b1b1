//! What a sandbox is given, as seen from inside.

use std::os::unix::fs::PermissionsExt as _;

use openshell_driver_api::Secret;
use serde_json::json;

use crate::bench::{Bench, ready_message, request};

/// Runs a script to its end and gives what it printed.
async fn printed(
    bench: &Bench,
    id: &str,
    script: &str,
    change: impl FnOnce(&mut openshell_driver_api::SandboxRequest),
) -> String {
    let mut asked = request(id, &["sh", "-c", &format!("echo BEGIN; {script}; echo END")]);
    change(&mut asked);
    bench.driver().create(&asked).await.expect("create");
    let seen = bench.until(id, "ContainerExited").await;
    let console = bench.console(id);
    assert_eq!(ready_message(&seen), "the main process ended with exit code 0", "{console}");
    let (_, rest) = console.split_once("BEGIN").unwrap_or_else(|| panic!("no output in {console}"));
    rest.split_once("END")
        .unwrap_or_else(|| panic!("no end in {console}"))
        .0
        .replace('\r', "")
        .trim()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workload_has_what_the_request_says() {
    let Some(bench) = Bench::new("pids_limit = 99").await else { return };
    let script = "pwd; id -u; stat -c %U /sandbox; hostname; nproc; echo $A-$OPENSHELL_SANDBOX_ID-$OPENSHELL_TELEMETRY_ENABLED; \
                  cat $OPENSHELL_SANDBOX_TOKEN_FILE; echo; stat -c %a $OPENSHELL_SANDBOX_TOKEN_FILE; \
                  grep -c . /proc/net/dev; grep MemTotal /proc/meminfo; df -m / | tail -1";
    let said = printed(&bench, "given", script, |asked| {
        asked.spec.environment = [("A".to_owned(), "a b".to_owned())].into();
        asked.spec.token = Secret::new("t0ken");
        asked.spec.template.driver_config =
            json!({"disk_size": "64Mi"}).as_object().expect("an object").clone();
        asked.spec.template.resources.memory_limit = "100Mi".to_owned();
    })
    .await;
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    let expected = ["/sandbox", "0", "root", "name-of-given", "1", "a b-given-false", "t0ken", "600"];
    assert_eq!(lines[..expected.len()], expected, "{said}");
    // Two lines of a heading, and loopback: no other interface.
    assert_eq!(lines[8], "3", "{said}");
    let number =
        |line: &str, place: usize| line.split_whitespace().nth(place).and_then(|n| n.parse::<u64>().ok());
    let memory = number(lines[9], 1).expect("MemTotal");
    assert!((30_000..100 << 10).contains(&memory), "{said}");
    let disk = number(lines[10], 1).expect("a size");
    assert!((30..=64).contains(&disk), "{said}");

    let directory = bench.directory("given");
    for file in ["record.json", "token", "overlay.qcow2", "console.log"] {
        let mode = std::fs::metadata(directory.join(file)).expect(file).permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    let record = std::fs::read_to_string(directory.join("record.json")).expect("a record");
    assert!(!record.contains("t0ken") && !bench.console("given").contains("command line: t0ken"), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_s_user_runs_the_workload_and_owns_the_workspace() {
    let Some(bench) = Bench::new("user = \"sandbox\"").await else { return };
    let said =
        printed(&bench, "user", "id -u; stat -c %u /sandbox; touch /sandbox/a && echo wrote", |_| ()).await;
    assert_eq!(said.lines().map(str::trim).collect::<Vec<_>>(), ["1000", "1000", "wrote"]);
}
