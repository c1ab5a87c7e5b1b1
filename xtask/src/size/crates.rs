//! The crates of a selection, by `cargo tree` with the very arguments of its build, and the bytes that a build left.

use std::collections::BTreeSet;

use driver_manifest::{Assembly, Selection};

use crate::build::{CargoArgs, CargoLine, Job, Record};
use crate::error::Result;
use crate::verify::{Edges, Graph, Graphs, Id, Query};
use crate::workspace::{GATEWAY_BIN, GATEWAY_PACKAGE, Workspace};

/// Counts crates. What is asked for together is asked for first, so that what cargo says is kept once.
pub(crate) struct Crates<'a> {
    assembly: &'a Assembly,
    graphs: Graphs,
    target: Option<String>,
}

impl<'a> Crates<'a> {
    /// For the host's target.
    pub(crate) fn load(workspace: &'a Workspace, assembly: &'a Assembly) -> Result<Self> {
        Self::of_target(workspace, assembly, None, false)
    }

    /// For a target; cargo is asked without the network where that is wished.
    pub(super) fn of_target(
        workspace: &'a Workspace,
        assembly: &'a Assembly,
        target: Option<String>,
        offline: bool,
    ) -> Result<Self> {
        Ok(Self { assembly, graphs: Graphs::load(workspace, offline)?, target })
    }

    /// Asks cargo for all that selections ship.
    pub(super) fn ask<'s>(
        &mut self,
        selections: impl IntoIterator<Item = &'s Selection>,
        edges: Edges,
    ) -> Result<()> {
        let queries: Vec<Query> =
            selections.into_iter().flat_map(|selection| self.queries(selection, edges)).collect();
        self.graphs.fetch(&queries)
    }

    /// Everything that a selection's files count, the programs of its process drivers among them.
    pub(super) fn of(&mut self, selection: &Selection) -> Result<BTreeSet<Id>> {
        self.ask([selection], Edges::Counted)?;
        let mut found = BTreeSet::new();
        for query in self.queries(selection, Edges::Counted) {
            found.extend(self.graphs.get(&query)?.ids());
        }
        Ok(found)
    }

    /// What its gateway alone counts: `cargo tree -e normal --prefix none --no-dedupe | sort -u | wc -l`.
    pub(crate) fn of_gateway(&mut self, selection: &Selection) -> Result<u64> {
        Ok(self.graph(&self.line(selection), Edges::Counted)?.ids().len() as u64)
    }

    /// The shortest way by which one of a selection's files comes to a crate: `a → b → c`.
    pub(super) fn way_to(&mut self, selection: &Selection, id: &Id, edges: Edges) -> Result<Option<String>> {
        for line in self.lines(selection) {
            if let Some(path) = self.graph(&line, edges)?.path_to(id) {
                let names: Vec<&str> = path.into_iter().map(|(name, _)| name.as_str()).collect();
                return Ok(Some(names.join(" → ")));
            }
        }
        Ok(None)
    }

    /// The graph of a shipped file.
    pub(super) fn graph(&mut self, line: &CargoLine, edges: Edges) -> Result<&Graph> {
        let query = line.query(line.target(), edges);
        self.graphs.fetch([&query])?;
        self.graphs.get(&query)
    }

    /// What there is without any driver and any option. That does not compile, but it resolves.
    pub(super) fn core(&mut self) -> Result<BTreeSet<Id>> {
        self.with_features(Vec::new())
    }

    /// What there is without any driver and with one option.
    pub(super) fn with_option(&mut self, option: &str) -> Result<BTreeSet<Id>> {
        self.with_features(vec![option.to_owned()])
    }

    fn with_features(&mut self, features: Vec<String>) -> Result<BTreeSet<Id>> {
        let line = CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, features, &self.cargo());
        Ok(self.graph(&line, Edges::Counted)?.ids())
    }

    /// The calls of cargo that build a selection.
    pub(super) fn lines(&self, selection: &Selection) -> Vec<CargoLine> {
        Job::gateway(self.assembly, selection.clone(), &self.cargo()).files().to_vec()
    }

    /// The call that builds its gateway.
    fn line(&self, selection: &Selection) -> CargoLine {
        CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, selection.features(), &self.cargo())
    }

    fn queries(&self, selection: &Selection, edges: Edges) -> Vec<Query> {
        self.lines(selection).iter().map(|line| line.query(line.target(), edges)).collect()
    }

    /// A graph does not depend on the profile.
    fn cargo(&self) -> CargoArgs {
        CargoArgs { profile: "release".to_owned(), target: self.target.clone(), locked: true, offline: false }
    }
}

/// What `build` left for a selection in a profile: the bytes of its gateway, and of all its files together.
pub(super) fn built(
    workspace: &Workspace,
    selection: &Selection,
    profile: &str,
    triple: &str,
) -> Option<(u64, u64)> {
    let folder = workspace.target_dir().join("gateways").join(selection.slug()).join(profile).join(triple);
    let record = Record::read(&folder)?;
    Some((record.files.first()?.size, record.files.iter().map(|file| file.size).sum()))
}

/// A crate for people: `bollard 0.21.0`.
pub(super) fn shown((name, version): &Id) -> String {
    format!("{name} {version}")
}
