//! A gateway's process in a folder of its own, what it answers and what it takes.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openshell_proto::openshell::v1::{HealthRequest, ServiceStatus};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::net::UnixStream;

use crate::Result;
use crate::client::{self, Client};

/// How long anything may take before the measurement is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A folder with everything that a user's directories would hold; it outlives the gateways that run in it.
pub(crate) struct Home {
    directory: tempfile::TempDir,
}

/// What a gateway is to run on.
#[derive(Debug, Clone)]
pub(crate) enum On {
    /// The driver behind a socket.
    Socket(PathBuf),
    /// The same, which brings the supervisors of its sandboxes.
    Supervised(PathBuf),
    /// One of its own drivers, and what the configuration says of it.
    Driver { name: String, config: String },
}

impl Home {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { directory: tempfile::Builder::new().prefix("openshell-bench-").tempdir()? })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("run").join("gateway.sock")
    }

    /// The gateway's id, once one has run in here.
    pub(crate) fn gateway_id(&self) -> Result<String> {
        Ok(fs::read_to_string(self.path().join("state/openshell/gateway/gateway_id"))?.trim().to_owned())
    }

    /// The bearer token, once a gateway with a port has run in here.
    pub(crate) fn token(&self) -> Result<String> {
        Ok(fs::read_to_string(self.path().join("state/openshell/gateway/token"))?.trim().to_owned())
    }

    fn command(&self, program: &Path, on: &On, port: Option<u16>) -> Result<Command> {
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::null());
        for name in ["PATH", "DOCKER_HOST", "OPENSHELL_PODMAN_SOCKET", "KUBECONFIG"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        for (name, folder) in [
            ("HOME", "home"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_RUNTIME_DIR", "run"),
        ] {
            command.env(name, self.path().join(folder));
        }
        command.env("OPENSHELL_LISTEN_SOCKET", self.socket());
        match port {
            Some(port) => command.env("OPENSHELL_SERVER_PORT", port.to_string()),
            None => command.env("OPENSHELL_TCP", "false"),
        };
        match on {
            On::Socket(path) => command.arg("--compute-driver-socket").arg(path),
            On::Supervised(path) => {
                let config = self.config("[openshell.drivers.external]\nsupervisor = \"driver\"\n")?;
                command.arg("--compute-driver-socket").arg(path).arg("--config").arg(config)
            }
            On::Driver { name, config } => {
                command.args(["--drivers", name, "--config"]).arg(self.config(config)?)
            }
        };
        let log = File::options().create(true).append(true).open(self.path().join("gateway.log"))?;
        command.stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    /// A configuration of this text.
    fn config(&self, text: &str) -> Result<PathBuf> {
        let path = self.path().join("gateway.toml");
        fs::write(&path, text)?;
        Ok(path)
    }

    /// The folder with one of each sandbox's own, in which its supervisor finds the gateway's socket; by a name that is short
    /// enough for the address of a socket (unix(7)).
    pub(crate) fn doors(&self) -> Result<PathBuf> {
        let name = self.path().join("doors");
        std::os::unix::fs::symlink(self.path().join("state/openshell/gateway/sandboxes"), &name)?;
        Ok(name)
    }

    /// Starts a gateway on its Unix socket alone, and waits for its first answer.
    pub(crate) async fn start(&self, program: &Path, on: &On) -> Result<Gateway> {
        self.start_with(program, on, None, false).await
    }

    /// The same; `pinned` to the first processor that this process may use, with everything it starts.
    pub(crate) async fn start_with(
        &self,
        program: &Path,
        on: &On,
        port: Option<u16>,
        pinned: bool,
    ) -> Result<Gateway> {
        let mut command = self.command(program, on, port)?;
        let begun = Instant::now();
        let child = if pinned { spawn_pinned(&mut command)? } else { command.spawn()? };
        let mut gateway = Gateway { child, socket: self.socket(), served_after: Duration::ZERO };
        let answered = tokio::time::timeout(PATIENCE, gateway.first_answer()).await;
        match answered {
            Ok(Ok(())) => gateway.served_after = begun.elapsed(),
            Ok(Err(error)) => return Err(self.failed(error)),
            Err(_) => return Err(self.failed("it does not answer".into())),
        }
        Ok(gateway)
    }

    fn failed(
        &self,
        error: Box<dyn std::error::Error + Send + Sync>,
    ) -> Box<dyn std::error::Error + Send + Sync> {
        let log = fs::read_to_string(self.path().join("gateway.log")).unwrap_or_default();
        format!("the gateway: {error}; its log:\n{log}").into()
    }
}

/// What a process keeps resident, in MB.
pub(crate) fn resident_mb(pid: u32) -> Result<f64> {
    status_mb(&fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS")
}

/// An amount of memory in a process's status, in MB; see proc_pid_status(5).
pub(crate) fn status_mb(status: &str, name: &str) -> Result<f64> {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned);
    let value = status.lines().find_map(value).ok_or_else(|| format!("no {name}"))?;
    let kib: f64 = value.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0 / 1_000_000.0)
}

