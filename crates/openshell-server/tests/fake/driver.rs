//! A driver's program for tests: its sandboxes run in the process and end with it, and their records are in files, as
//! those of virtual machines are. It goes by the driver's name that its own file name ends with.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use openshell_driver_api::{
    Capabilities, ComputeDriver, ConfigError, Detection, DriverContext, DriverError, DriverFactory,
    ErrorKind, EventStream, ListenerRequirement, ObservedSandbox, ProbeEnv, Registration, SandboxId,
    SandboxRequest, SandboxStatus, Table, WatchEvent, async_trait, conditions,
};
use tokio::sync::mpsc::{self, UnboundedSender};

static REGISTRATION: Registration = Registration {
    package: "openshell-driver-fake",
    version: env!("CARGO_PKG_VERSION"),
    factory: &Factory,
    marker: b"crate:openshell-driver-fake\0",
};

fn main() -> ExitCode {
    let program = std::env::args().next().unwrap_or_default();
    let name = program.rsplit_once("openshell-driver-").map_or("fake", |(_, name)| name).to_owned();
    openshell_drivers::run(name.leak(), &REGISTRATION)
}

/// Opens it. Its one key, `behaves`, is `well`, `dies`, or `loudly`.
struct Factory;

fn behaviour(table: &Table) -> &str {
    table.get("behaves").and_then(|value| value.as_str()).unwrap_or("well")
}

#[async_trait]
impl DriverFactory for Factory {
    fn check_config(&self, table: &Table) -> Result<(), Vec<ConfigError>> {
        let fault = |key: &str, message: String| ConfigError { key: key.to_owned(), message, hint: None };
        let mut faults: Vec<_> = table
            .keys()
            .filter(|key| *key != "behaves")
            .map(|key| fault(key, format!("the fake does not know `{key}`")))
            .collect();
        if !["well", "dies", "loudly"].contains(&behaviour(table)) {
            faults.push(fault("behaves", "the fake does not behave like that".to_owned()));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    async fn detect(&self, _: &ProbeEnv) -> Detection {
        Detection::default()
    }

    async fn open(
        &self,
        context: DriverContext,
        table: &Table,
    ) -> Result<Arc<dyn ComputeDriver>, DriverError> {
        match behaviour(table) {
            "dies" => {
                let message = format!("the fake of `{}` cannot be opened", context.gateway_id);
                return Err(DriverError::new(ErrorKind::Unavailable, "open the fake", message));
            }
            "loudly" => {
                tracing::error!(telemetry = context.telemetry, "something is wrong");
                tracing::debug!("something is tried");
                // Past the log, as a panic's words or a library's.
                eprintln!("plain words {}", "x".repeat(100_000));
            }
            _ => {}
        }
        std::fs::create_dir_all(&context.state_dir).map_err(of_disk)?;
        let dir = context.state_dir;
        Ok(Arc::new(Fake { dir, running: Mutex::default(), watchers: Mutex::default() }))
    }
}

struct Fake {
    dir: PathBuf,
    running: Mutex<Vec<SandboxId>>,
    watchers: Mutex<Vec<UnboundedSender<WatchEvent>>>,
}

fn of_disk(error: std::io::Error) -> DriverError {
    DriverError::new(ErrorKind::Internal, "use the disk", "the fake cannot use its directory")
        .with_source(error)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fake {
    fn record(&self, id: &SandboxId) -> PathBuf {
        self.dir.join(format!("{id}.sandbox"))
    }

    fn known(&self, id: &SandboxId) -> Result<(), DriverError> {
        if self.record(id).exists() { Ok(()) } else { Err(DriverError::not_found("find", id)) }
    }

    fn observed(&self, id: &SandboxId) -> ObservedSandbox {
        let conditions = match lock(&self.running).contains(id) {
            true => vec![conditions::ready()],
            false => conditions::stopped("its process is not there"),
        };
        ObservedSandbox {
            id: id.clone(),
            name: id.to_string(),
            namespace: String::new(),
            workspace: String::new(),
            status: SandboxStatus { conditions, ..SandboxStatus::default() },
        }
    }

    fn tell(&self, event: &WatchEvent) {
        lock(&self.watchers).retain(|watcher| watcher.send(event.clone()).is_ok());
    }

    fn run(&self, id: &SandboxId, runs: bool) {
        {
            let mut running = lock(&self.running);
            running.retain(|running| running != id);
            running.extend(runs.then(|| id.clone()));
        }
        self.tell(&WatchEvent::Sandbox(self.observed(id)));
    }

    fn all(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(of_disk)? {
            let path = entry.map_err(of_disk)?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if path.extension() == Some("sandbox".as_ref()) {
                all.push(self.observed(&SandboxId::new(stem)?));
            }
        }
        Ok(all)
    }

    fn note(&self, path: &Path, text: &str) -> Result<(), DriverError> {
        std::fs::write(path, text).map_err(of_disk)
    }
}

#[async_trait]
impl ComputeDriver for Fake {
    async fn capabilities(&self) -> Result<Capabilities, DriverError> {
        Ok(Capabilities {
            driver_name: "fake".to_owned(),
            driver_version: "1".to_owned(),
            default_image: String::new(),
            gateway_manages_lifecycle: true,
        })
    }

    async fn listener_requirements(&self) -> Result<Vec<ListenerRequirement>, DriverError> {
        Ok(Vec::new())
    }

    async fn validate_create(&self, _: &SandboxRequest) -> Result<(), DriverError> {
        Ok(())
    }

    async fn get(&self, id: &SandboxId) -> Result<ObservedSandbox, DriverError> {
        self.known(id).map(|()| self.observed(id))
    }

    async fn list(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        self.all()
    }

    async fn create(&self, request: &SandboxRequest) -> Result<(), DriverError> {
        self.note(&self.record(&request.id), &request.name)?;
        self.run(&request.id, true);
        Ok(())
    }

    async fn stop(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.known(id)?;
        self.run(id, false);
        Ok(())
    }

    async fn start(&self, id: &SandboxId) -> Result<(), DriverError> {
        self.known(id)?;
        tracing::info!(sandbox = %id, "the fake starts it again");
        self.run(id, true);
        Ok(())
    }

    async fn delete(&self, id: &SandboxId) -> Result<bool, DriverError> {
        let there = std::fs::remove_file(self.record(id)).is_ok();
        lock(&self.running).retain(|running| running != id);
        self.tell(&WatchEvent::Deleted(id.clone()));
        Ok(there)
    }

    async fn watch(&self) -> Result<EventStream, DriverError> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        lock(&self.watchers).push(sender);
        let present = self.all()?.into_iter().map(|observed| Ok(WatchEvent::Sandbox(observed)));
        let later = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)).map(Ok);
        Ok(futures_util::stream::iter(present.collect::<Vec<_>>()).chain(later).boxed())
    }

    async fn ensure_workspace(&self, _: &str) -> Result<(), DriverError> {
        Ok(())
    }

    async fn delete_workspace(&self, _: &str) -> Result<(), DriverError> {
        Ok(())
    }

    async fn shutdown(&self, within: Duration) {
        let running = lock(&self.running).len();
        let _noted = self.note(&self.dir.join("shutdown"), &format!("{running} within {within:?}"));
    }
}
