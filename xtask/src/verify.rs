//! `verify-compiled-out`: the proof that a file holds the drivers and options that it was built with and no others.
//! `xtask build` asks for it by itself; here it is asked for by name, or about a file that was built anywhere.
//!
//! ```text
//! drivers.toml, Cargo.lock, cargo tree ─question▶ Question ┐
//! build.json, cargo tree ─────────────▶ graph, messages ───┼▶ driver-verify ─▶ Verdict ─▶ table, JSON, verify.json
//! the file ──────────────▶ sections, bytes, symbols ───────┘
//! ```

mod cache;
mod graph;
mod graphs;
mod learn;
mod learned;
mod lock;
mod question;
mod self_report;
mod self_test;
mod time;
mod verifier;

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap_complete::ArgValueCompleter;
use driver_manifest::Assembly;
use driver_verify::{Answer, Verdict};

pub(crate) use cache::FILE as GRAPHS;
pub(crate) use graph::{Edges, Graph, Id, Query};
pub(crate) use graphs::Graphs;
pub(crate) use learn::{Args as LearnArgs, run as learn};
pub(crate) use lock::Lock;
pub(crate) use question::{Role, Subject};
use self_test::Asked;
pub(crate) use time::rfc3339;
pub(crate) use verifier::{Bytes, Verifier, units_of};

use crate::build::{CargoArgs, Job, Record};
use crate::completions;
use crate::error::{Error, Result};
use crate::selection::SelectionArgs;
use crate::table::out;
use crate::workspace::{MANIFEST, Rustc, Workspace, joined};

/// So much of a report is read, in bytes; of one that is longer the end is missing, and it is none.
const REPORT_LIMIT: u64 = 64 << 20;
/// The exit code of a wrong call, and of a failure of the tool itself.
pub(crate) const TOOL_FAILED: u8 = 3;

/// Prove that a gateway holds none of the drivers and options that were left out
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Exit codes: 0 clean, 1 leak or a self-test that missed one, 2 cannot be certified, \
                  3 wrong call or failure of the tool.")]
