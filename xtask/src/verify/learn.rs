//! `learn`: builds the gateway with every driver and option, the barest one, every program and every guest; notes which
//! crates and declared texts a scan finds in them, and which texts only files with a crate have. What is not found there,
//! could not be missed elsewhere.

mod sources;
mod texts;

use std::collections::BTreeMap;
use std::process::ExitCode;

use driver_manifest::{Assembly, Request, Selection};
use driver_verify::{CrateId, Fingerprint, How};
use sources::Sources;
pub(super) use sources::read as read_sources;
use texts::Twin;

use super::graphs::Graphs;
use super::learned::{LEARNED, Learned};
use super::question::Inquirer;
use super::{Bytes, Role, Subject};
use crate::build::{self, CargoArgs, CargoLine, run_cargo};
use crate::error::Result;
use crate::selection;
use crate::workspace::{GATEWAY_BIN, GATEWAY_PACKAGE, Workspace};

/// Learn from builds of everything which crates and texts a scan finds where they are
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    cargo: CargoArgs,
}

/// What the builds have shown.
pub(super) struct Lesson {
    pub(super) learned: Learned,
    /// How many crates were asked for.
    asked: usize,
    /// Declared texts that are in no file that has their driver or option: the text, and whose it is.
    absent: Vec<(String, String)>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result {
    let workspace = &Workspace::find()?;
    let Lesson { learned, asked, absent } = lesson(workspace, &workspace.assembly()?, &args.cargo)?;
    for (text, of) in absent {
        eprintln!("warning: evidence of `{of}` that is in no file that has it: `{text}`");
    }
    learned.write(workspace)?;
    let (crates, declared) = (learned.crates.len(), learned.texts.len());
    println!(
        "{LEARNED}: {crates} crates and {declared} declared texts are found where they are, of {asked} crates asked for; \
         {} texts of {} crates are nobody else's",
        learned.of_crates.values().map(Vec::len).sum::<usize>(),
        learned.of_crates.len(),
    );
    Ok(ExitCode::SUCCESS)
}

/// Builds everything and looks.
pub(super) fn lesson(workspace: &Workspace, assembly: &Assembly, cargo: &CargoArgs) -> Result<Lesson> {
    let mut inquirer = Inquirer::new(workspace, assembly, Graphs::load(workspace, cargo.offline)?)?;
    let mut learned = Learned::default();
    let mut declared = BTreeMap::new();
    let (mut sources, mut twins, mut asked) = (Sources::default(), Vec::new(), 0);
    let _turn = build::turn(workspace.root());
    for (subject, line) in files(assembly, cargo)? {
        let compiled = run_cargo(workspace, &line)?;
        let bytes = Bytes::read(&compiled.executable)?.bytes;
        let (question, graph) = inquirer.question(&subject)?;
        let targets = || std::iter::once(&question.core).chain(&question.expected);
        let crates: Vec<CrateId> = targets().flat_map(|target| target.crates.clone()).collect();
        let seen = driver_verify::seen(&crates, &bytes);
        asked += crates.len();
        let seen = crates.into_iter().zip(seen).filter(|(_, seen)| *seen).map(|(id, _)| id.name);
        learned.crates.extend(seen);
        let texts = targets().flat_map(|target| target.fingerprints.clone());
        let texts: Vec<Fingerprint> = texts.filter(|text| text.how == How::Declared).collect();
        let found = driver_verify::learn(&texts, &[&bytes], &[]);
        learned.texts.extend(found.kept.into_iter().map(|text| text.text));
        declared.extend(texts.into_iter().map(|text| (text.text, text.of)));
        for (package, unit) in &compiled.target {
            sources.add((package.name.clone(), package.version.clone()), &unit.manifest);
            learned.libs.extend(unit.lib.clone().map(|lib| (package.name.clone(), lib)));
        }
        twins.push(Twin { bytes, ids: graph.ids() });
    }
    let members = |name: &str| workspace.path("crates").join(name).is_dir();
    learned.of_crates = texts::learn(&sources, &twins, |name| members(name) || is_owned(assembly, name));
    let absent = declared.into_iter().filter(|(text, _)| !learned.texts.contains(text)).collect();
    Ok(Lesson { learned, asked, absent })
}

/// The files to learn from: the gateway with everything, every program, every guest, and as the twin that lacks most, the gateway with
/// those drivers alone that have no code of ours.
fn files(assembly: &Assembly, cargo: &CargoArgs) -> Result<Vec<(Subject, CargoLine)>> {
    let options: Vec<String> = assembly.options.iter().map(|option| option.name.clone()).collect();
    let request = Request { all: true, with_options: options.clone(), ..Request::default() };
    let everything = selection::select(assembly, &request)?;
    let bare = assembly.drivers.iter().filter(|driver| driver.package().is_none());
    let bare: Vec<String> = bare.map(|driver| driver.name.clone()).collect();
    let mut gateways = vec![everything.clone()];
    if !bare.is_empty() {
        let request = Request { drivers: bare, without_options: options, ..Request::default() };
        gateways.push(selection::select(assembly, &request)?);
    }
    let subject = |selection: &Selection, role| Subject {
        selection: selection.clone(),
        role,
        target: cargo.target.clone(),
    };
    let gateways = gateways.iter().map(|selection| {
        let line = CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, selection.features(), cargo);
        (subject(selection, Role::Gateway), line)
    });
    let programs = assembly.drivers.iter().filter_map(|driver| Some((&driver.name, driver.program()?)));
    let programs = programs.map(|(name, program)| {
        let line = build::program_line(&everything, name, &program, cargo);
        (subject(&everything, Role::Program(name.clone())), line)
    });
    // A guest's own texts are what shows that a text could be seen in it.
    let guests = build::guest_lines(&assembly.guests(), cargo).into_iter();
    let guests = guests.map(|line| (Subject::guest(line.package(), cargo.target.clone()), line));
    Ok(gateways.chain(programs).chain(guests).collect())
}

/// Whether a driver or an option owns the crate.
fn is_owned(assembly: &Assembly, name: &str) -> bool {
    let drivers = assembly.drivers.iter().flat_map(|driver| &driver.owns);
    drivers.chain(assembly.options.iter().flat_map(|option| &option.owns)).any(|owned| owned == name)
}
