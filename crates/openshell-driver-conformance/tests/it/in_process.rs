//! A `ComputeDriver` in this process, served by our own server: both halves of a driver's socket are held to the contract
//! with it, since the driver is itself one behind a socket.

use std::sync::Arc;
use std::time::Duration;

use openshell_driver_api::{DialRequest, SocketPolicy};
use openshell_driver_conformance::{Group, Options, Target, Verdict, run};
use openshell_driver_fake::Scenario;
use openshell_driver_remote::{Deadlines, RemoteDriver};

use crate::bench::{Bench, patient, red};

#[tokio::test(flavor = "multi_thread")]
async fn our_own_server_and_client_keep_the_contract() {
    let bench = Bench::start(Scenario::default());
    let request = DialRequest {
        name: "mine".to_owned(),
        path: bench.path(),
        policy: SocketPolicy::default(),
        connect_timeout: Duration::from_secs(60),
        longest_call: Duration::from_secs(30),
    };
    let driver = RemoteDriver::dial(request, Deadlines::default()).await.expect("a driver");
    // It is the server in this process that would have to be restarted, which nobody can.
    let options = Options { restart: None, ..patient(&bench) };
    let is_root = rustix::process::geteuid().is_root();
    let report = run(Target::Driver(Arc::new(driver)), options).await.expect("a report");
    assert_eq!(red(&report), [""; 0], "{:?}", report.outcomes);
    let skipped = report.outcomes.iter().filter(|outcome| matches!(outcome.verdict, Verdict::Skipped(_)));
    let skipped =
        skipped.map(|outcome| outcome.case).filter(|case| is_root || case.id != "socket.foreign-user");
    let skipped: Vec<&str> =
        skipped.filter(|case| case.group() != Group::Restart).map(|case| case.id).collect();
    assert_eq!(skipped, ["handshake.unimplemented-message", "identity.gateways-apart"]);
}
