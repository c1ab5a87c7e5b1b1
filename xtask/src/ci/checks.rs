//! The jobs that are no subcommand of their own: no gateway without a driver, every selection, the same bytes.

use std::process::{Command, Stdio};

use driver_manifest::{Driver, Selection};

use super::{Ci, Outcome, refusal};
use crate::bench;
use crate::build::{self, CargoArgs, CargoLine, Job, Profile, read_messages, sha256_of};
use crate::error::{Error, Result};
use crate::selection;
use crate::workspace::{self, GATEWAY_BIN, GATEWAY_PACKAGE, spawn};

/// Runs a command to its end.
pub(super) fn passes(command: &mut Command, shown: &str) -> Result<Outcome> {
    let status = command.status().map_err(spawn(shown))?;
    Ok(if status.success() { Outcome::Passed } else { Outcome::Failed(format!("`{shown}` failed")) })
}

pub(super) fn failures(found: Vec<String>, note: String) -> Outcome {
    for failure in &found {
        println!("{failure}");
    }
    match found.as_slice() {
        [] => Outcome::Noted(note),
        [one] => Outcome::Failed(one.clone()),
        [first, rest @ ..] => Outcome::Failed(format!("{first} (and {} more)", rest.len())),
    }
}

pub(super) fn cargo_args(profile: &str) -> CargoArgs {
    CargoArgs { profile: profile.to_owned(), target: None, locked: true, offline: false }
}

/// Without a driver there is no gateway, and the compiler's error names every feature and the line that builds one.
pub(super) fn zero(ci: &Ci) -> Result<Outcome> {
    let line = CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, Vec::new(), &cargo_args("dev"));
    let output =
        ci.workspace.cargo(line.args("check")).stdout(Stdio::null()).output().map_err(spawn("cargo"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let mut found = Vec::new();
    if output.status.success() {
        found.push("a gateway without a driver compiles".to_owned());
    }
    let wanted = ci.assembly.drivers.iter().map(Driver::feature);
    for text in wanted.chain(["cargo xtask build --drivers".to_owned()]) {
        if !said.contains(&text) {
            found.push(format!("the error of a build without a driver does not say `{text}`"));
        }
    }
    Ok(failures(found, "refused with every feature named".to_owned()))
}

/// A file that the jobs over selections are about.
pub(super) struct Shipped {
    pub(super) selection: Selection,
    /// The driver, for a standalone program.
    pub(super) program: Option<String>,
    pub(super) line: CargoLine,
}

/// The gateways of all selections that checks go through, of all drivers with each option switched, and the programs
/// that go with these; in the dev profile.
pub(super) fn shipped(ci: &Ci) -> Result<Vec<Shipped>> {
    let cargo = cargo_args("dev");
    let everything = selection::everything(&ci.assembly)?;
    let mut selections = selection::subsets(&ci.assembly)?;
    let mut holders = vec![everything.clone()];
    for option in &ci.assembly.options {
        holders.push(selection::switched(&ci.assembly, &everything, &option.name, !option.default)?);
    }
    selections.extend(holders.iter().skip(1).cloned());
    let gateways = selections.into_iter().map(|selection| {
        let line = CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, selection.features(), &cargo);
        Shipped { selection, program: None, line }
    });
    let drivers = ci.assembly.drivers.iter().filter_map(|driver| Some((driver, driver.program()?)));
    let programs = drivers.flat_map(|(driver, bin)| {
        let cargo = &cargo;
        holders.iter().map(move |holder| Shipped {
            selection: holder.clone(),
            program: Some(driver.name.clone()),
            line: build::program_line(holder, &driver.name, &bin, cargo),
        })
    });
    Ok(gateways.chain(programs).collect())
}

/// Every selection is built without a warning, and its gateway refuses each driver that it lacks; every program too.
pub(super) fn selections(ci: &Ci) -> Result<Outcome> {
    let mut found = Vec::new();
    let (mut gateways, mut programs) = (0, 0);
    for Shipped { selection, program, line } in shipped(ci)? {
        let built = warnings(ci, &line, &mut found)?;
        if program.is_some() {
            programs += 1;
            continue;
        }
        gateways += 1;
        if let Some(gateway) = built {
            found.extend(refusal::faults(&ci.assembly, &selection, &gateway)?);
        }
    }
    Ok(failures(found, format!("{gateways} gateways, {programs} programs")))
}

