//! The driver is held to the whole contract by the conformance kit, behind a socket as the gateway sees it.

use std::time::Duration;

use openshell_driver_api::{DriverContext, Table};
use openshell_driver_conformance::{Options, Target, Verdict, run};

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_keeps_the_contract() {
    let state = tempfile::tempdir().expect("a directory");
    let context = DriverContext {
        name: "{{name}}".to_owned(),
        gateway_id: "conformance".to_owned(),
        state_dir: state.path().to_owned(),
        telemetry: true,
        endpoint: String::new(),
        supervisor: None,
    };
    let factory = {{crate}}::REGISTRATION.factory;
    let driver = factory.open(context, &Table::new()).await.expect("a driver");
    let options = Options {
        // The backend in memory takes any.
        image: Some("none".to_owned()),
        many: Some(50),
        timeout: Duration::from_secs(20),
        ..Options::default()
    };
    let report = run(Target::Driver(driver), options).await.expect("a report");
    // To see each case and why it failed: `cargo test --test contract -- --nocapture`.
    for outcome in &report.outcomes {
        println!("{:<36} {:<12} {:?}", outcome.case.id, outcome.case.level, outcome.verdict);
    }
    assert!(report.holds(), "a required case failed; they are listed above");
    // A restart is the one thing that this test cannot give the kit: README.md says how to try it.
    let skipped = report.outcomes.iter().filter(|outcome| matches!(outcome.verdict, Verdict::Skipped(_)));
    let skipped: Vec<&str> = skipped.map(|outcome| outcome.case.id).filter(|id| !is_excused(id)).collect();
    assert_eq!(skipped, [""; 0], "what was not looked at is not kept");
}

/// Whether a case has no meaning here: what needs another process of the driver, what is said of methods that the driver
/// lacks, an image that is the driver's own, main processes that a backend in memory does not run, files with tokens, which
/// it does not have. Take out what yours does have.
fn is_excused(id: &str) -> bool {
    const EXCUSED: &[&str] = &[
        "handshake.unimplemented-message",
        "identity.gateways-apart",
        "lifecycle.default-image",
        "lifecycle.workspace-kept",
        "secrets.on-disk",
        // Only root can dial as somebody else.
        "socket.foreign-user",
    ];
    id.starts_with("restart.") || EXCUSED.contains(&id)
}
