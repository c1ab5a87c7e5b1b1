//! The driver contract on a real engine: the driver in this process, and the same driver as a program of its own.

use std::path::Path;
use std::sync::Arc;

use openshell_driver_conformance::{Launched, Options, Target, run};
use tokio::process::Command;

use crate::bench::{Bench, image, skip};

/// Cases that run at a time: the engine is slow at several things at once, too.
const SIDE_BY_SIDE: usize = 4;

fn options() -> Options {
    Options { image: Some(image()), side_by_side: SIDE_BY_SIDE, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_in_this_process_keeps_the_contract() {
    let Some(bench) = Bench::new("").await else { return };
    let report = run(Target::Driver(Arc::clone(&bench.driver)), options()).await.expect("a report");
    assert_eq!(report.failed().count(), 0, "{report}");
    assert_eq!(bench.leftovers().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drivers_program_keeps_the_contract() {
    let Some(folder) = std::env::var_os("OPENSHELL_TEST_BIN_DIR") else {
        return skip("no programs: OPENSHELL_TEST_BIN_DIR is not set (cargo xtask test sets it)");
    };
    let Some(bench) = Bench::new("").await else { return };
    let engine = bench.table["socket_path"].as_str().expect("a path").to_owned();
    let home = tempfile::tempdir().expect("a directory");
    let (state, socket) = (home.path().join("state"), home.path().join("run/driver.sock"));
    let (program, path, id) =
        (Path::new(&folder).join("openshell-driver-docker"), socket.clone(), bench.gateway_id.clone());
    let launched = Launched::start(move || {
        let mut command = Command::new(&program);
        command.env("DOCKER_HOST", format!("unix://{engine}")).args([
            "--log-level",
            "warn",
            "--gateway-id",
            &id,
        ]);
        command.arg("--bind-socket").arg(&path).arg("--state-dir").arg(&state);
        command
    });
    let restart = Some(Arc::new(launched.expect("a program")) as _);
    let report = run(Target::Socket(socket), Options { restart, ..options() }).await.expect("a report");
    assert_eq!(report.failed().count(), 0, "{report}");
    assert_eq!(bench.leftovers().await, [""; 0]);
}
