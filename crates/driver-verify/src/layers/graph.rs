//! The graph: which packages cargo resolves from the package that is built, and the shortest way to each.

use std::collections::VecDeque;

use super::{nothing_to_see, of_crates};
use crate::evidence::Graph;
use crate::question::{CrateId, Target};
use crate::verdict::{Expectation, Finding, Outcome};

/// Who brings a package: the first way to it, breadth first from the root.
#[derive(Debug, Default)]
pub(crate) struct Ways<'e> {
    graph: Option<&'e Graph>,
    /// For each package the one that it was reached from; the root's is itself.
    from: Vec<Option<usize>>,
}

impl<'e> Ways<'e> {
    pub(crate) fn new(graph: Option<&'e Graph>) -> Self {
        let Some(graph) = graph else { return Self::default() };
        let mut from = vec![None; graph.packages.len()];
        let mut queue = VecDeque::new();
        if let Some(root) = from.get_mut(graph.root) {
            *root = Some(graph.root);
            queue.push_back(graph.root);
        }
        while let Some(at) = queue.pop_front() {
            for &next in &graph.packages[at].dependencies {
                if let Some(slot @ None) = from.get_mut(next) {
                    *slot = Some(at);
                    queue.push_back(next);
                }
            }
        }
        Self { graph: Some(graph), from }
    }

    /// The packages that are reached and that are this crate.
    fn reached<'s>(&'s self, id: &'s CrateId) -> impl Iterator<Item = usize> + 's {
        let packages = self.graph.map_or(&[][..], |graph| &graph.packages).iter().zip(&self.from);
        let packages = packages
            .enumerate()
            .filter(|(_, (package, from))| from.is_some() && id.is(&package.name, &package.version));
        packages.map(|(index, _)| index)
    }

    /// The names on the way from the root to a package.
    fn way(&self, to: usize) -> Vec<String> {
        let Some(graph) = self.graph else { return Vec::new() };
        let (mut way, mut at) = (Vec::new(), to);
        loop {
            way.push(graph.packages[at].name.clone());
            match self.from[at] {
                Some(before) if before != at => at = before,
                _ => break,
            }
        }
        way.reverse();
        way
    }

    /// The way to the first package that is this crate; empty where the graph knows none.
    pub(crate) fn way_to(&self, id: &CrateId) -> Vec<String> {
        self.reached(id).next().map(|index| self.way(index)).unwrap_or_default()
    }
}

#[derive(Debug)]
pub(crate) struct GraphLayer<'s> {
    ways: &'s Ways<'s>,
    required: bool,
}

impl<'s> GraphLayer<'s> {
    pub(crate) fn new(ways: &'s Ways<'s>, required: bool) -> Self {
        Self { ways, required }
    }

    pub(crate) fn see(&self, target: &Target, expectation: Expectation) -> Outcome {
        let Some(graph) = self.ways.graph else {
            return nothing_to_see(self.required, "no graph is at hand");
        };
        if graph.root >= graph.packages.len() {
            return Outcome::Blind("the graph has no root".to_owned());
        }
        of_crates(target, expectation, |id| {
            let findings = self.ways.reached(id).map(|index| {
                let package = &graph.packages[index];
                let label = format!("{}@{}", package.name, package.version);
                Finding { path: self.ways.way(index), ..Finding::new(&label, &label) }
            });
            findings.collect()
        })
    }
}
