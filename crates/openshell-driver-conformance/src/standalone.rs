//! What the tests of a driver's crate do with its program: find it, start it, hold it to the contract.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::process::Command;

use crate::launched::{Launched, Place};
use crate::options::{Options, Target};
use crate::report::Report;
use crate::runner::run;

/// The folder with every program, as `cargo xtask test` built them.
const BIN_DIR: &str = "OPENSHELL_TEST_BIN_DIR";
/// What has to be there, so that no test passes by being skipped.
const REQUIRE: &str = "OPENSHELL_TEST_REQUIRE";

/// Starts the program `openshell-driver-<driver>` as the gateway `gateway_id` would, holds it to the contract over its
/// socket, and ends it. `dress` adds what this driver needs: its environment, its configuration.
///
/// `None` where the programs were not built, which is printed as skipped.
///
/// # Panics
/// As a test does: when the program cannot be started or nobody answers, and when there are no programs though
/// OPENSHELL_TEST_REQUIRE names the driver, or `programs`.
pub async fn hold_program(
    driver: &str,
    gateway_id: &str,
    options: Options,
    dress: impl Fn(&mut Command) + Send + Sync + 'static,
) -> Option<Report> {
    let Some(folder) = std::env::var_os(BIN_DIR) else {
        let why = format!("no programs: {BIN_DIR} is not set (cargo xtask test sets it)");
        let required = std::env::var(REQUIRE).unwrap_or_default();
        let mut required = required.split(',').map(str::trim);
        assert!(!required.any(|name| name == driver || name == "programs"), "{driver} is required: {why}");
        println!("skipped: {why}");
        return None;
    };
    let program = PathBuf::from(folder).join(format!("openshell-driver-{driver}"));
    let home = tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for a driver: {error}"));
    let place = Place {
        socket: home.path().join("run/driver.sock"),
        state: home.path().join("state"),
        gateway_id: gateway_id.to_owned(),
    };
    let shown = program.display().to_string();
    let launched = Launched::start(place.clone(), move |place| {
        let mut command = Command::new(&program);
        command.args(["--log-level", "warn", "--gateway-id", &place.gateway_id]);
        command.arg("--bind-socket").arg(&place.socket).arg("--state-dir").arg(&place.state);
        dress(&mut command);
        command
    });
    let launched = launched.unwrap_or_else(|error| panic!("`{shown}` does not start: {error}"));
    let restart = Some(Arc::new(launched) as _);
    let options = Options { restart, state_dir: Some(place.state), ..options };
    let report = run(Target::Socket(place.socket), options).await;
    Some(report.unwrap_or_else(|error| panic!("`{shown}`: {error}")))
}
