//! What a driver program will do, decided from flags, variables and `gateway.toml` before anything is touched.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;

use openshell_core::catalog::{Arm, Catalog, DriverEntry};
use openshell_core::config::{LogFormat, LogLevel, Problem, Problems};
use openshell_core::identity::{self, GatewayId};
use openshell_core::{Environment, cli, paths, settings, telemetry};
use openshell_driver_api::supervisor::{self, SupervisorDelivery};
use openshell_driver_api::{ConfigError, DriverContext, Registration, Table};

use crate::args::DriverArgs;
use crate::error::ProgramError;
use crate::generated::CATALOG;

/// The one driver of this process, for [`arm`], which may capture nothing.
static THIS: OnceLock<(&'static str, &'static Registration)> = OnceLock::new();

/// The manifest's drivers, of which exactly the one of this program is compiled in: so its table is checked by its own
/// code, and those of the others are left alone.
pub(crate) fn catalog(name: &'static str, registration: &'static Registration) -> Catalog {
    THIS.get_or_init(|| (name, registration));
    Catalog { arm, ..CATALOG }
}

/// The same with an entry for that driver, which the manifest need not have.
pub(crate) fn catalog_with(
    name: &'static str,
    summary: &'static str,
    registration: &'static Registration,
) -> Catalog {
    with_entry(catalog(name, registration), name, summary, registration)
}

fn with_entry(
    catalog: Catalog,
    name: &'static str,
    summary: &'static str,
    registration: &'static Registration,
) -> Catalog {
    static DRIVERS: OnceLock<Vec<DriverEntry>> = OnceLock::new();
    if catalog.entry(name).is_some() {
        return catalog;
    }
    let entry = DriverEntry {
        name,
        summary,
        kind: "crate",
        feature: "",
        socket: None,
        detect: false,
        platforms: &[],
        platform_ok: true,
        program: Some(registration.package),
    };
    let drivers = DRIVERS.get_or_init(|| catalog.drivers.iter().copied().chain([entry]).collect());
    Catalog { drivers, ..catalog }
}

fn arm(name: &str) -> Option<Arm> {
    let (this, registration) = THIS.get()?;
    (*this == name).then_some(Arm::Crate { registration, marker: registration.marker })
}

/// Everything that the environment and the configuration decide.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The driver's own keys of its table.
    pub(crate) table: Table,
    pub(crate) log_level: LogLevel,
    pub(crate) log_format: LogFormat,
    pub(crate) telemetry: telemetry::Settings,
    gateway_id: Option<GatewayId>,
    /// What the driver puts into its sandboxes.
    supervisor: Option<SupervisorDelivery>,
    /// The driver's own directory.
    state_dir: Option<PathBuf>,
    /// The gateway's.
    gateway_dir: Option<PathBuf>,
}

impl Plan {
    /// Reads the configuration; touches nothing else.
    ///
    /// # Errors
    /// Every fault of flags, variables and the file.
    pub(crate) fn make(
        name: &str,
        args: &DriverArgs,
        env: &Environment,
        catalog: &Catalog,
    ) -> Result<Self, ProgramError> {
        let config = settings::load_config(args.config.as_deref(), env, catalog)?;
        let mut problems = Vec::new();
        let file = &config.gateway;
        let mut given = Given { env, problems: &mut problems };
        let gateway_id = given.parsed("--gateway-id", args.gateway_id.as_deref(), cli::ENV_GATEWAY_ID);
        let log_level = given.parsed("--log-level", args.log_level.as_deref(), cli::ENV_LOG_LEVEL);
        let log_format = given.parsed("--log-format", args.log_format.as_deref(), cli::ENV_LOG_FORMAT);
        let telemetry = telemetry::Settings::resolve(env, &file.telemetry, &mut problems);
        // The reader of the file has checked a table that is there. One that is not is checked too: a driver may need
        // a key that nobody gave.
        let table = config.driver(name);
        if let (None, Some(Arm::Crate { registration, .. })) = (&table.location, (catalog.arm)(name)) {
            let faults = registration.factory.check_config(&table.own).err().unwrap_or_default();
            problems.extend(faults.into_iter().map(|fault| missing(name, fault)));
        }
        if !problems.is_empty() {
            return Err(Problems(problems).into());
        }
        Ok(Self {
            table: table.own,
            log_level: log_level.or(file.log_level).unwrap_or_default(),
            log_format: log_format.or(file.log_format).unwrap_or_default(),
            telemetry,
            gateway_id: gateway_id.or_else(|| file.gateway_id.clone()),
            supervisor: args.supervisor.clone().zip(args.sandbox_sockets.clone()).map(host),
            state_dir: args.state_dir.clone(),
            gateway_dir: paths::state_dir(env).ok(),
        })
    }

