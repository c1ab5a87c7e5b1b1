//! `GetStatus`: what the gateway knows of its driver, told without asking it.

use std::time::Duration;

use openshell_driver_api::{ErrorKind, conditions};
use openshell_proto::gateway::v1alpha1::gateway_client::GatewayClient;
use openshell_proto::gateway::v1alpha1::{DriverStatus, GetStatusRequest, MethodSupport};
use openshell_proto::openshell::v1::SandboxPhase;
use openshell_runtime::Reach;

use crate::client::{Gateway, eventually, gateway, gateway_with, settings};
use crate::fake::{Fake, Script};

async fn status(gateway: &Gateway) -> DriverStatus {
    let mut client = GatewayClient::new(gateway.channel.clone());
    let mut answer = client.get_status(GetStatusRequest {}).await.expect("a status").into_inner();
    assert_eq!((answer.gateway_id.as_str(), answer.gateway_version.as_str()), ("gw-1", "9.9.9"));
    assert_eq!(answer.drivers.len(), 1, "a gateway runs one driver");
    answer.drivers.remove(0)
}

/// The status once it is as it shall be.
async fn until(gateway: &Gateway, what: &str, is_so: impl Fn(&DriverStatus) -> bool) -> DriverStatus {
    let wait = async {
        loop {
            let found = status(gateway).await;
            if is_so(&found) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// A method's support, calls and failures.
fn method(status: &DriverStatus, name: &str) -> (MethodSupport, u64, u64) {
    let found = status.methods.iter().find(|method| method.name == name).expect("a method of the contract");
    (found.support(), found.calls, found.failures)
}

#[tokio::test]
async fn a_driver_is_told_with_what_it_has_and_what_it_lacks() {
    let fake = Fake::new();
    let mut settings = settings();
    settings.reach = Reach::Socket { path: "/run/kyma.sock".into() };
    let mut gateway = gateway_with(&fake, settings).await;
    gateway.ready("one").await;
    let found = until(&gateway, "asked for listeners", |found| {
        method(found, "GetGatewayListenerRequirements").1 == 1
    })
    .await;
    assert_eq!(
        (found.name.as_str(), found.kind.as_str(), found.socket.as_str()),
        ("fake", "socket", "/run/kyma.sock")
    );
    assert_eq!((found.driver_name.as_str(), found.driver_version.as_str()), ("fake-for-people", "1.2.3"));
    assert!(found.connected && found.since_ms > 0 && found.reconnects == 0);
    assert_eq!((found.sandboxes, found.supervised), (1, 0));
    assert_eq!(found.methods.len(), 12);
    assert_eq!(method(&found, "CreateSandbox"), (MethodSupport::Served, 1, 0));
    assert_eq!(method(&found, "GetGatewayListenerRequirements"), (MethodSupport::Served, 1, 0));
    assert_eq!(method(&found, "EnsureWorkspace"), (MethodSupport::Unimplemented, 1, 0), "an older driver");
    assert_eq!(method(&found, "StopSandbox"), (MethodSupport::Unspecified, 0, 0), "nobody has asked");
    assert!(found.watch_lag_us.is_some(), "the create was reported");
    assert_eq!(found.last_failure, None);
    gateway.delete("one").await.unwrap();
    gateway.until_gone("one").await;
    let found = status(&gateway).await;
    assert_eq!(found.sandboxes, 0);
    assert_eq!(found.last_failure, None, "that it was gone when it was looked for is no failure");
}

#[tokio::test]
async fn the_last_failure_is_told_with_its_code_and_words() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    gateway.ready("one").await;
    let long = "x".repeat(100_000).leak();
    fake.script(
        "stop",
        [Script::Fail(ErrorKind::ResourceExhausted, "no room"), Script::Fail(ErrorKind::Internal, long)],
    );
    gateway.stop_sandbox("one").await.unwrap_err();
    let found = status(&gateway).await;
    assert_eq!(method(&found, "StopSandbox").2, 1);
    let failure = found.last_failure.expect("a failure");
    assert_eq!((failure.method.as_str(), failure.code.as_str()), ("StopSandbox", "RESOURCE_EXHAUSTED"));
    assert_eq!(failure.message, "no room");
    assert!(failure.at_ms >= found.since_ms);
    let refused = gateway.stop_sandbox("one").await.unwrap_err();
    assert_eq!(refused.message().len(), 4096, "more than anybody reads is cut off, for clients, too");
    assert_eq!(status(&gateway).await.last_failure.expect("a failure").message, refused.message());
}

#[tokio::test]
async fn a_driver_that_went_away_is_not_told_as_present() {
    let fake = Fake::new();
    let gateway = gateway(&fake).await;
    fake.script("watch", std::iter::repeat_n(Script::Fail(ErrorKind::Unavailable, "away"), 10));
    fake.cut(Some(ErrorKind::DataLoss));
    let away = until(&gateway, "away", |found| !found.connected).await;
    assert_eq!((away.driver_name.as_str(), away.driver_version.as_str()), ("", ""));
    assert!(away.methods.iter().all(|method| method.support() == MethodSupport::Unspecified));
    let back = until(&gateway, "back", |found| found.connected).await;
    assert_eq!((back.driver_name.as_str(), back.reconnects), ("fake-for-people", 1));
    assert!(back.since_ms >= away.since_ms);
    assert_eq!(method(&back, "WatchSandboxes").2, 10);
    let failure = back.last_failure.expect("a failure");
    assert_eq!((failure.method.as_str(), failure.code.as_str()), ("WatchSandboxes", "UNAVAILABLE"));
    fake.cut(None);
    let ended = until(&gateway, "a plain end", |found| {
        found.last_failure.as_ref().is_some_and(|failure| failure.method == "watch")
    })
    .await;
    let failure = ended.last_failure.expect("a failure");
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        ("OK", "the driver ended it without an error")
    );
}

#[tokio::test]
async fn the_lag_is_of_the_last_report() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    assert_eq!(status(&gateway).await.watch_lag_us, None, "nothing was reported yet");
    let id = gateway.ready("one").await;
    fake.report(&id, vec![conditions::not_ready("OOMKilled", "too much")]);
    gateway.until("one", SandboxPhase::Error).await;
    let lag = until(&gateway, "a report", |found| found.watch_lag_us.is_some()).await.watch_lag_us;
    assert!(lag.is_some_and(|lag| lag < 60_000_000), "{lag:?} µs");
}

#[tokio::test]
async fn a_driver_that_hangs_does_not_hold_up_the_question() {
    let fake = Fake::new();
    let mut gateway = gateway(&fake).await;
    gateway.ready("one").await;
    fake.script("stop", [Script::Hang]);
    let mut client = gateway.client.clone();
    let request =
        openshell_proto::openshell::v1::StopSandboxRequest { name: "one".to_owned(), ..Default::default() };
    let stop = tokio::spawn(async move { client.stop_sandbox(request).await });
    eventually("asked to stop", || fake.made(&["stop"]).len() == 1).await;
    let answered = tokio::time::timeout(Duration::from_secs(60), status(&gateway)).await.expect("it waits");
    assert_eq!(method(&answered, "StopSandbox"), (MethodSupport::Unspecified, 0, 0), "it has not ended");
    stop.abort();
}
