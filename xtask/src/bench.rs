//! `bench`: the figures that the project is held to, measured: least, median and most of several runs, never a number that
//! somebody once wrote down.

mod figure;
mod gateway;
mod toolchain;
mod verify;

use std::process::ExitCode;

use clap::ValueEnum as _;
use driver_manifest::Assembly;
use serde_json::json;

use figure::Figure;
use gateway::Gateways;

use crate::error::{Error, Result};
use crate::table::{Table, out};
use crate::workspace::{Rustc, Workspace, joined};

/// Measure what the project is held to: the toolchain, and the gateways that it builds
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Only these
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<Which>,
    /// How often each figure of the toolchain is run
    #[arg(long, default_value_t = RUNS)]
    runs: usize,
    /// How long the soak takes, in seconds
    #[arg(long, default_value_t = SOAK)]
    seconds: u64,
    /// The profile of what is built and measured
    #[arg(long, default_value = PROFILE)]
    profile: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write the table to docs/generated/bench.md
    #[arg(long, conflicts_with = "only")]
    write: bool,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// `gen --check` when nothing is stale
    GenCheck,
    /// `build --no-verify` over the bare cargo line, nothing to do
    BuildNoop,
    /// What a change of selection compiles
    Selection,
    /// The whole matrix over the clean build of the default gateway
    Matrix,
    /// The search of a large file beside `strings | grep`, and what a verification adds to a build
    Verify,
    /// Bytes of a gateway with one driver, and of the supervisor
    Size,
    /// From the start of a gateway to its first answer
    Start,
    /// Calls on a gateway that stores 10,000 sandboxes
    Calls,
    /// An event's way to 100 watchers
    Watch,
    /// What a socket to the driver costs a call, and a driver's restart
    External,
    /// Resident memory, idle and after 10,000 calls
    Memory,
    /// From a create to Ready, against the backend's own client
    Ready,
    /// Two hundred sandboxes at once
    Many,
    /// 64 clients that create and delete on an engine, and what that leaves
    Soak,
    /// A thousand supervisors on one gateway
    Sessions,
    /// A command in a sandbox, against the backend's own client, and a hundred at once
    Exec,
    /// 1 GiB into a sandbox and out of it, against the backend's own client, and what that keeps resident
    Files,
}

/// How often a figure is measured unless told otherwise.
const RUNS: usize = 15;
/// How long the soak takes unless told otherwise, in seconds.
const SOAK: u64 = 300;
/// The profile that people build in.
const PROFILE: &str = "release";
/// Where the last full table is committed.
const FULL: &str = "docs/generated/bench.md";

impl Default for Args {
    fn default() -> Self {
        let profile = PROFILE.to_owned();
        Self { only: Vec::new(), runs: RUNS, seconds: SOAK, profile, json: false, write: false }
    }
}

impl Args {
    /// The toolchain alone, as CI measures it.
    pub(crate) fn toolchain() -> Self {
        use Which::{BuildNoop, GenCheck, Matrix, Selection, Verify};
        Self { only: vec![GenCheck, BuildNoop, Selection, Matrix, Verify], ..Self::default() }
    }
}

