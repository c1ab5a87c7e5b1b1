//! What is asked about a file: which crates, markers and texts must not be in it, and which must.
//!
//! Forbidden are the packages of the drivers that were not selected and all that these bring, less what resolves for the
//! selection itself; and what each of them owns by the manifest, whoever brings it. The subtraction keeps a crate that
//! several share from accusing one of them, `owns` keeps the core from hiding one. Options are asked about likewise.
//! What runs inside a sandbox has neither a driver nor an option, so that all of them are forbidden there.

mod author;

use std::collections::{BTreeMap, BTreeSet};

use driver_manifest::{Assembly, Driver, Selection};
use driver_verify::Question;

use super::graph::{Edges, Graph, Query};
use super::graphs::Graphs;
use super::learned::Learned;
use super::lock::Lock;
use crate::error::{Error, Result};
use crate::selection;
use crate::workspace::{GATEWAY_PACKAGE, MANIFEST, PROGRAMS_PACKAGE, Workspace};
use author::Author;

/// The file that is asked about, by what it was asked to be.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// The drivers and options that it may hold.
    pub(crate) selection: Selection,
    /// What it is.
    pub(crate) role: Role,
    /// The target of the build; `None`: the host.
    pub(crate) target: Option<String>,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// A gateway.
    Gateway,
    /// The standalone program of this driver.
    Program(String),
    /// The program of this package, which runs inside sandboxes: it holds no driver and no option.
    Guest(String),
}

impl Subject {
    /// A program that runs inside sandboxes.
    pub(crate) fn guest(package: &str, target: Option<String>) -> Self {
        Self { selection: Selection::default(), role: Role::Guest(package.to_owned()), target }
    }

    /// For people: `docker+otlp`, or a program's name.
    pub(super) fn name(&self) -> String {
        match &self.role {
            Role::Gateway => self.selection.slug(),
            Role::Program(driver) => format!("openshell-driver-{driver}"),
            Role::Guest(package) => package.clone(),
        }
    }

    /// What the file of a build was meant to be: the gateway, a program of the selection, or a guest.
    pub(crate) fn of(
        assembly: &Assembly,
        selection: &Selection,
        (package, bin): (&str, &str),
        triple: &str,
    ) -> Result<Self> {
        let target = Some(triple.to_owned());
        if assembly.guests().iter().any(|guest| guest == package) {
            return Ok(Self::guest(package, target));
        }
        let role = match package == GATEWAY_PACKAGE {
            true => Role::Gateway,
            false => {
                let owner = assembly.drivers.iter().find(|driver| driver.program().as_deref() == Some(bin));
                let owner = owner.ok_or_else(|| {
                    let message = format!("`{bin}` is neither a driver's program nor a guest of {MANIFEST}");
                    Error::uncertain(message, "cargo xtask build")
                })?;
                Role::Program(owner.name.clone())
            }
        };
        Ok(Self { selection: selection.clone(), role, target })
    }

    /// The graphs that a question about it is made of.
    pub(crate) fn queries(&self, assembly: &Assembly) -> Vec<Query> {
        Queries::new(assembly, self).all().cloned().collect()
    }

    fn query(&self) -> Query {
        let (package, features) = match &self.role {
            Role::Gateway => (GATEWAY_PACKAGE, self.selection.features()),
            Role::Program(driver) => (PROGRAMS_PACKAGE, selection::alone(&self.selection, driver).features()),
            Role::Guest(package) => (package.as_str(), Vec::new()),
        };
        Query { package: package.to_owned(), features, target: self.target.clone(), edges: Edges::Linked }
    }
}

/// Asks questions; graphs are asked for once.
pub(super) struct Inquirer<'a> {
    assembly: &'a Assembly,
    lock: Lock,
    learned: Learned,
    graphs: Graphs,
}

impl<'a> Inquirer<'a> {
    /// The graphs of builds that have everything: the gateway's, and that of all programs.
    pub(super) fn full(&mut self, subject: &Subject) -> Result<[&Graph; 2]> {
        let queries = Queries::new(self.assembly, subject);
        self.graphs.fetch([&queries.everything, &queries.programs])?;
        Ok([self.graphs.get(&queries.everything)?, self.graphs.get(&queries.programs)?])
    }

    /// Reads Cargo.lock and what was learned.
    pub(super) fn new(workspace: &Workspace, assembly: &'a Assembly, graphs: Graphs) -> Result<Self> {
        let (lock, learned) = (Lock::load(workspace)?, Learned::load(workspace)?);
        Ok(Self { assembly, lock, learned, graphs })
    }

    /// The question about a file, and the graph that resolves for it.
    pub(super) fn question(&mut self, subject: &Subject) -> Result<(Question, &Graph)> {
        let queries = Queries::new(self.assembly, subject);
        self.graphs.fetch(queries.all())?;
        let author = Author {
            assembly: self.assembly,
            learned: &self.learned,
            lock: &self.lock,
            subject,
            own: self.graphs.get(&queries.own)?,
            programs: self.graphs.get(&queries.programs)?,
        };
        let (mut expected, mut forbidden) = (Vec::new(), Vec::new());
        for driver in &self.assembly.drivers {
            author.driver(driver, &mut expected, &mut forbidden);
        }
        for option in &self.assembly.options {
            match queries.without.get(&option.name) {
                None => expected.push(author.option(option, &BTreeSet::new())),
                Some(without) => {
                    let with = self.graphs.get(&queries.everything)?.ids();
                    let brings = &with - &self.graphs.get(without)?.ids();
                    forbidden.push(author.option(option, &brings));
                }
            }
        }
        let question = Question {
            subject: subject.name(),
            is_guest: matches!(subject.role, Role::Guest(_)),
            triple: subject.target.clone(),
            core: author.core(&expected),
            expected,
            forbidden,
            known: self.lock.names(),
        };
        Ok((question, self.graphs.get(&queries.own)?))
    }
}

/// The graphs that a question is made of.
struct Queries {
    /// Of the file itself.
    own: Query,
    /// Every driver's package, each with what it brings.
    programs: Query,
    /// The gateway with every driver and every option.
    everything: Query,
    /// The same without one option, for each that the file lacks.
    without: BTreeMap<String, Query>,
}

impl Queries {
    fn new(assembly: &Assembly, subject: &Subject) -> Self {
        let options = |without: &str| {
            let names = assembly.options.iter().map(|option| option.name.clone());
            names.filter(|name| name != without).collect::<Vec<_>>()
        };
        let gateway = |without: &str| Query {
            package: GATEWAY_PACKAGE.to_owned(),
            features: assembly.drivers.iter().map(Driver::feature).chain(options(without)).collect(),
            target: subject.target.clone(),
            edges: Edges::Linked,
        };
        let programs = assembly.drivers.iter().filter(|driver| driver.package().is_some());
        let lacking =
            assembly.options.iter().filter(|option| !subject.selection.options.contains(&option.name));
        Self {
            own: subject.query(),
            programs: Query {
                package: PROGRAMS_PACKAGE.to_owned(),
                features: programs.map(Driver::feature).collect(),
                target: subject.target.clone(),
                edges: Edges::Linked,
            },
            everything: gateway(""),
            without: lacking.map(|option| (option.name.clone(), gateway(&option.name))).collect(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Query> {
        let everything = (!self.without.is_empty()).then_some(&self.everything);
        [&self.own, &self.programs].into_iter().chain(everything).chain(self.without.values())
    }
}