pub(crate) struct Args {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    cargo: CargoArgs,
    /// Judge this file instead of a build; it is not run
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// The file is this driver's standalone program, not a gateway
    #[arg(long, value_name = "DRIVER", requires = "binary", add = ArgValueCompleter::new(completions::drivers))]
    program: Option<String>,
    /// The file is the program of this package, which runs inside sandboxes
    #[arg(long, value_name = "PACKAGE", requires = "binary", conflicts_with = "program")]
    guest: Option<String>,
    /// Run the file as well and compare what it says of itself
    #[arg(long, requires = "binary", conflicts_with_all = ["program", "guest"])]
    run: bool,
    /// Check that this report is about FILE, and say what it says
    #[arg(long, value_name = "REPORT", requires = "file", conflicts_with = "binary")]
    report: Option<PathBuf>,
    /// The file of the report
    #[arg(requires = "report")]
    file: Option<PathBuf>,
    /// Plant leaks in a small workspace and show that each is seen, and no clean build accused
    #[arg(long, conflicts_with_all = ["binary", "report", "drivers", "preset", "all", "from_config"])]
    self_test: bool,
    /// Go through the profiles with the real gateway instead of the small workspace
    #[arg(long, requires = "self_test")]
    full: bool,
    /// Only these profiles
    #[arg(long, value_name = "PROFILES", value_delimiter = ',', requires = "full")]
    only: Vec<String>,
    /// Write the tables into docs/verification.md instead of comparing
    #[arg(long, requires = "self_test")]
    write: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// Runs it. What goes wrong on the way is the tool's failure, never a verdict.
pub(crate) fn run(args: &Args) -> Result {
    let code = verify(args).or_else(|error| {
        error.print();
        match error {
            Error::Unverified { code, .. } => Ok(code),
            _ => Ok::<_, Error>(TOOL_FAILED),
        }
    })?;
    Ok(ExitCode::from(code))
}

fn verify(args: &Args) -> Result<u8> {
    if let (Some(report), Some(file)) = (&args.report, &args.file) {
        return check_report(report, file);
    }
    let workspace = Workspace::find()?;
    if args.self_test {
        let &Args { full, write, json, markdown, ref only, .. } = args;
        return self_test::run(&workspace, &Asked { full, only: only.clone(), write, json, markdown });
    }
    let assembly = workspace.assembly()?;
    if let Some(file) = &args.binary {
        return binary(&workspace, &assembly, args, file);
    }
    let (selection, notes) = args.selection.resolve(&assembly)?;
    for note in notes {
        eprintln!("note: {note}");
    }
    let job = Job::gateway(&assembly, selection, &args.cargo);
    let folder = match left(&workspace, &job, args)? {
        Some(folder) => folder,
        None => job.run(&workspace, None)?.folder,
    };
    let record = Record::read(&folder).ok_or_else(|| {
        let shown = workspace.show(&folder.join("build.json"));
        Error::uncertain(format!("`{shown}` is not there, or of another version"), "cargo xtask build")
    })?;
    // Asked for by name, it is judged anew: what is reused is for builds.
    let verified =
        Verifier::new(&workspace, &assembly, args.cargo.offline)?.folder(&record, &folder, Path::new(""))?;
    for one in &verified {
        let path = folder.join(&one.statement.0);
        std::fs::write(&path, &one.statement.1).map_err(Error::file("write", &path))?;
    }
    let verdicts: Vec<&Verdict> = verified.iter().filter_map(|one| one.verdict.as_ref()).collect();
    print(args, &verdicts);
    Ok(worst(verified.iter().map(|one| one.answer)))
}

/// The folder that `build` left, when it is there.
fn left(workspace: &Workspace, job: &Job, args: &Args) -> Result<Option<PathBuf>> {
    let triple = match &args.cargo.target {
        Some(target) => target.clone(),
        None => joined(Rustc::ask(workspace))?.host,
    };
    let folder = job.folder(&workspace.target_dir(), &triple);
    Ok(Record::read(&folder).is_some().then_some(folder))
}

/// A file from anywhere.
fn binary(workspace: &Workspace, assembly: &Assembly, args: &Args, file: &Path) -> Result<u8> {
    let subject = subject(assembly, args)?;
    let bytes = Bytes::read(file)?;
    let said = args.run.then(|| self_report::run(file)).transpose()?;
    let verdict = Verifier::new(workspace, assembly, args.cargo.offline)?.file(&subject, &bytes, said)?;
    print(args, &[&verdict]);
    Ok(verdict.exit_code())
}

/// What a file from anywhere is said to be.
fn subject(assembly: &Assembly, args: &Args) -> Result<Subject> {
    if let Some(package) = &args.guest {
        return guest(assembly, args, package);
    }
    let (selection, notes) = match &args.program {
        // A program is of one driver; which drivers a gateway would have beside it says nothing.
        Some(driver) if !args.selection.names_drivers() => {
            let mut selections = args.selection.resolve_programs(assembly, std::slice::from_ref(driver))?;
            (selections.swap_remove(0), Vec::new())
        }
        Some(_) => {
            return Err(Error::refused(
                "a program has one driver, named by `--program`",
                "leave out --drivers",
            ));
        }
        None => args.selection.resolve(assembly)?,
    };
    for note in notes {
        eprintln!("note: {note}");
    }
    let role = args.program.clone().map_or(Role::Gateway, Role::Program);
    Ok(Subject { selection, role, target: args.cargo.target.clone() })
}

/// A program that runs inside sandboxes, of a package that a driver names.
fn guest(assembly: &Assembly, args: &Args, package: &str) -> Result<Subject> {
    if args.selection.names_drivers() {
        return Err(Error::refused("a guest has no driver in it", "leave out --drivers"));
    }
    let guests = assembly.guests();
    if guests.iter().any(|guest| guest == package) {
        return Ok(Subject::guest(package, args.cargo.target.clone()));
    }
    let hint = match (driver_manifest::nearest(package, guests.iter().map(String::as_str)), guests.as_slice())
    {
        (Some(nearest), _) => format!("did you mean `{nearest}`?"),
        (None, []) => format!("`guest` of a driver in {MANIFEST} names them"),
        (None, guests) => format!("there are {}", guests.join(", ")),
    };
    Err(Error::refused(format!("no driver has a guest `{package}`"), hint))
}

/// Whether a report is about a file, and what it says of it.
fn check_report(report: &Path, file: &Path) -> Result<u8> {
    let mut text = String::new();
    let opened = std::fs::File::open(report).map_err(Error::file("read", report))?;
    opened.take(REPORT_LIMIT).read_to_string(&mut text).map_err(Error::file("read", report))?;
    let about = |error: driver_verify::StatementError| {
        Error::uncertain(format!("`{}`: {error}", report.display()), "")
    };
    let attested = driver_verify::read_statement(&text).map_err(about)?;
    attested.is_of(&crate::build::sha256_of(file)?).map_err(about)?;
    let (answer, version, time) = (attested.answer.word(), &attested.version, &attested.time);
    out(&format!("{}: {answer}, by version {version} at {time}\n", file.display()));
    Ok(attested.answer.exit_code())
}

fn print(args: &Args, verdicts: &[&Verdict]) {
    if args.json {
        let verdicts: Vec<_> = verdicts.iter().map(|verdict| verdict.json()).collect();
        out(&format!("{:#}\n", serde_json::json!({ "schema_version": 1, "verdicts": verdicts })));
        return;
    }
    let texts = verdicts.iter().map(|verdict| match args.markdown {
        true => verdict.markdown(),
        false => verdict.table(colour(&std::io::stdout())),
    });
    out(&texts.collect::<Vec<_>>().join("\n"));
}

/// Colours for a terminal, unless `NO_COLOR` says otherwise (<https://no-color.org>).
pub(crate) fn colour(to: &impl IsTerminal) -> bool {
    to.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// One exit code of several files: a leak outweighs what cannot be certified.
fn worst(answers: impl Iterator<Item = Answer>) -> u8 {
    let rank = |code: u8| match code {
        0 => 0,
        2 => 1,
        _ => 2,
    };
    answers.map(Answer::exit_code).max_by_key(|code| rank(*code)).unwrap_or(2)
}
