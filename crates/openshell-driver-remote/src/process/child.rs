//! One run of a driver's program: started, dialled, waited for, ended.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use openshell_driver_api::supervisor::SupervisorDelivery;
use openshell_driver_api::{DialRequest, DriverError, ErrorKind, LaunchRequest, SocketPolicy, program};
use openshell_uds::PeerPolicy;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::log::{self, Tail};
use crate::{Deadlines, RemoteDriver};

const OPERATION: &str = "start its program";
/// How long one that was started in vain may take to end by itself.
const GIVE_UP: Duration = Duration::from_secs(2);
/// How long the one before it may take to let go of the socket, and how often that is looked at: it logs each look.
const PREDECESSOR: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(250));
/// How long the last lines of its log may take to come once it has ended; what it has left behind may hold the pipe.
const LAST_LINES: Duration = Duration::from_millis(500);

/// A program, to be started with these variables. Dropping what it becomes kills it.
pub(super) fn command(program: &Path, environment: &[(String, Option<String>)]) -> Command {
    let mut command = Command::new(program);
    for (name, value) in environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    // In a group of its own, since a terminal's Ctrl-C is the gateway's to answer, which then ends it in order.
    command.process_group(0).kill_on_drop(true);
    command
}

/// A driver's program that runs.
pub(super) struct Run {
    child: Child,
    /// Never written to: the program ends when it closes.
    _life_line: Option<ChildStdin>,
    tail: Tail,
    log: JoinHandle<()>,
}

impl Run {
    /// Starts the program and waits until it answers.
    pub(super) async fn start(request: &LaunchRequest) -> Result<(Self, Arc<RemoteDriver>), DriverError> {
        program::look_again(&request.program)?;
        let_go(&request.socket).await;
        let mut run = Self::spawn(request)?;
        let policy = PeerPolicy { pid: run.pid(), ..PeerPolicy::default() };
        let dial = DialRequest {
            name: request.context.name.clone(),
            path: request.socket.clone(),
            policy: SocketPolicy::default(),
            connect_timeout: request.connect_timeout,
            longest_call: request.longest_call,
        };
        let deadlines = Deadlines::covering(request.longest_call);
        let dialled = tokio::select! {
            dialled = RemoteDriver::dial_peer(dial, &policy, deadlines) => dialled,
            ended = run.child.wait() => return Err(run.died(&request.program, ended).await),
        };
        match dialled {
            Ok(driver) => Ok((run, Arc::new(driver))),
            // It may have ended while it was asked.
            Err(error) => match run.child.try_wait() {
                Ok(Some(status)) => Err(run.died(&request.program, Ok(status)).await),
                _ => Err(run.refused(&request.program, error).await),
            },
        }
    }

    fn spawn(request: &LaunchRequest) -> Result<Self, DriverError> {
        let LaunchRequest { context, program, config, socket, log_level, environment, .. } = request;
        let mut command = command(program, environment);
        command.arg("--bind-socket").arg(socket);
        command.args(["--launched-by", &std::process::id().to_string()]);
        command.args(["--gateway-id", &context.gateway_id]);
        command.arg("--state-dir").arg(&context.state_dir);
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        if let Some(SupervisorDelivery::Host { program, sockets }) = &context.supervisor {
            command.arg("--supervisor").arg(program).arg("--sandbox-sockets").arg(sockets);
        }
        // Its lines are taken apart and told in the gateway's own format.
        command.args(["--log-level", log_level, "--log-format", "json"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| {
            let message = format!("cannot start `{}`", program.display());
            DriverError::new(ErrorKind::FailedPrecondition, OPERATION, message).with_source(source)
        })?;
        // Waiting for it would close its standard input.
        let life_line = child.stdin.take();
        let tail = Tail::default();
        let log = child.stderr.take();
        let (driver, kept) = (context.name.clone(), tail.clone());
        let log = tokio::spawn(async move {
            if let Some(log) = log {
                log::follow(driver, log, kept).await;
            }
        });
        Ok(Self { child, _life_line: life_line, tail, log })
    }

    /// The process, until it has ended.
    pub(super) fn pid(&self) -> Option<i32> {
        self.child.id().and_then(|pid| i32::try_from(pid).ok())
    }

    /// Waits for its end, and gives it in words that go on after `the driver's program`.
    pub(super) async fn wait(&mut self) -> String {
        let ended = self.child.wait().await;
        self.last_lines().await;
        words(&ended)
    }

    /// Asks it to end, and kills it after `within`.
    pub(super) async fn stop(mut self, driver: &str, within: Duration) {
        self.signal(Signal::TERM);
        match tokio::time::timeout(within, self.child.wait()).await {
            Ok(ended) => tracing::info!(driver, "the driver's program {}", words(&ended)),
            Err(_) => {
                tracing::warn!(driver, ?within, "the driver's program does not end, and is killed");
                if let Err(error) = self.child.kill().await {
                    tracing::error!(driver, %error, "the driver's program cannot be killed");
                }
            }
        }
        self.last_lines().await;
    }

    fn signal(&self, signal: Signal) {
        // Only a process that was not waited for yet has an id here: it cannot be another's by now.
        if let Some(pid) = self.pid().and_then(Pid::from_raw)
            && let Err(error) = kill_process(pid, signal)
        {
            tracing::warn!(%error, "the driver's program could not be told to end");
        }
    }

    async fn last_lines(&mut self) {
        if tokio::time::timeout(LAST_LINES, &mut self.log).await.is_err() {
            self.log.abort();
        }
    }

    /// It ended before it answered.
    async fn died(mut self, program: &Path, ended: io::Result<ExitStatus>) -> DriverError {
        self.last_lines().await;
        let (program, how) = (program.display(), words(&ended));
        let message = format!("`{program}` {how} before it answered{}", last_words(&self.tail));
        DriverError::new(ErrorKind::Unavailable, OPERATION, message)
    }

    /// It runs, and is not to be talked to.
    async fn refused(self, program: &Path, error: DriverError) -> DriverError {
        let tail = self.tail.clone();
        self.signal(Signal::TERM);
        let mut run = self;
        if tokio::time::timeout(GIVE_UP, run.child.wait()).await.is_err() {
            // Waited for as well; what cannot be killed is killed again when it is dropped.
            let _ended = run.child.kill().await;
        }
        run.last_lines().await;
        let kind = error.kind();
        let hint = match kind {
            ErrorKind::Unavailable => {
                Some("see what it does: --log-level debug; or give it longer: connect_timeout = \"2m\"")
            }
            _ => error.hint(),
        };
        let hint = hint.map(str::to_owned);
        let message = format!("`{}` was started and cannot be used{}", program.display(), last_words(&tail));
        let refused = DriverError::new(kind, OPERATION, message).with_source(error);
        match hint {
            Some(hint) => refused.with_hint(hint),
            None => refused,
        }
    }
}

/// Waits for the program of a gateway that was killed just now, which lets go of the socket as soon as it sees that.
/// Whoever listens for longer is somebody else, and what follows says so.
async fn let_go(socket: &Path) {
    let deadline = Instant::now() + PREDECESSOR.0;
    while UnixStream::connect(socket).await.is_ok() && Instant::now() < deadline {
        sleep(PREDECESSOR.1).await;
    }
}

fn last_words(tail: &Tail) -> String {
    match tail.indented() {
        lines if lines.is_empty() => ", and said nothing".to_owned(),
        lines => format!("; its last words:{lines}"),
    }
}

fn words(ended: &io::Result<ExitStatus>) -> String {
    match ended {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => format!("ended ({status})"),
        },
        Err(error) => format!("cannot be waited for ({error})"),
    }
}
