//! The supervisor that goes into sandboxes: whether there is one, whose it is, where its program is, and of which version.
//!
//! | `supervisor` | the driver | comes to |
//! | --- | --- | --- |
//! | unset | delivers | the program, where it is found; else none, and a line in the log |
//! | `builtin` | delivers | the program, or no start |
//! | unset, `builtin` | delivers over the network | nothing is looked for here; without a listener for it as above |
//! | `builtin` | does not | none, and a warning |
//! | `driver` | is behind a socket | one that the driver brings, and whose calls are answered as ours are |
//! | `driver` | is ours | none, and a warning |
//! | `none`, and unset | does not | none |
//!
//! A path that somebody configured has to be right, whatever the table says but `none`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use openshell_core::catalog::{Arm, Catalog};
use openshell_core::config::{DriverTable, Problem, Supervisor as Wanted};
use openshell_core::selection::How;
use openshell_core::settings::SandboxSettings;
use openshell_core::{Selection, Settings};
use openshell_driver_api::program::needs_libraries;
use openshell_driver_api::supervisor::{Delivers, PROGRAM_NAME};
use openshell_driver_api::{ProgramSearch, ProgramSought, program};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::error::StartError;
use crate::start::VERSION;

/// How long the program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most that is read of what it says.
const LONGEST: u64 = 1024;
/// What clients miss without one.
const LOST: &str = "there is no exec, no upload or download, no log and no port forward, and the backend's word alone says whether a \
     sandbox is ready";

/// What supervises sandboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Supervisor {
    /// Our program, which the driver puts into them.
    Builtin(Builtin),
    /// A program that the driver has from elsewhere, and that dials this.
    Network(SandboxSettings),
    /// Whatever a driver behind a socket puts into them.
    Brought,
}

/// A program that was found and says its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Builtin {
    /// Where it is; absolute.
    pub(crate) program: PathBuf,
    version: String,
}

impl fmt::Display for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(found) => write!(f, "{} ({})", found.program.display(), found.version),
            Self::Network(sandboxes) => write!(f, "out of an image, dials {}", sandboxes.endpoint),
            Self::Brought => f.write_str("the driver's own"),
        }
    }
}

impl Supervisor {
    /// Where sandboxes on other hosts are listened to, where they are.
    pub(crate) fn network(&self) -> Option<&SandboxSettings> {
        match self {
            Self::Network(sandboxes) => Some(sandboxes),
            Self::Builtin(_) | Self::Brought => None,
        }
    }

    /// Finds the program for the sandboxes of the driver that was selected and asks for its version. What is odd and no
    /// error goes into `warnings`; so does that there is none where there could be one.
    ///
    /// # Errors
    /// Why there is none although somebody asked for it.
    pub(crate) fn prepare(
        catalog: &Catalog,
        settings: &Settings,
        selection: &Selection,
        table: &DriverTable,
        warnings: &mut Vec<Problem>,
    ) -> Result<Option<Self>, StartError> {
        let name = selection.name.to_string();
        let delivers = match (&selection.how, (catalog.arm)(selection.name.key())) {
            (How::CompiledIn, Some(Arm::Crate { registration, .. })) => {
                registration.factory.delivers_supervisor(&table.own)
            }
            (How::CompiledIn, Some(Arm::Process { supervisor: true, .. })) => Delivers::Program,
            _ => Delivers::Nothing,
        };
        if let (Some(sandboxes), Delivers::Nothing | Delivers::Program) = (&settings.sandboxes, delivers) {
            warnings.push(Problem::new(format!(
                "nobody listens on {}: no sandbox of the driver `{name}`, as it is configured, dials it",
                sandboxes.address
            )));
        }
        match (table.supervisor, delivers) {
            (Some(Wanted::None), _) | (None, Delivers::Nothing) => return Ok(None),
            (Some(Wanted::Driver), _) if matches!(selection.how, How::Socket { .. }) => {
                return Ok(Some(Self::Brought));
            }
            (Some(wanted @ Wanted::Driver), _) | (Some(wanted @ Wanted::Builtin), Delivers::Nothing) => {
                warnings.push(no_effect(wanted, &name, table));
                return Ok(None);
            }
            (Some(Wanted::Builtin) | None, Delivers::Network) => {
                let explicit = table.supervisor.is_some();
                return over_the_network(settings.sandboxes.as_ref(), &name, explicit, warnings);
            }
            (Some(Wanted::Builtin) | None, Delivers::Program) => {}
        }
        let configured = settings.supervisor_path.as_deref();
        let asked = Asked { driver: &name, configured, explicit: table.supervisor.is_some() };
        let search = ProgramSearch {
            driver: name.clone(),
            program: PROGRAM_NAME,
            configured: configured.map(Path::to_owned),
        };
        match asked.found(program::look(&search)) {
            Ok(found) => {
                if found.version != VERSION {
                    warnings.push(found.of_another_version());
                }
                Ok(Some(Self::Builtin(found)))
            }
            Err(why) => asked.without(&why, warnings).map(|()| None),
        }
    }
}

