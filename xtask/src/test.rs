//! `test`: every program first, then every test, with the programs' folder in one variable. A test that fails stops
//! none of the other binaries; at the end it says which failed in all of them, and what was skipped, because the harness
//! swallows what a passing test prints.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};

use crate::build::{self, CargoArgs, CargoLine, Staged};
use crate::error::{Error, Result};
use crate::python;
use crate::selection;
use crate::workspace::{self, GATEWAY_BIN, GATEWAY_PACKAGE, Workspace, spawn};

/// The variable that says where the tests find the programs.
const BIN_DIR: &str = "OPENSHELL_TEST_BIN_DIR";
/// Goes on with the next binary when a test of one fails.
const NO_FAIL_FAST: &str = "--no-fail-fast";
/// The client's package and program.
const CLIENT: (&str, &str) = ("openshell-cli", "openshell");

/// Build every program, then run every test of the workspace
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Fail when Cargo.lock would have to change
    #[arg(long)]
    locked: bool,
    /// Do not touch the network
    #[arg(long)]
    offline: bool,
    /// Handed to `cargo test`; without -p or --package in it, all of the workspace is tested
    #[arg(last = true)]
    args: Vec<String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result {
    let workspace = Workspace::find()?;
    let programs = programs(&workspace, args)?;
    show_backends(&workspace, &programs);
    let python = python::client(&workspace, args.offline)?;
    if let Err(why) = &python {
        eprintln!("no Python client for the tests: {why}");
    }
    let arguments = arguments(args);
    eprintln!("{BIN_DIR}={} {}", workspace.show(&programs), workspace::line(&arguments));
    let mut child = workspace
        .cargo(&arguments)
        .env(BIN_DIR, &programs)
        .envs(python.ok().map(|python| (python::VARIABLE, python)))
        .stdout(Stdio::piped())
        .spawn()
        .map_err(spawn("cargo"))?;
    let mut filter = Filter::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.map_err(Error::file("read", "the output of cargo test".as_ref()))?;
            if let Some(line) = filter.line(&String::from_utf8_lossy(&line)) {
                println!("{line}");
            }
        }
    }
    let status = child.wait().map_err(spawn("cargo"))?;
    println!("{}", filter.total);
    if !filter.skipped.is_empty() {
        println!("{} tests passed by being skipped:", filter.skipped.len());
        for (test, reason) in &filter.skipped {
            println!("  {test}: {reason}");
        }
    }
    if !filter.failed.is_empty() {
        println!("{} tests failed:", filter.failed.len());
        for test in &filter.failed {
            println!("  {test}");
        }
    }
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::from(workspace::code(status)) })
}

/// The arguments of cargo; a passing test's output is asked for, since a skip is said there, and the binaries behind one
/// that fails, since whoever reads the end wants all that is wrong.
fn arguments(args: &Args) -> Vec<String> {
    let mut arguments = vec!["test".to_owned()];
    let named = args.args.iter().take_while(|arg| *arg != "--");
    let said = named.clone().any(|arg| arg == NO_FAIL_FAST);
    if !named.clone().any(|arg| arg == "--package" || arg.starts_with("-p") || arg == "--workspace") {
        arguments.push("--workspace".to_owned());
    }
    let flags = [("--locked", args.locked), ("--offline", args.offline), (NO_FAIL_FAST, !said)];
    arguments.extend(flags.iter().filter(|(_, set)| *set).map(|(flag, _)| (*flag).to_owned()));
    arguments.extend(args.args.iter().cloned());
    if !args.args.iter().any(|arg| arg == "--") {
        arguments.push("--".to_owned());
    }
    arguments.push("--show-output".to_owned());
    arguments
}

/// Builds the gateway with every driver, the client, every driver's program and what runs inside sandboxes into one folder. One cargo call each:
/// `cargo test --workspace` would unify their features.
fn programs(workspace: &Workspace, args: &Args) -> Result<PathBuf> {
    let assembly = workspace.assembly()?;
    let cargo =
        CargoArgs { profile: "dev".to_owned(), target: None, locked: args.locked, offline: args.offline };
    let everything = selection::everything(&assembly)?;
    let mut lines = vec![
        CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, everything.features(), &cargo),
        CargoLine::new(CLIENT.0, CLIENT.1, Vec::new(), &cargo),
    ];
    let programs = assembly.drivers.iter().filter_map(|driver| Some((&driver.name, driver.program()?)));
    lines.extend(programs.map(|(name, program)| build::program_line(&everything, name, &program, &cargo)));
    lines.extend(build::guest_lines(&assembly.guests(), &cargo));
    let _turn = build::turn(workspace.root());
    let folder = workspace.target_dir().join("test-programs");
    let staged = Staged::new(&folder)?;
    for line in &lines {
        staged.take(&build::run_cargo(workspace, line)?.executable)?;
    }
    staged.swap_in()?;
    Ok(folder)
}

/// What the gateway itself says of the backends on this host.
fn show_backends(workspace: &Workspace, programs: &std::path::Path) {
    let output = std::process::Command::new(programs.join(GATEWAY_BIN))
        .arg("drivers")
        .current_dir(workspace.root())
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => {
            println!("backends on this host:\n{}", String::from_utf8_lossy(&output.stdout));
        }
        Ok(output) => eprintln!("{GATEWAY_BIN} drivers failed: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => eprintln!("{GATEWAY_BIN} drivers cannot be run: {error}"),
    }
}

