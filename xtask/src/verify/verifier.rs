//! Judges files: the evidence of a build's record and of the graph, the bytes of the file, and the statement that is left
//! beside it. A file that was judged clean by this very question is not judged again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use driver_manifest::{Assembly, Request, Selection};
use driver_verify::{Answer, CompiledUnit, Evidence, Question, SelfReport, Tool, Verdict};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::cache::resolved_from;
use super::graphs::Graphs;
use super::learned::LEARNED;
use super::question::{Inquirer, Subject};
use super::{graph, time};
use crate::build::{Compiled, FileRecord, Record, hex};
use crate::error::{Error, Result};
use crate::selection;
use crate::workspace::{MANIFEST, Workspace};

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
    pub(crate) fn new(workspace: &Workspace, assembly: &'a Assembly, offline: bool) -> Result<Self> {
        Self::with(workspace, assembly, Graphs::load(workspace, offline)?)
    }

    /// The same, with graphs that are at hand.
    pub(crate) fn with(workspace: &Workspace, assembly: &'a Assembly, graphs: Graphs) -> Result<Self> {
        let inquirer = Inquirer::new(workspace, assembly, graphs)?;
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
            let named = (file.package.as_str(), file.bin.as_str());
            let subject = Subject::of(self.assembly, &selection, named, &record.triple)?;
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
            is_cargos_own(file, &bytes).map_err(|why| {
                Error::uncertain(format!("`{}` {why}", path.display()), "cargo xtask build")
            })?;
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
        let evidence = Evidence { file: &bytes.bytes, graph: None, messages: None, run };
        self.explained(subject, &question, &evidence)
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
        let evidence = Evidence { file: &bytes.bytes, graph, messages: units, run: None };
        self.explained(subject, &question, &evidence)
    }

    /// The judgement; the graphs that explain a leak are asked for only when there is one.
    fn explained(
        &mut self,
        subject: &Subject,
        question: &Question,
        evidence: &Evidence<'_>,
    ) -> Result<Verdict> {
        let mut verdict = driver_verify::judge(question, evidence);
        if verdict.leaks().next().is_some() {
            let graphs = self.inquirer.full(subject)?.map(graph::Graph::evidence);
            driver_verify::explain(&mut verdict, question, &graphs);
        }
        Ok(verdict)
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

/// Whether the shipped copy is what cargo made, but for the section `.dep-v0`, whose list is the one of the record.
fn is_cargos_own(file: &FileRecord, shipped: &Bytes) -> std::result::Result<(), String> {
    if file.sha256 == file.artifact.sha256 {
        return Ok(());
    }
    let size = usize::try_from(file.artifact.size).unwrap_or(usize::MAX);
    let original = driver_verify::detach(&shipped.bytes, size);
    if original.is_none_or(|original| hex(&Sha256::digest(&original)) != file.artifact.sha256) {
        return Err("is not what cargo made with the section `.dep-v0` appended".to_owned());
    }
    let image = driver_verify::Image::read(&shipped.bytes).map_err(|why| format!("is unreadable: {why}"))?;
    let listed = image.audit().and_then(std::result::Result::ok).unwrap_or_default();
    let listed: BTreeSet<(&str, &str)> =
        listed.iter().map(|package| (package.name.as_str(), package.version.as_str())).collect();
    let compiled = file.crates.iter().map(|one| (one.name.as_str(), one.version.as_str()));
    if listed == compiled.collect() {
        return Ok(());
    }
    Err("lists other packages in its section `.dep-v0` than build.json says were compiled".to_owned())
}

/// What a build's record says that was compiled.
fn units(file: &FileRecord) -> Vec<CompiledUnit> {
    let sides = [(&file.crates, false), (&file.host_crates, true)];
    let compiled = sides.into_iter().flat_map(|(crates, host)| crates.iter().map(move |one| (one, host)));
    compiled
        .map(|(one, host)| CompiledUnit {
            name: one.name.clone(),
            version: one.version.clone(),
            features: one.features.clone(),
            host,
            target_kind: one.kinds.join(", "),
        })
        .collect()
}

/// What cargo said that it compiled, or found compiled.
pub(crate) fn units_of(compiled: &Compiled) -> Vec<CompiledUnit> {
    let sides = [(&compiled.target, false), (&compiled.host, true)];
    let compiled = sides.into_iter().flat_map(|(crates, host)| crates.iter().map(move |one| (one, host)));
    compiled
        .map(|((package, unit), host)| CompiledUnit {
            name: package.name.clone(),
            version: package.version.clone(),
            features: unit.features.iter().cloned().collect(),
            host,
            target_kind: unit.kinds.iter().cloned().collect::<Vec<_>>().join(", "),
        })
        .collect()
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use driver_verify::{attach, audit_section};
    use serde_json::json;

    use super::*;

    /// This very program stands in for a gateway.
    #[test]
    fn a_copy_is_cargos_file_and_the_list_of_its_record() {
        let original = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let list = |names: &[&str]| {
            let packages = names.iter().map(|name| json!({ "name": name, "version": "1.0.0" }));
            let packages: Vec<_> = packages.map(|package| serde_json::from_value(package).unwrap()).collect();
            audit_section(&packages)
        };
        let hash = |bytes: &[u8]| hex(&Sha256::digest(bytes));
        let judged = |bytes: &[u8]| {
            let record = json!({
                "file": "f", "package": "p", "bin": "b", "features": [], "cargo_line": "", "audit_section": "written",
                "sbom": "", "sha256": hash(bytes), "size": bytes.len(), "host_crates": [],
                "artifact": { "path": "", "sha256": hash(&original), "size": original.len() },
                "crates": [{ "name": "a", "version": "1.0.0", "features": [], "kinds": ["lib"] }],
            });
            let record = serde_json::from_value(record).unwrap();
            is_cargos_own(&record, &Bytes { bytes: bytes.to_vec(), sha256: hash(bytes) })
        };
        let shipped = attach(&original, &list(&["a"])).unwrap();
        assert_eq!(judged(&shipped), Ok(()));
        assert_eq!(judged(&original), Ok(()), "nothing was appended to it");
        let more = attach(&original, &list(&["a", "b"])).unwrap();
        assert!(judged(&more).unwrap_err().starts_with("lists other packages"));
        let mut changed = shipped;
        let middle = original.len() / 2;
        changed[middle] ^= 1;
        assert!(judged(&changed).unwrap_err().starts_with("is not what cargo made"));
    }
}
