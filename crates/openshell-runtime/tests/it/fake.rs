//! A compute driver in memory, whose next answers can be written down beforehand.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use openshell_driver_api::conditions;
use openshell_driver_api::{
    Capabilities, ComputeDriver, Condition, DriverError, ErrorKind, EventStream, ListenerRequirement,
    ObservedSandbox, SandboxId, SandboxRequest, SandboxStatus, WatchEvent, async_trait,
};
use tokio::sync::mpsc;

/// What a call does in place of its work.
#[derive(Debug, Clone)]
pub(crate) enum Script {
    /// Fails.
    Fail(ErrorKind, &'static str),
    /// Never answers.
    Hang,
    /// Panics.
    Panic,
    /// Does its work and never answers.
    WorkAndHang,
    /// Does its work and then fails.
    WorkAndFail(ErrorKind),
    /// Makes it, loses it, says so, and only then answers that it is made.
    WorkAndLose,
    /// Fails for a reason of its own.
    FailFor(ErrorKind, &'static str),
}

/// The driver. Clones are the same one, so that a gateway can be started anew on it.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    /// Whether a create makes it ready at once.
    slow: Arc<AtomicBool>,
    /// Whether the gateway is to start sandboxes again.
    managed: Arc<AtomicBool>,
    nameless: Arc<AtomicBool>,
    /// Whether it knows workspaces; older drivers do not.
    knows_workspaces: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    sandboxes: BTreeMap<SandboxId, (SandboxRequest, SandboxStatus)>,
    scripts: HashMap<&'static str, VecDeque<Script>>,
    calls: Vec<String>,
    workspaces: BTreeSet<String>,
    watchers: Vec<mpsc::UnboundedSender<Result<WatchEvent, DriverError>>>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// What the next calls of `method` do, in order; after them it works again.
    pub(crate) fn script(&self, method: &'static str, scripts: impl IntoIterator<Item = Script>) {
        self.state().scripts.entry(method).or_default().extend(scripts);
    }

    /// A create leaves it provisioning.
    pub(crate) fn slow(&self) {
        self.slow.store(true, Ordering::SeqCst);
    }

    pub(crate) fn managed(&self) {
        self.managed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn nameless(&self) {
        self.nameless.store(true, Ordering::SeqCst);
    }

    /// It has the calls about workspaces.
    pub(crate) fn knows_workspaces(&self) {
        self.knows_workspaces.store(true, Ordering::SeqCst);
    }

    /// The workspaces that it has prepared.
    pub(crate) fn workspaces(&self) -> Vec<String> {
        self.state().workspaces.iter().cloned().collect()
    }

    /// Every call of these methods, in order.
    pub(crate) fn made(&self, methods: &[&str]) -> Vec<String> {
        let state = self.state();
        let wanted = |call: &&String| call.split(' ').next().is_some_and(|method| methods.contains(&method));
        state.calls.iter().filter(wanted).cloned().collect()
    }

    /// How often a method was called for an id.
    pub(crate) fn calls(&self, method: &str, id: &str) -> usize {
        let call = format!("{method} {id}");
        self.state().calls.iter().filter(|made| **made == call).count()
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.state().sandboxes.keys().any(|key| key.as_str() == id)
    }

    pub(crate) fn request(&self, id: &str) -> Option<SandboxRequest> {
        self.state()
            .sandboxes
            .iter()
            .find(|(key, _)| key.as_str() == id)
            .map(|(_, (request, _))| request.clone())
    }

    /// The backend does something by itself.
    pub(crate) fn report(&self, id: &str, conditions: Vec<Condition>) {
        let mut state = self.state();
        let id = SandboxId::new(id).expect("an id");
        if let Some((_, status)) = state.sandboxes.get_mut(&id) {
            status.conditions = conditions;
        }
        state.tell(&id);
    }

    /// The same without an event, as while nobody watches.
    pub(crate) fn report_unseen(&self, id: &str, conditions: Vec<Condition>) {
        let mut state = self.state();
        let id = SandboxId::new(id).expect("an id");
        if let Some((_, status)) = state.sandboxes.get_mut(&id) {
            status.conditions = conditions;
        }
    }

    /// The backend loses a sandbox; with `event`, it says so.
    pub(crate) fn lose(&self, id: &str, event: bool) {
        let mut state = self.state();
        let id = SandboxId::new(id).expect("an id");
        state.sandboxes.remove(&id);
        if event {
            state.send(&Ok(WatchEvent::Deleted(id)));
        }
    }

    /// Sends any event.
    pub(crate) fn send(&self, event: WatchEvent) {
        self.state().send(&Ok(event));
    }

    /// Ends every watch: with an error of this kind, or cleanly.
    pub(crate) fn cut(&self, kind: Option<ErrorKind>) {
        let mut state = self.state();
        for watcher in std::mem::take(&mut state.watchers) {
            if let Some(kind) = kind {
                let _gone = watcher.send(Err(DriverError::new(kind, "watch", "cut")));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics under the lock")
    }

    /// Notes a call and does what its script says; `true` when the work is still to be done, and what comes after it.
    async fn enter(&self, method: &'static str, id: &str) -> Result<Option<Script>, DriverError> {
        let script = {
            let mut state = self.state();
            state.calls.push(format!("{method} {id}"));
            state.scripts.get_mut(method).and_then(VecDeque::pop_front)
        };
        match script {
            Some(Script::Fail(kind, message)) => Err(DriverError::new(kind, method, message)),
            Some(Script::FailFor(kind, reason)) => {
                Err(DriverError::new(kind, method, "the driver's words").with_reason(reason))
            }
            Some(Script::Hang) => std::future::pending().await,
            Some(Script::Panic) => panic!("scripted"),
            after => Ok(after),
        }
    }
}

async fn leave<T>(after: Option<Script>, value: T) -> Result<T, DriverError> {
    match after {
        Some(Script::WorkAndHang) => std::future::pending().await,
        Some(Script::WorkAndFail(kind)) => Err(DriverError::new(kind, "work", "failed after the work")),
        _ => Ok(value),
    }
}

impl State {
    fn observed(&self, id: &SandboxId) -> Option<ObservedSandbox> {
        let (request, status) = self.sandboxes.get(id)?;
        Some(ObservedSandbox {
            id: id.clone(),
            name: format!("not-{}", request.name),
            namespace: "elsewhere".to_owned(),
            workspace: "elsewhere".to_owned(),
            status: status.clone(),
        })
    }

    fn tell(&mut self, id: &SandboxId) {
        if let Some(observed) = self.observed(id) {
            self.send(&Ok(WatchEvent::Sandbox(observed)));
        }
    }

    fn send(&mut self, event: &Result<WatchEvent, DriverError>) {
        let Ok(event) = event else { return };
        self.watchers.retain(|watcher| watcher.send(Ok(event.clone())).is_ok());
    }

    fn known(&self, id: &SandboxId) -> Result<(), DriverError> {
        if self.sandboxes.contains_key(id) { Ok(()) } else { Err(DriverError::not_found("find", id)) }
    }
}

#[async_trait]
impl ComputeDriver for Fake {
    async fn capabilities(&self) -> Result<Capabilities, DriverError> {
        self.enter("capabilities", "").await?;
        let named = !self.nameless.load(Ordering::SeqCst);
        Ok(Capabilities {
            driver_name: if named { "fake-for-people".to_owned() } else { String::new() },
            driver_version: "1.2.3".to_owned(),
            default_image: String::new(),
            gateway_manages_lifecycle: self.managed.load(Ordering::SeqCst),
        })
    }

    async fn listener_requirements(&self) -> Result<Vec<ListenerRequirement>, DriverError> {
        self.enter("listener_requirements", "").await?;
        Ok(vec![ListenerRequirement::Loopback { reason: "for a test".to_owned() }])
    }

    async fn validate_create(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        self.enter("validate", request.id.as_str()).await.map(|_| ())
    }

    async fn get(&self, id: &SandboxId) -> Result<ObservedSandbox, DriverError> {
        self.enter("get", id.as_str()).await?;
        self.state().observed(id).ok_or_else(|| DriverError::not_found("get", id))
    }

    async fn list(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        self.enter("list", "").await?;
        let state = self.state();
        Ok(state.sandboxes.keys().filter_map(|id| state.observed(id)).collect())
    }

    async fn create(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        let after = self.enter("create", request.id.as_str()).await?;
        {
            let mut state = self.state();
            if state.sandboxes.contains_key(&request.id) {
                return Err(DriverError::new(ErrorKind::AlreadyExists, "create", "there is one"));
            }
            let condition = if self.slow.load(Ordering::SeqCst) {
                conditions::not_ready("Starting", "slowly")
            } else {
                conditions::ready()
            };
            let status = SandboxStatus {
                sandbox_name: format!("fake-{}", request.name),
                instance_id: "i-1".to_owned(),
                conditions: vec![condition],
                ..SandboxStatus::default()
            };
            state.sandboxes.insert(request.id.clone(), (request.clone(), status));
            state.tell(&request.id);
        }
        if matches!(after, Some(Script::WorkAndLose)) {
            self.lose(request.id.as_str(), true);
        }
        leave(after, ()).await
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), DriverError> {
        let after = self.enter("stop", id.as_str()).await?;
        self.state().known(id)?;
        self.report(id.as_str(), conditions::stopped("asked"));
        leave(after, ()).await
    }

    async fn start(&self, id: &SandboxId) -> Result<(), DriverError> {
        let after = self.enter("start", id.as_str()).await?;
        self.state().known(id)?;
        self.report(id.as_str(), vec![conditions::ready()]);
        leave(after, ()).await
    }

    async fn delete(&self, id: &SandboxId) -> Result<bool, DriverError> {
        let after = self.enter("delete", id.as_str()).await?;
        let there = {
            let mut state = self.state();
            let there = state.sandboxes.remove(id).is_some();
            if there {
                state.send(&Ok(WatchEvent::Deleted(id.clone())));
            }
            there
        };
        leave(after, there).await
    }

    async fn watch(&self) -> Result<EventStream, DriverError> {
        self.enter("watch", "").await?;
        let mut state = self.state();
        let (sender, mut receiver) = mpsc::unbounded_channel();
        for id in state.sandboxes.keys() {
            if let Some(observed) = state.observed(id) {
                let _open = sender.send(Ok(WatchEvent::Sandbox(observed)));
            }
        }
        state.watchers.push(sender);
        Ok(Box::pin(futures_util::stream::poll_fn(move |context| receiver.poll_recv(context))))
    }

    async fn ensure_workspace(&self, workspace: &str) -> Result<(), DriverError> {
        let after = self.enter("ensure_workspace", workspace).await?;
        if !self.knows_workspaces.load(Ordering::SeqCst) {
            return Err(DriverError::new(ErrorKind::Unimplemented, "ensure workspace", "older driver"));
        }
        self.state().workspaces.insert(workspace.to_owned());
        leave(after, ()).await
    }

    async fn delete_workspace(&self, workspace: &str) -> Result<(), DriverError> {
        let after = self.enter("delete_workspace", workspace).await?;
        if !self.knows_workspaces.load(Ordering::SeqCst) {
            return Err(DriverError::new(ErrorKind::Unimplemented, "delete workspace", "older driver"));
        }
        self.state().workspaces.remove(workspace);
        leave(after, ()).await
    }
}
