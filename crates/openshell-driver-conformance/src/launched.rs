//! A driver's program that tests start themselves: the standalone form of a driver, stopped with SIGTERM.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openshell_driver_api::async_trait;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::restart::Restart;

/// How long a program that was told to stop is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a second start on the same socket may take to see that there is a first one.
const SECOND: Duration = Duration::from_secs(20);

/// What a driver's program is told by its command line.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where it serves.
    pub socket: PathBuf,
    /// Where it keeps its files.
    pub state: PathBuf,
    /// The gateway that it works for.
    pub gateway_id: String,
}

impl Place {
    /// The place of another gateway's driver beside this one; its socket has a directory of its own.
    fn beside(&self) -> Self {
        let mut gateway_id = self.gateway_id.clone();
        gateway_id.push_str("-beside");
        let next_to = |path: &PathBuf| {
            let mut next = path.clone();
            next.as_mut_os_string().push("-beside");
            next
        };
        let directory = self.socket.parent().map(|parent| next_to(&parent.to_owned())).unwrap_or_default();
        Self { socket: directory.join("driver.sock"), state: next_to(&self.state), gateway_id }
    }
}

/// What gives the command that starts a program at a place.
type Dress = dyn Fn(&Place) -> Command + Send + Sync;

/// A driver's program. It is killed when this is dropped.
pub struct Launched {
    command: Arc<Dress>,
    place: Place,
    child: Mutex<Child>,
}

impl std::fmt::Debug for Launched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launched").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Launched {
    /// Starts what `command` gives for `place`, which is asked again for each further start, and for other places. Has to
    /// be called in a tokio runtime; the program need not listen yet when this returns.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(
        place: Place,
        command: impl Fn(&Place) -> Command + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::at(place, Arc::new(command))
    }

    fn at(place: Place, command: Arc<Dress>) -> io::Result<Self> {
        let child = Mutex::new(spawn(&*command, &place)?);
        Ok(Self { command, place, child })
    }
}

fn spawn(command: &Dress, place: &Place) -> io::Result<Child> {
    command(place).kill_on_drop(true).spawn()
}

#[async_trait]
impl Restart for Launched {
    async fn stop(&self) -> Result<(), String> {
        let mut child = self.child.lock().await;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pid = pid.ok_or("it has ended by itself")?;
        kill_process(pid, Signal::TERM).map_err(|error| format!("cannot send SIGTERM: {error}"))?;
        match tokio::time::timeout(PATIENCE, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("after SIGTERM it ended with {status}")),
            Ok(Err(error)) => Err(format!("cannot wait for it: {error}")),
            Err(_) => Err(format!("it did not end within {PATIENCE:?} after SIGTERM")),
        }
    }

    async fn start(&self) -> Result<(), String> {
        *self.child.lock().await = spawn(&*self.command, &self.place).map_err(|error| error.to_string())?;
        Ok(())
    }

    async fn start_again(&self) -> Result<(), String> {
        let mut second = spawn(&*self.command, &self.place).map_err(|error| error.to_string())?;
        match tokio::time::timeout(SECOND, second.wait()).await {
            Ok(Ok(status)) if !status.success() => Ok(()),
            Ok(Ok(_)) => Err("the second one ended with 0, as if all was well".to_owned()),
            Ok(Err(error)) => Err(format!("cannot wait for it: {error}")),
            Err(_) => Err(format!("the second one still runs after {SECOND:?}")),
        }
    }

    async fn beside(&self) -> Result<Option<(Box<dyn Restart>, PathBuf)>, String> {
        let place = self.place.beside();
        let socket = place.socket.clone();
        let beside = Self::at(place, Arc::clone(&self.command)).map_err(|error| error.to_string())?;
        Ok(Some((Box::new(beside), socket)))
    }
}
