//! A driver program from its command line to its exit code.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openshell_core::selection::DriverName;
use openshell_core::shell::{self, USAGE};
use openshell_core::telemetry::{Action, DriverKind, Outcome, Telemetry, UsageEvent};
use openshell_core::{Catalog, Environment, logging, otlp};
use openshell_driver_api::Registration;
use openshell_driver_remote::ServeOptions;
use openshell_uds::PeerPolicy;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::args::DriverArgs;
use crate::error::ProgramError;
use crate::life_line;
use crate::plan::{self, Plan};

/// How long the driver may take to end what ends with it.
const LAST_SANDBOXES: Duration = Duration::from_secs(10);
/// How much longer it is waited for then.
const GRACE: Duration = Duration::from_secs(2);
/// How long the last usage events may take to leave.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Runs the driver `name` as a program: the whole of a generated `main`. Exits with 0 after SIGTERM or SIGINT, once what
/// was under way is drained.
#[must_use]
pub fn run(name: &'static str, registration: &'static Registration) -> ExitCode {
    run_with(name, registration, &plan::catalog(name, registration))
}

/// Runs a driver that the manifest need not have, somebody else's, as such a program: the whole of its `main`. `summary`
/// is for `--help`. It reads the table of its name as every driver does.
#[must_use]
pub fn run_foreign(
    name: &'static str,
    summary: &'static str,
    registration: &'static Registration,
) -> ExitCode {
    run_with(name, registration, &plan::catalog_with(name, summary, registration))
}

fn run_with(name: &'static str, registration: &'static Registration, catalog: &Catalog) -> ExitCode {
    let entry = catalog.entry(name);
    let program = entry.and_then(|entry| entry.program).unwrap_or(name);
    let summary = entry.map_or("", |entry| entry.summary);
    let matches = DriverArgs::command(program, name, summary, registration.version).get_matches();
    let args = match DriverArgs::of(&matches) {
        Ok(args) => args,
        Err(error) => {
            // A closed standard error is no reason to panic.
            let _ = error.print();
            return ExitCode::from(USAGE);
        }
    };
    match start(name, registration, &args, &Environment::from_process(), catalog) {
        Ok(code) => code,
        Err(error) => shell::fail(&error),
    }
}

fn start(
    name: &'static str,
    registration: &'static Registration,
    args: &DriverArgs,
    env: &Environment,
    catalog: &Catalog,
) -> Result<ExitCode, ProgramError> {
    let plan = Plan::make(name, args, env, catalog)?;
    // Clap asks for it unless the configuration is all that is looked at.
    let Some(path) = args.bind_socket.as_deref().filter(|_| !args.check_config) else {
        return Ok(shell::print(&format!("the configuration of the driver `{name}` is fine\n")));
    };
    logging::init(plan.log_level, plan.log_format);
    let policy = PeerPolicy {
        allowed_uids: args.allow_uids.clone(),
        allowed_gids: args.allow_gids.clone(),
        pid: args.launched_by,
        ..PeerPolicy::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| ProgramError::Io { action: "start the threads of the driver", source })?;
    let kind = DriverName::parse(name).map(|name| DriverKind::of(catalog, &name)).ok();
    runtime.block_on(serve(name, registration, plan, path, policy, kind))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(
    name: &'static str,
    registration: &'static Registration,
    plan: Plan,
    path: &Path,
    policy: PeerPolicy,
    kind: Option<DriverKind>,
) -> Result<(), ProgramError> {
    let stop = stop_signal(policy.pid.is_some())?;
    tokio::pin!(stop);
    let began = Instant::now();
    let context = plan.context(name)?;
    let gateway_id = context.gateway_id.clone();
    // Bound before the backend is asked for anything: a second program on the same socket ends here.
    let listener = openshell_uds::bind_for(path, &policy)?;
    let telemetry = Telemetry::start(&plan.telemetry);
    let driver = tokio::select! {
        driver = registration.factory.open(context, &plan.table) => {
            driver.map_err(|source| ProgramError::Driver { name, source })?
        }
        () = &mut stop => return Ok(()),
    };
    info!(driver = name, socket = %path.display(), %gateway_id, "serving");
    if let Some(driver) = kind {
        let outcome = Outcome::Ok;
        telemetry.record(UsageEvent { action: Action::DriverStart, driver, outcome, took: began.elapsed() });
    }
    let served =
        openshell_driver_remote::serve(Arc::clone(&driver), listener, policy, stop, ServeOptions::default())
            .await;
    if tokio::time::timeout(LAST_SANDBOXES + GRACE, driver.shutdown(LAST_SANDBOXES)).await.is_err() {
        warn!(driver = name, "the driver did not let go of everything in time");
    }
    info!(driver = name, "stopped");
    tokio::join!(telemetry.shutdown(LAST_EVENTS), otlp::shutdown(LAST_EVENTS));
    served.map_err(|source| ProgramError::Io { action: "serve on the driver's socket", source })
}

/// Ready at the first SIGTERM or SIGINT, or once the gateway that started the program is gone. The handlers are in place
/// when this returns.
fn stop_signal(launched: bool) -> Result<impl Future<Output = ()>, ProgramError> {
    let listen =
        |kind| signal(kind).map_err(|source| ProgramError::Io { action: "listen for signals", source });
    let life_line = launched.then(life_line::hold).transpose();
    let life_line = life_line.map_err(|source| ProgramError::Io { action: "hold the life line", source })?;
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = gone(life_line) => info!("the gateway is gone"),
        }
    })
}

/// Ready once the life line ends; never without one.
async fn gone(life_line: Option<impl Future<Output = ()>>) {
    match life_line {
        Some(life_line) => life_line.await,
        None => std::future::pending().await,
    }
}
