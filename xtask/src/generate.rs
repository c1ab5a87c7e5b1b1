//! `cargo xtask gen`: `drivers.toml` and `proto/` to everything that follows from them, written, checked or printed.
//!
//! ```text
//!   lock holds? ──yes──▶ done, nothing was generated
//!       │ no, or --full
//!       ▼
//!   manifest ─▶ Assembly ─▶ ArtifactSet ◀─ bindings ◀─ proto/ (spawns cargo only when the protos changed)
//!                               └─▶ Plan ─▶ report | swap ─▶ Cargo.lock refreshed, or all of it undone
//! ```

mod bindings;
pub(crate) mod cargo_lock;
mod fail;
mod inputs;
mod manifest;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use driver_codegen::engine::{
    Change, EngineError, Hooks, Plan, Recovery, Step, Tree, apply, recover, was_interrupted,
};
use driver_codegen::{COMMAND, LOCK, Lock, MANIFEST, generate};
use driver_manifest::{Assembly, PackageFacts};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::error::{Error, Result};
use crate::workspace::Workspace;
use fail::fail;
use manifest::Manifest;
pub(crate) use manifest::{packages, style};

/// Exit code of a run that Ctrl-C ended, as a shell counts it.
const INTERRUPTED: u8 = 130;

/// Write everything that follows from drivers.toml and proto/
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Write nothing: show every stale, missing and orphan file, and exit 1 when there is one
    #[arg(long)]
    check: bool,
    /// Generate anew instead of believing generated/gen.lock
    #[arg(long)]
    full: bool,
    /// Print what PATH has to hold, and write nothing
    #[arg(long, value_name = "PATH", conflicts_with = "check")]
    print: Option<String>,
}

/// Runs `gen`.
pub(crate) fn run(args: Args) -> Result {
    let workspace = Workspace::find()?;
    let tree = Tree::new(workspace.root());
    let outcome = match (&args.print, args.check) {
        (Some(path), _) => print(&workspace, &tree, path, args.full),
        (None, true) => check(&workspace, &tree, args.full),
        (None, false) => write(&workspace, &tree, args.full),
    };
    match outcome {
        Ok(code) => Ok(code),
        Err(Failure::Shown) => Ok(ExitCode::FAILURE),
        Err(Failure::Engine(error)) => Ok(fail(&error)),
        Err(Failure::Command(error)) => Err(error),
    }
}

/// What a text of the manifest says that is not on the disk yet, in a workspace to which packages are `planned`; `None`
/// when it has faults, which have been printed.
pub(crate) fn checked(
    workspace: &Workspace,
    text: &str,
    planned: BTreeMap<String, PackageFacts>,
) -> Result<Option<Assembly>> {
    manifest::checked(&Tree::new(workspace.root()), text.as_bytes(), planned)
}

/// Whether the committed lock proves that everything generated is fresh; says nothing.
pub(crate) fn lock_holds(workspace: &Workspace) -> bool {
    inputs::is_fresh(&Tree::new(workspace.root()))
}

/// Whether everything generated is fresh, for commands that build from it; says on standard error what is not.
pub(crate) fn is_fresh(workspace: &Workspace) -> Result<bool> {
    let tree = Tree::new(workspace.root());
    match drift(workspace, &tree, false) {
        Ok(None) => Ok(true),
        Ok(Some(plan)) => {
            eprint!("{}", plan.report());
            Ok(false)
        }
        Err(Failure::Shown) => Ok(false),
        Err(Failure::Engine(error)) => {
            fail(&error);
            Ok(false)
        }
        Err(Failure::Command(error)) => Err(error),
    }
}

/// Why a run ended early.
enum Failure {
    /// The reason has been printed.
    Shown,
    Engine(EngineError),
    Command(Error),
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Command(error)
    }
}

fn check(workspace: &Workspace, tree: &Tree, full: bool) -> std::result::Result<ExitCode, Failure> {
    let Some(plan) = drift(workspace, tree, full)? else { return Ok(ExitCode::SUCCESS) };
    print!("{}", plan.report());
    let count = plan.changes.len() + plan.faults.len();
    let files = if count == 1 { "file is" } else { "files are" };
    eprintln!("error: {count} {files} not what `{MANIFEST}` and the protos give\nhint: {COMMAND}");
    Ok(ExitCode::FAILURE)
}

