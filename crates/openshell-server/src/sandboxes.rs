//! The gateway's doors for its sandboxes: a directory and a socket each, opened before the driver is asked for the
//! sandbox and served once the runtime runs.
//!
//! ```text
//!   <state>/sandboxes/            0700: the host's other users get no further
//!     <sandbox id>/               0711: bound into the sandbox, the same directory as long as the sandbox is there
//!       gateway.sock              0666: who is root in there is anybody out here, so what they show decides
//! ```

mod network;
mod supervised;
mod tokens;
mod way;

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openshell_core::config::LimitSettings;
use openshell_core::{Settings, otlp, paths};
use openshell_driver_api::{SandboxId, async_trait, supervisor};
use openshell_front::{Door, DoorCounters, Entrance, Front, Limits, Metrics, SandboxKey};
use openshell_runtime::SandboxDoors;
use openshell_uds::{Listener, PeerPolicy};
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{error, info, warn};

use crate::doors;
use crate::error::StartError;
pub(crate) use network::SANDBOXES;
pub(crate) use supervised::Supervised;
pub(crate) use way::{Way, endpoint};

/// Connections of one sandbox, whoever they are of.
const CONNECTIONS: u32 = 8;
/// Those of them that have shown a token: its supervisor needs one, and one more when it reconnects.
const KNOWN: usize = 2;
/// How long a connection may take to show one: a supervisor does so at once.
const INTRODUCTION: Duration = Duration::from_secs(10);
/// The most calls on one of them: as many channels as a sandbox may have, and some room.
const STREAMS: u32 = 256;
/// What the gateway holds of a channel whose client does not read. Both ends are on this host, so that it is hundreds of
/// megabytes a second that fit through a window of this size; a larger one is no faster by much, and held by each.
const WINDOW: u32 = 128 * 1024;
/// How long calls under way may take when a door is closed: a supervisor's go on for ever.
const FAREWELL: Duration = Duration::from_millis(200);
/// For how many sandboxes descriptors are asked of the system: a door takes two, its supervisor's connection one.
const ROOM: u64 = 4096;
/// Descriptors of one sandbox.
const DESCRIPTORS: u64 = 3;

/// How many descriptors the doors may take.
pub(crate) const fn descriptors() -> u64 {
    ROOM * DESCRIPTORS
}

/// What answers behind every door, once it is known.
type Answers = watch::Receiver<Option<Front<Supervised>>>;

/// The doors of all sandboxes.
struct Doors {
    dir: PathBuf,
    key: Arc<SandboxKey>,
    limits: Limits,
    counters: Arc<DoorCounters>,
    answers: watch::Sender<Option<Front<Supervised>>>,
    open: Mutex<HashMap<SandboxId, Open>>,
}

/// A door that is open.
struct Open {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Doors {
    /// Makes the directory of the sockets, where it is missing; no door is open yet.
    ///
    /// # Errors
    /// When it cannot be made, or is open to others.
    fn prepare(
        settings: &Settings,
        uid: u32,
        key: Arc<SandboxKey>,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, StartError> {
        let dir = settings.state_dir.join(paths::SANDBOXES);
        paths::ensure_private(&dir, uid)?;
        Ok(Arc::new(Self::new(dir, key, &settings.front.limits, metrics.door(Door::Sandboxes))))
    }

    fn new(dir: PathBuf, key: Arc<SandboxKey>, limits: &LimitSettings, counters: Arc<DoorCounters>) -> Self {
        Self {
            dir,
            key,
            limits: bounds(limits),
            counters,
            answers: watch::Sender::new(None),
            open: Mutex::default(),
        }
    }

    /// Answers at every door, those that are open and those to come. Until then whoever connects waits.
    async fn serve(&self, front: Front<Supervised>) {
        self.answers.send_replace(Some(front));
        let open = self.open.lock().await;
        info!(directory = %self.dir.display(), sandboxes = open.len(), "listening for supervisors");
        // Whatever went while sandboxes had no supervisor left its directory.
        let known: HashSet<SandboxId> = open.keys().cloned().collect();
        let base = self.dir.clone();
        // Held, so that nobody opens one of them in between.
        on_disk(move || {
            let gone = found(&base).into_iter().filter(|id| !known.contains(id));
            gone.for_each(|id| remove(&base, &id));
        })
        .await;
    }

    /// Closes every door and leaves the directories: their sandboxes go on, and look there for the next gateway.
    async fn shutdown(&self) {
        let doors = std::mem::take(&mut *self.open.lock().await);
        for door in doors.values() {
            door.stop.send_replace(true);
        }
        for door in doors.into_values() {
            door.end().await;
        }
    }
}

#[async_trait]
impl SandboxDoors for Doors {
    async fn open(&self, sandbox_id: &SandboxId) -> io::Result<()> {
        let mut open = self.open.lock().await;
        if open.contains_key(sandbox_id) {
            return Ok(());
        }
        let dir = directory(&self.dir, sandbox_id)?;
        let listener = spawn_blocking(move || listen(&dir)).await.map_err(io::Error::other)??;
        let policy = PeerPolicy { anybody: true, ..PeerPolicy::default() };
        let entrance = Entrance::unix(listener, policy, Arc::clone(&self.counters));
        let (stop, stopping) = watch::channel(false);
        let (id, key) = (sandbox_id.clone(), Arc::clone(&self.key));
        let task = tokio::spawn(attend(entrance, id, key, self.answers.subscribe(), stopping, self.limits));
        open.insert(sandbox_id.clone(), Open { stop, task });
        Ok(())
    }

