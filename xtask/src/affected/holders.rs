//! What may hold a crate: the gateways of the selections that have names, the programs of drivers, what runs inside
//! sandboxes, and the tools of this workspace.

use std::collections::BTreeSet;

use cargo_metadata::Metadata;
use driver_manifest::{Assembly, Request, Selection};

use crate::build::{self, CargoArgs, CargoLine};
use crate::error::{Error, Result};
use crate::selection;
use crate::verify::{Edges, Graph, Graphs, Id, Query};
use crate::workspace::{GATEWAY_BIN, GATEWAY_PACKAGE, PROGRAMS_PACKAGE, Workspace};

/// A file that is built here, or several from one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) kind: Kind,
    /// A selection's slug, or a program's name.
    pub(super) name: String,
    /// What else it is called.
    pub(super) names: Vec<String>,
    package: String,
    features: Vec<String>,
}

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gateway,
    /// A driver as a program.
    Program,
    /// What runs inside sandboxes.
    Guest,
    /// A client, a measurer, the menu: whatever else this workspace makes.
    Tool,
}

/// A crate in a holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: Id,
    /// In the file; else it only runs where the file is built.
    pub(super) in_file: bool,
    /// The shortest way to it, both ends in it.
    pub(super) path: Vec<String>,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Program => "program",
            Self::Guest => "guest",
            Self::Tool => "tool",
        }
    }
}

impl Holder {
    fn query(&self, target: Option<&str>, edges: Edges) -> Query {
        Query {
            package: self.package.clone(),
            features: self.features.clone(),
            target: target.map(ToOwned::to_owned),
            edges,
        }
    }

    fn of(kind: Kind, name: String, names: Vec<String>, line: &CargoLine) -> Self {
        let (package, features) = (line.package().to_owned(), line.features().to_vec());
        Self { kind, name, names, package, features }
    }
}

/// Every holder there is.
pub(super) fn all(workspace: &Workspace, assembly: &Assembly) -> Result<Vec<Holder>> {
    let cargo = CargoArgs { profile: "release".to_owned(), target: None, locked: true, offline: false };
    let everything = selection::everything(assembly)?;
    let whole = Request {
        all: true,
        with_options: assembly.options.iter().map(|option| option.name.clone()).collect(),
        ..Request::default()
    };
    let whole = selection::select(assembly, &whole)?;
    let mut others = Vec::new();
    for name in assembly.names() {
        let request = Request { drivers: vec![name.clone()], ..Request::default() };
        others.push((format!("{name} alone"), selection::select(assembly, &request)?));
    }
    others.push((selection::ALL.to_owned(), everything.clone()));
    others.push((format!("{}, every option", selection::ALL), whole.clone()));
    let mut holders = Vec::new();
    for named in selection::named(assembly, others)? {
        let line = CargoLine::new(GATEWAY_PACKAGE, GATEWAY_BIN, named.selection.features(), &cargo);
        holders.push(Holder::of(Kind::Gateway, named.selection.slug(), named.names, &line));
    }
    let programs = |selection: &Selection, names: &[String]| -> Vec<Holder> {
        let drivers = assembly.drivers.iter().filter_map(|driver| Some((&driver.name, driver.program()?)));
        let holder = |(driver, program): (&String, String)| {
            let line = build::program_line(selection, driver, &program, &cargo);
            Holder::of(Kind::Program, program, names.to_vec(), &line)
        };
        drivers.map(holder).collect()
    };
    let plain = programs(&everything, &[]);
    let whole = programs(&whole, &["every option".to_owned()]);
    let differing: Vec<Holder> = whole
        .into_iter()
        .filter(|holder| !plain.iter().any(|other| other.features == holder.features))
        .collect();
    holders.extend(plain.into_iter().chain(differing));
    let guests = assembly.guests();
    let guest = |package: &String| {
        Holder::of(Kind::Guest, package.clone(), Vec::new(), &CargoLine::guest(package, &cargo))
    };
    holders.extend(guests.iter().map(guest));
    holders.extend(tools(workspace, &guests)?);
    Ok(holders)
}

