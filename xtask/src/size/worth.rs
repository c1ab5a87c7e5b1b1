//! `size worth`: what each driver and option adds to the smallest build and takes from the fullest one, and which of its
//! crates nobody else brings.

mod render;

use std::collections::BTreeMap;
use std::process::ExitCode;

use driver_manifest::{Assembly, Request, Selection};

use super::clean::{self, Clean};
use super::crates::Crates;
use super::parts::{Brings, Shares, shares};
use crate::build::{CargoArgs, Job};
use crate::error::{Error, Result};
use crate::selection;
use crate::table::out;
use crate::verify::Edges;
use crate::workspace::{Rustc, Workspace, joined};

/// What each driver and option adds to the smallest build and takes from the fullest: crates by graph, the rest by builds
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    /// Only these drivers and options
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Build each selection in an empty target directory, for bytes and seconds; that takes long
    #[arg(long)]
    build: bool,
    /// The profile of these builds
    #[arg(long, value_name = "PROFILE", default_value = "release")]
    profile: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// A driver or an option, and what it is worth.
#[derive(Debug)]
struct Part {
    name: String,
    is_driver: bool,
    /// The slug of the build that it is added to; the smallest has nothing to be added to but the next one.
    added_to: Option<String>,
    adds: Option<Delta>,
    takes: Option<Delta>,
    shares: Shares,
}

/// What a selection costs.
#[derive(Debug, Clone, Copy)]
struct Cost {
    crates: usize,
    clean: Option<Clean>,
}

/// What one selection costs more than another.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Delta {
    crates: i64,
    bytes: Option<i64>,
    seconds: Option<f64>,
}

/// What came of it.
struct Worth {
    smallest: (String, Cost),
    fullest: (String, Cost),
    parts: Vec<Part>,
    /// How bytes and seconds were measured.
    measured: Option<String>,
}

/// Runs it.
pub(super) fn run(workspace: &Workspace, assembly: &Assembly, args: &Args) -> Result {
    let worth = Scales::new(workspace, assembly, args)?.weigh()?;
    out(&match (args.json, args.markdown) {
        (true, _) => format!("{:#}\n", worth.json()),
        (false, true) => worth.markdown(),
        (false, false) => worth.text(),
    });
    Ok(ExitCode::SUCCESS)
}

/// What a part is weighed with.
struct Scales<'a> {
    workspace: &'a Workspace,
    assembly: &'a Assembly,
    args: &'a Args,
    crates: Crates<'a>,
    /// What was weighed before, by its slug.
    known: BTreeMap<String, Cost>,
    rustc: String,
}

impl<'a> Scales<'a> {
    fn new(workspace: &'a Workspace, assembly: &'a Assembly, args: &'a Args) -> Result<Self> {
        let rustc = joined(Rustc::ask(workspace))?.version;
        if let Some(name) = args.only.iter().find(|name| !names(assembly).contains(name)) {
            let message = format!("`{name}` is neither a driver nor an option of drivers.toml");
            return Err(Error::refused(message, "cargo xtask list"));
        }
        let crates = Crates::load(workspace, assembly)?;
        Ok(Self { workspace, assembly, args, crates, known: BTreeMap::new(), rustc })
    }

    fn weigh(mut self) -> Result<Worth> {
        let assembly = self.assembly;
        let drivers = assembly.names();
        let options: Vec<String> = assembly.options.iter().map(|option| option.name.clone()).collect();
        let singles = drivers.iter().map(|name| pick(assembly, std::slice::from_ref(name), &[]));
        let singles = singles.collect::<Result<Vec<_>>>()?;
        let fullest = pick(assembly, &drivers, &options)?;
        self.crates.ask(singles.iter().chain([&fullest]), Edges::Counted)?;
        let mut sizes = Vec::new();
        for (name, single) in drivers.iter().zip(singles) {
            sizes.push((self.crates.of(&single)?.len(), name.clone(), single.drivers));
        }
        // Of two that are the same gateway, the one that implies no other driver.
        sizes.sort_by_key(|(crates, _, drivers)| (*crates, drivers.len()));
        let Some((_, least, _)) = sizes.first().cloned() else {
            return Err(Error::refused("drivers.toml has no driver", "add a `[[driver]]`"));
        };
        if self.args.build {
            clean::fetch(self.workspace)?;
        }
        let brings = self.brings()?;
        let smallest = pick(assembly, std::slice::from_ref(&least), &[])?;
        let mut parts = Vec::new();
        for name in names(assembly) {
            if !self.args.only.is_empty() && !self.args.only.contains(&name) {
                continue;
            }
            let is_driver = assembly.driver(&name).is_some();
            // What is in the smallest build itself is added to the next one.
            let mut without = sizes.iter().filter(|(_, _, drivers)| !drivers.contains(&name));
            let base = without.next().map(|(_, base, _)| base.clone());
            let (mut added_to, mut adds) = (None, None);
            if let Some(base) = base {
                let (drivers, options) = with(std::slice::from_ref(&base), &name, is_driver);
                let base = pick(assembly, &[base], &[])?;
                adds = Some(self.cost(&pick(assembly, &drivers, &options)?)?.over(self.cost(&base)?));
                added_to = Some(base.slug());
            }
            let left = |names: &[String]| -> Vec<String> {
                names.iter().filter(|other| **other != name).cloned().collect()
            };
            let (drivers, options) = (left(&drivers), left(&options));
            let takes = match drivers.is_empty() {
                true => None,
                false => {
                    let rest = self.cost(&pick(assembly, &drivers, &options)?)?;
                    Some(self.cost(&fullest)?.over(rest))
                }
            };
            let shares = shares(&brings, &name);
            parts.push(Part { name, is_driver, added_to, adds, takes, shares });
        }
        let smallest = (smallest.slug(), self.cost(&smallest)?);
        let fullest = (fullest.slug(), self.cost(&fullest)?);
        Ok(Worth { smallest, fullest, parts, measured: self.measured() })
    }