impl Which {
    /// Whether it is measured on each engine, too.
    fn needs_engine(self) -> bool {
        use Which::{Exec, Files, Many, Memory, Ready, Soak, Start};
        matches!(self, Start | Memory | Ready | Many | Soak | Exec | Files)
    }

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result {
    let workspace = Workspace::find()?;
    let measured = measure(&workspace, &workspace.assembly()?, args)?;
    out(&if args.json { format!("{:#}\n", measured.json()) } else { measured.text() });
    if args.write {
        measured.write(&workspace)?;
    }
    Ok(if measured.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured {
    figures: Vec<Figure>,
    /// Packages that a change of selection compiled although they had been compiled.
    compiled_again: Vec<String>,
    /// What could not be measured here, and why.
    skipped: Vec<String>,
    /// What began and did not come to its end, and why. It costs its own figures and nobody else's.
    failed: Vec<String>,
}

impl Measured {
    /// Whether everything was measured, every figure keeps its bound, and nothing is compiled twice.
    pub(crate) fn holds(&self) -> bool {
        self.failed.is_empty() && self.compiled_again.is_empty() && self.figures.iter().all(Figure::holds)
    }

    fn table(&self) -> Table<9> {
        let headings = ["figure", "unit", "runs", "least", "median", "p99", "most", "bound", ""];
        let mut table = Table::new(headings);
        for figure in &self.figures {
            let [runs, least, median, p99, most, bound] = figure.cells();
            let over = if figure.holds() { "" } else { "MISSED" };
            table.row([&figure.name, &figure.unit, &runs, &least, &median, &p99, &most, &bound, over]);
        }
        table
    }

    /// The figures as a table, and what is to be said beside it.
    pub(crate) fn text(&self) -> String {
        self.table().render() + &self.remarks().concat()
    }

    fn remarks(&self) -> Vec<String> {
        let again = self.compiled_again.iter();
        let again = again.map(|package| format!("compiled again by a change of selection: {package}\n"));
        let failed = self.failed.iter().map(|failed| format!("NOT MEASURED: {failed}\n"));
        again.chain(self.skipped.iter().map(|skipped| format!("{skipped}\n"))).chain(failed).collect()
    }

    /// The medians in one line.
    pub(crate) fn medians(&self) -> String {
        let again = (!self.compiled_again.is_empty())
            .then(|| format!("compiled again: {}", self.compiled_again.join(", ")));
        let failed = self.failed.iter().map(|failed| format!("not measured: {failed}"));
        self.figures.iter().map(Figure::brief).chain(again).chain(failed).collect::<Vec<_>>().join("; ")
    }

    fn json(&self) -> serde_json::Value {
        let figures: Vec<_> = self.figures.iter().map(Figure::json).collect();
        json!({
            "schema_version": 2,
            "figures": figures,
            "compiled_again": self.compiled_again,
            "skipped": self.skipped,
            "failed": self.failed,
        })
    }

    /// Writes the table into the documentation.
    fn write(&self, workspace: &Workspace) -> Result<()> {
        let rustc = joined(Rustc::ask(workspace))?;
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let text = format!(
            "<!-- @generated by `cargo xtask bench --write`. Do not edit. -->\n\n\
             # The last full run of the benchmarks\n\n\
             rustc {}, {}, {cores} cores. What the machine does beside it shows between least and most.\n\n{}{}",
            rustc.version,
            rustc.host,
            self.table().markdown(),
            self.remarks().iter().map(|remark| format!("\n{remark}")).collect::<String>(),
        );
        let path = workspace.path(FULL);
        std::fs::write(&path, text).map_err(Error::file("write", &path))
    }
}

/// Measures what the arguments ask for. What fails is noted, and the rest is measured.
pub(crate) fn measure(workspace: &Workspace, assembly: &Assembly, args: &Args) -> Result<Measured> {
    let mut measured = Measured::default();
    let mut gateways = None;
    for which in Which::value_variants() {
        if !args.only.is_empty() && !args.only.contains(which) {
            continue;
        }
        let result = match which {
            Which::GenCheck => {
                toolchain::gen_check(workspace, args.runs).map(|figure| measured.figures.push(figure))
            }
            Which::BuildNoop => toolchain::build_noop(workspace, assembly, args)
                .map(|figures| measured.figures.extend(figures)),
            Which::Selection => {
                toolchain::change_of_selection(workspace, assembly).map(|(figures, compiled_again)| {
                    measured.figures.extend(figures);
                    measured.compiled_again = compiled_again;
                })
            }
            Which::Matrix => {
                toolchain::matrix(workspace, assembly).map(|figures| measured.figures.extend(figures))
            }
            Which::Verify => measured.verify(workspace, args),
            Which::Size
            | Which::Start
            | Which::Calls
            | Which::Watch
            | Which::External
            | Which::Memory
            | Which::Ready
            | Which::Many
            | Which::Soak
            | Which::Sessions
            | Which::Exec
            | Which::Files => {
                // Without the gateways there is nothing to measure them by.
                let gateways = match &gateways {
                    Some(gateways) => gateways,
                    None => gateways.insert(Gateways::build(workspace, assembly, args)?),
                };
                match which {
                    Which::Size => gateways
                        .sizes(workspace, assembly, args)
                        .map(|figures| measured.figures.extend(figures)),
                    which => gateways.run(*which, args, &mut measured),
                }
            }
        };
        if let Err(error) = result {
            measured.fail(&which.name(), &error);
        }
    }
    Ok(measured)
}

impl Measured {
    /// Notes what did not come to its end.
    fn fail(&mut self, what: &str, error: &Error) {
        self.failed.push(format!("{what}: {error}"));
    }

    /// The search of a large file, and what a verification adds.
    fn verify(&mut self, workspace: &Workspace, args: &Args) -> Result<()> {
        let (figures, skipped) = verify::search(args.runs, verify::SIZE)?;
        self.figures.extend(figures);
        self.skipped.extend(skipped);
        self.figures.extend(verify::adds(workspace, args)?);
        Ok(())
    }
}