/// A port that nobody had a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A process inherits the processors of the thread that starts it; see sched_setaffinity(2).
fn spawn_pinned(command: &mut Command) -> Result<Child> {
    let before = sched_getaffinity(None)?;
    let mut first = CpuSet::new();
    let cpu = (0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu)).ok_or("no processor")?;
    first.set(cpu);
    sched_setaffinity(None, &first)?;
    let child = command.spawn();
    sched_setaffinity(None, &before)?;
    Ok(child?)
}

/// Takes this thread off the processor that a pinned gateway has, where there is another one.
pub(crate) fn leave_to_pinned() {
    let Ok(mut set) = sched_getaffinity(None) else { return };
    if set.count() < 2 {
        return;
    }
    if let Some(cpu) = (0..CpuSet::MAX_CPU).find(|cpu| set.is_set(*cpu)) {
        set.unset(cpu);
        // Refused, the figure is merely worse than it might be.
        let _refused = sched_setaffinity(None, &set);
    }
}

/// A running gateway, killed when it goes.
pub(crate) struct Gateway {
    child: Child,
    socket: PathBuf,
    /// From the start of the process to its first answer.
    pub(crate) served_after: Duration,
}

impl Gateway {
    /// A connection of its own.
    pub(crate) async fn client(&self) -> Result<Client> {
        client::connect(&self.socket).await
    }

    /// Waits until a health check is answered, and answered well.
    async fn first_answer(&mut self) -> Result<()> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("it ended with {status}").into());
            }
            // A bare connect first: it costs next to nothing as long as nobody listens.
            if UnixStream::connect(&self.socket).await.is_ok() {
                let mut client = self.client().await?;
                let health = client.health(HealthRequest {}).await?.into_inner();
                if health.status() == ServiceStatus::Healthy {
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
    }

    /// Resident memory in millions of bytes: `VmRSS` of proc_pid_status(5).
    pub(crate) fn resident_mb(&self) -> Result<f64> {
        resident_mb(self.child.id())
    }

    /// The most that it ever had resident, in MB.
    pub(crate) fn most_resident_mb(&self) -> Result<f64> {
        status_mb(&fs::read_to_string(format!("/proc/{}/status", self.child.id()))?, "VmHWM")
    }

    /// The process of the driver's program, where the gateway has started one.
    pub(crate) fn program(&self) -> Result<Option<u32>> {
        let parent = format!("PPid:\t{}", self.child.id());
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // What has ended meanwhile is no child any more.
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            if status.lines().any(|line| line == parent) {
                return Ok(Some(pid));
            }
        }
        Ok(None)
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Stops it in order, and waits for its end.
    pub(crate) async fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err("SIGTERM does not end the gateway".into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Ended already, most often.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}
