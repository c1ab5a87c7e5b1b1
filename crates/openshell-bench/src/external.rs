//! What a socket between gateway and driver costs: calls of one driver behind a socket over the same calls in process, and
//! how soon a gateway has its driver again after a restart of that. The driver at the other end is a process of its own:
//! this program, with `--serve`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use openshell_driver_api::{
    ComputeDriver, DialRequest, SandboxId, SandboxRequest, SandboxSpec, SocketPolicy,
};
use openshell_driver_remote::{Deadlines, RemoteDriver};

use crate::client::{self, Client};
use crate::driver::Memory;
use crate::figure::Figure;
use crate::gateway::{Home, On, PATIENCE};
use crate::watch::until_ready;
use crate::{Args, Report, Result};

/// A call may take so many milliseconds longer behind a socket.
const OVERHEAD_MS: f64 = 0.15;
/// So many milliseconds after its driver's restart began, a gateway has a sandbox ready on it.
const RECONNECT_MS: f64 = 1000.0;
/// How many sandboxes the list has.
const LISTED: usize = 100;
/// Calls before anything is timed.
const WARM_UP: usize = 500;
/// Restarts that are timed.
const RESTARTS: usize = 20;

/// A driver's process; it is killed when this goes.
struct Served {
    socket: PathBuf,
    child: Child,
}

impl Served {
    /// Starts one, which need not listen yet.
    fn start(args: &Args, socket: PathBuf) -> Result<Self> {
        let child = spawn(args, &socket)?;
        Ok(Self { socket, child })
    }

    /// Ends it as a crash would, and starts it again at once.
    fn restart(&mut self, args: &Args) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = spawn(args, &self.socket)?;
        Ok(())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Ended already, at most.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn spawn(args: &Args, socket: &Path) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--gateway").arg(&args.gateway).arg("--serve").arg(socket).stdin(Stdio::null());
    Ok(command.stdout(Stdio::null()).spawn()?)
}

pub(crate) async fn measure(args: &Args, report: &mut Report) -> Result<()> {
    calls(args, report).await?;
    reconnects(args, report).await
}

/// One caller, one call after the other, in turn in process and behind the socket.
async fn calls(args: &Args, report: &mut Report) -> Result<()> {
    let home = Home::new()?;
    let served = Served::start(args, home.path().join("driver/driver.sock"))?;
    let request = DialRequest {
        name: "memory".to_owned(),
        path: served.socket.clone(),
        policy: SocketPolicy::default(),
        connect_timeout: PATIENCE,
        longest_call: PATIENCE,
    };
    let (here, there) = (Memory::default(), RemoteDriver::dial(request, Deadlines::default()).await?);
    let asked: Vec<SandboxRequest> = (0..LISTED).map(request_of).collect::<Result<_>>()?;
    for request in &asked {
        here.create(request).await?;
        there.create(request).await?;
    }
    let runs = args.runs;
    // A gateway asks from tasks of its runtime; this function is none of them.
    let figures = tokio::spawn(async move {
        let (here, there): (&dyn ComputeDriver, &dyn ComputeDriver) = (&here, &there);
        let mut figures = Vec::new();
        for call in [Call::Get, Call::Validate, Call::StopAndStart] {
            let figure = overhead(call, here, there, &asked, runs * 100).await?;
            figures.push(figure.median_at_most(OVERHEAD_MS));
        }
        // A hundred sandboxes are a hundred times as many bytes, which nothing is held to.
        figures.push(overhead(Call::List, here, there, &asked, runs * 10).await?);
        Result::Ok(figures)
    });
    for figure in figures.await?? {
        report.show(&figure);
    }
    Ok(())
}

/// What is asked of both.
#[derive(Debug, Clone, Copy)]
enum Call {
    Get,
    Validate,
    /// Two calls, whose mean is a sample.
    StopAndStart,
    List,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GetSandbox",
            Self::Validate => "ValidateSandboxCreate",
            Self::StopAndStart => "StopSandbox, StartSandbox",
            Self::List => "ListSandboxes of 100",
        }
    }

    /// How long one call takes.
    async fn time(self, driver: &dyn ComputeDriver, request: &SandboxRequest) -> Result<Duration> {
        let begun = Instant::now();
        let calls = match self {
            Self::Get => driver.get(&request.id).await.map(|_| 1)?,
            Self::Validate => driver.validate_create(request).await.map(|()| 1)?,
            Self::StopAndStart => {
                driver.stop(&request.id).await?;
                driver.start(&request.id).await.map(|()| 2)?
            }
            Self::List => driver.list().await.map(|_| 1)?,
        };
        Ok(begun.elapsed() / calls)
    }
}

/// How much longer a call takes behind the socket than in process, each beside the other.
async fn overhead(
    call: Call,
    here: &dyn ComputeDriver,
    there: &dyn ComputeDriver,
    asked: &[SandboxRequest],
    runs: usize,
) -> Result<Figure> {
    let mut samples = Vec::with_capacity(runs);
    for (run, request) in asked.iter().cycle().take(WARM_UP + runs).enumerate() {
        let in_process = call.time(here, request).await?;
        let external = call.time(there, request).await?;
        if run >= WARM_UP {
            samples.push(external.saturating_sub(in_process));
        }
    }
    Ok(Figure::ms(format!("{}, external over in process", call.name()), &samples))
}

/// A request as a gateway makes one.
fn request_of(number: usize) -> Result<SandboxRequest> {
    Ok(SandboxRequest {
        id: SandboxId::new(format!("00000000-0000-4000-8000-{number:012}"))?,
        name: format!("bench-{number}"),
        namespace: String::new(),
        workspace: "default".to_owned(),
        spec: SandboxSpec { command: vec!["sleep".to_owned(), "3600".to_owned()], ..SandboxSpec::default() },
    })
}

/// From the end of the driver's process until a sandbox that is asked for then is ready, which a gateway learns from its watch
/// of the new process.
async fn reconnects(args: &Args, report: &mut Report) -> Result<()> {
    let home = Home::new()?;
    let mut served = Served::start(args, home.path().join("driver/driver.sock"))?;
    let mut samples = Vec::with_capacity(RESTARTS);
    for _ in 0..RESTARTS {
        // A gateway of its own for each: one whose driver goes several times in half a minute waits longer every time.
        let gateway = home.start(&args.gateway, &On::Socket(served.socket.clone())).await?;
        let mut client = gateway.client().await?;
        let begun = Instant::now();
        served.restart(args)?;
        let name = create(&mut client).await?;
        until_ready(&mut client, &name).await?;
        samples.push(begun.elapsed());
        client::delete(&mut client, &name).await?;
        gateway.stop().await?;
    }
    let figure = Figure::ms("from a driver's restart to a sandbox ready", &samples);
    report.show(&figure.median_at_most(RECONNECT_MS).p99_at_most(RECONNECT_MS));
    Ok(())
}

/// Creates a sandbox as soon as the gateway takes one; its name.
async fn create(client: &mut Client) -> Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client::create(client, String::new(), "none").await {
            Ok((_, name)) => return Ok(name),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}
