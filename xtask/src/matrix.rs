//! `matrix`: every selection that the project answers for, built and judged: one row after the other, one cargo call a
//! shipped file, one target directory, so that a row compiles what no earlier row has.
//!
//! ```text
//! drivers.toml ─driver-codegen▶ rows ─choose▶ mine ─┬─ refuse   it must not compile        (zero)
//!                                                   ├─ build    `xtask build`, verified ┐
//!                                                   ├─ program  the same                ├▶ evidence, refusal ▶ table
//!                                                   └─ check    no warning              ┘
//! ```

mod choose;
mod evidence;
mod judge;
mod refusal;
mod report;
mod zero;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use driver_codegen::matrix::{self, Row, Wanted};
use driver_manifest::Assembly;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::build::CargoArgs;
use crate::error::{Error, Result};
use crate::table::out;
use crate::workspace::Workspace;
use choose::{Partition, choose};
use judge::{Done, Judge};
use report::{Report, progress};

/// What the rows are built in: dependencies are not optimised, the linker has little to do, and `cargo xtask test` has
/// compiled most of it already. `cargo xtask bench --only matrix` measures it.
pub(crate) const PROFILE: &str = "dev";
/// What a shell expects of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Build and verify every selection that the project answers for: the default, each driver alone, every preset, a pair,
/// all, options switched; and none, which must not compile
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Only these rows, by name
    rows: Vec<String>,
    /// Print the rows and do nothing; with --json, one line that GitHub's `strategy.matrix` takes
    #[arg(long)]
    list: bool,
    /// Only the M-th of N parts, alike in size; M counts from 1
    #[arg(long, value_name = "M/N", conflicts_with = "rows")]
    partition: Option<Partition>,
    /// Every pair of drivers, too
    #[arg(long)]
    pairs: bool,
    /// Every option that is off by default, switched on, too
    #[arg(long)]
    options: bool,
    /// Every driver's standalone program, too
    #[arg(long)]
    programs: bool,
    /// Compile every other subset of the drivers, too, without linking it
    #[arg(long)]
    powerset: bool,
    /// Go on after a row that fails
    #[arg(long)]
    keep_going: bool,
    /// The cargo profile
    #[arg(long, value_name = "PROFILE", default_value = PROFILE)]
    profile: String,
    /// Fail when Cargo.lock would have to change
    #[arg(long)]
    locked: bool,
    /// Do not touch the network
    #[arg(long)]
    offline: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result {
    let workspace = Workspace::find()?;
    let assembly = workspace.assembly()?;
    let rows = wanted(args, &assembly)?;
    if args.list {
        out(&match args.json {
            true => format!("{}\n", matrix::include(&assembly, &rows)),
            false => report::list(&rows),
        });
        return Ok(ExitCode::SUCCESS);
    }
    crate::build::refuse_drift(&workspace)?;
    let stop = on_signal()?;
    let mut report = go(&workspace, &assembly, args, rows, &stop);
    report.stopped = stop.load(Ordering::Relaxed);
    out(&if args.json { format!("{:#}\n", report.json()) } else { report.text() });
    Ok(match (report.stopped, report.passed()) {
        (true, _) => ExitCode::from(INTERRUPTED),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    })
}

/// The rows that the arguments ask for.
fn wanted(args: &Args, assembly: &Assembly) -> Result<Vec<Row>> {
    let Args { pairs, options, programs, powerset, .. } = *args;
    let wanted = Wanted { pairs, options, programs, powerset };
    let rows = matrix::rows(assembly, wanted)
        .map_err(|error| Error::refused(error.to_string(), "--pairs instead of --powerset"))?;
    choose(rows, &args.rows, args.partition)
}

/// Goes through the rows. What goes wrong with one is that row's fault, and never keeps another from its turn when all
/// are to be gone through.
fn go(workspace: &Workspace, assembly: &Assembly, args: &Args, rows: Vec<Row>, stop: &AtomicBool) -> Report {
    let (locked, offline) = (args.locked, args.offline);
    let cargo = CargoArgs { profile: args.profile.clone(), target: None, locked, offline };
    let judge = Judge { workspace, assembly, cargo };
    let mut report = Report::new(&args.profile, rows);
    for place in 0..report.rows.len() {
        let row = report.rows[place].0.clone();
        eprintln!("{}", progress(place, report.rows.len(), &row, "…"));
        let started = Instant::now();
        let came = judge.row(&row);
        if stop.load(Ordering::Relaxed) {
            // That cargo was interrupted is no news of the row.
            break;
        }
        let mut done = came.unwrap_or_else(Done::of_error);
        done.took = started.elapsed();
        eprintln!("{}", progress(place, report.rows.len(), &row, &done.line()));
        let red = !done.faults.is_empty();
        report.rows[place].1 = Some(done);
        if red && !args.keep_going {
            break;
        }
    }
    report
}

/// A flag that Ctrl-C or a polite kill raises. Cargo gets Ctrl-C from the terminal, too, and ends; when it has, this does,
/// with the table of the rows that are done. The second time it ends at once.
fn on_signal() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let cannot = |source| Error::Spawn { program: "a handler of signals".to_owned(), source };
    for signal in [SIGINT, SIGTERM] {
        let code = i32::from(INTERRUPTED);
        signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&flag)).map_err(cannot)?;
        signal_hook::flag::register(signal, Arc::clone(&flag)).map_err(cannot)?;
    }
    Ok(flag)
}
