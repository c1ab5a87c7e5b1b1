//! Telemetry in a build with it: its settings, and the handle that requests hold.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Uri;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::connect::Connector;
use super::sender::{Sender, Timing};
use super::{ENV_ENABLED, UsageEvent};
use crate::config::{Problem, TelemetryKeys, value};
use crate::environment::Environment;

/// Where events go; before `telemetry_endpoint` in `[openshell.gateway]`.
const ENV_ENDPOINT: &str = "OPENSHELL_TELEMETRY_ENDPOINT";
/// A file with the root certificates to trust in place of the system's, as OpenSSL has it (`SSL_CTX_set_default_verify_paths(3)`).
const ENV_ROOTS: &str = "SSL_CERT_FILE";
/// How many events wait at most; what comes on top is counted and dropped.
const QUEUE: usize = 256;

/// Whether events are sent, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    enabled: bool,
    endpoint: Option<Uri>,
    roots: Option<PathBuf>,
}

impl Settings {
    /// The variables, else the file.
    #[must_use]
    pub fn resolve(env: &Environment, keys: &TelemetryKeys, problems: &mut Vec<Problem>) -> Self {
        let mut text = |name| match env.text(name) {
            Ok(text) => text,
            Err(error) => {
                problems.push(Problem::new(error.to_string()));
                None
            }
        };
        let enabled = !text(ENV_ENABLED).is_some_and(is_off);
        let endpoint = match text(ENV_ENDPOINT).map(value::telemetry_endpoint) {
            Some(Ok(endpoint)) => Some(endpoint),
            Some(Err(expected)) => {
                problems.push(Problem::new(format!("`{ENV_ENDPOINT}`: {expected}")));
                None
            }
            None => keys.endpoint.clone(),
        };
        let roots = env.raw(ENV_ROOTS).map(PathBuf::from);
        Self { enabled, endpoint, roots }
    }

    /// Whether telemetry may act; sandboxes are told. It has nobody to tell things to as long as there is no endpoint.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }
}

fn is_off(value: &str) -> bool {
    ["0", "false", "no", "off"].iter().any(|word| value.trim().eq_ignore_ascii_case(word))
}

/// Takes events and passes them on to a task that sends them. Clones share the task.
#[derive(Debug, Clone, Default)]
pub struct Telemetry(Option<Arc<Running>>);

#[derive(Debug)]
struct Running {
    queue: mpsc::Sender<UsageEvent>,
    dropped: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Telemetry {
    /// Starts the task that sends, when telemetry is on and has an endpoint; else nothing. Needs a runtime.
    #[must_use]
    pub fn start(settings: &Settings) -> Self {
        Self::start_with(settings, Timing::default())
    }

    pub(super) fn start_with(settings: &Settings, timing: Timing) -> Self {
        let Some(endpoint) = settings.endpoint.clone().filter(|_| settings.enabled) else {
            return Self(None);
        };
        let connector = match Connector::new(&endpoint, settings.roots.as_deref()) {
            Ok(connector) => connector,
            Err(why) => {
                // Nobody's work depends on it.
                tracing::warn!(why, "usage events are not sent");
                return Self(None);
            }
        };
        let (queue, events) = mpsc::channel(QUEUE);
        let (stop, stopped) = watch::channel(false);
        let dropped = Arc::new(AtomicU64::new(0));
        let sender = Sender::new(connector, timing, Arc::clone(&dropped));
        let task = tokio::spawn(sender.run(events, stopped));
        Self(Some(Arc::new(Running { queue, dropped, stop, task: Mutex::new(Some(task)) })))
    }

    /// Notes an event. Never waits: with the queue full the event is dropped, and the next batch says how many were.
    pub fn record(&self, event: UsageEvent) {
        if let Some(running) = &self.0
            && running.queue.try_send(event).is_err()
        {
            running.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends what waits, for as long as `deadline` allows, and ends the task. Events noted afterwards are lost.
    pub async fn shutdown(&self, deadline: Duration) {
        let Some(running) = &self.0 else { return };
        let task = running.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut task) = task else { return };
        running.stop.send_replace(true);
        if tokio::time::timeout(deadline, &mut task).await.is_err() {
            task.abort();
        }
    }

    /// How many events were dropped since the last batch that left.
    #[cfg(test)]
    fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |running| running.dropped.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests;