/// Builds a line; a warning is a failure. Gives the file, where there is one.
fn warnings(ci: &Ci, line: &CargoLine, found: &mut Vec<String>) -> Result<Option<std::path::PathBuf>> {
    let shown = line.shell();
    println!("{shown}");
    let mut args = line.args("build");
    args.push("--message-format=json".to_owned());
    match read_messages(&ci.workspace, &args, &shown, line.bin()) {
        Ok(compiled) => {
            if !compiled.warnings.is_empty() {
                print!("{}", compiled.warnings.concat());
                found.push(format!("{} warnings: {shown}", compiled.warnings.len()));
            }
            Ok(Some(compiled.executable))
        }
        Err(Error::Cargo { line, .. }) => {
            found.push(format!("does not compile: {line}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// `cargo xtask build`, then the composition forgotten and built by the bare line: the same bytes, and nothing left
/// for a third build to do.
pub(super) fn same_bytes(ci: &Ci, profile: &str) -> Result<Outcome> {
    let Some(selection) = selection::subsets(&ci.assembly)?.into_iter().next() else {
        return Ok(Outcome::Noted("no driver".to_owned()));
    };
    let cargo = cargo_args(profile);
    let line = CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, selection.features(), &cargo);
    let slug = selection.slug();
    let made = Job::gateway(&ci.assembly, selection, &cargo).run(&ci.workspace, None)?;
    let ours = sha256_of(&made.folder.join(GATEWAY_BIN))?;
    // Without `--target`, `cargo clean` looks where only the host's results lie and removes nothing.
    let (_, triple) = made.compiled.place(&Profile::new(profile))?;
    let clean = ["clean", "--quiet", "-p", GATEWAY_PACKAGE, "--profile", profile, "--target", &triple];
    ci.workspace.cargo_output(&clean)?;
    if made.compiled.executable.exists() {
        return Ok(Outcome::Failed(
            "`cargo clean` left the gateway, so that nothing is built twice".to_owned(),
        ));
    }
    let args = line.args("build");
    let status = ci.workspace.cargo(&args).status().map_err(spawn("cargo"))?;
    if !status.success() {
        return Err(Error::Cargo { line: line.shell(), code: workspace::code(status) });
    }
    let bare = sha256_of(&made.compiled.executable)?;
    let mut found = Vec::new();
    if ours != bare {
        found.push(format!("`{}` gives {bare}, `cargo xtask build` gave {ours}", line.shell()));
    }
    let again = build::run_cargo(&ci.workspace, &line)?;
    if !again.anew.is_empty() {
        found.push(format!("`cargo xtask build` compiles again what `{}` compiled", line.shell()));
    }
    Ok(failures(found, format!("{slug}, {profile}: {ours}")))
}

/// The figures of the toolchain; their medians are the job's note.
pub(super) fn bench(ci: &Ci) -> Result<Outcome> {
    let measured = bench::measure(&ci.workspace, &ci.assembly, &bench::Args::toolchain())?;
    print!("{}", measured.text());
    let medians = measured.medians();
    Ok(if measured.holds() { Outcome::Noted(medians) } else { Outcome::Failed(medians) })
}

/// The documentation of every member.
pub(super) fn doc(ci: &Ci) -> Result<Outcome> {
    let args = ["doc", "--workspace", "--no-deps", "--locked", "--quiet"];
    passes(ci.workspace.cargo(args).env("RUSTDOCFLAGS", "-D warnings"), &workspace::line(&args))
}

/// `cargo deny`, where there is one.
pub(super) fn deny(ci: &Ci) -> Result<Outcome> {
    let there =
        ci.workspace.cargo(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return Ok(Outcome::Skipped("cargo-deny is not installed".to_owned()));
    }
    ci.cargo(&["deny", "--locked", "check"])
}
