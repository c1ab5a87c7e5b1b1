//! A run: one wave of cases after the other, each case bounded and cleaned up after.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use openshell_core::shell::{Remedy, USAGE};
use openshell_driver_remote::ServeOptions;
use openshell_uds::{BindError, ConnectError, PeerPolicy};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tonic::Status;

use crate::case::{Case, Unmet, failed};
use crate::cases;
use crate::context::Ctx;
use crate::options::{Options, Target};
use crate::report::{Outcome, Report, Verdict};
use crate::session::Session;

/// A case waits for a few answers one after the other.
const WAITS: u32 = 6;

/// Why nothing could be tested.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The socket cannot be dialled.
    #[error("the driver's socket cannot be dialled{}", after(*waited))]
    Connect {
        /// How long was waited, where that could have helped.
        waited: Option<Duration>,
        /// Why.
        #[source]
        source: ConnectError,
    },
    /// Who listens is no driver.
    #[error("what listens at `{}` does not answer `GetCapabilities`", path.display())]
    NoDriver {
        /// The socket.
        path: PathBuf,
        /// What it answered.
        #[source]
        status: Status,
    },
    /// Who listens says nothing.
    #[error("what listens at `{}` did not answer `GetCapabilities` within {waited:?}", path.display())]
    Silent {
        /// The socket.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// The temporary socket of a driver in this process.
    #[error("the driver cannot be served")]
    Serve(#[source] BindError),
    /// Its directory.
    #[error("there is no temporary directory")]
    Directory(#[source] std::io::Error),
    /// The system has no random numbers.
    #[error("there are no random numbers for the ids of this run")]
    Random(#[source] getrandom::Error),
}

fn after(waited: Option<Duration>) -> String {
    waited.map_or_else(String::new, |waited| format!(" (waited {waited:?})"))
}

impl Remedy for RunError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Connect { source: ConnectError::WrongOwner { peer, .. }, .. } => {
                vec![format!("if that program is to be trusted: --allow-uid {}", peer.uid)]
            }
            Self::Connect { source, .. } => source.hint().into_iter().collect(),
            Self::NoDriver { path, .. } | Self::Silent { path, .. } => {
                vec![format!("see which program listens there: ss -xlp src {}", path.display())]
            }
            Self::Serve(error) => error.hint().into_iter().collect(),
            Self::Directory(_) | Self::Random(_) => Vec::new(),
        }
    }

    fn exit_code(&self) -> u8 {
        USAGE
    }
}

/// Holds a driver to the contract.
///
/// # Errors
/// When nothing could be tested: no socket, or nobody who answers as a driver does. What a driver does wrong is in the
/// report.
pub async fn run(target: Target, options: Options) -> Result<Report, RunError> {
    run_with(target, options, |_| {}).await
}

/// As [`run`]; `told` gets each outcome as soon as there is one.
pub(crate) async fn run_with(
    target: Target,
    options: Options,
    told: impl FnMut(&Outcome),
) -> Result<Report, RunError> {
    match target {
        Target::Socket(path) => run_on(path, options, told).await,
        Target::Driver(driver) => {
            let home = tempfile::Builder::new()
                .prefix("openshell-conformance-")
                .tempdir()
                .map_err(RunError::Directory)?;
            // The directory is made by the bind, for this user alone.
            let path = home.path().join("run/driver.sock");
            let listener = openshell_uds::bind(&path).map_err(RunError::Serve)?;
            let (stop, stopped) = oneshot::channel::<()>();
            let shutdown = async { drop(stopped.await) };
            let policy = PeerPolicy::default();
            let options_of_server = ServeOptions::default();
            let server =
                openshell_driver_remote::serve(driver, listener, policy, shutdown, options_of_server);
            let server = tokio::spawn(server);
            let report = run_on(path, options, told).await;
            drop(stop);
            // How it ended is the listener's log to say; the report is there.
            let _ = server.await;
            report
        }
    }
}

async fn run_on(path: PathBuf, options: Options, mut told: impl FnMut(&Outcome)) -> Result<Report, RunError> {
    let target = path.display().to_string();
    let session = Arc::new(Session::open(path, options).await?);
    let began = Instant::now();
    let mut outcomes = Vec::new();
    // What cases made is removed beside the next ones: a backend takes longer for that than for most cases.
    let mut cleaning = JoinSet::new();
    for wave in cases::waves() {
        let first = outcomes.len();
        let one_by_one = cases::CONCURRENT.iter().any(|id| session.has_failed(id));
        let side_by_side = if one_by_one { 1 } else { session.options.side_by_side.max(1) };
        if one_by_one || wave.iter().any(|case| cases::is_alone(case)) {
            while cleaning.join_next().await.is_some() {}
        }
        let wave = wave.into_iter().filter(|case| session.options.takes(case)).enumerate();
        let mut running = stream::iter(wave)
            .map(|(place, case)| {
                let session = &session;
                async move {
                    let left = session.options.whole.saturating_sub(began.elapsed());
                    (place, run_case(session, case, left).await)
                }
            })
            .buffer_unordered(side_by_side);
        while let Some((place, (outcome, ctx))) = running.next().await {
            match side_by_side {
                1 => clean_up(ctx).await,
                _ => _ = cleaning.spawn(clean_up(ctx)),
            }
            told(&outcome);
            outcomes.push((first + place, outcome));
        }
    }
    outcomes.sort_by_key(|(place, _)| *place);
    let outcomes = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    let capabilities = &session.capabilities;
    let driver = (capabilities.driver_name.clone(), capabilities.driver_version.clone());
    Ok(Report { target, driver, outcomes })
}

/// Removes what a case made. A driver that answers nothing is not waited for without end.
async fn clean_up(ctx: Ctx) {
    let _ = tokio::time::timeout(ctx.timeout() * WAITS, ctx.clean_up()).await;
}

async fn run_case(session: &Arc<Session>, case: &'static Case, left: Duration) -> (Outcome, Ctx) {
    let began = Instant::now();
    let ctx = Ctx::new(session, case.id);
    let limit = (session.options.timeout * WAITS).min(left);
    let checked = match limit {
        Duration::ZERO => failed("the time of the whole run was up"),
        limit => match tokio::time::timeout(limit, (case.run)(&ctx)).await {
            Ok(checked) => checked,
            Err(_) => failed(format!("the case took longer than {limit:?}")),
        },
    };
    let took = began.elapsed();
    let verdict = match checked {
        Ok(()) => Verdict::Passed,
        Err(Unmet::Failed(text)) => {
            session.note_failure(case.id);
            Verdict::Failed(text)
        }
        Err(Unmet::Skipped(text)) => Verdict::Skipped(text),
    };
    (Outcome { case, verdict, took }, ctx)
}
