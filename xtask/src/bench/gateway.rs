//! What a gateway costs those who run it: bytes, memory, latency, start-up. `openshell-bench` measures from outside, as a
//! client does; this builds what it measures and reads what it says.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use driver_manifest::{Assembly, Budget, Driver, Kind, Request, Selection};

use super::{Args, Figure, Measured, PROFILE, Which};
use crate::build::{self, CargoArgs, CargoLine, Job};
use crate::error::{Error, Result};
use crate::selection;
use crate::size::{Crates, percent};
use crate::workspace::{self, Workspace, spawn};

/// The package and program that measures.
const BENCH: (&str, &str) = ("openshell-bench", "openshell-bench");
/// What speaks for a backend's own client, beside the tests of its driver's crate; see `openshell-bench`.
const SCRIPT: &str = "tests/backend.sh";
/// The supervisor, which is left beside the gateways of drivers that deliver it, and the most bytes that it may have.
const SUPERVISOR: (&str, u64) = ("openshell-sandbox", 3_000_000);
/// The exit code of that program when a figure does not keep its bound, which the figure says itself.
const BROKEN: i32 = 1;

/// The gateways that are measured, as `cargo xtask build` leaves them.
#[derive(Debug)]
pub(super) struct Gateways {
    /// One for each driver, with it alone.
    alone: Vec<Alone>,
    bench: PathBuf,
}

/// A gateway with one driver.
#[derive(Debug)]
struct Alone {
    driver: String,
    /// Whether its driver is somebody else's program, behind a socket.
    dials: bool,
    program: PathBuf,
    /// The script that speaks for the backend's own client.
    script: Option<PathBuf>,
}

impl Gateways {
    /// Builds one gateway for each driver, and the program that measures.
    pub(super) fn build(workspace: &Workspace, assembly: &Assembly, args: &Args) -> Result<Self> {
        let cargo = CargoArgs { profile: args.profile.clone(), target: None, locked: false, offline: false };
        let everything = selection::everything(assembly)?;
        let mut alone = Vec::new();
        for name in &everything.drivers {
            let job = Job::gateway(assembly, only(assembly, name)?, &cargo);
            let program = job.run(workspace, None)?.folder.join(workspace::GATEWAY_BIN);
            let driver = assembly.driver(name);
            let dials = driver.is_some_and(|driver| matches!(driver.kind, Kind::Socket { .. }));
            let package = driver.and_then(Driver::package);
            let script = package.map(|package| workspace.path(&format!("crates/{package}/{SCRIPT}")));
            let script = script.filter(|script| script.is_file());
            alone.push(Alone { driver: name.clone(), dials, program, script });
        }
        let line = CargoLine::new(BENCH.0, BENCH.1, Vec::new(), &cargo);
        let _turn = build::turn(workspace.root());
        let bench = build::run_cargo(workspace, &line)?.executable;
        Ok(Self { alone, bench })
    }

    /// The sizes as people build it, and without options wherever a budget of `drivers.toml` bounds a size or a share: that
    /// gateway is what a budget is about. Shares are of the gateway with every driver and the same options.
    pub(super) fn sizes(
        &self,
        workspace: &Workspace,
        assembly: &Assembly,
        args: &Args,
    ) -> Result<Vec<Figure>> {
        let cargo = CargoArgs { profile: args.profile.clone(), target: None, locked: false, offline: false };
        let mut crates = Crates::load(workspace, assembly)?;
        let mut measure = |selection: Selection| -> Result<(u64, u64)> {
            let crates = crates.of_gateway(&selection)?;
            let job = Job::gateway(assembly, selection, &cargo);
            let program = job.run(workspace, None)?.folder.join(workspace::GATEWAY_BIN);
            let bytes = std::fs::metadata(&program).map_err(Error::file("read", &program))?.len();
            Ok((crates, bytes))
        };
        let everything = selection::everything(assembly)?;
        let all = measure(everything.clone())?;
        let mut bare_all = None;
        let mut figures = Vec::new();
        for alone in &self.alone {
            let selection = only(assembly, &alone.driver)?;
            let name = format!("gateway with {} alone", alone.driver);
            figures.extend(shares(&name, measure(selection.clone())?, all, Budget::default()));
            let mut budget = assembly.driver(&alone.driver).map(|driver| driver.budget).unwrap_or_default();
            if args.profile != PROFILE {
                // Bytes are bounded in that profile alone.
                (budget.bytes, budget.bytes_percent) = (None, None);
            }
            if [budget.bytes, budget.crates_percent, budget.bytes_percent].iter().all(Option::is_none) {
                continue;
            }
            let bare_all = match bare_all {
                Some(all) => all,
                None => *bare_all.insert(measure(selection::without_options(assembly, &everything)?)?),
            };
            let bare = measure(selection::without_options(assembly, &selection)?)?;
            figures.extend(shares(&format!("{name}, without options"), bare, bare_all, budget));
        }
        figures.extend(self.supervisor(args)?);
        Ok(figures)
    }

