//! Judges files: the evidence of a build's record and of the graph, the bytes of the file, and the statement that is left
//! beside it. A file that was judged clean by this very question is not judged again.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use driver_manifest::{Assembly, Request, Selection};
use driver_verify::{Answer, CompiledUnit, Evidence, SelfReport, Tool, Verdict};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::cache::resolved_from;
use super::learned::LEARNED;
use super::question::{Inquirer, Subject};
use super::{graph, time};
use crate::build::{Compiled, FileRecord, Record, hex};
use crate::error::{Error, Result};
use crate::selection;
use crate::workspace::{GATEWAY_PACKAGE, MANIFEST, Workspace};

/// The statement of the file that a folder is about.
pub(super) const STATEMENT: &str = "verify.json";
/// So much of a file is looked at before the rest is read.
const HEAD: usize = 4096;

/// Judges files of one workspace.
pub(crate) struct Verifier<'a> {
    assembly: &'a Assembly,
    inquirer: Inquirer<'a>,
    inputs: Inputs,
}

/// What a question is made from, as one hash.
struct Inputs(String);

/// A file that was judged.
pub(crate) struct Verified {
    /// Its name.
    pub(crate) file: String,
    /// What was found.
    pub(crate) answer: Answer,
    /// The verdict, unless an earlier one holds.
    pub(crate) verdict: Option<Verdict>,
    /// The name and the text of the statement.
    pub(crate) statement: (String, String),
}

/// The file as it lies there.
pub(crate) struct Bytes {
    pub(crate) bytes: Vec<u8>,
    pub(crate) sha256: String,
}

impl Bytes {
    /// Reads a file that may be one of ours. What cannot be is told before it is read whole.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let cannot = |source| Error::file("read", path)(source);
        let meta = std::fs::metadata(path).map_err(cannot)?;
        if !meta.is_file() {
            return Err(Error::uncertain(format!("`{}` is not a file", path.display()), ""));
        }
        let mut file = File::open(path).map_err(cannot)?;
        let mut bytes = Vec::new();
        (&mut file).take(HEAD as u64).read_to_end(&mut bytes).map_err(cannot)?;
        if let Err(unreadable) = driver_verify::sniff(&bytes, meta.len()) {
            let message = format!("`{}` cannot be certified: {unreadable}", path.display());
            return Err(Error::uncertain(message, unreadable.hint().unwrap_or_default()));
        }
        // The limit holds for a file that grows while it is read, too.
        file.take(driver_verify::FILE_LIMIT).read_to_end(&mut bytes).map_err(cannot)?;
        let sha256 = hex(&Sha256::digest(&bytes));
        Ok(Self { bytes, sha256 })
    }
}

impl<'a> Verifier<'a> {
    /// For the drivers of a workspace; cargo is asked without the network where that is wished.
    pub(crate) fn new(workspace: &'a Workspace, assembly: &'a Assembly, offline: bool) -> Result<Self> {
        let inquirer = Inquirer::new(workspace, assembly, offline)?;
        Ok(Self { assembly, inquirer, inputs: Inputs::of(workspace)? })
    }

    /// Judges every file of a build that lies in `folder`. `before` is the folder of an earlier build, whose statements
    /// are taken where they hold.
    pub(crate) fn folder(&mut self, record: &Record, folder: &Path, before: &Path) -> Result<Vec<Verified>> {
        let selection = selection_of(self.assembly, record)?;
        let mut verified = Vec::new();
        for (place, file) in record.files.iter().enumerate() {
            let name = match place {
                0 => STATEMENT.to_owned(),
                _ => format!("{}.{STATEMENT}", file.bin),
            };
            let subject = self.subject(&selection, file, &record.triple)?;
            let units = units(file);
            let asked = self.inputs.with(&(subject.name(), &subject.target, &file.features, &units));
            let earlier = std::fs::read_to_string(before.join(&name)).ok();
            if let Some(text) = earlier.filter(|text| holds(text, &file.sha256, &asked)) {
                let statement = (name, text);
                let answer = Answer::Clean;
                verified.push(Verified { file: file.file.clone(), answer, verdict: None, statement });
                continue;
            }
            let path = folder.join(&file.file);
            let bytes = Bytes::read(&path)?;
            if bytes.sha256 != file.sha256 {
                let message = format!("`{}` is not the file that its build.json tells of", path.display());
                return Err(Error::uncertain(message, "cargo xtask build"));
            }
            let verdict = self.judge(&subject, &bytes, Some(units))?;
            let answer = verdict.answer();
            let statement = (name, statement(&verdict, &file.file, &bytes, &asked));
            verified.push(Verified { file: file.file.clone(), answer, verdict: Some(verdict), statement });
        }
        Ok(verified)
    }

    /// Judges a file by what is in it alone.
    pub(super) fn file(
        &mut self,
        subject: &Subject,
        bytes: &Bytes,
        run: Option<SelfReport>,
    ) -> Result<Verdict> {
        let (question, _) = self.inquirer.question(subject)?;
        Ok(driver_verify::judge(
            &question,
            &Evidence { file: &bytes.bytes, graph: None, messages: None, run },
        ))
    }