/// What supervisors dial that are in images; an error where somebody asked for them and nothing listens, and else a line
/// in the log.
fn over_the_network(
    sandboxes: Option<&SandboxSettings>,
    driver: &str,
    explicit: bool,
    warnings: &mut Vec<Problem>,
) -> Result<Option<Supervisor>, StartError> {
    const WHY: &str = "they could not reach the gateway, which listens for no sandbox";
    const LISTEN: &str = "sandbox_bind_address = \"IP:PORT\" in [openshell.gateway]";
    match sandboxes {
        Some(sandboxes) => Ok(Some(Supervisor::Network(sandboxes.clone()))),
        None if explicit => Err(StartError::Supervisor {
            why: WHY.to_owned(),
            hints: vec![
                format!("say where it listens: {LISTEN}"),
                format!("or do without it: supervisor = \"none\" in [openshell.drivers.{driver}]"),
            ],
        }),
        None => {
            let message = format!("sandboxes get no supervisor: {WHY}; {LOST}; hint: {LISTEN}");
            warnings.push(Problem::new(message));
            Ok(None)
        }
    }
}

impl Builtin {
    fn of_another_version(&self) -> Problem {
        let message = format!(
            "the supervisor `{}` is of version {}, and this gateway of {VERSION}",
            self.program.display(),
            self.version
        );
        Problem::new(message).hint("install both of one version")
    }
}

/// A line of the configuration that asks for what cannot be.
fn no_effect(wanted: Wanted, name: &str, table: &DriverTable) -> Problem {
    let why = match wanted {
        Wanted::Driver => format!("`{name}` is no driver behind a socket, and brings none"),
        Wanted::Builtin | Wanted::None => {
            format!("the driver `{name}`, as it is configured, puts none into its sandboxes")
        }
    };
    let message = format!(
        "`supervisor = \"{wanted}\"` has no effect: {why}, and the backend's word alone says whether a sandbox is \
         ready"
    );
    match &table.location {
        Some(at) => Problem::at(at.clone(), message),
        None => Problem::new(message),
    }
}

/// What somebody said of it.
struct Asked<'a> {
    driver: &'a str,
    configured: Option<&'a Path>,
    /// `supervisor = "builtin"`.
    explicit: bool,
}

impl Asked<'_> {
    /// The program that may be used, of those that were looked at.
    fn found(&self, sought: ProgramSought) -> Result<Builtin, String> {
        let Some(path) = sought.path else { return Err(self.nowhere(&sought)) };
        let program = std::path::absolute(&path).unwrap_or(path);
        let unusable = |why: String| format!("`{}` {why}", program.display());
        if needs_libraries(&program).map_err(|error| unusable(format!("cannot be read: {error}")))? {
            return Err(unusable(
                "is not linked static: it would look for its libraries in every sandbox's image".to_owned(),
            ));
        }
        let version = version_of(&program).map_err(unusable)?;
        Ok(Builtin { program, version })
    }

    fn nowhere(&self, sought: &ProgramSought) -> String {
        let unusable = sought.tried.iter().find(|tried| tried.outcome != program::NOTHING);
        if let Some(tried) = unusable {
            return format!("`{}` is {}", tried.candidate, tried.outcome);
        }
        match self.configured {
            Some(path) => {
                format!("there is nothing at `{}`, where `supervisor_path` says that it is", path.display())
            }
            None => {
                let places: Vec<String> =
                    sought.tried.iter().map(|tried| format!("`{}`", tried.candidate)).collect();
                format!("`{PROGRAM_NAME}` is at none of {}", places.join(", "))
            }
        }
    }

    /// That there is none: an error where somebody asked for it, a line in the log where nobody did.
    fn without(&self, why: &str, warnings: &mut Vec<Problem>) -> Result<(), StartError> {
        if self.explicit || self.configured.is_some() {
            return Err(StartError::Supervisor { why: why.to_owned(), hints: self.hints() });
        }
        let build = format!("hint: cargo xtask build --drivers {}", self.driver);
        // One line: nobody asked for it, and it is said at every start.
        warnings.push(Problem::new(format!("sandboxes get no supervisor: {why}; {LOST}; {build}")));
        Ok(())
    }

    fn hints(&self) -> Vec<String> {
        let driver = self.driver;
        vec![
            format!("build it: cargo xtask build --drivers {driver}"),
            format!(
                "or say where it is: supervisor_path = \"/path/to/{PROGRAM_NAME}\" in [openshell.gateway]"
            ),
            format!("or do without it: supervisor = \"none\" in [openshell.drivers.{driver}]"),
        ]
    }
}

/// What `openshell-sandbox --version` says: the name and the version.
fn version_of(path: &Path) -> Result<String, String> {
    // Nothing of the gateway runs yet, and a question needs no more.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot be asked for its version: {error}"))?;
    let (ended, said) = runtime.block_on(async {
        match tokio::time::timeout(PATIENCE, ask(path)).await {
            Ok(answer) => answer.map_err(|error| format!("cannot be started: {error}")),
            Err(_) => Err(format!("says nothing to `--version` within {PATIENCE:?}")),
        }
    })?;
    match said.trim().strip_prefix(PROGRAM_NAME).map(str::trim) {
        Some(version) if ended && !version.is_empty() && !version.contains(char::is_whitespace) => {
            Ok(version.to_owned())
        }
        _ => Err(format!("is no `{PROGRAM_NAME}`: it does not say its name and version to `--version`")),
    }
}

/// Whether it ended well, and what it said.
async fn ask(path: &Path) -> io::Result<(bool, String)> {
    let mut command = Command::new(path);
    command.arg("--version").env_clear().kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let mut said = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(LONGEST).read_to_end(&mut said).await?;
    }
    let status = child.wait().await?;
    Ok((status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[cfg(test)]
mod tests;
