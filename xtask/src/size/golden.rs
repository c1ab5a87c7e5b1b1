//! `size golden`: the crates of the default selection, of each preset and of each driver alone, committed in
//! `generated/crates/`, so that a crate which comes in is a line of a diff and not a surprise.
//!
//! The lists are of one target, whichever machine asks. What only runs where it is built depends on that machine, and is
//! compared on a host of that target alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use driver_manifest::{Assembly, Request, Selection};

use super::crates::Crates;
use super::list::{Change, List, id_of};
use crate::error::{Error, Result};
use crate::selection::{self, Named};
use crate::table::out;
use crate::verify::Edges;
use crate::workspace::{Rustc, Workspace, joined};

/// The lists, from the root.
const FOLDER: &str = "generated/crates";
/// The target that the lists are of.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// The command that writes them.
const COMMAND: &str = "cargo xtask size golden --write";

/// Compare the crates of the presets and of each driver alone with the committed lists
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    /// Compare and say what differs; this is what happens without a flag, too
    #[arg(long, conflicts_with = "write")]
    check: bool,
    /// Write the lists
    #[arg(long)]
    write: bool,
}

/// Runs it.
pub(super) fn run(workspace: &Workspace, assembly: &Assembly, args: &Args) -> Result {
    let mut golden = Golden::load(workspace, assembly)?;
    if args.write { golden.write() } else { golden.check() }
}

/// The lists, as they are and as they should be.
pub(super) struct Golden<'a> {
    workspace: &'a Workspace,
    assembly: &'a Assembly,
    crates: Crates<'a>,
    /// Whether this machine is of the lists' target.
    at_home: bool,
}

impl<'a> Golden<'a> {
    pub(super) fn load(workspace: &'a Workspace, assembly: &'a Assembly) -> Result<Self> {
        let at_home = joined(Rustc::ask(workspace))?.host == TRIPLE;
        let crates = Crates::of_target(workspace, assembly, Some(TRIPLE.to_owned()), false)?;
        Ok(Self { workspace, assembly, crates, at_home })
    }

    /// The selections that have a list.
    fn selections(&self) -> Result<Vec<Named>> {
        let mut alone = Vec::new();
        for name in self.assembly.names() {
            let request = Request { drivers: vec![name.clone()], ..Request::default() };
            let selection = selection::select(self.assembly, &request)?;
            let selection = selection::without_options(self.assembly, &selection)?;
            alone.push((format!("{name} alone, no option"), selection));
        }
        selection::named(self.assembly, alone)
    }

    /// The list of a selection as cargo resolves it now.
    fn list(&mut self, selection: &Selection) -> Result<List> {
        let mut list = List::default();
        for line in self.crates.lines(selection) {
            let counted = self.crates.graph(&line, Edges::Counted)?.ids();
            let compiled = self.crates.graph(&line, Edges::Compiled)?.ids();
            list.add(line.bin(), &counted, &compiled);
        }
        Ok(list)
    }

    /// The texts that there should be, by path from the root.
    fn wanted(&mut self) -> Result<Vec<(Named, String, List)>> {
        let selections = self.selections()?;
        for edges in [Edges::Counted, Edges::Compiled] {
            self.crates.ask(selections.iter().map(|named| &named.selection), edges)?;
        }
        let mut wanted = Vec::new();
        for named in selections {
            let list = self.list(&named.selection)?;
            wanted.push((named.clone(), path(&named.selection), list));
        }
        Ok(wanted)
    }

    fn write(&mut self) -> Result {
        if !self.at_home {
            let message =
                format!("the lists are of `{TRIPLE}`, with what builds there; this is another machine");
            return Err(Error::refused(message, format!("{COMMAND}, on a host of that target")));
        }
        let wanted = self.wanted()?;
        let folder = self.workspace.path(FOLDER);
        std::fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        let mut written = 0;
        for (named, path, list) in &wanted {
            let (text, to) = (list.text(&head(named)), self.workspace.path(path));
            if std::fs::read_to_string(&to).is_ok_and(|there| there == text) {
                continue;
            }
            std::fs::write(&to, text).map_err(Error::file("write", &to))?;
            written += 1;
        }
        let orphans = self.orphans(&wanted)?;
        for orphan in &orphans {
            let path = self.workspace.path(orphan);
            std::fs::remove_file(&path).map_err(Error::file("remove", &path))?;
        }
        out(&format!("{} lists, {written} written, {} removed\n", wanted.len(), orphans.len()));
        Ok(ExitCode::SUCCESS)
    }

