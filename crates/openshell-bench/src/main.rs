//! `openshell-bench`: the figures of a gateway, measured from outside as a client would see them.
//!
//! ```text
//! openshell-bench --gateway PATH [--backend NAME=PATH [--script COMMAND]]
//!                 [--only NAME,…] [--rows N] [--runs N] [--seconds N]
//! ```
//!
//! `--gateway` is a gateway that can dial a driver's socket; the driver behind it is one in memory, served by this
//! process, so that nothing but the gateway is measured. `--backend` is a gateway with a driver of its own, by the name
//! to give to `--drivers`; what is measured on a real engine needs it: `memory`, `ready`, `many`, `soak`, `exec`, `files`, and
//! its start. Without it these are left out, and said to be on standard error. The latter two need the supervisor beside
//! that gateway, where it is left for drivers that deliver it.
//!
//! `--script` is a shell command that speaks for the backend's own client (script.rs lists its verbs): `ready`, `exec` and `files` compare
//! with it, `many` and `soak` ask it what is really there.
//!
//! Each figure is one line of JSON on standard output, as soon as there is one:
//!
//! ```text
//! {"at":"most","bound":{"median":0.3,"p99":1.5},"figure":"GetSandbox","holds":true,"max":…,"median":…,"min":…,"p99":…,"runs":5000,"unit":"ms"}
//! ```
//!
//! `bound` is null for what nothing is held to; `at` says whether the bounds are the most or the least. The exit code is
//! 1 when a figure does not hold, 2 when one could not be measured.

mod calls;
mod client;
mod driver;
mod exec;
mod external;
mod figure;
mod files;
mod gateway;
mod many;
mod memory;
mod ready;
mod script;
mod sessions;
mod soak;
mod start;
mod supervised;
mod supervisor;
mod transfer;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use driver::Memory;
use figure::Figure;
use gateway::On;
use script::Script;

/// Whatever went wrong; it is for a person who measures, and names what was tried.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measure a gateway
#[derive(Debug, Parser)]
#[command(name = "openshell-bench")]
struct Args {
    /// A gateway that dials a driver's socket
    #[arg(long, value_name = "PATH")]
    gateway: PathBuf,
    /// A gateway with a driver of its own, and that driver's name
    #[arg(long, value_name = "NAME=PATH", value_parser = backend)]
    backend: Option<Backend>,
    /// Speaks for the backend's own client
    #[arg(long, value_name = "COMMAND", requires = "backend")]
    script: Option<String>,
    /// Only these
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<Which>,
    /// How many sandboxes are stored
    #[arg(long, default_value_t = 10_000)]
    rows: usize,
    /// How often a start and an event are measured; calls a hundred times as often
    #[arg(long, default_value_t = 50)]
    runs: usize,
    /// How long the soak goes on
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// Serve the driver in memory at this socket and measure nothing: what `external` starts
    #[arg(long, value_name = "PATH", hide = true)]
    serve: Option<PathBuf>,
    /// How large the file is that goes in and out, in MiB
    #[arg(long, default_value_t = 1024)]
    mebibytes: u64,
}

/// A gateway and the driver to name to it.
#[derive(Debug, Clone)]
struct Backend {
    name: String,
    gateway: PathBuf,
    /// What speaks for the backend's own client.
    script: Option<Script>,
}

impl Backend {
    /// What the gateway is to run on.
    fn on(&self) -> Result<On> {
        let config = self.script.as_ref().map(Script::config).transpose()?.unwrap_or_default();
        Ok(On::Driver { name: self.name.clone(), config })
    }
}

fn backend(text: &str) -> std::result::Result<Backend, String> {
    let (name, path) = text.split_once('=').ok_or("is not NAME=PATH")?;
    Ok(Backend { name: name.to_owned(), gateway: PathBuf::from(path), script: None })
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// From the process to its first answer, on a second start
    Start,
    /// Calls with all rows stored
    Calls,
    /// From an event of the driver to its last watcher
    Watch,
    /// What a socket to the driver costs a call, and a driver's restart
    External,
    /// Resident memory, idle and after calls
    Memory,
    /// From a create to Ready, against the backend's own client
    Ready,
    /// Two hundred sandboxes at once on the backend
    Many,
    /// Clients that create and delete on the backend
    Soak,
    /// A thousand supervisors on one gateway
    Sessions,
    /// A command's round trip, against the backend's own client, and a hundred at once
    Exec,
    /// A large file in and out, against the backend's own client, and what that keeps resident
    Files,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let measured = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(measure(&args)));
    match measured {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Where figures go.
struct Report {
    holds: bool,
}

impl Report {
    /// Prints a figure.
    fn show(&mut self, figure: &Figure) {
        self.holds &= figure.holds();
        println!("{}", figure.json());
    }
}

/// Measures what was asked for, and says whether all of it holds.
async fn measure(args: &Args) -> Result<bool> {
    if let Some(socket) = &args.serve {
        Memory::serve_alone(socket).await?;
    }
    let wants = |which| args.only.is_empty() || args.only.contains(&which);
    let mut report = Report { holds: true };
    if wants(Which::Start) {
        start::external(args, &mut report).await?;
    }
    if wants(Which::Calls) {
        calls::measure(args, &mut report).await?;
    }
    if wants(Which::Watch) {
        watch::measure(args, &mut report).await?;
    }
    if wants(Which::External) {
        external::measure(args, &mut report).await?;
    }
    if wants(Which::Sessions) {
        sessions::measure(args, &mut report).await?;
    }
    let Some(backend) = &args.backend else {
        eprintln!("no --backend: nothing is measured on an engine");
        return Ok(report.holds);
    };
    let backend = Backend { script: args.script.as_deref().map(Script::new), ..backend.clone() };
    if wants(Which::Start) {
        start::named(args, &backend, &mut report).await?;
    }
    if wants(Which::Memory) {
        memory::measure(&backend, &mut report).await?;
    }
    let Some(script) = &backend.script else {
        eprintln!("no --script: nobody says what is on the backend");
        return Ok(report.holds);
    };
    if wants(Which::Ready) {
        ready::measure(&backend, script, &mut report).await?;
    }
    if wants(Which::Many) {
        many::measure(&backend, script, &mut report).await?;
    }
    if wants(Which::Soak) {
        soak::measure(args, &backend, script, &mut report).await?;
    }
    if wants(Which::Exec) {
        exec::measure(&backend, script, &mut report).await?;
    }
    if wants(Which::Files) {
        files::measure(args, &backend, script, &mut report).await?;
    }
    Ok(report.holds)
}
