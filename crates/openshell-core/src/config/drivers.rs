//! `[openshell.drivers.<name>]`: the gateway's keys are one fixed list and are read here; the rest of the table is the
//! driver's, and the driver checks it where its code is in this build.

use std::path::PathBuf;
use std::time::Duration;

use openshell_driver_api::ConfigError;
use toml::de::DeTable;

use super::problem::{Location, Problem};
use super::section::{Section, entries};
use super::source::SourceText;
use super::value::{self, Supervisor};
use crate::catalog::{Arm, Catalog, PROCESS};
use crate::selection::is_well_formed;
use crate::suggest;

/// How long a gateway waits for a driver's socket unless told otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The gateway's keys in a driver's table, the same for every driver.
pub const GATEWAY_KEYS: [&str; 7] = [
    "driver_socket",
    "program_path",
    "supervisor",
    "connect_timeout",
    "deadlines",
    "allowed_uids",
    "allowed_gids",
];

/// A driver's table.
#[derive(Debug, Clone, PartialEq)]
pub struct DriverTable {
    /// `driver_socket`: where the driver's gRPC socket is, for one that runs as a program.
    pub driver_socket: Option<PathBuf>,
    /// `program_path`: the program of a driver that the gateway starts.
    pub program_path: Option<PathBuf>,
    /// `supervisor`.
    pub supervisor: Option<Supervisor>,
    /// `connect_timeout`.
    pub connect_timeout: Duration,
    /// `deadlines`.
    pub deadlines: Deadlines,
    /// `allowed_uids`: whom the driver's socket may belong to besides the gateway's user and root.
    pub allowed_uids: Vec<u32>,
    /// `allowed_gids`: the groups likewise.
    pub allowed_gids: Vec<u32>,
    /// Everything else: the driver's own.
    pub own: toml::Table,
    /// Where the table is; `None` for a driver that the file does not mention.
    pub location: Option<Location>,
}

/// How long the gateway waits for an answer of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// `create`.
    pub create: Duration,
    /// `start`.
    pub start: Duration,
    /// `stop`.
    pub stop: Duration,
    /// `delete`.
    pub delete: Duration,
    /// `capabilities`.
    pub capabilities: Duration,
    /// `listeners`.
    pub listeners: Duration,
    /// `validate`.
    pub validate: Duration,
    /// `get`.
    pub get: Duration,
    /// `list`.
    pub list: Duration,
    /// `watch`: until the first answer; what follows has no deadline.
    pub watch: Duration,
    /// `ensure_workspace`.
    pub ensure_workspace: Duration,
    /// `delete_workspace`.
    pub delete_workspace: Duration,
}

impl Deadlines {
    /// `call`: the deadline of everything that only asks, unless told otherwise.
    pub const CALL: Duration = Duration::from_secs(30);

    /// The defaults, where everything that only asks may take as long as `call`.
    #[must_use]
    pub fn with_call(call: Duration) -> Self {
        Self {
            create: Duration::from_secs(300),
            start: Duration::from_secs(120),
            stop: Duration::from_secs(120),
            delete: Duration::from_secs(120),
            capabilities: call,
            listeners: call,
            validate: call,
            get: call,
            list: call,
            watch: call,
            ensure_workspace: call,
            delete_workspace: call,
        }
    }

    /// The longest of them.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let mut every = *self;
        every.each().into_iter().map(|(_, deadline)| *deadline).max().unwrap_or(Self::CALL)
    }

    /// Every deadline by its key.
    fn each(&mut self) -> [(&'static str, &mut Duration); 12] {
        [
            ("create", &mut self.create),
            ("start", &mut self.start),
            ("stop", &mut self.stop),
            ("delete", &mut self.delete),
            ("capabilities", &mut self.capabilities),
            ("listeners", &mut self.listeners),
            ("validate", &mut self.validate),
            ("get", &mut self.get),
            ("list", &mut self.list),
            ("watch", &mut self.watch),
            ("ensure_workspace", &mut self.ensure_workspace),
            ("delete_workspace", &mut self.delete_workspace),
        ]
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self::with_call(Self::CALL)
    }
}

impl Default for DriverTable {
    fn default() -> Self {
        Self {
            driver_socket: None,
            program_path: None,
            supervisor: None,
            connect_timeout: CONNECT_TIMEOUT,
            deadlines: Deadlines::default(),
            allowed_uids: Vec::new(),
            allowed_gids: Vec::new(),
            own: toml::Table::new(),
            location: None,
        }
    }
}

