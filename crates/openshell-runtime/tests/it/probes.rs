//! What probes and metrics ask: gRPC's health service, readiness, and what is counted.

use std::time::Duration;

use openshell_driver_api::{ErrorKind, PlatformEvent, SandboxId, WatchEvent};
use openshell_proto::openshell::v1 as proto;
use openshell_proto::openshell::v1::SandboxPhase;
use openshell_runtime::{Phase, Stats, Unready};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::client::{Gateway, eventually, gateway, gateway_in, gateway_with, settings};
use crate::fake::{Fake, Script};

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

fn health(gateway: &Gateway) -> HealthClient<tonic::transport::Channel> {
    HealthClient::new(gateway.channel.clone())
}

async fn next(changes: &mut tonic::Streaming<HealthCheckResponse>) -> Option<ServingStatus> {
    let change = tokio::time::timeout(Duration::from_secs(60), changes.message()).await.expect("in time");
    change.expect("no error").map(|answer| answer.status())
}

/// The driver's watch ends, and does not come back.
fn cut_off(fake: &Fake) {
    fake.script("watch", std::iter::repeat_n(Script::Fail(ErrorKind::Unavailable, "away"), 10_000));
    fake.cut(None);
}

#[tokio::test]
async fn the_gateway_and_its_api_are_known_and_nothing_else() {
    let gateway = gateway(&Fake::new()).await;
    for service in ["", "openshell.v1.OpenShell", "openshell.gateway.v1alpha1.Gateway"] {
        let answer = health(&gateway).check(of(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    for service in ["openshell.v1", "openshell.compute.v1.ComputeDriver", "\n"] {
        let status = health(&gateway).check(of(service)).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{service:?}");
    }
    // The protocol has a watch of what is unknown say so and stay.
    let mut unknown = health(&gateway).watch(of("nobody")).await.unwrap().into_inner();
    assert_eq!(next(&mut unknown).await, Some(ServingStatus::ServiceUnknown));
}

#[tokio::test]
async fn a_watch_of_the_health_tells_each_change_and_ends_with_the_gateway() {
    let fake = Fake::new();
    let gateway = gateway(&fake).await;
    let mut changes = health(&gateway).watch(of("")).await.unwrap().into_inner();
    assert_eq!(next(&mut changes).await, Some(ServingStatus::Serving));
    fake.script("watch", [Script::Fail(ErrorKind::Unavailable, "away")]);
    fake.cut(None);
    assert_eq!(next(&mut changes).await, Some(ServingStatus::NotServing));
    assert_eq!(next(&mut changes).await, Some(ServingStatus::Serving));
    gateway.runtime.end_watches();
    assert_eq!(next(&mut changes).await, Some(ServingStatus::NotServing));
    assert_eq!(next(&mut changes).await, None);
}

#[tokio::test]
async fn readiness_says_what_is_in_the_way() {
    let fake = Fake::new();
    let gateway = gateway(&fake).await;
    assert!(gateway.runtime.readiness().await.is_ready());
    cut_off(&fake);
    let driver = Unready::Driver { name: "fake".to_owned() };
    while gateway.runtime.readiness().await.reasons != [driver.clone()] {
        tokio::task::yield_now().await;
    }
    assert_eq!(driver.to_string(), "the watch of the driver `fake` is down");
    gateway.runtime.shutdown(Duration::ZERO).await;
    assert_eq!(gateway.runtime.readiness().await.reasons, [Unready::Store, driver, Unready::Draining]);
}

fn in_phase(stats: &Stats, phase: Phase) -> u64 {
    stats.sandboxes.iter().find(|(found, _)| *found == phase).expect("every phase is there").1
}

fn calls(stats: &Stats, rpc: &str) -> Vec<(i32, u64)> {
    stats.driver_calls.iter().find(|calls| calls.rpc == rpc).expect("every method is there").codes.clone()
}

#[tokio::test]
async fn what_happens_is_counted() {
    let (directory, fake) = (tempfile::tempdir().unwrap(), Fake::new());
    let mut gateway = gateway_in(directory.path(), &fake, settings()).await;
    let id = gateway.ready("one").await;
    gateway.ready("two").await;
    gateway.stop_sandbox("two").await.unwrap();
    gateway.until("two", SandboxPhase::Stopped).await;
    fake.script("validate", [Script::Fail(ErrorKind::InvalidArgument, "no")]);
    gateway.client.create_sandbox(proto::CreateSandboxRequest::default()).await.unwrap_err();
    let event = PlatformEvent { reason: "Heard".to_owned(), ..PlatformEvent::default() };
    let before = gateway.runtime.stats().events;
    fake.send(WatchEvent::Platform { id: SandboxId::new(id.as_str()).unwrap(), event });
    eventually("counted", || gateway.runtime.stats().events == before + 1).await;
    let stats = gateway.runtime.stats();
    assert_eq!((in_phase(&stats, Phase::Ready), in_phase(&stats, Phase::Stopped)), (1, 1));
    assert_eq!(calls(&stats, "CreateSandbox"), [(0, 2)]);
    assert_eq!(calls(&stats, "ValidateSandboxCreate"), [(0, 2), (3, 1)]);
    assert_eq!(calls(&stats, "StopSandbox"), [(0, 1)]);
    assert_eq!((stats.link.up, stats.link.reconnects), (true, 0));
    assert!(stats.store_writes.count >= 6 && stats.store_reads.count >= 4, "{stats:?}");
    assert!(stats.store_writes.sum > Duration::ZERO);
    fake.cut(Some(ErrorKind::Aborted));
    eventually("it came back", || gateway.runtime.stats().link.reconnects == 1).await;
    gateway.delete("one").await.unwrap();
    gateway.until_gone("one").await;
    assert_eq!(in_phase(&gateway.runtime.stats(), Phase::Ready), 0);
    // A later start counts what it finds, and what is another driver's, too.
    gateway.stop().await;
    let mut other = settings();
    other.driver_name = "other".to_owned();
    let gateway = gateway_in(directory.path(), &fake, other).await;
    let stats = gateway.runtime.stats();
    assert_eq!((in_phase(&stats, Phase::Stopped), in_phase(&stats, Phase::Unknown)), (0, 1));
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_with_its_bound() {
    let mut small = settings();
    small.max_request_bytes = 1000;
    let mut gateway = gateway_with(&Fake::new(), small).await;
    let request = proto::GetSandboxRequest { name: "n".repeat(1001), ..Default::default() };
    let status = gateway.client.get_sandbox(request).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(
        status.message(),
        "the message is too large: it has 1004 bytes, and this gateway takes 1000 bytes at most"
    );
    let request = proto::GetSandboxRequest { name: "n".repeat(900), ..Default::default() };
    assert_eq!(gateway.client.get_sandbox(request).await.unwrap_err().code(), Code::InvalidArgument);
}
