//! From a command line to a gateway that serves, in this order:
//!
//! ```text
//!   plan ─▶ addresses taken ─▶ state directory, id, token ─▶ store ─▶ driver ─▶ runtime ─▶ listeners ─▶ serve until SIGTERM
//!   └ nothing is made or asked ┘
//! ```

use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openshell_core::catalog::Catalog;
use openshell_core::identity::GatewayId;
use openshell_core::registration::{Registered, Registration};
use openshell_core::telemetry::{Action, DriverKind, Outcome, Telemetry, UsageEvent};
use openshell_core::{Environment, GatewayArgs, Settings, identity, logging, otlp, paths};
use openshell_driver_api::ComputeDriver;
use openshell_front::{Front, FrontOptions, Metrics, Policy, token};
use openshell_runtime::{Runtime, Store};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::doors::{self, Doors, Reserved};
use crate::error::StartError;
use crate::front::{self, Asked};
use crate::plan::Plan;
use crate::sandboxes::{self, SANDBOXES, Supervised, Way};
use crate::supervisor::Supervisor;
use crate::usage::Usage;
use crate::{backend, descriptors, signals};

/// The gateway's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How long requests under way and the driver's calls may take together once the gateway shall stop.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the driver's calls may take at least, where the requests have used up all of that.
const LAST_CALLS: Duration = Duration::from_secs(1);
/// How long the driver may take to end what ends with the gateway.
const LAST_SANDBOXES: Duration = Duration::from_secs(15);
/// How long the last events of the usage and the last traces may take, where there are any.
const LAST_EVENTS: Duration = Duration::from_secs(2);
/// The most threads that requests are answered on, unless the variable says otherwise.
const WORKER_THREADS: usize = 4;
/// How many threads that shall be.
const ENV_WORKER_THREADS: &str = "TOKIO_WORKER_THREADS";

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// Why it does not start, or had to end.
pub(crate) fn run(catalog: &Catalog, args: &GatewayArgs, env: &Environment) -> Result<(), StartError> {
    let plan = Plan::make(catalog, args, env)?;
    let Plan { settings, selection, .. } = &plan;
    logging::init(settings.log_level, settings.log_format);
    for warning in &plan.warnings {
        warn!("{}", warning.render("warning").trim_end());
    }
    info!(driver = %selection.name, because = %selection.because, "driver selected");
    for note in &selection.notes {
        info!("{note}");
    }
    let sandboxes = plan.supervisor.as_ref().map_or(0, |_| sandboxes::descriptors());
    descriptors::make_room_for(doors::most_connections(&settings.front), sandboxes);
    let runtime = Builder::new_multi_thread()
        .worker_threads(worker_threads(env))
        .enable_all()
        .build()
        .map_err(|source| StartError::Io { action: "start the threads of the gateway", source })?;
    let ended = runtime.block_on(serve(catalog, env, plan));
    // A look-up of a name that hangs sits on a thread that nothing interrupts; it is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// As many threads as the work of a gateway needs, which waits for others most of the time; each costs memory.
fn worker_threads(env: &Environment) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let usual = cores.min(WORKER_THREADS);
    let Some(asked) = env.raw(ENV_WORKER_THREADS) else { return usual };
    // Tokio reads the same variable, and panics at one that is no number.
    match asked.to_str().and_then(|text| text.parse::<NonZero<u16>>().ok()) {
        Some(threads) => usize::from(threads.get()),
        None => {
            warn!(threads = usual, "`{ENV_WORKER_THREADS}` is no number of threads, and is not used");
            usual
        }
    }
}

/// From the plan to the end of the gateway.
async fn serve(catalog: &Catalog, env: &Environment, plan: Plan) -> Result<(), StartError> {
    let Plan { settings, selection, .. } = &plan;
    let front = &settings.front;
    let stop = signals::stop()?;
    tokio::pin!(stop);
    // Opened at the end, when there is something to answer with; taken now, before a sandbox is touched.
    let doors = Doors::take(settings)?;
    let supervisor = plan.supervisor.as_ref();
    let reserved = supervisor.and_then(Supervisor::network);
    let reserved = reserved.map(|sandboxes| Reserved::take(sandboxes.address, SANDBOXES)).transpose()?;
    paths::ensure_private(&settings.state_dir, env.uid())?;
    let gateway_id = identity::load_or_create(settings.gateway_id.as_ref(), &settings.state_dir)?;
    if front.takes_tokens() && token::load_or_create(&front.token_path)? == token::Made::Created {
        info!(path = %front.token_path.display(), "a token is made for clients on TCP");
    }
    let policy = Policy::new(&front::access(front, env.uid()))?;
    let metrics = Metrics::new(VERSION);
    let way = supervisor.map(|supervisor| {
        Way::prepare(supervisor, settings, reserved, env.uid(), gateway_id.as_str(), &metrics)
    });
    let sandboxes = way.transpose()?;
    let delivery = sandboxes.as_ref().and_then(Way::delivery);
    let store = Store::open(&settings.database)?;
    let telemetry = Telemetry::start(&settings.telemetry);
    let kind = DriverKind::of(catalog, &selection.name);
    let begun = Instant::now();
    let driver = tokio::select! {
        driver = backend::open(catalog, env, &plan, &gateway_id, delivery) => driver?,
        () = &mut stop => return Ok(()),
    };
    let running =
        Running { env, gateway_id, policy, metrics, sandboxes, store, telemetry, kind, begun, doors };
    let ended = attend(running, &plan, Arc::clone(&driver), stop).await;
    // However it ended: there may be machines that end with us, and would rather be told.
    driver.shutdown(LAST_SANDBOXES).await;
    ended
}

