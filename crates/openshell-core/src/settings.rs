//! Everything a gateway needs to know to start: flag, else variable, else `gateway.toml`, else default, with every
//! fault of all of them in one run, before a socket is bound or a backend is asked.

mod front;
mod sandboxes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::catalog::Catalog;
use crate::cli::{self, GatewayArgs};
use crate::config::{
    Config, DriverTable, GatewaySection, Location, LogFormat, LogLevel, Problem, Problems, value,
};
use crate::detect::Probes;
use crate::environment::Environment;
use crate::identity::GatewayId;
use crate::paths;
use crate::selection::{self, Selection, SelectionError, Source, Sources, Wanted, Wish};
use crate::shell::Remedy as _;
use crate::telemetry;

use front::Origin;
pub use front::{FrontSettings, PORT, TcpSettings};
pub use sandboxes::SandboxSettings;

/// How long a sandbox may be on its way up before that counts as a failure, unless told otherwise.
pub const PROVISIONING_TIMEOUT: Duration = Duration::from_secs(300);

/// Everything a gateway needs to know to start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the sources say of drivers.
    pub sources: Sources,
    /// Who may talk to the gateway.
    pub front: FrontSettings,
    /// Where sandboxes on other hosts reach it; `None`: nowhere.
    pub sandboxes: Option<SandboxSettings>,
    /// The gateway's Unix socket.
    pub listen_socket: PathBuf,
    /// The SQLite file.
    pub database: PathBuf,
    /// The state directory; not made yet.
    pub state_dir: PathBuf,
    /// The id, when it is configured; [`identity`](crate::identity) else.
    pub gateway_id: Option<GatewayId>,
    /// How much is logged.
    pub log_level: LogLevel,
    /// How it is written.
    pub log_format: LogFormat,
    /// The supervisor's program, when somebody says where it is.
    pub supervisor_path: Option<PathBuf>,
    /// How long a sandbox may be on its way up.
    pub provisioning_timeout: Duration,
    /// Telemetry.
    pub telemetry: telemetry::Settings,
    /// `gateway.toml`.
    pub config: Config,
    /// What is odd and no error; more of it in [`Config::warnings`].
    pub warnings: Vec<Problem>,
}

impl Settings {
    /// Reads the configuration file, the only thing here that touches the disk, and puts everything together.
    ///
    /// # Errors
    /// Every fault of flags, variables and file.
    pub fn load(args: &GatewayArgs, env: &Environment, catalog: &Catalog) -> Result<Self, Problems> {
        let config = load_config(args.config.as_deref(), env, catalog);
        let (config, mut problems) = match config {
            Ok(config) => (config, Vec::new()),
            Err(Problems(problems)) => (Config::default(), problems),
        };
        let file_failed = !problems.is_empty();
        let settings = Merge { env, problems: &mut problems, file_failed }.settings(args, config);
        match settings {
            Some(settings) if problems.is_empty() => Ok(settings),
            _ => Err(Problems(problems)),
        }
    }

    /// Decides which driver runs. `probes` count only when
    /// [`sources.needs_detection()`](Sources::needs_detection).
    ///
    /// # Errors
    /// Why none can.
    pub fn select(&self, catalog: &Catalog, probes: &Probes) -> Result<Selection, SelectionError> {
        selection::select(catalog, &self.sources, probes)
    }

    /// Where `gateway.toml` says what the selection failed at, when it is the file that decides.
    #[must_use]
    pub fn place_of(&self, error: &SelectionError) -> Option<&Location> {
        if self.sources.first() != Some(Source::File) {
            return None;
        }
        let GatewaySection { compute_drivers_at: names, compute_driver_socket_at: socket, .. } =
            &self.config.gateway;
        let of_socket = matches!(error, SelectionError::NotCompiledIn(missing) if matches!(missing.wanted, Wanted::Socket(_)));
        let (first, second) = if of_socket { (socket, names) } else { (names, socket) };
        first.as_ref().or(second.as_ref())
    }

    /// The table of the driver that was selected.
    #[must_use]
    pub fn driver(&self, selection: &Selection) -> DriverTable {
        self.config.driver(selection.name.key())
    }
}

/// Finds and reads `gateway.toml`: one that is named has to be there, the default one may be missing.
///
/// # Errors
/// Every fault of it.
pub fn load_config(flag: Option<&Path>, env: &Environment, catalog: &Catalog) -> Result<Config, Problems> {
    if let Some(path) = flag {
        return Config::read(path, catalog);
    }
    if let Some(path) = env.raw(cli::ENV_CONFIG) {
        return Config::read(Path::new(path), catalog);
    }
    match paths::default_config(env) {
        Some(path) => Ok(Config::read_if_present(&path, catalog)?.unwrap_or_default()),
        None => Ok(Config::default()),
    }
}

/// A setting and where it came from.
type Sourced<T> = (T, Origin);

/// The merge under way.
struct Merge<'a> {
    env: &'a Environment,
    problems: &'a mut Vec<Problem>,
    /// The file has faults, and is taken for an empty one to find those of flags and variables too.
    file_failed: bool,
}