/// Whose code reads what is left of a table.
enum Owner {
    /// A crate in this build.
    Compiled(&'static openshell_driver_api::Registration),
    /// A driver of the manifest whose code is not in this build, or is a program of its own: nobody here can say.
    Elsewhere,
    /// Somebody else's program, which reads its own configuration.
    Foreign,
    /// No such driver.
    Nobody,
}

/// Reads one driver's table. `own` is the same table as plain values.
pub(super) fn read(
    source: &SourceText,
    name: &str,
    at: Location,
    table: &DeTable<'_>,
    mut own: toml::Table,
    catalog: &Catalog,
    problems: &mut Vec<Problem>,
) -> DriverTable {
    let owner = owner(name, table, catalog);
    if matches!(owner, Owner::Nobody) {
        // Its keys are not looked at: a name that is mistyped would make every one of them wrong.
        problems.push(unknown_driver(name, &at, catalog));
        return DriverTable { location: Some(at), ..DriverTable::default() };
    }
    let mut section = Section::new(source, format!("openshell.drivers.{name}"), table, problems);
    let mut read = DriverTable {
        driver_socket: section.path("driver_socket"),
        program_path: program_path(&mut section, name, catalog),
        supervisor: section.parsed("supervisor", str::parse),
        connect_timeout: section.parsed("connect_timeout", value::duration).unwrap_or(CONNECT_TIMEOUT),
        deadlines: Deadlines::default(),
        allowed_uids: section.integers("allowed_uids", "a list of user ids"),
        allowed_gids: section.integers("allowed_gids", "a list of group ids"),
        own: toml::Table::new(),
        location: Some(at.clone()),
    };
    let deadlines = section.table("deadlines");
    if matches!(owner, Owner::Foreign) {
        section.finish(|_| {
            Some(format!("`{name}` runs as a program of its own: give this to that program's configuration"))
        });
    }
    if let Some(table) = deadlines {
        read.deadlines = self::deadlines(Section::new(
            source,
            format!("openshell.drivers.{name}.deadlines"),
            table,
            problems,
        ));
    }
    own.retain(|key, _| !GATEWAY_KEYS.contains(&key));
    if let Owner::Compiled(registration) = owner
        && let Err(faults) = registration.factory.check_config(&own)
    {
        problems.extend(faults.into_iter().map(|fault| driver_fault(source, table, &at, fault)));
    }
    read.own = own;
    read
}

/// The program of a driver that is one; nobody would start that of another.
fn program_path(section: &mut Section<'_, '_>, name: &str, catalog: &Catalog) -> Option<PathBuf> {
    const KEY: &str = "program_path";
    let given = section.placed(KEY, Section::path)?;
    if catalog.entry(name).is_some_and(|entry| entry.kind == PROCESS) {
        return Some(given.value);
    }
    let message = format!("`{KEY}` has no meaning for `{name}`, which is not started as a program");
    section.refuse(Problem::at(given.at, message).hint("take the line out"));
    None
}

fn owner(name: &str, table: &DeTable<'_>, catalog: &Catalog) -> Owner {
    match (catalog.entry(name), (catalog.arm)(name)) {
        (_, Some(Arm::Crate { registration, .. })) => Owner::Compiled(registration),
        (_, Some(Arm::Socket { .. })) => Owner::Foreign,
        (Some(entry), _) if entry.kind == "socket" => Owner::Foreign,
        (Some(_), _) => Owner::Elsewhere,
        (None, _)
            if is_well_formed(name)
                && table.iter().any(|(key, _)| key.get_ref().as_ref() == "driver_socket") =>
        {
            Owner::Foreign
        }
        (None, _) => Owner::Nobody,
    }
}

fn unknown_driver(name: &str, at: &Location, catalog: &Catalog) -> Problem {
    let names = || catalog.drivers.iter().map(|entry| entry.name);
    let suggestion = match suggest::nearest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the drivers are: {}", suggest::quoted(names())),
    };
    if !is_well_formed(name) {
        let message = format!("`{}` cannot be the name of a driver", value::shown(name));
        let form = "a name has lower-case letters, digits and `-`, a letter first";
        return Problem::at(at.clone(), message).hint(suggestion).hint(form);
    }
    let socket = format!("driver_socket = \"/run/{name}.sock\"");
    Problem::at(at.clone(), format!("no such driver: `{name}`"))
        .hint(suggestion)
        .hint(format!("a driver that runs behind a socket needs `{socket}` in this table"))
}

fn deadlines(mut section: Section<'_, '_>) -> Deadlines {
    let call = section.parsed("call", value::duration).unwrap_or(Deadlines::CALL);
    let mut read = Deadlines::with_call(call);
    for (key, deadline) in read.each() {
        if let Some(given) = section.parsed(key, value::duration) {
            *deadline = given;
        }
    }
    section.finish(|_| None);
    read
}

/// A driver's fault with the place of the key that it names.
fn driver_fault(source: &SourceText, table: &DeTable<'_>, at: &Location, fault: ConfigError) -> Problem {
    let location = locate(table, &fault.key).map_or_else(|| at.clone(), |span| source.locate(&span));
    let problem = Problem::at(location, fault.message);
    match fault.hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

/// Where a dotted key is; the longest part of it that exists.
fn locate(table: &DeTable<'_>, dotted: &str) -> Option<std::ops::Range<usize>> {
    let (mut table, mut found) = (table, None);
    for part in dotted.split('.') {
        let Some((_, span, value)) = entries(table).into_iter().find(|(key, _, _)| *key == part) else {
            break;
        };
        found = Some(span);
        match value.get_ref().as_table() {
            Some(inner) => table = inner,
            None => break,
        }
    }
    found
}
