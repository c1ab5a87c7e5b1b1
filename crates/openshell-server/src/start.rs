//! From a command line to a gateway that serves, in this order:
//!
//! ```text
//!   settings ─▶ selection ─▶ state directory, id ─▶ store ─▶ driver ─▶ runtime ─▶ socket ─▶ serve until SIGTERM
//!   └── nothing is bound, made or asked ──┘
//! ```

use std::fmt::Write as _;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openshell_core::catalog::{Arm, Catalog};
use openshell_core::config::{Deadlines as Limits, DriverTable, Location, Problem, Problems};
use openshell_core::detect::{self, Probes};
use openshell_core::identity::{self, GatewayId, IdentityError};
use openshell_core::paths::{self, PathError};
use openshell_core::selection::{How, SelectionError};
use openshell_core::shell::{FAILURE, Remedy, USAGE};
use openshell_core::telemetry::{Action, DriverKind, Outcome, Telemetry, UsageEvent};
use openshell_core::{Environment, GatewayArgs, Selection, Settings, logging};
use openshell_driver_api::{ComputeDriver, DialRequest, DriverContext, DriverError, SocketPolicy};
use openshell_runtime::{Deadlines, Runtime, RuntimeError, Store, StoreError};
use openshell_uds::{BindError, PeerPolicy};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::usage::Usage;

/// How long requests under way and the driver's calls may take together once the gateway shall stop.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the driver's calls may take at least, where the requests have used up all of that.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// Why a gateway does not start, or has to end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Config(#[from] Problems),
    #[error("{error}")]
    Selection {
        error: SelectionError,
        /// The line of gateway.toml that asked for it.
        at: Option<Box<Location>>,
    },
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the driver `{name}` does not start")]
    Driver {
        name: String,
        #[source]
        source: DriverError,
    },
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot {action}")]
    Io {
        action: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("`{name}` needs the program `{program}`, and this gateway cannot start driver programs yet")]
    Process { name: String, program: &'static str },
}

impl Remedy for StartError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Config(problems) => problems.hints(),
            Self::Selection { error, .. } => error.hints(),
            Self::Path(error) => error.hints(),
            Self::Identity(error) => error.hints(),
            Self::Store(error) => error.hint().into_iter().collect(),
            Self::Bind(error) => error.hint().into_iter().collect(),
            Self::Driver { source, .. } => source.hint().map(str::to_owned).into_iter().collect(),
            Self::Runtime(_) | Self::Io { .. } => Vec::new(),
            Self::Process { program, .. } => {
                vec![format!(
                    "start `{program} --bind-socket PATH`, and the gateway with --compute-driver-socket PATH"
                )]
            }
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Selection { .. } => USAGE,
            _ => FAILURE,
        }
    }

    fn render(&self) -> String {
        match self {
            // They have their own form, with the lines of the file.
            Self::Config(problems) => problems.render(),
            Self::Selection { error, at: Some(at) } => {
                let problem = Problem::at(at.as_ref().clone(), error.to_string());
                error.hints().into_iter().fold(problem, Problem::hint).render("error")
            }
            _ => openshell_core::shell::render(self, &self.hints()),
        }
    }
}

/// What was decided before anything is touched.
struct Plan {
    settings: Settings,
    selection: Selection,
    table: DriverTable,
    warnings: Vec<Problem>,
}

impl Plan {
    fn make(catalog: &Catalog, args: &GatewayArgs, env: &Environment) -> Result<Self, StartError> {
        let settings = Settings::load(args, env, catalog)?;
        let probes = if settings.sources.needs_detection() {
            detect::run(catalog, &env.for_probes())
        } else {
            Probes::default()
        };
        let selection = settings.select(catalog, &probes).map_err(|error| {
            let at = settings.place_of(&error).cloned().map(Box::new);
            StartError::Selection { error, at }
        })?;
        let table = settings.driver(&selection);
        let mut warnings = settings.warnings.clone();
        warnings.extend(settings.config.warnings(catalog, selection.name.key()));
        Ok(Self { settings, selection, table, warnings })
    }
}

