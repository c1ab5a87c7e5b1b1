//! A driver that never answers, against the clock.

use std::pin::Pin;

use futures_util::TryFutureExt;
use openshell_driver_api::{ListenerRequirement, SandboxSpec, async_trait};
use tokio::time::Instant;

use super::*;

struct Hangs;

async fn never<T>() -> T {
    std::future::pending().await
}

#[async_trait]
impl ComputeDriver for Hangs {
    async fn capabilities(&self) -> Result<Capabilities, DriverError> {
        never().await
    }
    async fn listener_requirements(&self) -> Result<Vec<ListenerRequirement>, DriverError> {
        never().await
    }
    async fn validate_create(&self, _: &SandboxRequest) -> Result<(), DriverError> {
        never().await
    }
    async fn get(&self, _: &SandboxId) -> Result<ObservedSandbox, DriverError> {
        never().await
    }
    async fn list(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        never().await
    }
    async fn create(&self, _: &SandboxRequest) -> Result<(), DriverError> {
        never().await
    }
    async fn stop(&self, _: &SandboxId) -> Result<(), DriverError> {
        never().await
    }
    async fn start(&self, _: &SandboxId) -> Result<(), DriverError> {
        never().await
    }
    async fn delete(&self, _: &SandboxId) -> Result<bool, DriverError> {
        never().await
    }
    async fn watch(&self) -> Result<EventStream, DriverError> {
        never().await
    }
    async fn ensure_workspace(&self, _: &str) -> Result<(), DriverError> {
        never().await
    }
    async fn delete_workspace(&self, _: &str) -> Result<(), DriverError> {
        never().await
    }
}

/// A call whose answer does not matter.
type Call<'a> = Pin<Box<dyn Future<Output = Result<(), DriverError>> + 'a>>;

#[tokio::test(start_paused = true)]
async fn every_call_has_a_deadline_of_its_own() {
    let seconds = Duration::from_secs;
    let deadlines = Deadlines {
        capabilities: seconds(1),
        listeners: seconds(13),
        validate: seconds(2),
        get: seconds(3),
        list: seconds(4),
        create: seconds(5),
        stop: seconds(6),
        start: seconds(7),
        delete: seconds(8),
        watch: seconds(9),
        ensure_workspace: seconds(10),
        delete_workspace: seconds(11),
        create_after_delete: seconds(12),
    };
    let id = SandboxId::new("id").unwrap();
    let request = SandboxRequest {
        id: id.clone(),
        name: String::new(),
        namespace: String::new(),
        workspace: String::new(),
        spec: SandboxSpec::default(),
    };
    let driver = Driver::new(Arc::new(Hangs), deadlines);
    let team = || "team".to_owned();
    let calls: [(&str, u64, Call<'_>); 12] = [
        ("GetCapabilities", 1, Box::pin(driver.capabilities().map_ok(drop))),
        ("GetGatewayListenerRequirements", 13, Box::pin(driver.listeners().map_ok(drop))),
        ("ValidateSandboxCreate", 2, Box::pin(driver.validate(request.clone()))),
        ("GetSandbox", 3, Box::pin(driver.find(id.clone(), "one").map_ok(drop))),
        ("ListSandboxes", 4, Box::pin(driver.list().map_ok(drop))),
        ("CreateSandbox", 5, Box::pin(driver.create(request))),
        ("StopSandbox", 6, Box::pin(driver.stop(id.clone()))),
        ("StartSandbox", 7, Box::pin(driver.start(id.clone()))),
        ("DeleteSandbox", 8, Box::pin(driver.delete(id, "one").map_ok(drop))),
        ("WatchSandboxes", 9, Box::pin(driver.watch().map_ok(drop))),
        ("EnsureWorkspace", 10, Box::pin(driver.ensure_workspace(team()))),
        ("DeleteWorkspace", 11, Box::pin(driver.delete_workspace(team()))),
    ];
    for (name, deadline, call) in calls {
        let begun = Instant::now();
        let error = call.await.unwrap_err();
        assert_eq!(begun.elapsed().as_secs(), deadline, "{name}");
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{name}");
        assert!(error.message().contains(&format!("{deadline}s")), "{name}: {error}");
    }
}
