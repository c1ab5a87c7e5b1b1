//! The matrix: what is built and looked at to know that every selection is what it says. One list of rows, which
//! `gen` commits for people and CI services, and which `cargo xtask matrix` goes through.
//!
//! Two names for one build are one row: where the default is the only driver of a preset, there is nothing to do twice.

use std::collections::BTreeSet;
use std::mem::discriminant;

use driver_manifest::{Assembly, Kind, Request, Selection};
use serde_json::{Value, json};

use crate::layout::json_comment;

/// The most drivers whose every subset is gone through: one more doubles the rows.
pub const POWERSET_LIMIT: usize = 8;

/// What is asked for beyond the rows that are always there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Every pair of drivers.
    pub pairs: bool,
    /// Every option that is off by default, switched on.
    pub options: bool,
    /// The standalone programs that no gateway is shipped with.
    pub programs: bool,
    /// Every subset of the drivers that is not built is checked.
    pub powerset: bool,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Unique among the rows.
    pub name: String,
    /// What else asks for the very same.
    pub also: Vec<String>,
    /// What is done.
    pub does: Does,
    /// The drivers and options; no driver where a build has to be refused.
    pub selection: Selection,
}

/// What is done for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// A gateway without a driver, which must not compile.
    Refuse,
    /// A gateway is built, with the programs of its process drivers, and judged.
    Build,
    /// The standalone program of the row's one driver is built and judged.
    Program,
    /// A gateway is compiled and not linked.
    Check,
}

/// There are too many subsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{drivers} drivers have too many subsets to go through: {} drivers are the most", POWERSET_LIMIT)]
pub struct TooMany {
    /// How many drivers there are.
    pub drivers: usize,
}

impl Does {
    /// As it stands in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Build => "build",
            Self::Program => "program",
            Self::Check => "check",
        }
    }
}

impl Row {
    /// Whether somebody who says `name` means this row.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name == name || self.also.iter().any(|also| also == name)
    }

    /// The line that builds the same by itself, where there is one.
    #[must_use]
    pub fn build_line(&self) -> Option<String> {
        let which = match self.does {
            Does::Build => "--drivers",
            Does::Program => "--programs",
            Does::Refuse | Does::Check => return None,
        };
        let mut line = format!("cargo xtask build {which} {}", self.selection.drivers.join(","));
        for (option, on) in &self.selection.changed {
            line.push_str(&format!(" --with{}-option {option}", if *on { "" } else { "out" }));
        }
        Some(line)
    }

    fn json(&self, assembly: &Assembly) -> Value {
        let drivers = self.selection.drivers.iter().filter_map(|name| assembly.driver(name));
        let platforms: BTreeSet<&str> =
            drivers.flat_map(|driver| &driver.platforms).map(String::as_str).collect();
        json!({
            "name": self.name,
            "also": self.also,
            "does": self.does.word(),
            "drivers": self.selection.drivers.join(","),
            "build": self.build_line(),
            "platforms": platforms,
        })
    }
}

/// The rows of an assembly: no driver, the default, every driver alone, every preset, a pair of different kinds, all
/// drivers, all without each option that is on by default; then what is wanted beyond. Rows that do the same stand
/// together.
///
/// # Errors
///
/// When every subset is wanted of more than [`POWERSET_LIMIT`] drivers.
pub fn rows(assembly: &Assembly, wanted: Wanted) -> Result<Vec<Row>, TooMany> {
    let names = assembly.names();
    if wanted.powerset && names.len() > POWERSET_LIMIT {
        return Err(TooMany { drivers: names.len() });
    }
    let mut rows = Rows { assembly, rows: Vec::new() };
    rows.push("row", "none", Does::Refuse, Selection::default());
    rows.push("row", "default", Does::Build, assembly.default_selection());
    for name in &names {
        rows.select("driver", name, Does::Build, drivers(std::slice::from_ref(name)));
    }
    for preset in &assembly.presets {
        let request = Request { preset: Some(preset.name.clone()), ..Request::default() };
        rows.select("preset", &preset.name, Does::Build, request);
    }
    if let Some(pair) = mixed(assembly) {
        rows.select("pair", &pair.join("-"), Does::Build, drivers(&pair));
    }
    rows.select("row", "all", Does::Build, drivers(&names));
    for option in assembly.options.iter().filter(|option| option.default || wanted.options) {
        let name = format!("all-{}", switch(option.default, &option.name));
        rows.select("row", &name, Does::Build, switched(drivers(&names), &option.name, !option.default));
    }
    if wanted.pairs {
        for (place, first) in names.iter().enumerate() {
            for second in &names[place + 1..] {
                let pair = [first.clone(), second.clone()];
                rows.select("pair", &pair.join("-"), Does::Build, drivers(&pair));
            }
        }
    }
    if wanted.programs {
        rows.programs(wanted.options);
    }
    if wanted.powerset {
        for mask in 1_usize..1 << names.len() {
            let some = names.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0);
            let some: Vec<String> = some.map(|(_, name)| name.clone()).collect();
            rows.select("subset", &some.join("-"), Does::Check, drivers(&some));
        }
    }
    Ok(rows.rows)
}

