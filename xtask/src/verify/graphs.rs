//! Graphs of one workspace, each asked for once: by this run, or by an earlier one that kept it.

use std::collections::BTreeMap;

use super::cache::Cache;
use super::graph::{Graph, Query};
use crate::error::{Error, Result};
use crate::workspace::Workspace;

/// The file of the target directory that keeps what `size` and `affected` ask. Builds have one of their own, so that they
/// read no more than they need.
pub(crate) const KEPT: &str = "graphs.json";

/// What cargo has resolved, by what it was asked.
pub(crate) struct Graphs<'a> {
    workspace: &'a Workspace,
    graphs: BTreeMap<Query, Graph>,
    cache: Cache,
    offline: bool,
}

impl<'a> Graphs<'a> {
    /// Takes what was kept in a file of the target directory, where it still holds; cargo is asked without the network
    /// where that is wished.
    pub(crate) fn load(workspace: &'a Workspace, file: &str, offline: bool) -> Result<Self> {
        let cache = Cache::load(workspace, file)?;
        Ok(Self { workspace, graphs: cache.graphs(), cache, offline })
    }

    /// Asks for those that are not known, and keeps them.
    pub(crate) fn ask<'q>(&mut self, queries: impl IntoIterator<Item = &'q Query>) -> Result<()> {
        let before = self.graphs.len();
        // One after the other: cargo lets only one of several calls resolve at a time.
        for query in queries {
            if !self.graphs.contains_key(query) {
                self.graphs.insert(query.clone(), query.run(self.workspace, self.offline)?);
            }
        }
        if self.graphs.len() > before {
            self.cache.keep(self.workspace, &self.graphs)?;
        }
        Ok(())
    }

    /// One that was asked for.
    pub(crate) fn get(&self, query: &Query) -> Result<&Graph> {
        self.graphs.get(query).ok_or_else(|| Error::output("cargo tree", "an answer is missing"))
    }
}
