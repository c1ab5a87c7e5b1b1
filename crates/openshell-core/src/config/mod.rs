//! `gateway.toml`, from bytes to values that cannot be wrong, or to every fault of it in one run.
//!
//! ```text
//!   path ─source▶ text with places ─toml▶ tables with spans ─section▶ typed values │ problems
//!                                                   └─ drivers ─▶ check_config of the driver whose code is here
//! ```
//!
//! Nothing here asks the environment or knows a default: that is [`Settings`](crate::Settings).

mod drivers;
pub(crate) mod endpoint;
mod gateway;
mod identities;
mod limits;
mod problem;
mod section;
mod source;
mod tls;
pub(crate) mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Table;
use toml::de::DeTable;

use crate::catalog::Catalog;
use section::{Section, entries};
use source::SourceText;

pub use drivers::{CONNECT_TIMEOUT, Deadlines, DriverTable, GATEWAY_KEYS};
pub use endpoint::SandboxEndpoint;
pub use gateway::{GatewaySection, TelemetryKeys};
pub use identities::IdentitySettings;
pub use limits::{LimitSettings, RateSettings};
pub use problem::{Location, Placed, Problem, Problems};
pub use tls::{ClientCertificates, TlsSettings};
pub use value::{LogFormat, LogLevel, Role, Supervisor};

/// A configuration file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// Where it was read; `None` when there is no file.
    pub path: Option<PathBuf>,
    /// `[openshell.gateway]`.
    pub gateway: GatewaySection,
    /// `[openshell.drivers.<name>]`.
    pub drivers: BTreeMap<String, DriverTable>,
}

impl Config {
    /// Reads a file that somebody named: it has to be there.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn read(path: &Path, catalog: &Catalog) -> Result<Self, Problems> {
        match Self::read_if_present(path, catalog)? {
            Some(config) => Ok(config),
            None => {
                let missing = Problem::new(format!("there is no configuration file `{}`", path.display()))
                    .hint(format!("an empty one is enough: touch {}", path.display()));
                Err(Problems(vec![missing]))
            }
        }
    }

    /// Reads a file that nobody named: `None` when there is none.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn read_if_present(path: &Path, catalog: &Catalog) -> Result<Option<Self>, Problems> {
        match source::read(path) {
            Ok(Some(source)) => parse(&source, catalog).map(Some),
            Ok(None) => Ok(None),
            Err(problem) => Err(Problems(vec![problem])),
        }
    }

    /// Reads a text as the file `path`.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn parse(path: &Path, text: &str, catalog: &Catalog) -> Result<Self, Problems> {
        parse(&SourceText::new(path, text.to_owned()), catalog)
    }

    /// A driver's table; the defaults when the file does not mention it.
    #[must_use]
    pub fn driver(&self, name: &str) -> DriverTable {
        self.drivers.get(name).cloned().unwrap_or_default()
    }

    /// What is odd and no error: a table for a driver that is neither in this build nor the one that runs (`selected`),
    /// keys of an option that this build leaves out.
    #[must_use]
    pub fn warnings(&self, catalog: &Catalog, selected: &str) -> Vec<Problem> {
        let mut warnings = Vec::new();
        for (name, table) in &self.drivers {
            let idle = name != selected && table.driver_socket.is_none() && !catalog.is_compiled_in(name);
            if let (true, Some(at)) = (idle, &table.location) {
                let message =
                    format!("the driver `{name}` is not in this build, and its table is not checked");
                warnings.push(Problem::at(at.clone(), message));
            }
        }
        #[cfg(not(feature = "telemetry"))]
        for key in &self.gateway.telemetry.ignored {
            warnings.push(Problem::new(format!("`{key}` is ignored: telemetry is not in this build")));
        }
        warnings
    }
}

fn parse(source: &SourceText, catalog: &Catalog) -> Result<Config, Problems> {
    let (root, errors) = DeTable::parse_recoverable(source.text());
    if !errors.is_empty() {
        return Err(Problems(errors.iter().map(|error| syntax(source, error)).collect()));
    }
    // The same text as plain values, for what drivers read; it has just been parsed.
    let plain: Table = source.text().parse().unwrap_or_default();
    let mut problems = Vec::new();
    let mut config = Config { path: Some(source.path().to_owned()), ..Config::default() };

    let mut top = Section::new(source, "", root.get_ref(), &mut problems);
    let openshell = top.table("openshell");
    top.finish(|key| match key {
        "gateway" | "drivers" => {
            Some(format!("write `[openshell.{key}]`: everything is below `[openshell]`"))
        }
        _ => gateway::belongs_here(key),
    });
    if let Some(openshell) = openshell {
        let mut section = Section::new(source, "openshell", openshell, &mut problems);
        let gateway = section.table("gateway");
        let drivers = section.table("drivers");
        section.finish(gateway::belongs_here);
        if let Some(table) = gateway {
            config.gateway = gateway::read(source, table, &mut problems);
        }
        if let Some(table) = drivers {
            config.drivers = driver_tables(source, table, &plain, catalog, &mut problems);
        }
    }
    if problems.is_empty() {
        return Ok(config);
    }
    // In the order of the file, whichever part of the reader found them.
    problems.sort_by_key(|problem| problem.location.as_ref().map(|at| (at.line, at.column)));
    Err(Problems(problems))
}

fn driver_tables(
    source: &SourceText,
    tables: &DeTable<'_>,
    plain: &Table,
    catalog: &Catalog,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, DriverTable> {
    let mut drivers = BTreeMap::new();
    for (name, span, value) in entries(tables) {
        let at = source.locate(&span);
        let Some(table) = value.get_ref().as_table() else {
            let message = format!("`{}` has to be a table, `[openshell.drivers.<name>]`", value::shown(name));
            problems.push(Problem::at(at, message));
            continue;
        };
        let own = plain_table(plain, &["openshell", "drivers", name]);
        let read = drivers::read(source, name, at, table, own, catalog, problems);
        drivers.insert(name.to_owned(), read);
    }
    drivers
}

fn plain_table(root: &Table, path: &[&str]) -> Table {
    let found = path.iter().try_fold(root, |table, key| table.get(*key)?.as_table());
    found.cloned().unwrap_or_default()
}

/// What the parser says, with its place.
fn syntax(source: &SourceText, error: &toml::de::Error) -> Problem {
    let end = source.text().len();
    let span: Range<usize> = error.span().unwrap_or(end..end);
    let message = error.message().lines().collect::<Vec<_>>().join("; ");
    Problem::at(source.locate(&span), format!("not valid TOML: {message}"))
}
