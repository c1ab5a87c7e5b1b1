//! The program: its command line, its signals, its exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use openshell_core::config::{LogFormat, LogLevel};
use openshell_core::logging;
use openshell_core::shell::{self, FAILURE};
use openshell_uds::PeerPolicy;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use crate::{Fake, Fault, Scenario};

/// A compute driver in memory, behind a Unix socket: keeps the whole contract, and breaks what a scenario names
#[derive(Debug, Parser)]
#[command(name = "openshell-driver-fake", version)]
struct Args {
    /// The Unix socket to serve on; its directory is made 0700 if it is missing, the socket is 0600
    #[arg(long, value_name = "PATH", required_unless_present = "list_faults")]
    bind_socket: Option<PathBuf>,

    /// The id of the gateway that this driver works for; it is shown in the log and nothing else
    #[arg(long, value_name = "ID")]
    gateway_id: Option<String>,

    /// Where to keep the sandboxes' tokens; without it they are kept in memory alone
    #[arg(long, value_name = "PATH")]
    state_dir: Option<PathBuf>,

    /// What to say, how long to take, and what to break: a TOML file such as faults = ["silent-watch"]
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,

    /// Break this as well; may be given again
    #[arg(long = "fault", value_name = "NAME", value_parser = fault)]
    faults: Vec<Fault>,

    /// Also let this user id connect; may be given again. The socket is then 0666, and the kernel's word decides
    #[arg(long = "allow-uid", value_name = "UID")]
    allow_uids: Vec<u32>,

    /// Say which faults there are, and do nothing else
    #[arg(long)]
    list_faults: bool,
}

fn fault(name: &str) -> Result<Fault, String> {
    crate::scenario::fault(name).map_err(|(problem, hint)| match hint {
        Some(hint) => format!("`{name}` {problem}; {hint}"),
        None => format!("`{name}` {problem}"),
    })
}

/// Runs the program: the whole of its `main`. Exits with 0 after SIGTERM or SIGINT.
#[must_use]
pub fn run() -> ExitCode {
    let args = Args::parse();
    // Clap asks for it unless only the faults are listed.
    let Some(path) = args.bind_socket.as_deref().filter(|_| !args.list_faults) else {
        let width = Fault::ALL.iter().map(|fault| fault.name().len()).max().unwrap_or_default();
        let line = |fault: &Fault| format!("{:width$}  {}\n", fault.name(), fault.says());
        return shell::print(&Fault::ALL.iter().map(line).collect::<String>());
    };
    let mut scenario = match args.scenario.as_deref().map(Scenario::read).transpose() {
        Ok(scenario) => scenario.unwrap_or_default(),
        Err(error) => return shell::fail(&error),
    };
    scenario.faults.extend(&args.faults);
    logging::init(LogLevel::default(), LogFormat::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return shell::fail_plain(&error, &[]),
    };
    let policy = PeerPolicy { allowed_uids: args.allow_uids, ..PeerPolicy::default() };
    let gateway_id = args.gateway_id.unwrap_or_default();
    let served = runtime.block_on(async {
        let (Ok(mut terminate), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            tracing::error!("cannot listen for signals");
            return Ok(ExitCode::from(FAILURE));
        };
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let faults: Vec<&str> = scenario.faults.iter().map(|fault| fault.name()).collect();
        info!(socket = %path.display(), gateway_id, ?faults, "serving");
        let fake = match &args.state_dir {
            Some(state) => Fake::keeping(scenario, state),
            None => Fake::new(scenario),
        };
        let served = fake.serve(path, policy, shutdown).await;
        served.map(|()| ExitCode::SUCCESS)
    });
    served.unwrap_or_else(|error| shell::fail(&error))
}