/// What is not fresh; `None` when all of it is. Writes nothing.
fn drift(workspace: &Workspace, tree: &Tree, full: bool) -> std::result::Result<Option<Plan>, Failure> {
    if was_interrupted(tree) {
        eprintln!("error: a run of `{COMMAND}` is at work, or was interrupted half-way\nhint: {COMMAND}");
        return Err(Failure::Shown);
    }
    if !full && inputs::is_fresh(tree) {
        return Ok(None);
    }
    let (plan, _) = plan(workspace, tree, Mode { full, locked: true })?;
    Ok((!plan.is_empty()).then_some(plan))
}

fn write(workspace: &Workspace, tree: &Tree, full: bool) -> std::result::Result<ExitCode, Failure> {
    if recover(tree)? == Recovery::RolledBack {
        eprintln!("note: the files of an interrupted run were put back first");
    }
    if !full && inputs::is_fresh(tree) {
        return Ok(ExitCode::SUCCESS);
    }
    let interrupted = on_signal().map_err(Error::file("catch", Path::new("SIGINT")))?;
    let (plan, assembly) = plan(workspace, tree, Mode { full, locked: false })?;
    if !plan.faults.is_empty() {
        for fault in &plan.faults {
            eprintln!("error: {fault}");
        }
        return Err(Failure::Shown);
    }
    if plan.changes.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut before = |_: Step<'_>| stop_if(&interrupted);
    let mut finish = || cargo_lock::refresh(workspace, &assembly);
    let mut hooks = Hooks { before: &mut before, finish: &mut finish, watched: Some(cargo_lock::PATH) };
    let outcome = apply(tree, &plan, &mut hooks);
    if outcome.is_err() && interrupted.load(Ordering::Relaxed) {
        eprintln!("error: interrupted; every file is as it was");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    outcome?;
    for Change { path, new, .. } in &plan.changes {
        println!("{} {path}", if new.is_some() { "wrote" } else { "removed" });
    }
    Ok(ExitCode::SUCCESS)
}

fn print(
    workspace: &Workspace,
    tree: &Tree,
    path: &str,
    full: bool,
) -> std::result::Result<ExitCode, Failure> {
    let (plan, _) = plan(workspace, tree, Mode { full, locked: true })?;
    let Some(text) = plan.text_of(path) else {
        let paths: Vec<&str> = plan.paths().collect();
        return Err(Error::refused(
            format!("`{path}` is not generated"),
            format!("generated are: {}", paths.join(", ")),
        )
        .into());
    };
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// How to make a plan.
#[derive(Debug, Clone, Copy)]
struct Mode {
    /// Believe nothing that is committed.
    full: bool,
    /// Cargo may not rewrite Cargo.lock.
    locked: bool,
}

fn plan(workspace: &Workspace, tree: &Tree, mode: Mode) -> std::result::Result<(Plan, Assembly), Failure> {
    let Manifest { assembly, mut inputs } = manifest::read(workspace, tree)?.ok_or(Failure::Shown)?;
    let committed = tree.read(LOCK)?.and_then(|bytes| Lock::parse(str::from_utf8(&bytes).ok()?));
    let mut set = generate(&assembly, committed.as_ref());
    let bound = bindings::bindings(workspace, tree, committed.as_ref(), mode)?;
    inputs.extend(bound.inputs);
    for (path, text) in bound.files {
        set.whole(path, text);
    }
    let options = assembly.options.iter().map(|option| option.name.clone()).collect();
    Ok((Plan::new(tree, &set, inputs, options)?, assembly))
}

/// A flag that Ctrl-C or a polite kill raises; from then on they no longer end the process.
fn on_signal() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

fn stop_if(flag: &AtomicBool) -> io::Result<()> {
    if flag.load(Ordering::Relaxed) {
        Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted"))
    } else {
        Ok(())
    }
}
