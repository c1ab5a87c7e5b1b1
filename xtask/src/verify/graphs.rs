//! The graphs that are asked for: kept from before, else from cargo. While cargo compiles they can be had ahead of time, so
//! that a verification right after a build finds them there.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::thread::JoinHandle;

use super::cache::Cache;
use super::graph::{Graph, Query};
use crate::error::{Error, Result};
use crate::workspace::Workspace;

/// Graphs of one workspace; each is asked for once, by this run or by an earlier one that kept it.
pub(crate) struct Graphs {
    workspace: Workspace,
    cache: Cache,
    graphs: BTreeMap<Query, Graph>,
    offline: bool,
}

/// Graphs that are being asked for.
pub(crate) struct Ahead(JoinHandle<Result<Graphs>>);

impl Graphs {
    /// Those that were kept; cargo is asked without the network where that is wished.
    pub(crate) fn load(workspace: &Workspace, offline: bool) -> Result<Self> {
        let cache = Cache::load(workspace)?;
        Ok(Self { workspace: workspace.clone(), graphs: cache.graphs(), cache, offline })
    }

    /// Begins to ask for these.
    pub(crate) fn ahead(workspace: &Workspace, offline: bool, queries: Vec<Query>) -> Ahead {
        let workspace = workspace.clone();
        Ahead(std::thread::spawn(move || {
            let mut graphs = Self::load(&workspace, offline)?;
            graphs.ask(&queries, Stdio::null)?;
            Ok(graphs)
        }))
    }

    /// Has all of these at hand from now on, and keeps those that are new.
    pub(crate) fn fetch<'q>(&mut self, queries: impl IntoIterator<Item = &'q Query>) -> Result<()> {
        self.ask(queries, Stdio::inherit)
    }

    fn ask<'q>(&mut self, queries: impl IntoIterator<Item = &'q Query>, says: fn() -> Stdio) -> Result<()> {
        // One after the other: cargo lets only one of several calls resolve at a time.
        let before = self.graphs.len();
        for query in queries {
            if !self.graphs.contains_key(query) {
                let graph = query.run(&self.workspace, self.offline, says())?;
                self.graphs.insert(query.clone(), graph);
            }
        }
        if self.graphs.len() > before {
            self.cache.keep(&self.workspace, &self.graphs)?;
        }
        Ok(())
    }

    /// One that was fetched.
    pub(crate) fn get(&self, query: &Query) -> Result<&Graph> {
        self.graphs.get(query).ok_or_else(|| Error::output("cargo tree", "an answer is missing"))
    }
}

impl Ahead {
    /// Waits for them. Where that failed, a lock that the build has brought up to date may have been the reason: what is
    /// needed is asked for again by whoever needs it, and then cargo says what is wrong.
    pub(crate) fn join(self, workspace: &Workspace, offline: bool) -> Result<Graphs> {
        match self.0.join() {
            Ok(Ok(graphs)) => Ok(graphs),
            _ => Graphs::load(workspace, offline),
        }
    }
}
