//! The ways by which a planted file is judged: each is one of those by which a user's is.

use std::path::Path;

use driver_manifest::{Assembly, Selection};

use super::fixture::{Fixture, cargo_args};
use super::profile::Profile;
use super::seen::{Eye, Seen};
use crate::build::{CargoLine, Job, Made, Record, read_messages, run_cargo};
use crate::error::{Error, Result};
use crate::verify::{Bytes, Role, Subject, Verifier, units_of};
use crate::workspace::{GATEWAY_BIN, GATEWAY_PACKAGE, Workspace};

/// A build and what `verify-compiled-out --drivers …` says of it.
pub(super) fn build(fixture: &Fixture, drivers: &[&str]) -> Result<Seen> {
    let selection = fixture.selection(drivers, &[])?;
    let (workspace, made) = fixture.build(&selection, &Profile::RELEASE)?;
    folder(&workspace, &fixture.assembly, &made)
}

/// A driver's program and what is said of it.
pub(super) fn program(fixture: &Fixture, driver: &str) -> Result<Seen> {
    let (workspace, made) = standalone(fixture, driver)?;
    folder(&workspace, &fixture.assembly, &made)
}

/// What runs inside a driver's sandboxes, as it is left beside the driver's program, and what is said of it.
pub(super) fn guest(fixture: &Fixture, driver: &str) -> Result<Seen> {
    let (workspace, made) = standalone(fixture, driver)?;
    file_of(&workspace, &fixture.assembly, &made, 1)
}

fn standalone(fixture: &Fixture, driver: &str) -> Result<(Workspace, Made)> {
    let workspace = fixture.workspace(&Profile::RELEASE)?;
    let selection = fixture.selection(&[driver], &[])?;
    let made = Job::program(&fixture.assembly, selection, &cargo_args())?.run(&workspace, None)?;
    Ok((workspace, made))
}

/// A guest that was built like any other program, judged as one.
pub(super) fn not_static(fixture: &Fixture, package: &str) -> Result<Seen> {
    let workspace = fixture.workspace(&Profile::RELEASE)?;
    let compiled = run_cargo(&workspace, &CargoLine::new(package, package, Vec::new(), &cargo_args()))?;
    let bytes = Bytes::read(&compiled.executable)?;
    let mut verifier = Verifier::new(&workspace, &fixture.assembly, true)?;
    Ok(Seen::of(&verifier.judge(&Subject::guest(package, None), &bytes, Some(units_of(&compiled)))?))
}

/// What is said of the first file of a folder that a build left.
pub(super) fn folder(workspace: &Workspace, assembly: &Assembly, made: &Made) -> Result<Seen> {
    file_of(workspace, assembly, made, 0)
}

fn file_of(workspace: &Workspace, assembly: &Assembly, made: &Made, place: usize) -> Result<Seen> {
    let record = Record::read(&made.folder)
        .ok_or_else(|| Error::output("build", "it left no build.json that can be read"))?;
    let verified = Verifier::new(workspace, assembly, true)?.folder(&record, &made.folder, Path::new(""))?;
    let verdict = verified.get(place).and_then(|one| one.verdict.as_ref());
    verdict.map(Seen::of).ok_or_else(|| Error::output("build", "it left no file to judge"))
}

/// The bytes of a gateway with these drivers and options.
pub(super) fn gateway(
    fixture: &Fixture,
    profile: &Profile,
    drivers: &[&str],
    options: &[&str],
) -> Result<Vec<u8>> {
    let (_, made) = fixture.build(&fixture.selection(drivers, options)?, profile)?;
    let path = made.folder.join(GATEWAY_BIN);
    std::fs::read(&path).map_err(Error::file("read", &path))
}

/// What `verify-compiled-out --binary FILE --drivers …` says of a file; `sniffed` when its first bytes are to tell.
pub(super) fn file(fixture: &Fixture, bytes: &[u8], drivers: &[&str], target: Option<&str>) -> Result<Seen> {
    let workspace = fixture.workspace(&Profile::RELEASE)?;
    let path = workspace.target_dir().join("planted");
    std::fs::write(&path, bytes).map_err(Error::file("write", &path))?;
    let selection = fixture.selection(drivers, &[])?;
    alone(&workspace, &fixture.assembly, &path, selection, target)
}

/// The same, of any workspace.
pub(super) fn alone(
    workspace: &Workspace,
    assembly: &Assembly,
    path: &Path,
    selection: Selection,
    target: Option<&str>,
) -> Result<Seen> {
    let bytes = match Bytes::read(path) {
        Ok(bytes) => bytes,
        Err(error @ Error::Unverified { .. }) => return Ok(Seen::refused(&error, Eye::Sniff)),
        Err(error) => return Err(error),
    };
    let subject = Subject { selection, role: Role::Gateway, target: target.map(ToOwned::to_owned) };
    Ok(Seen::of(&Verifier::new(workspace, assembly, true)?.file(&subject, &bytes, None)?))
}

/// A gateway that was built together with everything else, which is how it must not be built: `features` are of any
/// package. It is judged by cargo's messages and by the graph that `-p` gives.
pub(super) fn together(fixture: &Fixture, drivers: &[&str], features: &str) -> Result<Seen> {
    let workspace = fixture.workspace(&Profile::RELEASE)?;
    let selection = fixture.selection(drivers, &[])?;
    let words = ["build", "--workspace", "--no-default-features", "--features", features, "--release"];
    let args = words.iter().chain(&["--locked", "--offline"]);
    let args: Vec<String> = args.map(ToString::to_string).collect();
    let compiled = read_messages(&workspace, &args, &crate::workspace::line(&args), GATEWAY_BIN)?;
    let bytes = Bytes::read(&compiled.executable)?;
    let subject = Subject { selection, role: Role::Gateway, target: None };
    let mut verifier = Verifier::new(&workspace, &fixture.assembly, true)?;
    Ok(Seen::of(&verifier.judge(&subject, &bytes, Some(units_of(&compiled)))?))
}

/// A gateway of one selection, with the messages of its build, judged as one of another.
pub(super) fn mistaken(
    workspace: &Workspace,
    assembly: &Assembly,
    made: &Made,
    claimed: &Selection,
) -> Result<Seen> {
    let bytes = Bytes::read(&made.folder.join(GATEWAY_BIN))?;
    let subject = Subject { selection: claimed.clone(), role: Role::Gateway, target: None };
    let mut verifier = Verifier::new(workspace, assembly, true)?;
    Ok(Seen::of(&verifier.judge(&subject, &bytes, Some(units_of(&made.compiled)))?))
}

/// The line that builds a gateway, for what is said of it.
pub(super) fn line(selection: &Selection) -> String {
    CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, selection.features(), &cargo_args()).shell()
}
