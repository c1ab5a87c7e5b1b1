//! The program of a driver that the gateway starts: found, asked whether it takes its table, and told what to do. The
//! code that starts it is the catalog's launcher, which only a build with such a driver has.

use std::path::PathBuf;

use openshell_core::catalog::{Arm, Catalog};
use openshell_core::config::{DriverTable, Problem};
use openshell_core::identity::GatewayId;
use openshell_core::selection::How;
use openshell_core::{Environment, Selection, Settings, cli, paths, telemetry};
use openshell_driver_api::{
    CheckRequest, Checked, DriverContext, DriverError, ErrorKind, LaunchRequest, Launcher, ProgramSearch,
};

use crate::error::StartError;
use crate::start::VERSION;

/// A program that was found and takes its table.
#[derive(Clone)]
pub(crate) struct Program {
    launcher: &'static dyn Launcher,
    path: PathBuf,
}

impl Program {
    /// Finds the program of the driver that was selected and lets it judge its table; `None` for one that is no program
    /// of ours. What is odd and no error goes into `warnings`.
    ///
    /// # Errors
    /// Why it cannot be started, or its own words on its table.
    pub(crate) fn prepare(
        catalog: &Catalog,
        settings: &Settings,
        selection: &Selection,
        table: &DriverTable,
        warnings: &mut Vec<Problem>,
    ) -> Result<Option<Self>, StartError> {
        let (How::CompiledIn, Some(Arm::Process { program, .. })) =
            (&selection.how, (catalog.arm)(selection.name.key()))
        else {
            return Ok(None);
        };
        let name = selection.name.to_string();
        let unusable = |source| StartError::Program { name: name.clone(), source: Box::new(source) };
        let launcher = catalog.launcher.ok_or_else(|| {
            let message = "this build has nothing that starts a driver's program";
            unusable(DriverError::new(ErrorKind::Unimplemented, "start its program", message))
        })?;
        let configured = table.program_path.clone();
        let search = ProgramSearch { driver: name.clone(), program, configured };
        let path = launcher.find(&search).map_err(unusable)?;
        let request = CheckRequest {
            program: path.clone(),
            config: settings.config.path.clone(),
            environment: environment(settings),
        };
        // Nothing of the gateway runs yet, and a question or two need no more.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|source| StartError::Io { action: "ask the program of the driver", source })?;
        let Checked { version, refusal } = runtime.block_on(launcher.check(&request)).map_err(unusable)?;
        if let Some(said) = refusal {
            return Err(StartError::Refused { name, program: path, said });
        }
        if version != VERSION {
            let message =
                format!("`{}` is of version {version}, and this gateway of {VERSION}", path.display());
            warnings.push(Problem::new(message).hint("install both of one version"));
        }
        Ok(Some(Self { launcher, path }))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// What starts it.
    pub(crate) fn launcher(&self) -> &'static dyn Launcher {
        self.launcher
    }

    /// What it is started with. Its socket's directory is made.
    ///
    /// # Errors
    /// When there is no directory that nobody else can enter.
    pub(crate) fn request(
        &self,
        env: &Environment,
        settings: &Settings,
        table: &DriverTable,
        context: DriverContext,
        gateway_id: &GatewayId,
    ) -> Result<LaunchRequest, StartError> {
        // One for each gateway of this user; where there is no place for sockets, the state's directory is private too.
        let base = paths::runtime_dir(env).unwrap_or_else(|_| settings.state_dir.clone());
        let dir = base.join("drivers").join(gateway_id.as_str());
        paths::ensure_private(&dir, env.uid())?;
        Ok(LaunchRequest {
            socket: dir.join(format!("{}.sock", context.name)),
            context,
            program: self.path.clone(),
            config: settings.config.path.clone(),
            log_level: settings.log_level.as_str(),
            environment: environment(settings),
            connect_timeout: table.connect_timeout,
            longest_call: table.deadlines.longest(),
        })
    }
}

/// What the program does not inherit: flags say it, or it is none of its business; and whether there is telemetry, which a
/// program of another build may see otherwise.
fn environment(settings: &Settings) -> Vec<(String, Option<String>)> {
    let removed =
        [cli::ENV_DB_URL, cli::ENV_CONFIG, cli::ENV_GATEWAY_ID, cli::ENV_LOG_LEVEL, cli::ENV_LOG_FORMAT];
    let mut environment: Vec<_> = removed.map(|name| (name.to_owned(), None)).into();
    if !settings.telemetry.is_enabled() {
        environment.push((telemetry::ENV_ENABLED.to_owned(), Some("false".to_owned())));
    }
    environment
}