/// `check-config`: everything up to the selection, and what it came to.
///
/// # Errors
/// As a start would fail, as far as that can be told without touching anything.
pub(crate) fn check(catalog: &Catalog, args: &GatewayArgs, env: &Environment) -> Result<String, StartError> {
    let plan = Plan::make(catalog, args, env)?;
    let mut out = String::new();
    for warning in &plan.warnings {
        out.push_str(&warning.render("warning"));
    }
    for note in &plan.selection.notes {
        let _ = writeln!(out, "note: {note}");
    }
    let _ = writeln!(out, "the configuration is fine");
    let _ = writeln!(out, "driver: {} ({})", plan.selection.name, plan.selection.because);
    if let How::Socket { path } = &plan.selection.how {
        let _ = writeln!(out, "behind: {}", path.display());
    }
    let _ = writeln!(out, "listens on: {}", plan.settings.listen_socket.display());
    let _ = writeln!(out, "database: {}", plan.settings.database.display());
    Ok(out)
}

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// Why it does not start, or had to end.
pub(crate) fn run(catalog: &Catalog, args: &GatewayArgs, env: &Environment) -> Result<(), StartError> {
    let Plan { settings, selection, table, warnings } = Plan::make(catalog, args, env)?;
    logging::init(settings.log_level, settings.log_format);
    for warning in &warnings {
        warn!("{}", warning.render("warning").trim_end());
    }
    info!(driver = %selection.name, because = %selection.because, "driver selected");
    for note in &selection.notes {
        info!("{note}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| StartError::Io { action: "start the threads of the gateway", source })?;
    let ended = runtime.block_on(serve(catalog, env, settings, selection, table));
    // A look-up of a name that hangs sits on a thread that nothing interrupts; it is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn serve(
    catalog: &Catalog,
    env: &Environment,
    settings: Settings,
    selection: Selection,
    table: DriverTable,
) -> Result<(), StartError> {
    let stop = stop_signal()?;
    tokio::pin!(stop);
    // Bound at the end, when there is something to answer with; looked at now, before a sandbox is touched.
    openshell_uds::check(&settings.listen_socket)?;
    paths::ensure_private(&settings.state_dir, env.uid())?;
    let gateway_id = identity::load_or_create(settings.gateway_id.as_ref(), &settings.state_dir)?;
    let store = Store::open(&settings.database)?;
    let telemetry = Telemetry::start(&settings.telemetry);
    let kind = DriverKind::of(catalog, &selection.name);
    let begun = Instant::now();
    let driver = tokio::select! {
        driver = open(catalog, &settings, &selection, &table, &gateway_id) => driver?,
        () = &mut stop => return Ok(()),
    };
    let name = selection.name.to_string();
    let mut options = openshell_runtime::Settings::new(gateway_id.as_str(), env!("CARGO_PKG_VERSION"), &name);
    options.config_key = selection.name.key().to_owned();
    options.deadlines = deadlines(&table);
    options.provisioning_timeout = settings.provisioning_timeout;
    options.usage = Arc::new(Usage { telemetry: telemetry.clone(), driver: kind });
    let runtime = Runtime::start(options, store, driver).await?;
    let listener = openshell_uds::bind(&settings.listen_socket)?;
    info!(socket = %settings.listen_socket.display(), %gateway_id, "listening");
    telemetry.record(UsageEvent {
        action: Action::GatewayStart,
        driver: kind,
        outcome: Outcome::Ok,
        took: begun.elapsed(),
    });
    let mut since = None;
    let stopping = async {
        stop.await;
        since = Some(Instant::now());
        info!("stopping");
        // Else everybody who watches a sandbox would be waited for.
        runtime.end_watches();
    };
    let served =
        openshell_uds::serve(listener, PeerPolicy::default(), runtime.service(), stopping, DRAIN).await;
    let spent = since.map_or(Duration::ZERO, |since| since.elapsed());
    runtime.shutdown(DRAIN.saturating_sub(spent).max(LAST_CALLS)).await;
    telemetry.shutdown(Duration::from_secs(2)).await;
    served.map_err(|source| StartError::Io { action: "serve on the gateway's socket", source })
}

async fn open(
    catalog: &Catalog,
    settings: &Settings,
    selection: &Selection,
    table: &DriverTable,
    gateway_id: &GatewayId,
) -> Result<Arc<dyn ComputeDriver>, StartError> {
    let name = selection.name.to_string();
    let failed = |source| StartError::Driver { name: name.clone(), source };
    if let How::Socket { path } = &selection.how {
        // Selection has refused a socket in a build without a dialer.
        let dialer = catalog.dialer.ok_or_else(|| {
            failed(DriverError::new(
                openshell_driver_api::ErrorKind::Unimplemented,
                "dial the driver",
                "this build has nothing that dials a driver's socket",
            ))
        })?;
        return dialer.dial(dial_request(&name, path.clone(), table)).await.map_err(failed);
    }
    match (catalog.arm)(selection.name.key()) {
        Some(Arm::Crate { registration, .. }) => {
            let context = DriverContext {
                name: name.clone(),
                gateway_id: gateway_id.as_str().to_owned(),
                state_dir: settings.state_dir.join("drivers").join(selection.name.key()),
                telemetry: settings.telemetry.is_enabled(),
                endpoint: String::new(),
            };
            registration.factory.open(context, &table.own).await.map_err(failed)
        }
        Some(Arm::Process { program, .. }) => Err(StartError::Process { name, program }),
        Some(Arm::Socket { .. }) | None => Err(failed(DriverError::new(
            openshell_driver_api::ErrorKind::Internal,
            "open the driver",
            "the selection named a driver that this build does not have",
        ))),
    }
}

fn dial_request(name: &str, path: PathBuf, table: &DriverTable) -> DialRequest {
    DialRequest {
        name: name.to_owned(),
        path,
        policy: SocketPolicy {
            allowed_uids: table.allowed_uids.clone(),
            allowed_gids: table.allowed_gids.clone(),
        },
        connect_timeout: table.connect_timeout,
        longest_call: longest(&table.deadlines),
    }
}

fn longest(deadlines: &Limits) -> Duration {
    let Limits { create, start, stop, delete, call } = *deadlines;
    create.max(start).max(stop).max(delete).max(call)
}

fn deadlines(table: &DriverTable) -> Deadlines {
    let given = &table.deadlines;
    Deadlines {
        capabilities: given.call,
        validate: given.call,
        get: given.call,
        list: given.call,
        watch: given.call,
        create: given.create,
        start: given.start,
        stop: given.stop,
        delete: given.delete,
        ..Deadlines::default()
    }
}

/// Ready at the first SIGTERM or SIGINT. The handlers are in place when this returns.
fn stop_signal() -> Result<impl Future<Output = ()>, StartError> {
    let listen =
        |kind| signal(kind).map_err(|source| StartError::Io { action: "listen for signals", source });
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