    /// What the driver is told, which has to be what the gateway would tell it in process: the same id and the same
    /// directory.
    ///
    /// # Errors
    /// When there is no gateway id, or no place to look for it.
    pub(crate) fn context(&self, name: &str) -> Result<DriverContext, ProgramError> {
        let gateway_dir = || self.gateway_dir.as_deref().ok_or(paths::PathError::NoState);
        let state_dir = match &self.state_dir {
            Some(given) => given.clone(),
            None => gateway_dir()?.join("drivers").join(name),
        };
        let gateway_id = match &self.gateway_id {
            Some(given) => given.clone(),
            None => identity::load(None, gateway_dir()?)?,
        };
        Ok(DriverContext {
            name: name.to_owned(),
            gateway_id: gateway_id.as_str().to_owned(),
            state_dir,
            telemetry: self.telemetry.is_enabled(),
            endpoint: self.supervisor.as_ref().map_or_else(String::new, |_| supervisor::ENDPOINT.to_owned()),
            supervisor: self.supervisor.clone(),
        })
    }
}

/// A supervisor as the gateway says it to a driver's program: the program, and the directory of the sockets.
fn host((program, sockets): (PathBuf, PathBuf)) -> SupervisorDelivery {
    SupervisorDelivery::Host { program, sockets }
}

/// A fault of a table that the file does not have.
fn missing(name: &str, fault: ConfigError) -> Problem {
    let key = if fault.key.is_empty() { String::new() } else { format!(" `{}`:", fault.key) };
    let problem = Problem::new(format!("`[openshell.drivers.{name}]`:{key} {}", fault.message));
    match fault.hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

/// Flags and variables, the first of which counts; faults are collected.
struct Given<'a> {
    env: &'a Environment,
    problems: &'a mut Vec<Problem>,
}

