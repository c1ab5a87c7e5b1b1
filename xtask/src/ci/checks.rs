//! The jobs that are no subcommand of their own: the same bytes, figures, documentation, licences.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use driver_manifest::Selection;

use super::{Ci, Outcome};
use crate::bench;
use crate::build::{self, CargoArgs, CargoLine, Job, Profile, sha256_of};
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

/// `cargo xtask build`, then the composition forgotten and built by the bare line: the same bytes, and nothing left
/// for a third build to do.
pub(super) fn same_bytes(ci: &Ci, profile: &str) -> Result<Outcome> {
    // Any selection shows it: the one that takes least to compile.
    let cost = |selection: &Selection| -> (usize, u64) {
        let drivers = ci.assembly.drivers.iter().filter(|driver| selection.drivers.contains(&driver.name));
        let costs = drivers.map(|driver| (driver.guest.len(), driver.budget.crates.unwrap_or(u64::MAX)));
        costs.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1.saturating_add(one.1)))
    };
    let Some(selection) = selection::subsets(&ci.assembly)?.into_iter().min_by_key(cost) else {
        return Ok(Outcome::Noted("no driver".to_owned()));
    };
    let cargo = cargo_args(profile);
    let line = CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, selection.features(), &cargo);
    let slug = selection.slug();
    let made = Job::gateway(&ci.assembly, selection, &cargo).run(&ci.workspace, None)?;
    // What lies in the folder has a section more: the bytes that are promised are those of cargo's own file.
    let file = build::Record::read(&made.folder).and_then(|record| record.files.into_iter().next());
    let file = file.ok_or_else(|| Error::output("cargo xtask build", "its build.json names no file"))?;
    let mut found = bill(&made.folder.join(&file.sbom), &file)?;
    let ours = file.artifact.sha256;
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
    if ours != bare {
        found.push(format!("`{}` gives {bare}, `cargo xtask build` gave {ours}", line.shell()));
    }
    let again = build::run_cargo(&ci.workspace, &line)?;
    if !again.anew.is_empty() {
        found.push(format!("`cargo xtask build` compiles again what `{}` compiled", line.shell()));
    }
    Ok(failures(found, format!("{slug}, {profile}: {ours}")))
}

/// The budgets of drivers.toml, and the lists in which a new crate is a line.
pub(super) fn size(ci: &Ci) -> Result<Outcome> {
    let mut found = Vec::new();
    for args in [&["size"][..], &["size", "golden", "--check"]] {
        if let Outcome::Failed(failure) = ci.xtask(args)? {
            found.push(failure);
        }
    }
    Ok(failures(found, "within every budget, no crate that is not in its list".to_owned()))
}

/// What is wrong with the bill of materials of a file: it has to list what was compiled for it, and nothing else.
fn bill(path: &std::path::Path, file: &build::FileRecord) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
    let shown = path.display().to_string();
    let bill: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| Error::output(&shown, error))?;
    let parts = bill["components"].as_array().map_or(&[][..], Vec::as_slice).iter();
    let parts = parts.filter(|part| part["scope"] == "required").chain([&bill["metadata"]["component"]]);
    // Where it comes from may follow behind a question mark.
    let purl = |part: &serde_json::Value| {
        let purl = part["purl"].as_str().unwrap_or_default().split('?').next().unwrap_or_default();
        purl.replace("%2B", "+")
    };
    let listed: BTreeSet<String> = parts.map(purl).collect();
    let compiled = file.crates.iter().map(|one| format!("pkg:cargo/{}@{}", one.name, one.version));
    let compiled: BTreeSet<String> = compiled.collect();
    let differs = listed.symmetric_difference(&compiled);
    Ok(differs.map(|purl| format!("`{shown}` and build.json differ in `{purl}`")).collect())
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
