//! How a driver is stopped and started, for the cases that need that.

use std::path::PathBuf;
use std::time::Duration;

use openshell_driver_api::async_trait;
use openshell_uds::{PeerCredentials, PeerPolicy};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::process::Command;

use crate::client;

/// Between two looks whether a process is gone.
const LOOK: Duration = Duration::from_millis(50);

/// Stops a driver and starts it again. Waits of both are bounded by the case that asks.
#[async_trait]
pub trait Restart: Send + Sync {
    /// Asks the driver to stop, as SIGTERM does, and waits until it has.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn stop(&self) -> Result<(), String>;

    /// Starts it again on the same socket; it need not answer yet when this returns.
    ///
    /// # Errors
    /// When it does not start.
    async fn start(&self) -> Result<(), String>;

    /// Starts it once more while it runs, on the same socket. What then lies at the socket is looked at afterwards.
    ///
    /// # Errors
    /// When the second one ends as if all was well, or goes on.
    async fn start_again(&self) -> Result<(), String>;

    /// Starts the same driver for another gateway, on the same backend and a socket of its own: how to stop that one, and
    /// its socket. `None` where nobody can say how.
    ///
    /// # Errors
    /// When it does not start.
    async fn beside(&self) -> Result<Option<(Box<dyn Restart>, PathBuf)>, String> {
        Ok(None)
    }
}

/// A driver program: SIGTERM goes to whoever listens on the socket, and a command of the operator's starts it again.
#[derive(Debug, Clone)]
pub struct RestartCommand {
    /// The driver's socket.
    pub path: PathBuf,
    /// Who may listen there.
    pub allow_uids: Vec<u32>,
    /// What a shell is told to start the driver; it has to return.
    pub command: String,
}

#[async_trait]
impl Restart for RestartCommand {
    async fn stop(&self) -> Result<(), String> {
        let policy = PeerPolicy { allowed_uids: self.allow_uids.clone(), ..PeerPolicy::default() };
        let stream = client::connect(&self.path, &policy).await.map_err(|error| error.to_string())?;
        let peer = PeerCredentials::of(&stream).map_err(|error| error.to_string())?;
        drop(stream);
        let pid = peer.pid.and_then(Pid::from_raw).ok_or("the system does not say which process listens")?;
        kill_process(pid, Signal::TERM)
            .map_err(|error| format!("cannot send SIGTERM to {pid:?}: {error}"))?;
        while is_there(pid) {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn start(&self) -> Result<(), String> {
        let ended = Command::new("/bin/sh").arg("-c").arg(&self.command).status().await;
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("`{}` ended with {status}", self.command)),
            Err(error) => Err(format!("cannot run `{}`: {error}", self.command)),
        }
    }

    async fn start_again(&self) -> Result<(), String> {
        // The command may have put the driver into the background, and its end says nothing then.
        let ended = Command::new("/bin/sh").arg("-c").arg(&self.command).status().await;
        ended.map(|_| ()).map_err(|error| format!("cannot run `{}`: {error}", self.command))
    }
}

/// Whether a process is there and is more than an entry that its parent has not read yet.
fn is_there(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    match stat {
        // After the name, which is in parentheses and may hold any character, comes the state.
        Ok(stat) => !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) if cfg!(target_os = "linux") => false,
        Err(_) => test_kill_process(pid).is_ok(),
    }
}