    /// What each part brings over what there is without any.
    fn brings(&mut self) -> Result<Brings> {
        let core = self.crates.core()?;
        let mut brings = Brings::new();
        for name in names(self.assembly) {
            let crates = match self.assembly.driver(&name) {
                Some(_) => self.crates.of(&pick(self.assembly, std::slice::from_ref(&name), &[])?)?,
                None => self.crates.with_option(&name)?,
            };
            brings.insert(name, &crates - &core);
        }
        Ok(brings)
    }

    fn cost(&mut self, selection: &Selection) -> Result<Cost> {
        let slug = selection.slug();
        if let Some(cost) = self.known.get(&slug) {
            return Ok(*cost);
        }
        let crates = self.crates.of(selection)?.len();
        let clean = match self.args.build {
            false => None,
            true => {
                eprintln!("note: a clean build of `{slug}`");
                let cargo = CargoArgs {
                    profile: self.args.profile.clone(),
                    target: None,
                    locked: true,
                    offline: false,
                };
                let job = Job::gateway(self.assembly, selection.clone(), &cargo);
                Some(clean::build(self.workspace, job.files())?)
            }
        };
        let cost = Cost { crates, clean };
        self.known.insert(slug, cost);
        Ok(cost)
    }

    fn measured(&self) -> Option<String> {
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        self.args.build.then(|| {
            format!(
                "bytes of all files of a selection, and the wall clock of its clean build: profile `{}`, an empty target \
                 directory each, no compiler wrapper, one build after the other, {cores} cores, rustc {}; what else \
                 the machine does is in the seconds",
                self.args.profile, self.rustc
            )
        })
    }
}

impl Cost {
    fn over(self, other: Self) -> Delta {
        let difference = |more: u64, less: u64| more.cast_signed().saturating_sub(less.cast_signed());
        let both = self.clean.zip(other.clean);
        Delta {
            crates: difference(self.crates as u64, other.crates as u64),
            bytes: both.map(|(more, less)| difference(more.bytes, less.bytes)),
            seconds: both.map(|(more, less)| more.seconds - less.seconds),
        }
    }
}

/// Every driver, then every option.
fn names(assembly: &Assembly) -> Vec<String> {
    let options = assembly.options.iter().map(|option| option.name.clone());
    assembly.names().into_iter().chain(options).collect()
}

/// Drivers with one more, or with an option.
fn with(drivers: &[String], name: &str, is_driver: bool) -> (Vec<String>, Vec<String>) {
    let name = vec![name.to_owned()];
    if is_driver { ([drivers.to_vec(), name].concat(), Vec::new()) } else { (drivers.to_vec(), name) }
}

/// These drivers with these options and no other.
fn pick(assembly: &Assembly, drivers: &[String], options: &[String]) -> Result<Selection> {
    let others = assembly.options.iter().map(|option| &option.name).filter(|name| !options.contains(name));
    let request = Request {
        drivers: drivers.to_vec(),
        with_options: options.to_vec(),
        without_options: others.cloned().collect(),
        ..Request::default()
    };
    selection::select(assembly, &request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_build_costs_over_another_may_be_less() {
        let cost = |crates, bytes, seconds| Cost { crates, clean: Some(Clean { bytes, seconds }) };
        let delta = cost(120, 900, 10.0).over(cost(100, 1000, 12.5));
        assert_eq!(delta, Delta { crates: 20, bytes: Some(-100), seconds: Some(-2.5) });
        let unbuilt = Cost { crates: 1, clean: None }.over(cost(2, 3, 4.0));
        assert_eq!(unbuilt, Delta { crates: -1, bytes: None, seconds: None });
    }
}
