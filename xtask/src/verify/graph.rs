//! What resolves for a program: `cargo tree`, asked for the very package, features and target of a build, and for the
//! kinds of dependencies that the question is about.
//!
//! `cargo tree -p NO_SUCH …` answers for the whole workspace and exits with 0, so the root of the answer is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::workspace::{self, Workspace, spawn};

/// A package: its name and version.
pub(crate) type Id = (String, String);

/// A resolved graph; the root is the first package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Graph {
    /// The packages, each with the places of those that it depends on.
    pub(crate) packages: Vec<Node>,
}

/// A package of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: Id,
    /// The directory, for packages that lie in one of ours.
    pub(super) directory: Option<String>,
    pub(crate) dependencies: BTreeSet<usize>,
}

/// Which dependencies are followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Edges {
    /// Those whose code can be in the file: no macro, no build script.
    #[default]
    Linked,
    /// Macros too: what a budget counts.
    Counted,
    /// Everything that a build compiles.
    Compiled,
}

impl Edges {
    /// For `cargo tree -e`.
    fn word(self) -> &'static str {
        match self {
            Self::Linked => "normal,no-proc-macro",
            Self::Counted => "normal",
            Self::Compiled => "normal,build",
        }
    }
}

/// What a graph is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Query {
    pub(crate) package: String,
    pub(crate) features: Vec<String>,
    pub(crate) target: Option<String>,
    pub(crate) edges: Edges,
}

impl Query {
    fn args(&self, offline: bool) -> Vec<String> {
        let edges = self.edges.word();
        let mut args: Vec<String> = ["tree", "-p", &self.package, "-e", edges, "--prefix", "depth"]
            .iter()
            .chain(&["--format", " {p}", "--charset", "ascii", "--color", "never"])
            .chain(&["--locked", "--no-default-features"])
            .map(ToString::to_string)
            .collect();
        if !self.features.is_empty() {
            args.extend(["--features".to_owned(), self.features.join(",")]);
        }
        if let Some(target) = &self.target {
            args.extend(["--target".to_owned(), target.clone()]);
        }
        args.extend(offline.then(|| "--offline".to_owned()));
        args
    }

    /// Asks cargo, without the network where that is wished; `says` is where cargo complains, and says what it waits for.
    pub(super) fn run(&self, workspace: &Workspace, offline: bool, says: Stdio) -> Result<Graph> {
        let args = self.args(offline);
        let output = workspace.cargo(&args).stderr(says).output().map_err(spawn("cargo"))?;
        if !output.status.success() {
            let code = workspace::code(output.status);
            return Err(Error::Cargo { line: workspace::line(&args), code });
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let shown = workspace::line(&args);
        let parsed = Graph::parse(&text).map_err(|line| Error::output(&shown, format!("`{line}`")))?;
        match parsed.packages.first() {
            Some(root) if root.id.0 == self.package && parsed.roots == 1 => Ok(parsed.into()),
            _ => Err(Error::output(&shown, format!("it does not answer for `{}` alone", self.package))),
        }
    }
}

/// A graph as cargo printed it.
struct Parsed {
    packages: Vec<Node>,
    roots: usize,
}

impl From<Parsed> for Graph {
    fn from(parsed: Parsed) -> Self {
        Self { packages: parsed.packages }
    }
}

impl Graph {
    /// Lines of `DEPTH name vVERSION (directory) (*)`; gives the line that is none.
    fn parse(text: &str) -> std::result::Result<Parsed, String> {
        let mut places: BTreeMap<Id, usize> = BTreeMap::new();
        let mut packages: Vec<Node> = Vec::new();
        let mut above: Vec<usize> = Vec::new();
        let mut roots = 0;
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (depth, id, directory) = read_line(line).ok_or_else(|| line.to_owned())?;
            let here = *places.entry(id.clone()).or_insert_with(|| {
                packages.push(Node { id, directory, dependencies: BTreeSet::new() });
                packages.len() - 1
            });
            match depth {
                0 => roots += 1,
                _ => {
                    let parent = above.get(depth - 1).copied().ok_or_else(|| line.to_owned())?;
                    packages[parent].dependencies.insert(here);
                }
            }
            above.truncate(depth);
            above.push(here);
        }
        Ok(Parsed { packages, roots })
    }