impl<'a> Merge<'a> {
    fn settings(mut self, args: &GatewayArgs, config: Config) -> Option<Settings> {
        let file = &config.gateway;
        let gateway_id =
            self.parsed("--gateway-id", args.gateway_id.as_deref(), cli::ENV_GATEWAY_ID, |text| {
                text.parse().map_err(|error: crate::identity::InvalidGatewayId| error.to_string())
            });
        let log_level = self.parsed("--log-level", args.log_level.as_deref(), cli::ENV_LOG_LEVEL, str::parse);
        let log_format =
            self.parsed("--log-format", args.log_format.as_deref(), cli::ENV_LOG_FORMAT, str::parse);
        let supervisor_path = self.variable_as(cli::ENV_SUPERVISOR_PATH, value::absolute_path);
        let database = self.database(args);
        let listen_socket = args
            .listen_socket
            .clone()
            .or_else(|| self.env.raw(cli::ENV_LISTEN_SOCKET).map(PathBuf::from))
            .or_else(|| file.listen_socket.clone());
        let state_dir = paths::state_dir(self.env);
        let listen_socket = match listen_socket {
            Some(path) if path.as_os_str().is_empty() => {
                self.problems.push(Problem::new("`--listen-socket` is empty"));
                None
            }
            Some(path) => Some(path),
            // A file that could not be read may well say where.
            None if self.file_failed => None,
            None => self.required(paths::runtime_dir(self.env)).map(|dir| dir.join(paths::SOCKET)),
        };
        let sources = self.sources(args, &config);
        let telemetry = telemetry::Settings::resolve(self.env, &config.gateway.telemetry, self.problems);
        let state_dir = self.required(state_dir);
        // Its faults are as good as any without a state directory.
        let (front, warnings) = self.front(args, file, state_dir.as_deref().unwrap_or(Path::new("/")));
        let sandboxes = self.sandboxes(args, file, &front);
        let state_dir = state_dir?;
        Some(Settings {
            sources,
            front,
            sandboxes,
            listen_socket: listen_socket?,
            database: database.unwrap_or_else(|| state_dir.join(paths::DATABASE)),
            state_dir,
            gateway_id: gateway_id.or_else(|| file.gateway_id.clone()),
            log_level: log_level.or(file.log_level).unwrap_or_default(),
            log_format: log_format.or(file.log_format).unwrap_or_default(),
            supervisor_path: supervisor_path.map(|(path, _)| path).or_else(|| file.supervisor_path.clone()),
            provisioning_timeout: file.provisioning_timeout.unwrap_or(PROVISIONING_TIMEOUT),
            telemetry,
            warnings,
            config,
        })
    }

    /// A flag, else a variable, as `parse` understands it.
    fn parsed<T>(
        &mut self,
        flag: &'static str,
        given: Option<&str>,
        variable: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.sourced(flag, given, variable, parse).map(|(value, _)| value)
    }

    /// The same, and which of the two it was.
    fn sourced<T>(
        &mut self,
        flag: &'static str,
        given: Option<&str>,
        variable: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Sourced<T>> {
        match given {
            Some(text) => self.understood(flag, text, parse),
            None => self.variable_as(variable, parse),
        }
    }

    /// A variable, as `parse` understands it.
    fn variable_as<T>(
        &mut self,
        variable: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Sourced<T>> {
        let text = self.variable(variable)?;
        self.understood(variable, text, parse)
    }

    fn understood<T>(
        &mut self,
        name: &'static str,
        text: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Sourced<T>> {
        match parse(text) {
            Ok(value) => Some((value, Origin::Named(name))),
            Err(expected) => {
                self.problems.push(Problem::new(format!("`{name}` is `{}`: {expected}", value::shown(text))));
                None
            }
        }
    }

    /// A variable as text.
    fn variable(&mut self, name: &str) -> Option<&'a str> {
        match self.env.text(name) {
            Ok(text) => text,
            Err(error) => {
                self.problems.push(Problem::new(error.to_string()));
                None
            }
        }
    }

    /// The database's path. What is wrong with a URL is said without the URL, which may hold a password.
    fn database(&mut self, args: &GatewayArgs) -> Option<PathBuf> {
        let (name, url) = match &args.db_url {
            Some(url) => ("--db-url", url.as_os_str()),
            None => (cli::ENV_DB_URL, self.env.raw(cli::ENV_DB_URL)?),
        };
        match url.to_str().ok_or_else(|| "not UTF-8".to_owned()).and_then(value::sqlite_path) {
            Ok(path) => Some(path),
            Err(expected) => {
                self.problems.push(Problem::new(format!("`{name}`: {expected}")));
                None
            }
        }
    }

    fn required<T>(&mut self, found: Result<T, paths::PathError>) -> Option<T> {
        match found {
            Ok(value) => Some(value),
            Err(error) => {
                let problem = error.hints().into_iter().fold(Problem::new(error.to_string()), Problem::hint);
                self.problems.push(problem);
                None
            }
        }
    }

    fn sources(&mut self, args: &GatewayArgs, config: &Config) -> Sources {
        let variable = Wish {
            drivers: self.variable(cli::ENV_DRIVERS).map(names).unwrap_or_default(),
            socket: self.env.raw(cli::ENV_DRIVER_SOCKET).map(PathBuf::from),
        };
        let sockets: BTreeMap<String, PathBuf> = config
            .drivers
            .iter()
            .filter_map(|(name, table)| Some((name.clone(), table.driver_socket.clone()?)))
            .collect();
        Sources {
            flag: Wish {
                drivers: args.drivers.clone().unwrap_or_default(),
                socket: args.compute_driver_socket.clone(),
            },
            variable,
            file: Wish {
                drivers: config.gateway.compute_drivers.clone(),
                socket: config.gateway.compute_driver_socket.clone(),
            },
            sockets,
        }
    }
}

/// The names in a list with commas. An empty one among them stays, to be refused.
fn names(list: &str) -> Vec<String> {
    list.split(',').map(|name| name.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests;