/// What a gateway has by the time that its driver is open.
struct Running<'a> {
    env: &'a Environment,
    gateway_id: GatewayId,
    policy: Policy,
    metrics: Arc<Metrics>,
    /// By which sandboxes with a supervisor come in.
    sandboxes: Option<Way>,
    store: Store,
    telemetry: Telemetry,
    kind: DriverKind,
    begun: Instant,
    doors: Doors,
}

/// From an open driver to the end of the last request.
async fn attend(
    running: Running<'_>,
    plan: &Plan,
    driver: Arc<dyn ComputeDriver>,
    stop: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let Running { env, gateway_id, policy, metrics, sandboxes, store, telemetry, kind, begun, doors } =
        running;
    let Plan { settings, selection, table, tls, .. } = plan;
    let front = &settings.front;
    let name = selection.name.to_string();
    let mut options = openshell_runtime::Settings::new(gateway_id.as_str(), VERSION, &name);
    options.config_key = selection.name.key().to_owned();
    options.reach = backend::reach(plan);
    options.deadlines = backend::deadlines(table);
    options.provisioning_timeout = settings.provisioning_timeout;
    options.max_request_bytes = usize::try_from(front.limits.request_bytes).unwrap_or(usize::MAX);
    options.supervision = sandboxes.as_ref().map(Way::supervision);
    options.usage = Arc::new(Usage { telemetry: telemetry.clone(), driver: kind });
    let runtime = Runtime::start(options, store, driver).await.map_err(Box::new)?;

    let open = doors.open(front, tls.clone(), &metrics)?;
    let registered = register(env, settings, &gateway_id, &name, open.endpoint);
    info!(%gateway_id, took = ?begun.elapsed(), "serving");
    telemetry.record(UsageEvent {
        action: Action::GatewayStart,
        driver: kind,
        outcome: Outcome::Ok,
        took: begun.elapsed(),
    });
    let service = Front::new(
        Supervised::new(runtime.service()),
        FrontOptions {
            policy,
            metrics,
            backend: Arc::new(Asked(runtime.clone())),
            request_bytes: front.limits.request_bytes.into(),
        },
    );
    if let Some(sandboxes) = &sandboxes {
        // As it is: a supervisor begins no trace that could be continued.
        sandboxes.serve(service.clone()).await?;
    }
    let (probes, service) = (otlp::continued(service.probes()), otlp::continued(service));
    // Probes are answered until the last request is: they say that the gateway is going away.
    let (ended, end) = oneshot::channel::<()>();
    let health = openshell_front::serve(
        open.health.into_iter().collect(),
        probes,
        async move {
            let _ = end.await;
        },
        doors::limits(&front.limits, LAST_CALLS),
    );
    let mut since = None;
    let stopping = async {
        stop.await;
        since = Some(Instant::now());
        info!("stopping");
        drop(registered);
        // Else everybody who watches a sandbox would be waited for.
        runtime.end_watches();
    };
    let clients = async {
        let served =
            openshell_front::serve(open.entrances, service, stopping, doors::limits(&front.limits, DRAIN))
                .await;
        drop(ended);
        served
    };
    let (served, probed) = tokio::join!(clients, health);
    // After the clients: what they do in sandboxes ends by these.
    if let Some(sandboxes) = &sandboxes {
        sandboxes.shutdown().await;
    }
    let spent = since.map_or(Duration::ZERO, |since| since.elapsed());
    runtime.shutdown(DRAIN.saturating_sub(spent).max(LAST_CALLS)).await;
    tokio::join!(telemetry.shutdown(LAST_EVENTS), otlp::shutdown(LAST_EVENTS));
    served.and(probed).map_err(|source| StartError::Io { action: "serve on the gateway's listeners", source })
}

/// Tells clients of this user that this gateway is there. It serves all the same where that cannot be told.
fn register(
    env: &Environment,
    settings: &Settings,
    gateway_id: &GatewayId,
    driver: &str,
    endpoint: Option<String>,
) -> Option<Registered> {
    let front = &settings.front;
    let tls = front.tcp.as_ref().and_then(|tcp| tcp.tls.as_ref());
    // Where `generate-certs` puts the CA of a certificate.
    let ca_path = tls.map(|tls| tls.cert_path.with_file_name("ca.crt")).filter(|path| path.is_file());
    let registration = Registration {
        gateway_id: gateway_id.to_string(),
        pid: std::process::id(),
        version: VERSION.to_owned(),
        driver: driver.to_owned(),
        socket: std::path::absolute(&settings.listen_socket)
            .unwrap_or_else(|_| settings.listen_socket.clone()),
        endpoint,
        token_path: front.takes_tokens().then(|| front.token_path.clone()),
        ca_path,
    };
    match registration.write(env) {
        Ok(registered) => Some(registered),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            warn!(error, "clients have to be told where this gateway is: it cannot be registered");
            None
        }
    }
}
