//! `learn`: builds the gateway with every driver and option, and every program, and notes which crates and declared
//! texts a scan finds in them. What it does not find there, it could not miss elsewhere.

use std::collections::BTreeMap;
use std::process::ExitCode;

use driver_manifest::Request;
use driver_verify::{CrateId, Fingerprint};

use super::graphs::Graphs;
use super::learned::{LEARNED, Learned};
use super::question::Inquirer;
use super::{Bytes, Subject};
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

/// Runs it.
pub(crate) fn run(args: &Args) -> Result {
    let workspace = &Workspace::find()?;
    let assembly = &workspace.assembly()?;
    let cargo = &args.cargo;
    let request = Request {
        all: true,
        with_options: assembly.options.iter().map(|option| option.name.clone()).collect(),
        ..Request::default()
    };
    let selection = selection::select(assembly, &request)?;
    let programs = assembly.drivers.iter().filter_map(|driver| Some((&driver.name, driver.program()?)));
    let programs = programs
        .map(|(name, program)| (Some(name.clone()), build::program_line(&selection, name, &program, cargo)));
    let gateway = CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, selection.features(), cargo);
    let graphs = Graphs::load(workspace, cargo.offline)?;
    let mut inquirer = Inquirer::new(workspace, assembly, graphs)?;
    let mut learned = Learned::default();
    let mut asked = 0;
    let mut declared = BTreeMap::new();
    let _turn = build::turn(workspace.root());
    for (program, line) in std::iter::once((None, gateway)).chain(programs) {
        let compiled = run_cargo(workspace, &line)?;
        let bytes = Bytes::read(&compiled.executable)?.bytes;
        let subject = Subject { selection: selection.clone(), program, target: cargo.target.clone() };
        let (question, _) = inquirer.question(&subject)?;
        let targets = || std::iter::once(&question.core).chain(&question.expected);
        let crates: Vec<CrateId> = targets().flat_map(|target| target.crates.clone()).collect();
        let seen = driver_verify::seen(&crates, &bytes);
        asked += crates.len();
        let seen = crates.into_iter().zip(seen).filter(|(_, seen)| *seen).map(|(id, _)| id.name);
        learned.crates.extend(seen);
        let texts: Vec<Fingerprint> = targets().flat_map(|target| target.fingerprints.clone()).collect();
        let found = driver_verify::learn(&texts, &[&bytes], &[]);
        learned.texts.extend(found.kept.into_iter().map(|text| text.text));
        declared.extend(texts.into_iter().map(|text| (text.text, text.of)));
    }
    for (text, of) in declared.iter().filter(|(text, _)| !learned.texts.contains(*text)) {
        eprintln!("warning: evidence of `{of}` that is in no file that has it: `{text}`");
    }
    learned.write(workspace)?;
    let (crates, texts) = (learned.crates.len(), learned.texts.len());
    println!(
        "{LEARNED}: {crates} crates and {texts} texts are found where they are, of {asked} crates asked for"
    );
    Ok(ExitCode::SUCCESS)
}
