//! What the toolchain costs: the drift check, a build with nothing to do, a change of selection, the matrix.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use driver_manifest::{Assembly, Selection};

use super::{Args, Figure};
use crate::build::{CargoArgs, CargoLine, Job, Package, read_messages};
use crate::error::{Error, Result};
use crate::matrix;
use crate::selection;
use crate::workspace::{self, GATEWAY_BIN, GATEWAY_PACKAGE, Workspace, spawn};

/// Where cargo, and so xtask, put what they build.
const TARGET_DIR: &str = "CARGO_TARGET_DIR";
/// `gen --check` of its own, in milliseconds.
const GEN_CHECK_MS: f64 = 20.0;
/// `build` over the bare cargo line, in milliseconds.
const BUILD_OVER_CARGO_MS: f64 = 300.0;
/// The matrix over the clean build of the default gateway alone.
const MATRIX_OVER_DEFAULT: f64 = 2.5;

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

/// The bare lines of every file that a build leaves, then one of `cargo xtask build …`, so that what else the machine does
/// falls on both.
pub(super) fn build_noop(workspace: &Workspace, assembly: &Assembly, args: &Args) -> Result<Vec<Figure>> {
    let selection = selection::everything(assembly)?;
    let cargo = CargoArgs { profile: args.profile.clone(), target: None, locked: false, offline: false };
    let job = Job::gateway(assembly, selection, &cargo);
    let bare = || -> Result<Duration> {
        let lines =
            job.files().iter().map(|file| timed(&mut workspace.cargo(file.args("build")), &file.shell()));
        lines.sum()
    };
    let ours = ["xtask", "build", "--all", "--no-verify", "--profile", &args.profile];
    // Whatever there is to do is done before anything is timed.
    bare()?;
    timed(&mut workspace.cargo(ours), &workspace::line(&ours))?;
    let (mut bare_ms, mut ours_ms, mut over) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..args.runs.max(3) {
        let cargo = bare()?;
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
    let dir = fresh(workspace)?;
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

/// The default gateway, then the whole matrix, each from nothing, in the profile of the matrix: what it costs to know of
/// every selection over what it costs to have one.
pub(super) fn matrix(workspace: &Workspace, assembly: &Assembly) -> Result<Vec<Figure>> {
    let profile = matrix::PROFILE;
    let cargo = CargoArgs { profile: profile.to_owned(), target: None, locked: true, offline: false };
    let default = assembly.default_selection();
    let line = CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, default.features(), &cargo).args("build");
    let xtask = std::env::current_exe().map_err(spawn("xtask"))?;
    let mut command = Command::new(xtask);
    command.args(["matrix", "--locked"]).current_dir(workspace.root());
    let clean = fresh(workspace)?;
    let alone = timed(workspace.cargo(&line).env(TARGET_DIR, clean.path()), &workspace::line(&line))?;
    drop(clean);
    let clean = fresh(workspace)?;
    let all = timed(command.env(TARGET_DIR, clean.path()), "xtask matrix")?;
    let ratio = all.as_secs_f64() / alone.as_secs_f64();
    Ok(vec![
        Figure::new(&format!("clean build of the default gateway, {profile} profile"), vec![alone], None),
        Figure::new(&format!("the matrix from nothing, {profile} profile"), vec![all], None),
        Figure::one("the matrix over the default gateway", "ratio", ratio, Some(MATRIX_OVER_DEFAULT)),
    ])
}

/// An empty target directory, gone when it is dropped.
fn fresh(workspace: &Workspace) -> Result<tempfile::TempDir> {
    let target = workspace.target_dir();
    tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&target)
        .map_err(Error::file("create a directory in", &target))
}

fn compile(workspace: &Workspace, selection: &Selection, dir: &std::path::Path) -> Result<BTreeSet<Package>> {
    let cargo = CargoArgs { profile: "dev".to_owned(), target: None, locked: false, offline: false };
    let line = CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, selection.features(), &cargo);
    let mut args = line.args("build");
    args.extend(["--target-dir".to_owned(), dir.to_string_lossy().into_owned()]);
    Ok(read_messages(workspace, &args, &line.shell(), GATEWAY_BIN)?.anew)
}

/// The wall clock of a run that has to succeed.
pub(super) fn timed(command: &mut Command, shown: &str) -> Result<Duration> {
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
