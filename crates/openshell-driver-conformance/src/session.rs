//! What all cases of a run share: the driver, its first answer, and ids that are nobody else's.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use openshell_proto::compute::v1::{GetCapabilitiesRequest, GetCapabilitiesResponse};
use openshell_uds::{ConnectError, PeerPolicy};
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::client;
use crate::options::Options;
use crate::runner::RunError;

/// Between two tries to connect.
const RETRY: Duration = Duration::from_millis(50);

/// A run.
pub(crate) struct Session {
    pub(crate) path: PathBuf,
    pub(crate) policy: PeerPolicy,
    pub(crate) options: Options,
    pub(crate) channel: Channel,
    /// What the driver said first; the cases ask it again.
    pub(crate) capabilities: GetCapabilitiesResponse,
    /// What every id of this run begins with: four of a UUID's five groups.
    prefix: String,
    count: AtomicU64,
    failed: Mutex<BTreeSet<&'static str>>,
}

impl Session {
    /// Waits for the socket, and for an answer.
    pub(crate) async fn open(path: PathBuf, options: Options) -> Result<Self, RunError> {
        let policy = PeerPolicy { allowed_uids: options.allow_uids.clone(), ..PeerPolicy::default() };
        wait_for_socket(&path, &policy, options.connect_timeout).await?;
        let channel = client::channel(path.clone(), policy.clone(), None);
        let mut client = client::client(channel.clone());
        let asked = client.get_capabilities(GetCapabilitiesRequest {});
        let capabilities = match tokio::time::timeout(options.connect_timeout, asked).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return Err(RunError::NoDriver { path, status }),
            Err(_) => return Err(RunError::Silent { path, waited: options.connect_timeout }),
        };
        let mut seed = [0_u8; 8];
        getrandom::fill(&mut seed).map_err(RunError::Random)?;
        let number = u64::from_le_bytes(seed);
        let prefix = format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-",
            number >> 32,
            number >> 16 & 0xffff,
            number >> 4 & 0xfff,
            number & 0xfff
        );
        Ok(Self {
            path,
            policy,
            options,
            channel,
            capabilities,
            prefix,
            count: AtomicU64::new(0),
            failed: Mutex::default(),
        })
    }

    /// An id that was never used, and a name that is as unlikely to be taken.
    pub(crate) fn id_and_name(&self) -> (String, String) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let run = self.prefix.split('-').next().unwrap_or_default();
        (format!("{}{count:012x}", self.prefix), format!("conformance-{run}-{count}"))
    }

    /// Notes that a case failed.
    pub(crate) fn note_failure(&self, id: &'static str) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    /// Whether a case ran and failed.
    pub(crate) fn has_failed(&self, id: &str) -> bool {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// Whether a sandbox was made by this run.
    pub(crate) fn is_ours(&self, id: &str) -> bool {
        id.starts_with(&self.prefix)
    }
}

/// Waits until somebody listens.
pub(crate) async fn wait_for_socket(
    path: &std::path::Path,
    policy: &PeerPolicy,
    patience: Duration,
) -> Result<(), RunError> {
    let deadline = Instant::now() + patience;
    loop {
        match client::connect(path, policy).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_transient() && Instant::now() < deadline => {
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => return Err(RunError::Connect { waited: waited(&error, patience), source: error }),
        }
    }
}

/// How long was waited, where that could help.
fn waited(error: &ConnectError, patience: Duration) -> Option<Duration> {
    error.is_transient().then_some(patience)
}