impl Given<'_> {
    fn parsed<T: FromStr>(&mut self, flag: &str, value: Option<&str>, variable: &str) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        let (origin, text) = match (value, self.env.text(variable)) {
            (Some(text), _) => (flag, text),
            (None, Ok(text)) => (variable, text?),
            (None, Err(error)) => {
                self.problems.push(Problem::new(error.to_string()));
                return None;
            }
        };
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.problems.push(Problem::new(format!("`{origin}`: {error}")));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use openshell_core::shell::Remedy as _;
    use openshell_driver_api::{
        ComputeDriver, Detection, DriverError, DriverFactory, ErrorKind, ProbeEnv, async_trait,
    };

    use super::*;

    /// Knows the key `good` and needs it; has no backend.
    struct Picky;

    #[async_trait]
    impl DriverFactory for Picky {
        fn check_config(&self, table: &Table) -> Result<(), Vec<ConfigError>> {
            let fault = |key: &str, message: &str| ConfigError {
                key: key.to_owned(),
                message: message.to_owned(),
                hint: Some("good = true".to_owned()),
            };
            let mut faults: Vec<_> =
                table.keys().filter(|key| *key != "good").map(|key| fault(key, "is not known")).collect();
            if !table.contains_key("good") {
                faults.push(fault("good", "is needed"));
            }
            if faults.is_empty() { Ok(()) } else { Err(faults) }
        }

        async fn detect(&self, _: &ProbeEnv) -> Detection {
            Detection::default()
        }

        async fn open(&self, _: DriverContext, _: &Table) -> Result<Arc<dyn ComputeDriver>, DriverError> {
            Err(DriverError::new(ErrorKind::Unavailable, "open", "there is no backend"))
        }
    }

    static PICKY: Registration =
        Registration { package: "picky", version: "1.0.0", factory: &Picky, marker: b"crate:picky\0" };

    /// Some driver of the manifest that has a program.
    fn this() -> &'static str {
        let mut programs = CATALOG.drivers.iter().filter(|entry| entry.program.is_some());
        programs.next().expect("the manifest has a program").name
    }

    fn env(home: &Path) -> Environment {
        Environment::new([("XDG_STATE_HOME", home.as_os_str()), ("HOME", home.as_os_str())], 1000)
    }

    fn plan(home: &Path, text: &str, args: DriverArgs) -> Result<Plan, ProgramError> {
        let config = home.join("gateway.toml");
        std::fs::write(&config, text).expect("write");
        let args = DriverArgs { config: Some(config), ..args };
        Plan::make(this(), &args, &env(home), &catalog(this(), &PICKY))
    }

    #[test]
    fn its_own_table_is_checked_by_its_own_code_wherever_it_is() {
        let home = tempfile::tempdir().expect("a directory");
        let name = this();
        let fine = plan(home.path(), &format!("[openshell.drivers.{name}]\ngood = 1"), DriverArgs::default());
        assert!(fine.expect("fine").table.contains_key("good"));

        let bad = format!("[openshell.drivers.{name}]\nconnect_timeout = \"5s\"\nbad = 1\nworse = 2");
        let said =
            plan(home.path(), &bad, DriverArgs::default()).expect_err("two keys and one missing").render();
        for part in ["bad", "worse", "is needed", "gateway.toml:3:1"] {
            assert!(said.contains(part), "`{part}` is not in: {said}");
        }
        assert!(!said.contains("connect_timeout"), "that key is the gateway's: {said}");

        let said = plan(home.path(), "", DriverArgs::default()).expect_err("no table at all").render();
        let expected = format!("`[openshell.drivers.{name}]`: `good`: is needed\nhint: good = true");
        assert!(said.contains(&expected), "{said}");
    }

    #[test]
    fn a_driver_that_the_manifest_has_not_gets_an_entry() {
        let with = |name| with_entry(CATALOG, name, "for a test", &PICKY);
        let foreign = with("nobody-elses");
        assert_eq!(foreign.entry("nobody-elses").and_then(|entry| entry.program), Some("picky"));
        assert_eq!(foreign.drivers.len(), CATALOG.drivers.len() + 1);
        assert_eq!(with(this()).drivers.len(), CATALOG.drivers.len());
    }

    #[test]
    fn the_gateway_id_is_given_configured_or_the_gateways_and_never_made_up() {
        let home = tempfile::tempdir().expect("a directory");
        let name = this();
        let good = format!("[openshell.drivers.{name}]\ngood = 1\n");
        let id = |text: &str, args| plan(home.path(), text, args).expect("a plan").context(name);

        let error = id(&good, DriverArgs::default()).expect_err("nobody made one");
        assert_eq!(error.exit_code(), openshell_core::shell::FAILURE);
        assert!(error.render().contains("hint: give the id of the gateway with `--gateway-id ID`"));

        let state = home.path().join("openshell/gateway");
        std::fs::create_dir_all(&state).expect("make");
        std::fs::write(state.join(identity::FILE), "kept\n").expect("write");
        let context = id(&good, DriverArgs::default()).expect("the gateway's");
        assert_eq!(context.gateway_id, "kept");
        assert_eq!(context.state_dir, state.join("drivers").join(name));

        let configured = format!("{good}[openshell.gateway]\ngateway_id = \"configured\"\n");
        assert_eq!(id(&configured, DriverArgs::default()).expect("the file's").gateway_id, "configured");
        let given = DriverArgs { gateway_id: Some("given".to_owned()), ..DriverArgs::default() };
        assert_eq!(id(&configured, given).expect("the flag's").gateway_id, "given");
    }

    #[test]
    fn wrong_flags_are_all_reported_in_one_run() {
        let home = tempfile::tempdir().expect("a directory");
        let args = DriverArgs {
            gateway_id: Some("not an id".to_owned()),
            log_format: Some("verse".to_owned()),
            ..DriverArgs::default()
        };
        let error = plan(home.path(), "", args).expect_err("wrong flags");
        assert_eq!(error.exit_code(), openshell_core::shell::USAGE);
        let said = error.render();
        for part in ["`--gateway-id`", "`--log-format`", "is needed", "3 errors"] {
            assert!(said.contains(part), "`{part}` is not in: {said}");
        }
    }
}