/// The other members with programs that no selection changes, each with its default features.
fn tools(workspace: &Workspace, guests: &[String]) -> Result<Vec<Holder>> {
    let text = workspace.cargo_output(&["metadata", "--format-version=1", "--no-deps", "--locked"])?;
    let metadata: Metadata =
        serde_json::from_str(&text).map_err(|error| Error::output("cargo metadata", error))?;
    let members = metadata.packages.iter().filter(|package| {
        let composed = [GATEWAY_PACKAGE, PROGRAMS_PACKAGE].contains(&package.name.as_str());
        let is_guest = guests.iter().any(|guest| *guest == package.name.as_str());
        !composed && !is_guest && package.targets.iter().any(cargo_metadata::Target::is_bin)
    });
    let tool = |package: &cargo_metadata::Package| Holder {
        kind: Kind::Tool,
        name: package.name.to_string(),
        names: Vec::new(),
        package: package.name.to_string(),
        features: package.features.keys().filter(|name| *name == "default").cloned().collect(),
    };
    Ok(members.map(tool).collect())
}

/// Looks for crates in each holder.
pub(super) fn search(
    graphs: &mut Graphs,
    holders: Vec<Holder>,
    target: Option<&str>,
    wanted: &[Id],
) -> Result<Vec<(Holder, Vec<Found>)>> {
    let queries = holders
        .iter()
        .flat_map(|holder| [Edges::Linked, Edges::Compiled].map(|edges| holder.query(target, edges)));
    graphs.fetch(&queries.collect::<Vec<_>>())?;
    let mut searched = Vec::new();
    for holder in holders {
        let linked = graphs.get(&holder.query(target, Edges::Linked))?;
        let compiled = graphs.get(&holder.query(target, Edges::Compiled))?;
        searched.push((holder, find(linked, compiled, wanted)));
    }
    Ok(searched)
}

/// Which of these a holder has: by its graph of what is linked, else by that of all that its build compiles.
fn find(linked: &Graph, compiled: &Graph, wanted: &[Id]) -> Vec<Found> {
    let names = |path: Vec<&Id>| path.into_iter().map(|(name, _)| name.clone()).collect();
    let wanted: BTreeSet<&Id> = wanted.iter().collect();
    let found = wanted.into_iter().filter_map(|id| {
        let in_file = linked.path_to(id).map(|path| (true, path));
        let (in_file, path) = in_file.or_else(|| compiled.path_to(id).map(|path| (false, path)))?;
        Some(Found { id: id.clone(), in_file, path: names(path) })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINKED: &str =
        "0 server v0.1.0 (/w/s)\n1 driver v0.1.0 (/w/d)\n2 sdk v2.0.0\n3 http v1.0.0\n1 http v2.0.0\n";
    const COMPILED: &str = "0 server v0.1.0 (/w/s)\n1 driver v0.1.0 (/w/d)\n2 sdk v2.0.0\n3 http v1.0.0\n\
                            1 derive v1.0.0 (proc-macro)\n2 syn v2.0.0\n1 http v2.0.0\n";

    #[test]
    fn what_is_in_the_file_is_told_from_what_builds_it_and_from_what_is_not_there() {
        let id = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        let wanted = [id("http", "1.0.0"), id("syn", "2.0.0"), id("http", "3.0.0")];
        let found = find(&Graph::of(LINKED), &Graph::of(COMPILED), &wanted);
        let shown: Vec<String> = found
            .iter()
            .map(|found| format!("{} {} {}", found.id.1, found.in_file, found.path.join(">")))
            .collect();
        assert_eq!(shown, ["1.0.0 true server>driver>sdk>http", "2.0.0 false server>derive>syn"]);
    }
}
