//! A driver's program that tests start themselves: the standalone form of a driver, stopped with SIGTERM.

use std::io;
use std::time::Duration;

use openshell_driver_api::async_trait;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::restart::Restart;

/// How long a program that was told to stop is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A driver's program. It is killed when this is dropped.
pub struct Launched {
    command: Box<dyn Fn() -> Command + Send + Sync>,
    child: Mutex<Child>,
}

impl std::fmt::Debug for Launched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Launched(…)")
    }
}

impl Launched {
    /// Starts what `command` gives, which is asked again for each further start. Has to be called in a tokio runtime; the
    /// program need not listen yet when this returns.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(command: impl Fn() -> Command + Send + Sync + 'static) -> io::Result<Self> {
        let child = Mutex::new(spawn(&command)?);
        Ok(Self { command: Box::new(command), child })
    }
}

fn spawn(command: &dyn Fn() -> Command) -> io::Result<Child> {
    command().kill_on_drop(true).spawn()
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
        *self.child.lock().await = spawn(&self.command).map_err(|error| error.to_string())?;
        Ok(())
    }
}
