//! `bench`: the figures that the toolchain is held to, measured: least, median and most of several runs, never a number
//! that somebody once wrote down.

mod figure;

use std::collections::BTreeSet;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use driver_manifest::{Assembly, Selection};
use serde_json::json;

use figure::Figure;

use crate::build::{CargoArgs, CargoLine, Package, read_messages};
use crate::error::{Error, Result};
use crate::selection;
use crate::table::{Table, out};
use crate::workspace::{self, GATEWAY_BIN, GATEWAY_PACKAGE, Workspace, spawn};

/// Measure the toolchain: the drift check, a build with nothing to do, a change of selection
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Only these
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<Which>,
    /// How often each is run
    #[arg(long, default_value_t = RUNS)]
    runs: usize,
    /// The profile of the build with nothing to do
    #[arg(long, default_value = PROFILE)]
    profile: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
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
}

/// How often a figure is measured unless told otherwise.
const RUNS: usize = 15;
/// The profile that people build in.
const PROFILE: &str = "release";
/// `gen --check` of its own, in milliseconds.
const GEN_CHECK_MS: f64 = 20.0;
/// `build` over the bare cargo line, in milliseconds.
const BUILD_OVER_CARGO_MS: f64 = 300.0;

impl Default for Args {
    fn default() -> Self {
        Self { only: Vec::new(), runs: RUNS, profile: PROFILE.to_owned(), json: false }
    }
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result {
    let workspace = Workspace::find()?;
    let measured = measure(&workspace, &workspace.assembly()?, args)?;
    out(&if args.json { format!("{:#}\n", measured.json()) } else { measured.text() });
    Ok(if measured.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured {
    figures: Vec<Figure>,
    /// Packages that a change of selection compiled although they had been compiled.
    compiled_again: Vec<String>,
}

impl Measured {
    /// Whether every figure keeps its bound and nothing is compiled twice.
    pub(crate) fn holds(&self) -> bool {
        self.compiled_again.is_empty() && self.figures.iter().all(Figure::holds)
    }

    /// The figures as a table.
    pub(crate) fn text(&self) -> String {
        let mut table = Table::new(["figure (ms)", "runs", "least", "median", "most", "at most", ""]);
        for figure in &self.figures {
            let [runs, least, median, most, bound] = figure.cells();
            let over = if figure.holds() { "" } else { "over" };
            table.row([&figure.name, &runs, &least, &median, &most, &bound, over]);
        }
        let again = self.compiled_again.iter();
        let again = again.map(|package| format!("compiled again by a change of selection: {package}\n"));
        table.render() + &again.collect::<String>()
    }

    /// The medians in one line.
    pub(crate) fn medians(&self) -> String {
        let medians = self.figures.iter().map(|figure| {
            let [_, _, median, ..] = figure.cells();
            format!("{}: {median} ms", figure.name)
        });
        let again = (!self.compiled_again.is_empty())
            .then(|| format!("compiled again: {}", self.compiled_again.join(", ")));
        medians.chain(again).collect::<Vec<_>>().join("; ")
    }

    fn json(&self) -> serde_json::Value {
        let figures: Vec<_> = self.figures.iter().map(Figure::json).collect();
        json!({ "schema_version": 1, "figures": figures, "compiled_again": self.compiled_again })
    }
}

/// Measures what the arguments ask for.
pub(crate) fn measure(workspace: &Workspace, assembly: &Assembly, args: &Args) -> Result<Measured> {
    let wants = |which| args.only.is_empty() || args.only.contains(&which);
    let mut measured = Measured::default();
    if wants(Which::GenCheck) {
        measured.figures.push(gen_check(workspace, args.runs)?);
    }
    if wants(Which::BuildNoop) {
        measured.figures.extend(build_noop(workspace, assembly, args)?);
    }
    if wants(Which::Selection) {
        let (figures, compiled_again) = change_of_selection(workspace, assembly)?;
        measured.figures.extend(figures);
        measured.compiled_again = compiled_again;
    }
    Ok(measured)
}

fn gen_check(workspace: &Workspace, runs: usize) -> Result<Figure> {
    let xtask = std::env::current_exe().map_err(spawn("xtask"))?;
    let mut samples = Vec::new();
    for _ in 0..runs.max(3) {
        let mut command = Command::new(&xtask);
        command.args(["gen", "--check"]).current_dir(workspace.root());
        samples.push(timed(&mut command, "xtask gen --check")?);
    }
    Ok(Figure::new("gen --check, nothing stale", samples, Some(GEN_CHECK_MS)))
}

/// One of `cargo build …`, then one of `cargo xtask build …`, so that what else the machine does falls on both.
fn build_noop(workspace: &Workspace, assembly: &Assembly, args: &Args) -> Result<Vec<Figure>> {
    let selection = selection::everything(assembly)?;
    let cargo = CargoArgs { profile: args.profile.clone(), target: None, locked: false, offline: false };
    let bare = CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, selection.features(), &cargo).args("build");
    let ours = ["xtask", "build", "--all", "--no-verify", "--profile", &args.profile];
    // Whatever there is to do is done before anything is timed.
    timed(&mut workspace.cargo(&bare), &workspace::line(&bare))?;
    timed(&mut workspace.cargo(ours), &workspace::line(&ours))?;
    let (mut bare_ms, mut ours_ms, mut over) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.runs.max(3) {
        let cargo = timed(&mut workspace.cargo(&bare), &workspace::line(&bare))?;
        let xtask = timed(&mut workspace.cargo(ours), &workspace::line(&ours))?;
        bare_ms.push(cargo);
        ours_ms.push(xtask);
        over.push(xtask.saturating_sub(cargo));
    }
    Ok(vec![
        Figure::new("cargo build, nothing to do", bare_ms, None),
        Figure::new("cargo xtask build, nothing to do", ours_ms, None),
        Figure::new("cargo xtask build over cargo build", over, Some(BUILD_OVER_CARGO_MS)),
    ])
}

/// Builds each selection into a fresh target directory, one after the other, and says which packages were compiled that
/// an earlier one had compiled already; the composition alone may be.
fn change_of_selection(workspace: &Workspace, assembly: &Assembly) -> Result<(Vec<Figure>, Vec<String>)> {
    let dir = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(workspace.target_dir())
        .map_err(Error::file("create a directory in", &workspace.target_dir()))?;
    let mut known: BTreeSet<Package> = BTreeSet::new();
    let mut again = Vec::new();
    let mut changes = Vec::new();
    for selection in selection::subsets(assembly)? {
        let started = Instant::now();
        let anew = compile(workspace, &selection, dir.path())?;
        if !known.is_empty() {
            changes.push(started.elapsed());
        }
        let repeated =
            anew.iter().filter(|package| package.name != GATEWAY_PACKAGE && known.contains(*package));
        again.extend(
            repeated.map(|package| format!("{} {} for {}", package.name, package.version, selection.slug())),
        );
        known.extend(anew);
    }
    let figures = match changes.is_empty() {
        true => Vec::new(),
        false => vec![Figure::new("change of selection, dev profile", changes, None)],
    };
    Ok((figures, again))
}

fn compile(workspace: &Workspace, selection: &Selection, dir: &std::path::Path) -> Result<BTreeSet<Package>> {
    let cargo = CargoArgs { profile: "dev".to_owned(), target: None, locked: false, offline: false };
    let line = CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, selection.features(), &cargo);
    let mut args = line.args("build");
    args.push("--message-format=json-render-diagnostics".to_owned());
    args.extend(["--target-dir".to_owned(), dir.to_string_lossy().into_owned()]);
    Ok(read_messages(workspace, &args, &line.shell(), GATEWAY_BIN)?.anew)
}

/// The wall clock of a run that has to succeed.
fn timed(command: &mut Command, shown: &str) -> Result<Duration> {
    let started = Instant::now();
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(spawn(shown))?;
    let elapsed = started.elapsed();
    if output.status.success() {
        return Ok(elapsed);
    }
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    Err(Error::Cargo { line: shown.to_owned(), code: workspace::code(output.status) })
}