    fn check(&mut self) -> Result {
        let wanted = self.wanted()?;
        let mut faults = Vec::new();
        // A crate that comes into many selections is one line.
        let mut changes: BTreeMap<(String, bool), (String, BTreeSet<String>)> = BTreeMap::new();
        for (named, path, list) in &wanted {
            let Ok(text) = self.workspace.read(path) else {
                faults.push(format!("{path}: not there"));
                continue;
            };
            let old = match List::parse(&text) {
                Ok(old) => old,
                Err(line) => {
                    faults.push(format!("{path}: `{line}` is no crate"));
                    continue;
                }
            };
            let found = match self.at_home {
                true => old.changes(list),
                false => old.counted().changes(&list.counted()),
            };
            if found.is_empty() && self.at_home && text != list.text(&head(named)) {
                faults.push(format!("{path}: not as `{COMMAND}` writes it"));
            }
            for change in found {
                let key = (change.line.clone(), change.new);
                if !changes.contains_key(&key) {
                    let way = self.way(&named.selection, &change)?;
                    changes.insert(key.clone(), (way, BTreeSet::new()));
                }
                if let Some((_, slugs)) = changes.get_mut(&key) {
                    slugs.insert(named.selection.slug());
                }
            }
        }
        faults.extend(self.orphans(&wanted)?.into_iter().map(|path| format!("{path}: of no selection")));
        faults.extend(changes.into_iter().map(|((line, new), (way, slugs))| {
            let sign = if new { '+' } else { '-' };
            let slugs = slugs.into_iter().collect::<Vec<_>>().join(", ");
            let by = if way.is_empty() { way } else { format!("\n    by {way}") };
            format!("{sign} {line}\n    in {slugs}{by}")
        }));
        if faults.is_empty() {
            out(&format!("{} lists are what cargo resolves\n", wanted.len()));
            return Ok(ExitCode::SUCCESS);
        }
        for fault in &faults {
            out(&format!("{fault}\n"));
        }
        Err(Error::Unagreed {
            message: format!("the lists in `{FOLDER}` are not what cargo resolves"),
            hint: format!("`{COMMAND}` if that is meant, and commit it with what it comes from"),
        })
    }

    /// What is new in the gateway of a selection since its list was written, a line a crate; `None` when it has no list.
    pub(super) fn grown(&mut self, selection: &Selection) -> Result<Option<(String, Vec<String>)>> {
        let path = path(selection);
        let Some(old) = self.workspace.read(&path).ok().and_then(|text| List::parse(&text).ok()) else {
            return Ok(None);
        };
        let changes = old.counted().changes(&self.list(selection)?.counted());
        let mut grown = Vec::new();
        for change in changes.into_iter().filter(|change| change.new) {
            grown.push(format!("+ {} by {}", change.line, self.way(selection, &change)?));
        }
        Ok(Some((path, grown)))
    }

    /// The way by which a new crate comes in; empty for one that is gone.
    fn way(&mut self, selection: &Selection, change: &Change) -> Result<String> {
        let id = id_of(&change.line).filter(|_| change.new);
        let Some(id) = id else { return Ok(String::new()) };
        Ok(self.crates.way_to(selection, &id, Edges::Compiled)?.unwrap_or_default())
    }

    /// Lists of no selection.
    fn orphans(&self, wanted: &[(Named, String, List)]) -> Result<Vec<String>> {
        let folder = self.workspace.path(FOLDER);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect::<Vec<PathBuf>>(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::file("read", &folder)(error)),
        };
        let name = |path: &PathBuf| Some(format!("{FOLDER}/{}", path.file_name()?.to_str()?));
        let mut orphans: Vec<String> = entries.iter().filter_map(name).collect();
        orphans.retain(|path| !wanted.iter().any(|(_, known, _)| known == path));
        orphans.sort();
        Ok(orphans)
    }
}

fn path(selection: &Selection) -> String {
    format!("{FOLDER}/{}.txt", selection.slug())
}

fn head(named: &Named) -> Vec<String> {
    vec![
        format!("@generated by `{COMMAND}`. Do not edit."),
        format!("The crates of `{}` ({}) on {TRIPLE}.", named.selection.slug(), named.names.join("; ")),
        "What is marked (build) runs where it is built, is in no file and counts in no budget.".to_owned(),
    ]
}
