//! Serving: where the driver listens, who may come in, how it ends.

use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openshell_core::shell::{FAILURE, Remedy};
use openshell_proto::compute::v1::DriverSandbox;
use openshell_proto::compute::v1::compute_driver_server::ComputeDriverServer;
use openshell_uds::{BindError, Limits, Listener, PeerPolicy};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::door::Door;
use crate::service::Service;
use crate::world::{Driver, Phase};
use crate::{Fault, Scenario, relay};

/// The largest message taken or sent, unless a fault makes it smaller.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;
const SMALL_MESSAGE: usize = 64 * 1024;
/// As long as it takes to say that a watch ends, and no call under way.
const AT_ONCE: Duration = Duration::from_millis(50);

/// The driver in memory. What it keeps outlives what serves it, so that it can be stopped and served again.
#[derive(Clone)]
pub struct Fake {
    driver: Arc<Driver>,
}

/// Why it does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The socket cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The system refused a step.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// The step, as a verb.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Remedy for StartError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Bind(error) => error.hint().into_iter().collect(),
            Self::Io { .. } => Vec::new(),
        }
    }

    fn exit_code(&self) -> u8 {
        FAILURE
    }
}

/// A driver that serves; it ends when this is dropped, at the latest.
#[derive(Debug)]
pub struct Served {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), StartError>>,
}

impl Fake {
    /// A driver without a sandbox, and without files.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        Self { driver: Driver::new(scenario, None) }
    }

    /// A driver without a sandbox, which keeps its sandboxes' tokens below the directory `state`.
    #[must_use]
    pub fn keeping(scenario: Scenario, state: &Path) -> Self {
        Self { driver: Driver::new(scenario, Some(state)) }
    }

    /// The driver of another gateway on the same backend.
    #[must_use]
    pub fn beside(&self) -> Self {
        match self.has(Fault::SeesOtherGateways) {
            true => self.clone(),
            false => Self::new(self.driver.scenario.clone()),
        }
    }

    /// What it was asked to make and still has, as it understood it, tokens and all.
    #[must_use]
    pub fn asked(&self) -> Vec<DriverSandbox> {
        self.driver.world().sandboxes.values().map(|kept| kept.asked.clone()).collect()
    }

    /// Serves at `path` in a task of its own; has to be called in a tokio runtime. It is bound when this returns, unless
    /// the scenario has it late.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub fn start(&self, path: &Path) -> Result<Served, StartError> {
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        let policy = PeerPolicy::default();
        let bound = match self.driver.scenario.socket_late {
            Duration::ZERO => Some(self.bind(path, &policy)?),
            _ => None,
        };
        let (fake, path) = (self.clone(), path.to_owned());
        let task = tokio::spawn(async move { fake.serve_on(bound, &path, policy, shutdown).await });
        Ok(Served { stop: Some(stop), task })
    }

    /// Serves at `path` until `shutdown` is ready, and has drained.
    ///
    /// # Errors
    /// When the socket cannot be bound, or fails.
    pub async fn serve(
        &self,
        path: &Path,
        policy: PeerPolicy,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), StartError> {
        self.serve_on(None, path, policy, shutdown).await
    }

    async fn serve_on(
        &self,
        bound: Option<Listener>,
        path: &Path,
        policy: PeerPolicy,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), StartError> {
        let listener = match bound {
            Some(listener) => listener,
            None => {
                tokio::time::sleep(self.driver.scenario.socket_late).await;
                self.bind(path, &policy)?
            }
        };
        self.recall();
        let (closing, closed) = watch::channel(false);
        let service = Service { driver: Arc::clone(&self.driver), closing: closed };
        let largest = if self.has(Fault::SmallMessages) { SMALL_MESSAGE } else { MAX_MESSAGE };
        let service = ComputeDriverServer::new(service)
            .max_decoding_message_size(largest)
            .max_encoding_message_size(MAX_MESSAGE);
        let limits = Limits {
            connections: match () {
                () if self.has(Fault::OneConnection) => 1,
                () if self.has(Fault::TwoConnections) => 2,
                () => Limits::default().connections,
            },
            drain: if self.has(Fault::StopsAtOnce) { AT_ONCE } else { Limits::default().drain },
            ..Limits::default()
        };
        // The files' modes stay as they are.
        let policy = match self.has(Fault::StrangersServed) {
            true => PeerPolicy { allowed_uids: (0..=u32::from(u16::MAX)).collect(), ..policy },
            false => policy,
        };
        let deaf = self.has(Fault::IgnoresSigterm);
        let shutdown = async {
            shutdown.await;
            if deaf {
                std::future::pending::<()>().await;
            }
            closing.send_replace(true);
        };
        let door = Door::new(Arc::clone(&self.driver), service);
        let served = match self.has(Fault::JunkDeafens) {
            true => relay::serve(listener, policy, door, shutdown, limits).await,
            false => openshell_uds::serve_with(listener, policy, door, shutdown, limits).await,
        };
        let failed = |action| move |source| StartError::Io { action, path: path.to_owned(), source };
        if self.has(Fault::SocketIsLink) {
            std::fs::remove_file(path).map_err(failed("remove"))?;
        }
        if self.has(Fault::LeavesSocket) {
            // Bound once more and left: a file that nobody listens on.
            std::os::unix::net::UnixListener::bind(path).map_err(failed("bind"))?;
        }
        served.map_err(failed("serve on"))
    }

    fn has(&self, fault: Fault) -> bool {
        self.driver.has(fault)
    }

    /// What a start does to what was kept.
    fn recall(&self) {
        let mut world = self.driver.world();
        if self.has(Fault::ForgetsOnRestart) {
            world.sandboxes.clear();
        }
        if self.has(Fault::StopsOnRestart) {
            world.sandboxes.values_mut().for_each(|kept| kept.phase = Phase::Stopped);
        }
    }

    fn bind(&self, path: &Path, policy: &PeerPolicy) -> Result<Listener, StartError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| StartError::Io { action, path, source }
        };
        let mut real = path.to_owned();
        if self.has(Fault::SocketIsLink) {
            real.as_mut_os_string().push(".real");
        }
        if self.has(Fault::TakesLiveSocket) {
            // There is none at the first start.
            let _ = std::fs::remove_file(&real);
        }
        let listener = openshell_uds::bind_for(&real, policy)?;
        if real != path {
            symlink(&real, path).map_err(failed("link", path))?;
        }
        let set_mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
                .map_err(failed("set the mode of", path))
        };
        if self.has(Fault::SocketOpen) {
            set_mode(path, 0o666)?;
        }
        if let Some(directory) = path.parent().filter(|_| self.has(Fault::DirectoryOpen)) {
            set_mode(directory, 0o755)?;
        }
        Ok(listener)
    }
}

impl Served {
    /// Asks it to stop, as SIGTERM does, and waits until it has.
    ///
    /// # Errors
    /// When it could not be bound, or its socket failed.
    pub async fn stop(mut self) -> Result<(), StartError> {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            let _ = stop.send(());
        }
        match (&mut self.task).await {
            Ok(ended) => ended,
            // Only a panic, which is the runtime's to report.
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}
