//! Lifecycle, store, watch and the gRPC services of the gateway.
//!
//! ```text
//!   client ──gRPC──▶ service ──request──▶ engine ──▶ store (SQLite; every change before every call)
//!                       ▲                   │ ▲
//!                       └── hub ◀──commit───┘ └── drive, watch ──▶ dyn ComputeDriver
//! ```
//!
//! There is no feature of a driver in here and no driver's name: one compilation serves every selection. What a
//! sandbox's life is, is in `lifecycle.rs`, which asks nobody; what makes it happen is in `engine.rs`.

mod clock;
mod driver;
mod engine;
mod hub;
mod lifecycle;
mod limits;
mod names;
mod readiness;
mod rpc;
mod said;
mod selector;
mod service;
mod settings;
mod spec;
mod stats;
mod store;
mod supervisor;
mod task;
mod usage;
mod view;

use std::sync::Arc;
use std::time::Duration;

use openshell_driver_api::{ComputeDriver, DriverError};

use driver::Driver;
use engine::Engine;

pub use lifecycle::{Begun, Desired, Life, OwnCondition, Phase, Step, Supervisor, WorkspacePhase};
pub use readiness::{Readiness, Unready};
pub use rpc::Support;
pub use service::Gateway;
pub use settings::{Backoff, Deadlines, Reach, Settings};
pub use stats::{CallStats, Failure, Histogram, LinkStats, Stats};
pub use store::{Record, Store, StoreError, Workspace};
pub use supervisor::{
    SandboxDoors, SandboxToken, SandboxTokens, Supervision, SupervisorOf, SupervisorStats, TokenUse,
};
pub use usage::{NoUsage, UsageAction, UsageEvent, UsageOutcome, UsageSink};

/// How long a start waits for the first look at the backend before it goes on without.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// Why a runtime does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The driver does not say who it is.
    #[error("the driver `{name}` does not say who it is")]
    Driver {
        /// Its configured name.
        name: String,
        /// Why.
        #[source]
        source: DriverError,
    },
    /// The store failed.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
}

/// A running gateway, but for its sockets.
#[derive(Clone)]
pub struct Runtime {
    engine: Arc<Engine>,
}

impl Runtime {
    /// Starts: asks the driver who it is, takes up what was owed when the gateway went away, and begins to watch.
    /// It does not wait long for a backend that is away; the health says so then.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn start(
        settings: Settings,
        store: Store,
        driver: Arc<dyn ComputeDriver>,
    ) -> Result<Self, RuntimeError> {
        let asked = Driver::new(Arc::clone(&driver), settings.deadlines).capabilities().await;
        let capabilities =
            asked.map_err(|source| RuntimeError::Driver { name: settings.driver_name.clone(), source })?;
        let known = store.count().await?;
        tracing::info!(
            gateway = settings.gateway_id,
            driver = settings.driver_name,
            driver_name = capabilities.driver_name,
            driver_version = capabilities.driver_version,
            store = %store.path().display(),
            sandboxes = known,
            "the runtime starts"
        );
        let engine = Engine::new(settings, store, driver, capabilities);
        engine.start().await?;
        if tokio::time::timeout(FIRST_LOOK, engine.linked()).await.is_err() {
            tracing::warn!("the driver's watch is not up yet; states may be old until it is");
        }
        Ok(Self { engine })
    }

    /// The API, for `openshell_uds::serve` or any other HTTP/2 server.
    #[must_use]
    pub fn service(&self) -> Gateway {
        Gateway::new(Arc::clone(&self.engine))
    }

    /// Whether the gateway can be asked, and if not, why not: what a readiness probe answers.
    pub async fn readiness(&self) -> Readiness {
        self.engine.readiness().await
    }

    /// What the runtime has counted; cheap, takes no lock for long and asks nobody.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// Ends the watches of clients, and those to come, so that they do not hold up a server that drains; so, too, after
    /// a moment, what runs in sandboxes for clients.
    pub fn end_watches(&self) {
        self.engine.hub.close();
        self.engine.drain_supervisors();
    }

    /// Ends the watches of clients and of the driver, and waits up to `deadline` for calls of the driver that are
    /// under way; then the store is closed. What is owed then is owed at the next start. Sandboxes go on running.
    pub async fn shutdown(&self, deadline: Duration) {
        self.engine.stop(deadline).await;
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("settings", &self.engine.settings).finish_non_exhaustive()
    }
}
