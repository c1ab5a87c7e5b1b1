//! Who depends on whom: the resolve graph with every feature on, and the two invariants that are about it. A crate that
//! a driver owns is reached through that driver's package alone; a driver sees no other driver, no runtime, no tonic.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use cargo_metadata::{DependencyKind, Metadata};
use driver_manifest::Assembly;

use super::Violation;
use crate::error::{Error, Result};
use crate::selection;
use crate::workspace::{GATEWAY_PACKAGE, MANIFEST, Workspace};

const OWNS: &str = "invariant 1, owned crates";
const SEES: &str = "invariant 3, who sees whom";

/// What no driver's crate may reach.
const HIDDEN_FROM_DRIVERS: [&str; 2] = ["openshell-runtime", "tonic"];

/// The graph: packages by name, since a rule names a crate and means each version of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Graph {
    /// Normal and build dependencies of each package.
    edges: BTreeMap<String, BTreeSet<String>>,
    /// The workspace's members and where their manifests are.
    members: BTreeMap<String, PathBuf>,
}

impl Graph {
    /// Asks cargo, for all platforms and with every feature.
    pub(super) fn load(workspace: &Workspace) -> Result<Self> {
        let args = ["metadata", "--format-version=1", "--all-features", "--locked"];
        let text = workspace.cargo_output(&args)?;
        let metadata: Metadata =
            serde_json::from_str(&text).map_err(|error| Error::output("cargo metadata", error))?;
        Ok(Self::new(&metadata))
    }

    fn new(metadata: &Metadata) -> Self {
        let names: BTreeMap<_, _> =
            metadata.packages.iter().map(|package| (&package.id, package.name.to_string())).collect();
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
            let Some(from) = names.get(&node.id) else { continue };
            let to = node
                .deps
                .iter()
                .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development));
            let to = to.filter_map(|dep| names.get(&dep.pkg).cloned());
            edges.entry(from.clone()).or_default().extend(to);
        }
        let members = metadata.workspace_packages().into_iter();
        let members =
            members.map(|member| (member.name.to_string(), member.manifest_path.clone().into())).collect();
        Self { edges, members }
    }

    /// The members' names and manifests.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &PathBuf)> {
        self.members.iter().map(|(name, path)| (name.as_str(), path))
    }

    /// A shortest path from one of `roots` to `target` that avoids `without`.
    fn path(&self, roots: &[&str], target: &str, without: &str) -> Option<Vec<String>> {
        let mut came_from: BTreeMap<&str, Option<&str>> = BTreeMap::new();
        let mut open: VecDeque<&str> = VecDeque::new();
        for root in roots.iter().filter(|root| **root != without) {
            came_from.insert(root, None);
            open.push_back(root);
        }
        while let Some(here) = open.pop_front() {
            if here == target {
                let mut path = vec![here.to_owned()];
                let mut at = here;
                while let Some(Some(before)) = came_from.get(at) {
                    path.insert(0, (*before).to_owned());
                    at = before;
                }
                return Some(path);
            }
            for next in self.edges.get(here).into_iter().flatten() {
                if next != without && !came_from.contains_key(next.as_str()) {
                    came_from.insert(next, Some(here));
                    open.push_back(next);
                }
            }
        }
        None
    }

    /// Invariant 1. A name that is in no graph at all would make the check void, so it is a fault too.
    pub(super) fn owned_crates(&self, workspace: &Workspace, assembly: &Assembly) -> Result<Vec<Violation>> {
        let manifest = workspace.read(MANIFEST)?;
        let line = |name: &str| line_of(&manifest, &format!("\"{name}\""));
        let mut found = Vec::new();
        let roots: Vec<&str> = self.members.keys().map(String::as_str).collect();
        for driver in &assembly.drivers {
            for owned in &driver.owns {
                if !self.edges.contains_key(owned) {
                    found.push(void(owned, line(owned)));
                } else if let Some(path) = self.path(&roots, owned, driver.package().unwrap_or_default()) {
                    found.push(Violation::new(
                        OWNS,
                        MANIFEST,
                        line(owned),
                        format!("`{owned}` is owned by driver `{}`, yet comes by another way: {}", driver.name, path.join(" → ")),
                        format!("remove that dependency, or take the crate out of `owns`; cargo tree --workspace --all-features -i {owned} shows every way"),
                    ));
                }
            }
        }
        for option in &assembly.options {
            for owned in &option.owns {
                if !self.edges.contains_key(owned) {
                    found.push(void(owned, line(owned)));
                    continue;
                }
                let selection =
                    selection::switched(assembly, &selection::everything(assembly)?, &option.name, false)?;
                let packages = super::features::resolved(workspace, &selection)?;
                if packages.keys().any(|(name, _)| name == owned) {
                    found.push(Violation::new(
                        OWNS,
                        MANIFEST,
                        line(owned),
                        format!("`{owned}` is owned by option `{}`, yet `{GATEWAY_PACKAGE}` has it without the option", option.name),
                        format!("cargo tree -p {GATEWAY_PACKAGE} --no-default-features --features {} -i {owned}", selection.features().join(",")),
                    ));
                }
            }
        }
        Ok(found)
    }

    /// Invariant 3.
    pub(super) fn forbidden_dependencies(&self, assembly: &Assembly) -> Vec<Violation> {
        let drivers: Vec<&str> = assembly.drivers.iter().filter_map(|driver| driver.package()).collect();
        let mut found = Vec::new();
        let mut check = |from: &str, to: &str| {
            let Some(manifest) = self.members.get(from) else { return };
            if let Some(path) = self.path(&[from], to, "") {
                let file = format!("crates/{from}/Cargo.toml");
                let text = std::fs::read_to_string(manifest).unwrap_or_default();
                let line = path.get(1).map_or(1, |first| line_of(&text, first));
                let message = format!("`{from}` sees `{to}`: {}", path.join(" → "));
                found.push(Violation::new(
                    SEES,
                    file,
                    line,
                    message,
                    format!("cargo tree -p {from} -i {to}"),
                ));
            }
        };
        for driver in &drivers {
            for other in drivers.iter().chain(&HIDDEN_FROM_DRIVERS).filter(|other| *other != driver) {
                check(driver, other);
            }
        }
        // What runs inside sandboxes holds no driver.
        for guest in &assembly.guests() {
            drivers.iter().for_each(|driver| check(guest, driver));
        }
        // The judge does not know the author.
        check("driver-verify", "driver-codegen");
        found
    }
}