    /// The graph of a text that is one, for tests.
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self::parse(text).expect("a graph").into()
    }

    /// Every package.
    pub(crate) fn ids(&self) -> BTreeSet<Id> {
        self.packages.iter().map(|package| package.id.clone()).collect()
    }

    /// The place of the package of that name, the highest version of it.
    fn place(&self, name: &str) -> Option<usize> {
        let named = self.packages.iter().enumerate().filter(|(_, package)| package.id.0 == name);
        named.max_by(|(_, one), (_, other)| one.id.cmp(&other.id)).map(|(place, _)| place)
    }

    /// The directory of the package of that name.
    pub(super) fn directory(&self, name: &str) -> Option<&str> {
        self.packages.get(self.place(name)?)?.directory.as_deref()
    }

    /// The shortest way from the root to a package, both ends in it; `None` when it is not there.
    pub(crate) fn path_to(&self, id: &Id) -> Option<Vec<&Id>> {
        let mut from: BTreeMap<usize, usize> = BTreeMap::new();
        let mut open = std::collections::VecDeque::from([0]);
        while let Some(here) = open.pop_front() {
            let package = self.packages.get(here)?;
            if package.id == *id {
                let above = std::iter::successors(Some(here), |place| from.get(place).copied());
                let mut path: Vec<&Id> = above.map(|place| &self.packages[place].id).collect();
                path.reverse();
                return Some(path);
            }
            for next in &package.dependencies {
                if *next != 0 && !from.contains_key(next) {
                    from.insert(*next, here);
                    open.push_back(*next);
                }
            }
        }
        None
    }

    /// A package and all that it brings; nothing when it is not there.
    pub(super) fn closure(&self, name: &str) -> BTreeSet<Id> {
        self.reach(self.place(name), "")
    }

    /// What the root brings by ways that do not go through the package of that name.
    pub(super) fn ids_without(&self, name: &str) -> BTreeSet<Id> {
        self.reach(Some(0), name)
    }

    fn reach(&self, from: Option<usize>, without: &str) -> BTreeSet<Id> {
        let mut found = BTreeSet::new();
        let mut open: Vec<usize> = from.into_iter().collect();
        while let Some(package) = open.pop().and_then(|place| self.packages.get(place)) {
            if package.id.0 != without && found.insert(package.id.clone()) {
                open.extend(&package.dependencies);
            }
        }
        found
    }
}

fn read_line(line: &str) -> Option<(usize, Id, Option<String>)> {
    let (depth, package) = line.split_once(' ')?;
    let package = package.trim_end_matches(" (*)").replace(" (proc-macro)", "");
    let (package, directory) = match package.split_once(" (") {
        Some((package, rest)) => (package, rest.strip_suffix(')').filter(|dir| !dir.contains("://"))),
        None => (package.as_str(), None),
    };
    let (name, version) = package.split_once(" v")?;
    Some((depth.parse().ok()?, (name.to_owned(), version.to_owned()), directory.map(ToOwned::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0 server v0.1.0 (/w/crates/server)\n1 core v0.1.0 (/w/crates/core)\n2 bytes v1.0.0\n\
                        1 driver v0.1.0 (/w/crates/driver)\n2 sdk v2.0.0\n3 bytes v1.0.0\n2 core v0.1.0 (/w/crates/core) (*)\n";

    fn names(ids: &BTreeSet<Id>) -> Vec<&str> {
        ids.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn a_tree_gives_packages_and_what_each_brings() {
        let parsed = Graph::parse(TREE).unwrap();
        assert_eq!(parsed.roots, 1);
        let graph = Graph::from(parsed);
        assert_eq!(names(&graph.ids()), ["bytes", "core", "driver", "sdk", "server"]);
        assert_eq!(names(&graph.closure("driver")), ["bytes", "core", "driver", "sdk"]);
        assert_eq!(names(&graph.closure("core")), ["bytes", "core"], "what `(*)` leaves out was said before");
        assert!(graph.closure("nothing").is_empty());
        assert_eq!(names(&graph.ids_without("driver")), ["bytes", "core", "server"]);
        assert_eq!(graph.directory("driver"), Some("/w/crates/driver"));
        assert_eq!(graph.directory("sdk"), None);
    }

    #[test]
    fn the_answer_for_a_whole_workspace_and_noise_are_told_apart() {
        assert_eq!(Graph::parse("0 a v1.0.0\n\n0 b v1.0.0\n").map(|parsed| parsed.roots), Ok(2));
        assert_eq!(Graph::parse("warning: x\n").map(|parsed| parsed.roots), Err("warning: x".to_owned()));
        assert!(Graph::parse("2 a v1.0.0\n").is_err(), "a child without a parent");
    }

    #[test]
    fn the_shortest_way_to_a_package_is_told() {
        let graph = Graph::of(&format!("{TREE}1 other v1.0.0\n2 bytes v1.0.0\n"));
        let path = |name: &str, version: &str| {
            let path = graph.path_to(&(name.to_owned(), version.to_owned()))?;
            Some(path.into_iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>())
        };
        assert_eq!(path("sdk", "2.0.0"), Some(vec!["server", "driver", "sdk"]));
        assert_eq!(path("bytes", "1.0.0"), Some(vec!["server", "core", "bytes"]));
        assert_eq!(path("server", "0.1.0"), Some(vec!["server"]));
        assert_eq!(path("sdk", "1.0.0"), None, "of another version");
    }

    #[test]
    fn a_macro_is_a_package_like_any_other() {
        let (_, id, directory) = read_line("2 derive v1.0.0 (proc-macro) (*)").unwrap();
        assert_eq!((id.0.as_str(), id.1.as_str(), directory), ("derive", "1.0.0", None));
        let (_, _, directory) = read_line("2 ours v0.1.0 (proc-macro) (/w/crates/ours)").unwrap();
        assert_eq!(directory.as_deref(), Some("/w/crates/ours"));
    }

    #[test]
    fn a_git_source_is_no_directory() {
        let (_, id, directory) = read_line("3 x v0.1.0 (https://host/x?rev=1#abc) (*)").unwrap();
        assert_eq!((id.0.as_str(), directory), ("x", None));
    }
}
