//! The program: its command line, what it prints, its exit code.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use openshell_core::shell::{self, FAILURE};

use crate::contract::contract;
use crate::options::{Options, Selector, Target};
use crate::restart::RestartCommand;
use crate::{forms, runner};

/// Hold the driver behind a Unix socket to the contract
///
/// Makes sandboxes under ids of its own and removes them again. Exits with 0 when every required case passed or was
/// skipped, with 1 when one failed, with 2 when nothing could be tested.
#[derive(Debug, Parser)]
#[command(name = "openshell-driver-conformance", version)]
struct Args {
    /// The driver's socket
    #[arg(long, value_name = "PATH", required_unless_present_any = ["list", "contract"])]
    socket: Option<PathBuf>,

    /// The image of the sandboxes that are made [default: the driver's own]
    #[arg(long, value_name = "REF")]
    image: Option<String>,

    /// Print the report as JSON
    #[arg(long, conflicts_with = "junit")]
    json: bool,

    /// Print the report as JUnit XML
    #[arg(long)]
    junit: bool,

    /// Only this case or group; may be given again
    #[arg(long, value_name = "ID|GROUP", value_parser = selector)]
    only: Vec<Selector>,

    /// Say which cases there are, and do nothing else
    #[arg(long)]
    list: bool,

    /// Print the cases as docs/driver-contract.md has them, and do nothing else
    #[arg(long)]
    contract: bool,

    /// The driver may run as this user id, too; may be given again. Its socket may then be 0666
    #[arg(long = "allow-uid", value_name = "UID")]
    allow_uids: Vec<u32>,

    /// How long an answer or a change of state may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,

    /// How long everything may take together
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    total_timeout: u64,

    /// How many cases run side by side, where they do not disturb each other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,

    /// How many sandboxes may be made at a time; without it the cases that need many are skipped
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    many: Option<u16>,

    /// A shell command that starts the driver and returns; the program stops it with SIGTERM before. Without it the
    /// cases that need a restart are skipped
    #[arg(long, value_name = "COMMAND")]
    restart_command: Option<String>,

    /// Where the driver keeps its files; without it nobody looks for tokens there
    #[arg(long, value_name = "PATH")]
    state_dir: Option<PathBuf>,
}

fn selector(name: &str) -> Result<Selector, String> {
    Selector::parse(name).map_err(|error| error.to_string())
}

/// Runs the program: the whole of its `main`.
#[must_use]
pub fn run() -> ExitCode {
    let args = Args::parse();
    if args.contract {
        return shell::print(&contract());
    }
    // Clap asks for it unless only the cases are listed.
    let Some(path) = args.socket.clone().filter(|_| !args.list) else {
        return shell::print(&list(&args.only));
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return shell::fail_plain(&error, &[]),
    };
    let restart = args.restart_command.map(|command| {
        let allow_uids = args.allow_uids.clone();
        Arc::new(RestartCommand { path: path.clone(), allow_uids, command }) as _
    });
    let options = Options {
        image: args.image,
        timeout: Duration::from_secs(args.timeout),
        whole: Duration::from_secs(args.total_timeout),
        only: args.only,
        allow_uids: args.allow_uids,
        side_by_side: usize::from(args.jobs),
        many: args.many.map(usize::from),
        restart,
        state_dir: args.state_dir,
        ..Options::default()
    };
    let as_text = !args.json && !args.junit;
    let told = |outcome: &crate::Outcome| {
        if as_text {
            // The exit code is the report's to say; a reader that has gone has seen enough.
            let _ = shell::print(&forms::line(outcome));
        }
    };
    let report = match runtime.block_on(runner::run_with(Target::Socket(path), options, told)) {
        Ok(report) => report,
        Err(error) => return shell::fail(&error),
    };
    let _ = shell::print(&match (args.json, args.junit) {
        (true, _) => forms::json(&report),
        (_, true) => forms::junit(&report),
        _ => forms::summary(&report),
    });
    ExitCode::from(if report.holds() { 0 } else { FAILURE })
}

/// The cases, a line each.
fn list(only: &[Selector]) -> String {
    let wanted = |case: &&crate::Case| only.is_empty() || only.iter().any(|selector| selector.takes(case));
    let line = |case: &crate::Case| format!("{:<36} {:<12} {}\n", case.id, case.level, case.checks);
    crate::cases().filter(wanted).map(line).collect()
}
