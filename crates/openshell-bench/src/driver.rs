//! A compute driver in memory, served on a socket of this process: a backend that takes no time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream;
use openshell_driver_api::{
    Capabilities, ComputeDriver, Condition, DriverError, ErrorKind, EventStream, ListenerRequirement,
    ObservedSandbox, PlatformEvent, SandboxId, SandboxRequest, SandboxStatus, Secret, WatchEvent,
    async_trait, conditions,
};
use openshell_driver_remote::{ServeOptions, serve};
use openshell_uds::{Listener, PeerPolicy};
use tokio::sync::mpsc;

use crate::Result;

/// The driver. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    sandboxes: BTreeMap<SandboxId, ObservedSandbox>,
    /// What was given for the supervisors in them.
    tokens: BTreeMap<SandboxId, Secret>,
    watchers: Vec<mpsc::UnboundedSender<WatchEvent>>,
}

impl Memory {
    /// A driver, and the socket that it is served on for as long as this process lives.
    pub(crate) fn serve(directory: &Path) -> Result<(Self, PathBuf)> {
        let (driver, socket) = (Self::default(), directory.join("driver").join("driver.sock"));
        let listener = openshell_uds::bind(&socket)?;
        tokio::spawn(driver.clone().listen(listener));
        Ok((driver, socket))
    }

    /// Serves one at `socket` and does nothing else, until the process is killed.
    pub(crate) async fn serve_alone(socket: &Path) -> Result<()> {
        Self::default().listen(openshell_uds::bind(socket)?).await;
        Err("the driver's socket is closed".into())
    }

    async fn listen(self, listener: Listener) {
        let options = ServeOptions::default();
        let served =
            serve(Arc::new(self), listener, PeerPolicy::default(), std::future::pending(), options).await;
        if let Err(error) = served {
            eprintln!("the driver's socket failed: {error}");
        }
    }

    /// The backend says that a sandbox is in another state.
    pub(crate) fn report(&self, id: &str, conditions: Vec<Condition>) -> Result<()> {
        let mut state = self.state();
        let key = SandboxId::new(id)?;
        let sandbox = state.sandboxes.get_mut(&key).ok_or("the driver does not have the sandbox")?;
        sandbox.status.conditions = conditions;
        let event = WatchEvent::Sandbox(sandbox.clone());
        state.send(&event);
        Ok(())
    }

    /// The backend has something to tell of a sandbox.
    pub(crate) fn tell(&self, id: &str, reason: &str) -> Result<()> {
        let event = PlatformEvent {
            source: "bench".to_owned(),
            kind: "Normal".to_owned(),
            reason: reason.to_owned(),
            ..PlatformEvent::default()
        };
        self.state().send(&WatchEvent::Platform { id: SandboxId::new(id)?, event });
        Ok(())
    }

    /// What the supervisor of a sandbox shows, once the driver was asked for the sandbox.
    pub(crate) fn token(&self, id: &str) -> Result<Option<Secret>> {
        Ok(self.state().tokens.get(&SandboxId::new(id)?).cloned())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn send(&mut self, event: &WatchEvent) {
        self.watchers.retain(|watcher| watcher.send(event.clone()).is_ok());
    }

    fn set(&mut self, id: &SandboxId, conditions: Vec<Condition>) -> std::result::Result<(), DriverError> {
        let found = self.sandboxes.get_mut(id).ok_or_else(|| DriverError::not_found("find sandbox", id))?;
        found.status.conditions = conditions;
        let event = WatchEvent::Sandbox(found.clone());
        self.send(&event);
        Ok(())
    }
}

type Answer<T> = std::result::Result<T, DriverError>;

#[async_trait]
impl ComputeDriver for Memory {
    async fn capabilities(&self) -> Answer<Capabilities> {
        Ok(Capabilities {
            driver_name: "memory".to_owned(),
            driver_version: env!("CARGO_PKG_VERSION").to_owned(),
            default_image: String::new(),
            gateway_manages_lifecycle: false,
        })
    }

    async fn listener_requirements(&self) -> Answer<Vec<ListenerRequirement>> {
        Ok(Vec::new())
    }

    async fn validate_create(&self, _request: &SandboxRequest) -> Answer<()> {
        Ok(())
    }

    async fn get(&self, id: &SandboxId) -> Answer<ObservedSandbox> {
        let found = self.state().sandboxes.get(id).cloned();
        found.ok_or_else(|| DriverError::not_found("get sandbox", id))
    }

    async fn list(&self) -> Answer<Vec<ObservedSandbox>> {
        Ok(self.state().sandboxes.values().cloned().collect())
    }

    async fn create(&self, request: &SandboxRequest) -> Answer<()> {
        let mut state = self.state();
        if state.sandboxes.contains_key(&request.id) {
            return Err(DriverError::new(ErrorKind::AlreadyExists, "create sandbox", "there is one"));
        }
        let observed = ObservedSandbox {
            id: request.id.clone(),
            name: request.name.clone(),
            namespace: String::new(),
            workspace: request.workspace.clone(),
            status: SandboxStatus {
                sandbox_name: request.name.clone(),
                instance_id: "memory".to_owned(),
                conditions: vec![conditions::ready()],
                ..SandboxStatus::default()
            },
        };
        state.sandboxes.insert(request.id.clone(), observed.clone());
        state.tokens.insert(request.id.clone(), request.spec.token.clone());
        state.send(&WatchEvent::Sandbox(observed));
        Ok(())
    }

    async fn stop(&self, id: &SandboxId) -> Answer<()> {
        self.state().set(id, conditions::stopped("asked"))
    }

    async fn start(&self, id: &SandboxId) -> Answer<()> {
        self.state().set(id, vec![conditions::ready()])
    }

    async fn delete(&self, id: &SandboxId) -> Answer<bool> {
        let mut state = self.state();
        state.tokens.remove(id);
        let there = state.sandboxes.remove(id).is_some();
        if there {
            state.send(&WatchEvent::Deleted(id.clone()));
        }
        Ok(there)
    }

    async fn watch(&self) -> Answer<EventStream> {
        let mut state = self.state();
        let (sender, mut receiver) = mpsc::unbounded_channel();
        for sandbox in state.sandboxes.values() {
            // The receiver is here.
            let _open = sender.send(WatchEvent::Sandbox(sandbox.clone()));
        }
        state.watchers.push(sender);
        let events = stream::poll_fn(move |context| receiver.poll_recv(context).map(|event| event.map(Ok)));
        Ok(Box::pin(events))
    }

    async fn ensure_workspace(&self, _workspace: &str) -> Answer<()> {
        Ok(())
    }

    async fn delete_workspace(&self, _workspace: &str) -> Answer<()> {
        Ok(())
    }
}
