//! `ci`: every check of the project as a job, timed; all of them run, then all failures are said. A workflow calls
//! this and nothing else.

mod again;
mod checks;
mod compiled_out;
mod report;

use std::process::ExitCode;
use std::time::Instant;

use driver_manifest::Assembly;

use crate::error::{Error, Result};
use crate::workspace::Workspace;
use report::Report;

/// Run what CI runs: all jobs, or those that are named
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Jobs that take longer too; their table is written to docs/generated/ci-full.md
    #[arg(long)]
    full: bool,
    /// Only these jobs
    jobs: Vec<Job>,
}

/// A job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Job {
    /// rustfmt finds nothing to change
    Fmt,
    /// Generated files are what the sources give, generated anew
    Gen,
    /// The invariants of ARCHITECTURE.md
    Tidy,
    /// Clippy, all targets, no warning
    Clippy,
    /// Every gateway and program of the matrix is built without a warning, free of what was left out, and refuses a
    /// driver that it lacks
    Matrix,
    /// The gateway of every driver is a leak as a gateway of fewer
    Verify,
    /// Planted leaks are seen, each by the eyes that it is meant for, and no clean build is accused
    SelfTest,
    /// The README's test command
    Test,
    /// The bytes of `cargo xtask build` are those of the bare cargo line
    Bytes,
    /// Crates and bytes against the budgets, crates against the committed lists
    Size,
    /// The real gateway in every profile: clean without a driver, caught with it (full)
    Profiles,
    /// A driver from elsewhere compiled in, twice, in two directories, to the same bytes (full)
    Again,
    /// The figures of the toolchain (full)
    Bench,
    /// Documentation without a warning (full)
    Doc,
    /// Licences, advisories and sources, where cargo-deny is installed (full)
    Deny,
    /// Every other subset of the drivers compiles without a warning (full)
    Subsets,
}

/// Quick to fail first.
const QUICK: [Job; 10] = [
    Job::Fmt,
    Job::Gen,
    Job::Tidy,
    Job::Size,
    Job::Clippy,
    Job::Verify,
    Job::SelfTest,
    Job::Matrix,
    Job::Bytes,
    Job::Test,
];
const LONG: [Job; 6] = [Job::Doc, Job::Deny, Job::Again, Job::Profiles, Job::Subsets, Job::Bench];

/// What the jobs work on.
struct Ci {
    workspace: Workspace,
    assembly: Assembly,
    /// This program, for jobs that are subcommands.
    xtask: std::path::PathBuf,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// Passed, with something to say.
    Noted(String),
    /// Not run, and why.
    Skipped(String),
    Failed(String),
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result {
    let workspace = Workspace::find()?;
    // The path stays right when a job builds xtask anew.
    let xtask = std::env::current_exe().map_err(Error::file("find", "xtask".as_ref()))?;
    let assembly = workspace.assembly()?;
    let ci = Ci { workspace, assembly, xtask };
    let jobs: Vec<Job> = match (args.jobs.is_empty(), args.full) {
        (false, _) => args.jobs.clone(),
        (true, false) => QUICK.to_vec(),
        // What ends the output is the summary of the tests, whichever jobs there are.
        (true, true) => LONG.into_iter().chain(QUICK).collect(),
    };
    let mut report = Report::default();
    for job in jobs {
        println!("== {}", job.name());
        let started = Instant::now();
        let outcome = job.run(&ci).unwrap_or_else(|error| {
            error.print();
            Outcome::Failed(error.to_string())
        });
        report.add(&job.name(), outcome, started.elapsed());
    }
    print!("\n{}", report.text());
    if args.full && args.jobs.is_empty() {
        report.write(&ci.workspace)?;
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Job {
    fn name(self) -> String {
        let value = <Self as clap::ValueEnum>::to_possible_value(&self);
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn run(self, ci: &Ci) -> Result<Outcome> {
        match self {
            Self::Fmt => ci.cargo(&["fmt", "--all", "--check"]),
            Self::Gen => ci.xtask(&["gen", "--check", "--full"]),
            Self::Tidy => ci.xtask(&["tidy"]),
            Self::Clippy => {
                ci.cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
            }
            Self::Matrix => ci.xtask(&["matrix", "--programs", "--options", "--keep-going", "--locked"]),
            Self::Verify => compiled_out::verify(ci),
            Self::SelfTest => ci.xtask(&["verify-compiled-out", "--self-test"]),
            Self::Profiles => ci.xtask(&["verify-compiled-out", "--self-test", "--full"]),
            Self::Test => ci.cargo(&["--locked", "xtask", "test", "--locked"]),
            Self::Bytes => checks::same_bytes(ci, "release"),
            Self::Size => checks::size(ci),
            Self::Again => again::same_bytes(ci),
            Self::Bench => checks::bench(ci),
            Self::Doc => checks::doc(ci),
            Self::Deny => checks::deny(ci),
            Self::Subsets => ci.xtask(&["matrix", "--powerset", "--keep-going", "--locked"]),
        }
    }
}

impl Ci {
    /// A cargo call whose output goes through.
    fn cargo(&self, args: &[&str]) -> Result<Outcome> {
        checks::passes(&mut self.workspace.cargo(args), &crate::workspace::line(args))
    }

    /// A subcommand of this program.
    fn xtask(&self, args: &[&str]) -> Result<Outcome> {
        let mut command = std::process::Command::new(&self.xtask);
        command.args(args).current_dir(self.workspace.root()).stdin(std::process::Stdio::null());
        checks::passes(&mut command, &format!("cargo xtask {}", args.join(" ")))
    }
}