    /// The bytes of the supervisor, as sandboxes get it; nothing where no driver delivers one. They are bounded in the
    /// profile that people build in alone.
    fn supervisor(&self, args: &Args) -> Result<Option<Figure>> {
        let (name, most) = SUPERVISOR;
        let mut beside = self.alone.iter().map(|alone| alone.program.with_file_name(name));
        let Some(path) = beside.find(|path| path.is_file()) else { return Ok(None) };
        let bytes = std::fs::metadata(&path).map_err(Error::file("read", &path))?.len();
        let bound = (args.profile == PROFILE).then(|| megabytes(most));
        Ok(Some(Figure::one("supervisor", "MB", megabytes(bytes), bound)))
    }

    /// Runs the program that measures: once on a driver in memory, behind a socket, and once on each engine.
    pub(super) fn run(&self, which: Which, args: &Args, into: &mut Measured) -> Result<()> {
        let dials = self.alone.iter().find(|alone| alone.dials).ok_or_else(|| {
            Error::refused(
                "no driver of the manifest is behind a socket",
                "the bench serves its own driver on one",
            )
        })?;
        let command = || {
            let mut command = Command::new(&self.bench);
            command.args(["--only", &which.name(), "--seconds", &args.seconds.to_string(), "--gateway"]);
            command.arg(&dials.program);
            command
        };
        let engines: Vec<&Alone> = self.alone.iter().filter(|alone| !alone.dials).collect();
        if !which.needs_engine() || engines.is_empty() {
            return lines(&mut command(), &self.bench, |line| into.take(line));
        }
        for engine in engines {
            let mut command = command();
            command.arg("--backend").arg(format!("{}={}", engine.driver, engine.program.display()));
            if let Some(script) = &engine.script {
                command.arg("--script").arg(format!("sh {}", script.display()));
            }
            // One engine that is in trouble does not take the others' figures along.
            if let Err(error) = lines(&mut command, &self.bench, |line| into.take(line)) {
                into.fail(&format!("{}, {}", which.name(), engine.driver), &error);
            }
        }
        Ok(())
    }
}

/// One driver, options at their defaults.
fn only(assembly: &Assembly, driver: &str) -> Result<Selection> {
    selection::select(assembly, &Request { drivers: vec![driver.to_owned()], ..Request::default() })
}

/// The crates and bytes of a gateway as shares of those with every driver, and its bytes; each held to its bound.
fn shares(name: &str, part: (u64, u64), all: (u64, u64), budget: Budget) -> [Figure; 3] {
    let share = |what: &str, part: u64, whole: u64, most: Option<u64>| {
        let name = format!("{name}, {what} of those with every driver");
        Figure::one(&name, "%", percent(part, whole), most.map(|most| most as f64))
    };
    [
        share("crates", part.0, all.0, budget.crates_percent),
        share("bytes", part.1, all.1, budget.bytes_percent),
        Figure::one(name, "MB", megabytes(part.1), budget.bytes.map(megabytes)),
    ]
}

fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}

impl Measured {
    /// Takes a line of the program that measures.
    fn take(&mut self, line: &str) -> Result<()> {
        let figure = Figure::read(line);
        let refused = |error| Error::refused(format!("`{line}` is no figure: {error}"), "see its main.rs");
        self.figures.push(figure.map_err(refused)?);
        Ok(())
    }
}

/// Hands over each line that a program prints; it has to succeed.
fn lines(command: &mut Command, program: &Path, mut take: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let shown = program.display().to_string();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(spawn(&shown))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            take(&line.map_err(Error::file("read the output of", program))?)?;
        }
    }
    let status = child.wait().map_err(spawn(&shown))?;
    if status.success() || status.code() == Some(BROKEN) {
        Ok(())
    } else {
        Err(Error::Cargo { line: shown, code: workspace::code(status) })
    }
}