/// Rows in the form that GitHub's `strategy.matrix` takes.
#[must_use]
pub fn include(assembly: &Assembly, rows: &[Row]) -> Value {
    json!({ "include": rows.iter().map(|row| row.json(assembly)).collect::<Vec<_>>() })
}

/// The rows that are always there, as the text of a file.
pub(crate) fn file(assembly: &Assembly) -> String {
    // Without a wish for every subset there are never too many.
    let rows = rows(assembly, Wanted::default()).unwrap_or_default();
    let mut value = include(assembly, &rows);
    value["$comment"] = json_comment().into();
    format!("{value:#}\n")
}

fn drivers(names: &[String]) -> Request {
    Request { drivers: names.to_vec(), ..Request::default() }
}

fn switched(mut request: Request, option: &str, on: bool) -> Request {
    let list = if on { &mut request.with_options } else { &mut request.without_options };
    list.push(option.to_owned());
    request
}

fn switch(default: bool, option: &str) -> String {
    format!("{}-{option}", if default { "without" } else { "with" })
}

/// Two drivers whose code meets the gateway in different ways; where all are alike, the first two.
fn mixed(assembly: &Assembly) -> Option<[String; 2]> {
    let (first, others) = assembly.drivers.split_first()?;
    let differs = |other: &Kind| discriminant(other) != discriminant(&first.kind);
    let second = others.iter().find(|driver| differs(&driver.kind)).or(others.first())?;
    Some([first.name.clone(), second.name.clone()])
}

struct Rows<'a> {
    assembly: &'a Assembly,
    rows: Vec<Row>,
}

impl Rows<'_> {
    /// Adds what a request comes to; one that cannot be had, which no name of the assembly makes, adds nothing.
    fn select(&mut self, group: &str, name: &str, does: Does, request: Request) {
        if let Ok(selection) = self.assembly.select(&request) {
            self.push(group, name, does, selection);
        }
    }

    /// Adds a row, or the name to the row that does it already. A name that another row has gets its group before it.
    fn push(&mut self, group: &str, name: &str, does: Does, selection: Selection) {
        if selection.drivers.is_empty() && does != Does::Refuse {
            return;
        }
        let mut name = name.to_owned();
        let same = self.rows.iter().position(|row| row.covers(does, &selection));
        let taken =
            |name: &str| self.rows.iter().enumerate().any(|(at, row)| Some(at) != same && row.is(name));
        while taken(&name) {
            name = format!("{group}-{name}");
        }
        match same {
            // What is checked has no name of its own by which anybody would look for it.
            Some(_) if does == Does::Check => {}
            Some(at) => {
                let row = &mut self.rows[at];
                if !row.is(&name) {
                    row.also.push(name);
                }
            }
            None => self.rows.push(Row { name, also: Vec::new(), does, selection }),
        }
    }

    /// The programs of drivers that are compiled into a gateway; those of process drivers are built beside it.
    fn programs(&mut self, options: bool) {
        let assembly = self.assembly;
        let beside = |kind: &Kind| matches!(kind, Kind::Process { .. });
        for driver in crate::generate::programs(assembly).filter(|driver| !beside(&driver.kind)) {
            let request = drivers(std::slice::from_ref(&driver.name));
            let name = format!("program-{}", driver.name);
            self.select("row", &name, Does::Program, request.clone());
            for option in assembly.options.iter().filter(|option| option.default || options) {
                let name = format!("{name}-{}", switch(option.default, &option.name));
                let request = switched(request.clone(), &option.name, !option.default);
                self.select("row", &name, Does::Program, request);
            }
        }
    }
}

impl Row {
    /// Whether nothing is left to do for a selection: what is built was compiled, too.
    fn covers(&self, does: Does, selection: &Selection) -> bool {
        let done = self.does == does || (self.does, does) == (Does::Build, Does::Check);
        let same = &self.selection;
        done && same.drivers == selection.drivers && same.options == selection.options
    }
}