fn void(owned: &str, line: usize) -> Violation {
    Violation::new(
        OWNS,
        MANIFEST,
        line,
        format!("`{owned}` is owned, but in no dependency graph of this workspace: nothing is checked by it"),
        "correct the crate's name or take it out of `owns`",
    )
}

/// The first line that holds the text, from 1.
pub(super) fn line_of(text: &str, wanted: &str) -> usize {
    text.lines().position(|line| line.contains(wanted)).map_or(1, |line| line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> Graph {
        let edges = edges
            .iter()
            .map(|(from, to)| ((*from).to_owned(), to.iter().map(ToString::to_string).collect()))
            .collect();
        Graph { edges, members: BTreeMap::new() }
    }

    #[test]
    fn a_way_around_the_drivers_package_is_found() {
        let clean =
            graph(&[("server", &["core", "driver"]), ("core", &[]), ("driver", &["sdk"]), ("sdk", &[])]);
        assert_eq!(clean.path(&["server", "core", "driver"], "sdk", "driver"), None);
        let leak = graph(&[
            ("server", &["core", "driver"]),
            ("core", &["helper"]),
            ("helper", &["sdk"]),
            ("driver", &["sdk"]),
            ("sdk", &[]),
        ]);
        let path = leak.path(&["server"], "sdk", "driver").unwrap();
        assert_eq!(path, ["server", "core", "helper", "sdk"]);
    }

    #[test]
    fn a_cycle_ends_the_search() {
        let cycle = graph(&[("a", &["b"]), ("b", &["a"])]);
        assert_eq!(cycle.path(&["a"], "sdk", ""), None);
    }
}