/// Takes what passing tests print out of the harness's output, and keeps what they say of being skipped and the names of
/// those that failed.
#[derive(Debug, Default)]
struct Filter {
    in_successes: bool,
    test: String,
    skipped: Vec<(String, String)>,
    /// What stands in the list of this binary so far: the harness says `failures:` before their output and once more
    /// before their names, and only what follows the last one are names.
    listed: Option<Vec<String>>,
    failed: Vec<String>,
    total: Total,
}

/// The sum of the harness's `test result:` lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Total {
    passed: u64,
    failed: u64,
    ignored: u64,
    binaries: u64,
}

impl Total {
    /// Counts `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let mut words = result.split([' ', ';', '.']).filter(|word| !word.is_empty());
        let mut last = "";
        for word in words.by_ref() {
            let count = || last.parse::<u64>().unwrap_or_default();
            match word {
                "passed" => self.passed += count(),
                "failed" => self.failed += count(),
                "ignored" => self.ignored += count(),
                _ => {}
            }
            last = word;
        }
        self.binaries += 1;
    }
}

impl std::fmt::Display for Total {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { passed, failed, ignored, binaries } = self;
        write!(f, "{passed} tests passed, {failed} failed, {ignored} ignored, in {binaries} binaries")
    }
}

impl Filter {
    /// Keeps the names of the tests that failed.
    fn list(&mut self, line: &str) {
        if line == "failures:" {
            self.listed = Some(Vec::new());
        } else if line.starts_with("test result:") {
            self.failed.extend(self.listed.take().unwrap_or_default());
        } else if let (Some(listed), Some(name)) = (&mut self.listed, line.strip_prefix("    ")) {
            listed.push(name.to_owned());
        }
    }

    /// The line, when it is to be printed.
    fn line<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        self.total.add(line);
        self.list(line);
        let ends = line == "failures:" || line.starts_with("test result:") || line.starts_with("running ");
        if line == "successes:" {
            self.in_successes = true;
        } else if ends {
            self.in_successes = false;
        }
        if !self.in_successes {
            return Some(line);
        }
        if let Some(test) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" ----")) {
            self.test = test.trim_end_matches(" stdout").to_owned();
        } else if let Some(reason) = line.strip_prefix("skipped: ") {
            self.skipped.push((self.test.clone(), reason.to_owned()));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Vec<String> {
        let args = words.iter().map(ToString::to_string).collect();
        arguments(&Args { locked: true, offline: false, args })
    }

    #[test]
    fn the_whole_workspace_unless_a_package_is_named() {
        assert_eq!(args(&[]), ["test", "--workspace", "--locked", "--no-fail-fast", "--", "--show-output"]);
        assert_eq!(
            args(&["-p", "x", "--", "name"]),
            ["test", "--locked", "--no-fail-fast", "-p", "x", "--", "name", "--show-output"]
        );
        assert_eq!(
            args(&["-p", "x", "--no-fail-fast"]),
            ["test", "--locked", "-p", "x", "--no-fail-fast", "--", "--show-output"]
        );
    }

    #[test]
    fn results_are_summed() {
        let mut total = Total::default();
        total.add(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.30s",
        );
        total.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s");
        total.add("test a ... ok");
        assert_eq!(total.to_string(), "15 tests passed, 2 failed, 1 ignored, in 2 binaries");
    }

    #[test]
    fn every_failure_of_every_binary_is_kept_and_no_line_of_their_output() {
        let first = "failures:\n\n---- a stdout ----\n    a line of its own\nfailures:\n\n\nfailures:\n    a\n    it::b\n\n\
                     test result: FAILED. 1 passed; 2 failed";
        let passed = "test c ... ok\n    of nobody\n\ntest result: ok. 1 passed; 0 failed";
        let doc = "failures:\n\n---- src/lib.rs - f (line 3) stdout ----\nwhy\n\nfailures:\n    src/lib.rs - f (line 3)\n\n\
                   test result: FAILED. 0 passed; 1 failed";
        let mut filter = Filter::default();
        for line in [first, passed, doc].iter().flat_map(|output| output.lines()) {
            filter.line(line);
        }
        assert_eq!(filter.failed, ["a", "it::b", "src/lib.rs - f (line 3)"]);
    }

    #[test]
    fn skips_are_kept_and_the_rest_of_what_passing_tests_print_is_not() {
        let output = "running 2 tests\ntest a ... ok\n\nsuccesses:\n\n---- a stdout ----\nnoise\nskipped: no engine\n\n\
                      successes:\n    a\n\nfailures:\n\n---- b stdout ----\nwhy\n\ntest result: FAILED.\n";
        let mut filter = Filter::default();
        let printed: Vec<_> = output.lines().filter_map(|line| filter.line(line)).collect();
        assert_eq!(filter.skipped, [("a".to_owned(), "no engine".to_owned())]);
        assert!(printed.contains(&"why") && printed.contains(&"test result: FAILED."));
        assert!(!printed.contains(&"noise"));
    }
}
