//! What the toolchain costs: the drift check, a build with nothing to do, a change of selection.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use driver_manifest::{Assembly, Selection};

use super::{Args, Figure};
use crate::build::{CargoArgs, CargoLine, Package, read_messages};
use crate::error::{Error, Result};
use crate::selection;
use crate::workspace::{self, GATEWAY_BIN, GATEWAY_PACKAGE, Workspace, spawn};

/// `gen --check` of its own, in milliseconds.
const GEN_CHECK_MS: f64 = 20.0;
/// `build` over the bare cargo line, in milliseconds.
const BUILD_OVER_CARGO_MS: f64 = 300.0;

/// The drift check, as people and hooks run it.
pub(super) fn gen_check(workspace: &Workspace, runs: usize) -> Result<Figure> {
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
pub(super) fn build_noop(workspace: &Workspace, assembly: &Assembly, args: &Args) -> Result<Vec<Figure>> {
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
pub(super) fn change_of_selection(
    workspace: &Workspace,
    assembly: &Assembly,
) -> Result<(Vec<Figure>, Vec<String>)> {
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