    async fn close(&self, sandbox_id: &SandboxId) {
        let mut open = self.open.lock().await;
        let Some(door) = open.remove(sandbox_id) else { return };
        door.end().await;
        let (base, id) = (self.dir.clone(), sandbox_id.clone());
        // Held, so that nobody opens it anew in between.
        on_disk(move || remove(&base, &id)).await;
    }
}

impl Open {
    /// Lets nobody in any more, and cuts whoever is there after a moment.
    async fn end(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(FAREWELL, &mut self.task).await.is_err() {
            self.task.abort();
            let _aborted = self.task.await;
        }
    }
}

/// Does something that waits for the disk where it holds up nobody else.
async fn on_disk(work: impl FnOnce() + Send + 'static) {
    if let Err(error) = spawn_blocking(work).await {
        error!(%error, "the directories of sandboxes could not be looked after");
    }
}

/// The sandboxes that have a directory.
fn found(base: &Path) -> Vec<SandboxId> {
    let entries = fs::read_dir(base).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| SandboxId::new(entry.file_name().to_str()?).ok()).collect()
}

fn remove(base: &Path, id: &SandboxId) {
    let Ok(dir) = directory(base, id) else { return };
    match fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(directory = %dir.display(), %error, "a sandbox's directory cannot be removed");
        }
        _ => {}
    }
}

/// The directory of a sandbox. The ids of this gateway are names of files; any other is refused.
fn directory(base: &Path, id: &SandboxId) -> io::Result<PathBuf> {
    let id = id.as_str();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if id.len() > 128 || !id.bytes().all(plain) {
        let message = format!("the sandbox id `{}` cannot be the name of a directory", id.escape_debug());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(base.join(id))
}

/// Makes the directory, where it is missing, and listens in it.
fn listen(dir: &Path) -> io::Result<Listener> {
    match DirBuilder::new().mode(0o711).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Whatever the umask made of it: the sandbox's user is not ours, and has to get at the socket.
    fs::set_permissions(dir, Permissions::from_mode(0o711))?;
    let policy = PeerPolicy { anybody: true, ..PeerPolicy::default() };
    openshell_uds::bind_mounted(&dir.join(supervisor::SOCKET), &policy).map_err(io::Error::other)
}

/// What one sandbox may have of the gateway, whatever runs in it.
fn bounds(limits: &LimitSettings) -> Limits {
    let limits = LimitSettings { connections: CONNECTIONS, streams: limits.streams.min(STREAMS), ..*limits };
    Limits {
        known: KNOWN,
        window: WINDOW,
        introduction: Some(INTRODUCTION),
        ..doors::limits(&limits, FAREWELL)
    }
}

/// Answers at one door until it is closed.
async fn attend(
    entrance: Entrance,
    id: SandboxId,
    key: Arc<SandboxKey>,
    mut answers: Answers,
    mut stopping: watch::Receiver<bool>,
    limits: Limits,
) {
    let front = tokio::select! {
        ready = answers.wait_for(Option::is_some) => ready.ok().and_then(|ready| ready.clone()),
        _ = stopping.wait_for(|stop| *stop) => None,
    };
    let Some(front) = front else { return };
    let front = otlp::continued(front.sandbox(id.as_str(), key));
    if let Err(error) = entrance.serve(front, stopping, limits).await {
        warn!(sandbox = %id, %error, "no supervisor can connect any more: the sandbox's socket fails");
    }
}

#[cfg(test)]
mod tests;
