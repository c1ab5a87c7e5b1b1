//! The gateway's one door for sandboxes on other hosts: a TCP port with TLS, where the token alone says which of them it is.

use std::io;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use openshell_core::config::SandboxEndpoint;
use openshell_core::settings::SandboxSettings;
use openshell_core::{Settings, otlp};
use openshell_driver_api::supervisor::SupervisorDelivery;
use openshell_driver_api::{SandboxId, async_trait};
use openshell_front::certs::SandboxIdentity;
use openshell_front::{Door, DoorCounters, Entrance, Front, Limits, Metrics, SandboxKey, SandboxRoll};
use openshell_runtime::SandboxDoors;
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

use super::{FAREWELL, Open, STREAMS, Supervised};
use crate::doors::{self, Reserved};
use crate::error::StartError;

/// What the listener is for, as errors name it.
pub(crate) const SANDBOXES: &str = "sandboxes";
/// What the gateway holds of a channel whose client does not read: some distance lies between, so it is more than on a socket.
const WINDOW: u32 = 256 * 1024;
/// How long whoever connects may take to show a token that is good.
const UNKNOWN: Duration = Duration::from_secs(10);

/// The door.
pub(crate) struct Network {
    roll: Arc<SandboxRoll>,
    endpoint: SandboxEndpoint,
    identity: SandboxIdentity,
    limits: Limits,
    counters: Arc<DoorCounters>,
    /// Until it is listened on.
    reserved: StdMutex<Option<Reserved>>,
    open: Mutex<Option<Open>>,
}

impl Network {
    /// Makes the CA, where it is missing, and a certificate of this start's; nobody is listened to yet.
    ///
    /// # Errors
    /// When the CA cannot be made or used.
    pub(super) fn prepare(
        settings: &Settings,
        sandboxes: &SandboxSettings,
        reserved: Option<Reserved>,
        key: Arc<SandboxKey>,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, StartError> {
        let dir = &settings.state_dir;
        let identity = SandboxIdentity::load_or_create(dir, &sandboxes.endpoint.host)
            .map_err(|source| StartError::SandboxCa { dir: dir.clone(), source })?;
        let limits = doors::limits(&settings.front.limits, FAREWELL);
        Ok(Arc::new(Self {
            roll: Arc::new(SandboxRoll::new(key)),
            endpoint: sandboxes.endpoint.clone(),
            identity,
            // One who has nothing to show gets no further than a stranger elsewhere who says nothing.
            limits: Limits {
                handshake: limits.handshake.min(limits.first_byte),
                introduction: Some(UNKNOWN),
                streams: limits.streams.min(STREAMS),
                window: limits.window.min(WINDOW),
                ..limits
            },
            counters: metrics.door(Door::Sandboxes),
            reserved: StdMutex::new(reserved),
            open: Mutex::default(),
        }))
    }

    /// What a driver puts into sandboxes for it.
    pub(super) fn delivery(&self) -> SupervisorDelivery {
        SupervisorDelivery::Network { endpoint: self.endpoint.to_string(), ca: self.identity.ca.clone() }
    }

    /// Listens, and answers. Until then the kernel refuses whoever connects.
    ///
    /// # Errors
    /// When another program was faster.
    pub(super) async fn serve(&self, front: &Front<Supervised>) -> Result<(), StartError> {
        let reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(reserved) = reserved else { return Ok(()) };
        let address = reserved.address();
        let listener = reserved.listen(SANDBOXES)?;
        let entrance = Entrance::tls(listener, self.identity.tls.clone(), Arc::clone(&self.counters));
        let entrance = entrance.with_places(self.roll.places());
        let front = otlp::continued(front.sandboxes(Arc::clone(&self.roll)));
        let (stop, stopping) = watch::channel(false);
        let limits = self.limits;
        let task = tokio::spawn(async move {
            if let Err(error) = entrance.serve(front, stopping, limits).await {
                warn!(%error, "no supervisor can connect any more: the listener for sandboxes fails");
            }
        });
        *self.open.lock().await = Some(Open { stop, task });
        let sandboxes = self.roll.len();
        info!(%address, endpoint = %self.endpoint, sandboxes, "listening for supervisors");
        Ok(())
    }

    /// Lets nobody in any more: sandboxes go on, and look here for the next gateway.
    pub(super) async fn shutdown(&self) {
        if let Some(open) = self.open.lock().await.take() {
            open.end().await;
        }
    }
}

#[async_trait]
impl SandboxDoors for Network {
    async fn open(&self, sandbox_id: &SandboxId) -> io::Result<()> {
        self.roll.add(sandbox_id.as_str());
        Ok(())
    }

    async fn close(&self, sandbox_id: &SandboxId) {
        self.roll.remove(sandbox_id.as_str());
    }
}
