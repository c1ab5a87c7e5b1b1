//! A driver that keeps its sandboxes in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::{StreamExt as _, stream};
use openshell_driver_api::{
    Capabilities, ComputeDriver, Condition, ConditionStatus, DriverError, ErrorKind, EventStream,
    ListenerRequirement, ObservedSandbox, PlatformEvent, SandboxId, SandboxRequest, SandboxStatus,
    WatchEvent, async_trait,
};

/// What a test wants of the driver, and what it has seen.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) sandboxes: BTreeMap<String, ObservedSandbox>,
    pub(crate) requests: Vec<SandboxRequest>,
    pub(crate) workspaces: Vec<String>,
    pub(crate) fails: Option<ErrorKind>,
    /// The reason that its errors give.
    pub(crate) reason: Option<&'static str>,
    pub(crate) flood: bool,
    pub(crate) panics: bool,
    pub(crate) greetings: usize,
}

#[derive(Clone)]
pub(crate) struct Fake(Arc<Mutex<State>>);

impl Fake {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { name: "fake".to_owned(), ..State::default() })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics with the lock held")
    }

    pub(crate) fn add(&self, id: &str, name: &str) {
        self.state().sandboxes.insert(id.to_owned(), observed(id, name));
    }

    /// Fails as the test asked for.
    fn check(&self) -> Result<(), DriverError> {
        let (fails, reason, panics) = {
            let state = self.state();
            (state.fails, state.reason, state.panics)
        };
        assert!(!panics, "the driver was told to panic");
        match fails {
            Some(kind) => {
                let error = DriverError::new(kind, "do it", "`it` cannot be done");
                Err(match reason {
                    Some(reason) => error.with_reason(reason),
                    None => error,
                })
            }
            None => Ok(()),
        }
    }

    fn set_reason(&self, id: &SandboxId, reason: &str) -> Result<(), DriverError> {
        self.check()?;
        let mut state = self.state();
        let sandbox =
            state.sandboxes.get_mut(id.as_str()).ok_or_else(|| DriverError::not_found("find", id))?;
        sandbox.status.conditions[0].reason = reason.to_owned();
        Ok(())
    }
}

pub(crate) fn observed(id: &str, name: &str) -> ObservedSandbox {
    let ready = Condition {
        kind: "Ready".to_owned(),
        status: ConditionStatus::False,
        reason: "Starting".to_owned(),
        message: "soon".to_owned(),
        last_transition_time: "2026-01-01T00:00:00Z".to_owned(),
    };
    ObservedSandbox {
        id: SandboxId::new(id).expect("an id"),
        name: name.to_owned(),
        namespace: "ns".to_owned(),
        workspace: "default".to_owned(),
        status: SandboxStatus {
            sandbox_name: format!("resource-{id}"),
            instance_id: "1".to_owned(),
            agent_fd: "a".to_owned(),
            sandbox_fd: "b".to_owned(),
            conditions: vec![ready],
            deleting: false,
        },
    }
}

#[async_trait]
impl ComputeDriver for Fake {
    async fn capabilities(&self) -> Result<Capabilities, DriverError> {
        let mut state = self.state();
        state.greetings += 1;
        Ok(Capabilities {
            driver_name: state.name.clone(),
            driver_version: "1.2.3".to_owned(),
            default_image: "image".to_owned(),
            gateway_manages_lifecycle: true,
        })
    }

    async fn listener_requirements(&self) -> Result<Vec<ListenerRequirement>, DriverError> {
        self.check()?;
        let reason = || "because".to_owned();
        Ok(vec![
            ListenerRequirement::Exact { reason: reason(), address: "10.0.0.1:1".to_owned() },
            ListenerRequirement::DefaultRoute { reason: reason() },
            ListenerRequirement::Loopback { reason: reason() },
        ])
    }

    async fn validate_create(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        self.check()?;
        self.state().requests.push(request.clone());
        Ok(())
    }

    async fn get(&self, id: &SandboxId) -> Result<ObservedSandbox, DriverError> {
        self.check()?;
        self.state().sandboxes.get(id.as_str()).cloned().ok_or_else(|| DriverError::not_found("find", id))
    }

    async fn list(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        self.check()?;
        Ok(self.state().sandboxes.values().cloned().collect())
    }

    async fn create(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        self.check()?;
        if self.state().sandboxes.contains_key(request.id.as_str()) {
            return Err(DriverError::new(
                ErrorKind::AlreadyExists,
                "make",
                format!("`{}` is there", request.id),
            ));
        }
        self.add(request.id.as_str(), &request.name);
        self.state().requests.push(request.clone());
        Ok(())
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.set_reason(id, "Stopped")
    }

    async fn start(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.set_reason(id, "Started")
    }

    async fn delete(&self, id: &SandboxId) -> Result<bool, DriverError> {
        self.check()?;
        Ok(self.state().sandboxes.remove(id.as_str()).is_some())
    }

    async fn watch(&self) -> Result<EventStream, DriverError> {
        self.check()?;
        let snapshot: Vec<_> = self.state().sandboxes.values().cloned().map(WatchEvent::Sandbox).collect();
        let snapshot = stream::iter(snapshot.into_iter().map(Ok));
        if self.state().flood {
            let big = |n: i64| PlatformEvent {
                timestamp_ms: n,
                message: "x".repeat(64 * 1024),
                ..Default::default()
            };
            let id = SandboxId::new("a").expect("an id");
            let flood =
                stream::iter(0..).map(move |n| Ok(WatchEvent::Platform { id: id.clone(), event: big(n) }));
            return Ok(snapshot.chain(flood).boxed());
        }
        let id = SandboxId::new("gone").expect("an id");
        let event = PlatformEvent {
            timestamp_ms: 5,
            source: "s".to_owned(),
            kind: "Normal".to_owned(),
            reason: "Pulled".to_owned(),
            message: "m".to_owned(),
            metadata: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        };
        let changes = [Ok(WatchEvent::Platform { id: id.clone(), event }), Ok(WatchEvent::Deleted(id))];
        Ok(snapshot.chain(stream::iter(changes)).chain(stream::pending()).boxed())
    }

    async fn ensure_workspace(&self, workspace: &str) -> Result<(), DriverError> {
        self.check()?;
        self.state().workspaces.push(format!("+{workspace}"));
        Ok(())
    }

    async fn delete_workspace(&self, workspace: &str) -> Result<(), DriverError> {
        self.check()?;
        self.state().workspaces.push(format!("-{workspace}"));
        Ok(())
    }
}