    /// Judges a file with what its build said.
    pub(crate) fn judge(
        &mut self,
        subject: &Subject,
        bytes: &Bytes,
        units: Option<Vec<CompiledUnit>>,
    ) -> Result<Verdict> {
        let (question, graph) = self.inquirer.question(subject)?;
        let graph = Some(graph.evidence());
        Ok(driver_verify::judge(
            &question,
            &Evidence { file: &bytes.bytes, graph, messages: units, run: None },
        ))
    }

    /// What a file of a build was meant to be.
    fn subject(&self, selection: &Selection, file: &FileRecord, triple: &str) -> Result<Subject> {
        let mut drivers = self.assembly.drivers.iter();
        let program = match file.package == GATEWAY_PACKAGE {
            true => None,
            false => {
                let owner = drivers.find(|driver| driver.program().as_ref() == Some(&file.bin));
                let owner = owner.map(|driver| driver.name.clone());
                Some(owner.ok_or_else(|| {
                    let message = format!("`{}` is no program of a driver of {MANIFEST}", file.bin);
                    Error::uncertain(message, "cargo xtask build")
                })?)
            }
        };
        Ok(Subject { selection: selection.clone(), program, target: Some(triple.to_owned()) })
    }
}

impl graph::Graph {
    /// For the judge.
    fn evidence(&self) -> driver_verify::Graph {
        let packages = self.packages.iter().map(|package| driver_verify::Package {
            name: package.id.0.clone(),
            version: package.id.1.clone(),
            dependencies: package.dependencies.iter().copied().collect(),
        });
        driver_verify::Graph { root: 0, packages: packages.collect() }
    }
}

/// The selection of a build's record.
fn selection_of(assembly: &Assembly, record: &Record) -> Result<Selection> {
    let named = |on: bool| {
        let options = record.options.iter().filter(move |(_, state)| **state == on);
        options.map(|(name, _)| name.clone()).collect()
    };
    let request = Request {
        drivers: record.drivers.clone(),
        with_options: named(true),
        without_options: named(false),
        ..Request::default()
    };
    selection::select(assembly, &request)
}

/// What a build's record says that was compiled.
fn units(file: &FileRecord) -> Vec<CompiledUnit> {
    let sides = [(&file.crates, false), (&file.host_crates, true)];
    let compiled = sides.into_iter().flat_map(|(crates, host)| crates.iter().map(move |one| (one, host)));
    compiled.map(|(one, host)| unit(&one.name, &one.version, &one.features, host)).collect()
}

/// What cargo said that it compiled, or found compiled.
pub(crate) fn units_of(compiled: &Compiled) -> Vec<CompiledUnit> {
    let sides = [(&compiled.target, false), (&compiled.host, true)];
    let compiled = sides.into_iter().flat_map(|(crates, host)| crates.iter().map(move |one| (one, host)));
    compiled
        .map(|((package, features), host)| unit(&package.name, &package.version, features, host))
        .collect()
}

fn unit<'a>(
    name: &str,
    version: &str,
    features: impl IntoIterator<Item = &'a String>,
    host: bool,
) -> CompiledUnit {
    CompiledUnit {
        name: name.to_owned(),
        version: version.to_owned(),
        features: features.into_iter().cloned().collect(),
        host,
        target_kind: "lib".to_owned(),
    }
}

fn holds(text: &str, sha256: &str, asked: &str) -> bool {
    driver_verify::read_statement(text).is_ok_and(|attested| {
        attested.is_of(sha256).is_ok()
            && attested.question_sha256 == asked
            && attested.answer == Answer::Clean
    })
}

fn statement(verdict: &Verdict, name: &str, bytes: &Bytes, asked: &str) -> String {
    let size = bytes.bytes.len() as u64;
    let subject = driver_verify::Subject { name, sha256: &bytes.sha256, size };
    let tool = Tool { version: env!("CARGO_PKG_VERSION"), time: &time::now(), question_sha256: asked };
    format!("{:#}\n", driver_verify::statement(verdict, &subject, &tool))
}

impl Inputs {
    /// What cargo resolves from, the manifest, what was learned, and this program itself.
    fn of(workspace: &Workspace) -> Result<Self> {
        let mut hasher = Sha256::new().chain_update(resolved_from(workspace)?);
        for path in [MANIFEST, LEARNED] {
            // A file that is not there is an input as well.
            let bytes = std::fs::read(workspace.path(path)).unwrap_or_default();
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        let program = std::env::current_exe().and_then(std::fs::metadata);
        let changed = program.and_then(|meta| Ok((meta.len(), meta.modified()?)));
        hasher.update(format!("{:?}", changed.ok()));
        Ok(Self(hex(&hasher.finalize())))
    }

    /// The hash of these and of what is particular to one file.
    fn with(&self, particular: &impl Serialize) -> String {
        let particular = serde_json::to_vec(particular).unwrap_or_default();
        hex(&Sha256::new().chain_update(&self.0).chain_update(particular).finalize())
    }
}
