//! The driver that a program is to the gateway: calls go to the program that is up. While none is, they say when the next
//! one is tried.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openshell_driver_api::{
    Capabilities, ComputeDriver, DriverError, ErrorKind, EventStream, LaunchRequest, ListenerRequirement,
    ObservedSandbox, SandboxId, SandboxRequest, async_trait,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::child::Run;
use super::keeper::{self, State};
use crate::RemoteDriver;

/// A driver whose program this process keeps up.
pub(super) struct Launched {
    states: watch::Receiver<State>,
    /// Dropped, it stops the program, too.
    stop: watch::Sender<Option<Duration>>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Launched {
    /// Starts the program and waits until it answers.
    pub(super) async fn start(request: LaunchRequest) -> Result<Self, DriverError> {
        let (run, remote) = Run::start(&request).await.inspect_err(|_| keeper::leave(&request))?;
        let program = request.program.display();
        tracing::info!(driver = request.context.name, %program, pid = run.pid(), "the driver's program is up");
        let (state, states) = watch::channel(State::Up(remote));
        let (stop, stopped) = watch::channel(None);
        let keeper = tokio::spawn(keeper::keep(request, run, state, stopped));
        Ok(Self { states, stop, keeper: Mutex::new(Some(keeper)) })
    }

    /// The program that is up.
    fn up(&self, operation: &'static str) -> Result<Arc<RemoteDriver>, DriverError> {
        let why = match &*self.states.borrow() {
            State::Up(remote) => return Ok(Arc::clone(remote)),
            State::Waiting { ended, until } => {
                // Rounded up: it is not there before.
                let left = until.saturating_duration_since(Instant::now()).as_secs() + 1;
                format!("the driver's program {ended}; it is started again in {left} s")
            }
            State::Starting { ended } => {
                format!("the driver's program {ended}; it is being started again")
            }
            State::Stopping => "the driver's program ends with the gateway".to_owned(),
        };
        Err(DriverError::new(ErrorKind::Unavailable, operation, why))
    }
}

#[async_trait]
impl ComputeDriver for Launched {
    async fn capabilities(&self) -> Result<Capabilities, DriverError> {
        self.up("get capabilities")?.capabilities().await
    }

    async fn listener_requirements(&self) -> Result<Vec<ListenerRequirement>, DriverError> {
        self.up("get listener requirements")?.listener_requirements().await
    }

    async fn validate_create(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        self.up("validate sandbox")?.validate_create(request).await
    }

    async fn get(&self, id: &SandboxId) -> Result<ObservedSandbox, DriverError> {
        self.up("get sandbox")?.get(id).await
    }

    async fn list(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        self.up("list sandboxes")?.list().await
    }

    async fn create(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        self.up("create sandbox")?.create(request).await
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.up("stop sandbox")?.stop(id).await
    }

    async fn start(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.up("start sandbox")?.start(id).await
    }

    async fn delete(&self, id: &SandboxId) -> Result<bool, DriverError> {
        self.up("delete sandbox")?.delete(id).await
    }

    async fn watch(&self) -> Result<EventStream, DriverError> {
        self.up("watch sandboxes")?.watch().await
    }

    async fn ensure_workspace(&self, workspace: &str) -> Result<(), DriverError> {
        self.up("ensure workspace")?.ensure_workspace(workspace).await
    }

    async fn delete_workspace(&self, workspace: &str) -> Result<(), DriverError> {
        self.up("delete workspace")?.delete_workspace(workspace).await
    }

    async fn shutdown(&self, within: Duration) {
        self.stop.send_replace(Some(within));
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It panics nowhere, and ends soon after `within` at the latest.
        if let Some(keeper) = keeper {
            let _ended = keeper.await;
        }
    }
}
