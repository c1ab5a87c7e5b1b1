//! The ways by which a planted file is judged: each is one of those by which a user's is.

use std::path::Path;

use driver_manifest::{Assembly, Selection};

use super::fixture::{Fixture, cargo_args};
use super::profile::Profile;
use super::seen::{Eye, Seen};
use crate::build::{CargoLine, Job, Made, Record, read_messages};
use crate::error::{Error, Result};
use crate::verify::{Bytes, Subject, Verifier, units_of};
use crate::workspace::{GATEWAY_BIN, GATEWAY_PACKAGE, Workspace};

/// A build and what `verify-compiled-out --drivers …` says of it.
pub(super) fn build(fixture: &Fixture, drivers: &[&str]) -> Result<Seen> {
    let selection = fixture.selection(drivers, &[])?;
    let (workspace, made) = fixture.build(&selection, &Profile::RELEASE)?;
    folder(&workspace, &fixture.assembly, &made)
}

/// A driver's program and what is said of it.
pub(super) fn program(fixture: &Fixture, driver: &str) -> Result<Seen> {
    let workspace = fixture.workspace(&Profile::RELEASE)?;
    let selection = fixture.selection(&[driver], &[])?;
    let made = Job::program(&fixture.assembly, selection, &cargo_args())?.run(&workspace, None)?;
    folder(&workspace, &fixture.assembly, &made)
}

/// What is said of a folder that a build left.
pub(super) fn folder(workspace: &Workspace, assembly: &Assembly, made: &Made) -> Result<Seen> {
    let record = Record::read(&made.folder)
        .ok_or_else(|| Error::output("build", "it left no build.json that can be read"))?;
    let verified = Verifier::new(workspace, assembly, true)?.folder(&record, &made.folder, Path::new(""))?;
    let verdict = verified.first().and_then(|one| one.verdict.as_ref());
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
    let subject = Subject { selection, program: None, target: target.map(ToOwned::to_owned) };
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
    let subject = Subject { selection, program: None, target: None };
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
    let subject = Subject { selection: claimed.clone(), program: None, target: None };
    let mut verifier = Verifier::new(workspace, assembly, true)?;
    Ok(Seen::of(&verifier.judge(&subject, &bytes, Some(units_of(&made.compiled)))?))
}

/// The line that builds a gateway, for what is said of it.
pub(super) fn line(selection: &Selection) -> String {
    CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, selection.features(), &cargo_args()).shell()
}
