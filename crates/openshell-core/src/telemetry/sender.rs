//! The task behind the queue: gathers events into a batch, posts it as JSON, tries again for a while, gives up.
//!
//! ```text
//!   idle ──event──▶ gathering ──full │ flush interval │ stop──▶ sending ──answered──▶ idle
//!                                                                 │  ▲
//!                                                            error▼  │after a pause that doubles; at most a few times
//!                                                                waiting ──stop──▶ one last try, then the end
//! ```
//!
//! Whatever the endpoint answers is an answer: it is neither read nor obeyed. Redirects are not followed and proxies
//! are not asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::connect::Connector;
use super::{Action, Outcome, UsageEvent};

/// How many events go in one request.
const BATCH: usize = 64;
/// How often one batch is tried.
const TRIES: u32 = 5;
/// The version of what is sent.
const SCHEMA: u32 = 1;

/// How long things take; tests hurry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// How long the first event of a batch waits for company.
    pub(super) flush: Duration,
    /// How long one request may take, the connection and TLS included.
    pub(super) request: Duration,
    /// The pause after the first failure; it doubles.
    pub(super) pause: Duration,
    /// The longest pause.
    pub(super) longest_pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            flush: Duration::from_secs(10),
            request: Duration::from_secs(5),
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// The sending half.
pub(super) struct Sender {
    connector: Connector,
    timing: Timing,
    dropped: Arc<AtomicU64>,
}

impl Sender {
    pub(super) fn new(connector: Connector, timing: Timing, dropped: Arc<AtomicU64>) -> Self {
        Self { connector, timing, dropped }
    }

    pub(super) async fn run(self, mut events: mpsc::Receiver<UsageEvent>, mut stop: watch::Receiver<bool>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let stopping = self.gather(&mut events, &mut stop, &mut batch).await;
            if stopping {
                // Nothing new is taken on; what waits goes out in as many requests as it needs, without a second try.
                events.close();
                while let Ok(event) = events.try_recv() {
                    batch.push(event);
                }
                for part in batch.chunks(BATCH) {
                    if self.post(part).await.is_err() {
                        return;
                    }
                }
                return;
            }
            if self.send(&batch, &mut stop).await {
                batch.clear();
            }
        }
    }

    /// Fills a batch. Says whether it is time to stop.
    async fn gather(
        &self,
        events: &mut mpsc::Receiver<UsageEvent>,
        stop: &mut watch::Receiver<bool>,
        batch: &mut Vec<UsageEvent>,
    ) -> bool {
        let mut flush = None;
        // Asked first: a full batch that is left over from a stop has nothing to wait for.
        while !is_stopped(stop) && batch.len() < BATCH {
            let due = async {
                match flush {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stopped(stop) => return true,
                event = events.recv() => match event {
                    Some(event) => {
                        flush.get_or_insert_with(|| tokio::time::Instant::now() + self.timing.flush);
                        batch.push(event);
                    }
                    None => return true,
                },
                () = due => break,
            }
        }
        is_stopped(stop)
    }

    /// Posts a batch until it is answered or given up. `false`: stopped in between, the batch is still to be sent.
    async fn send(&self, batch: &[UsageEvent], stop: &mut watch::Receiver<bool>) -> bool {
        let mut pause = self.timing.pause;
        for attempt in 1..=TRIES {
            tokio::select! {
                biased;
                result = self.post(batch) => match result {
                    Ok(()) => return true,
                    Err(why) => tracing::debug!(attempt, why, "usage events were not taken"),
                },
                // A request under way is cut off and made again once by the caller.
                () = stopped(stop) => return false,
            }
            if attempt < TRIES {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stopped(stop) => return false,
                }
                pause = (pause * 2).min(self.timing.longest_pause);
            }
        }
        self.dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
        true
    }

    /// One request.
    async fn post(&self, batch: &[UsageEvent]) -> Result<(), &'static str> {
        let dropped = self.dropped.load(Ordering::Relaxed);
        let body = serde_json::to_vec(&document(batch, dropped)).map_err(|_| "not JSON")?;
        match timeout(self.timing.request, self.connector.post(body)).await {
            Ok(Ok(())) => {
                self.dropped.fetch_sub(dropped, Ordering::Relaxed);
                Ok(())
            }
            Ok(Err(why)) => Err(why),
            Err(_) => Err("timed out"),
        }
    }
}

/// Waits for the word to stop; a handle that is gone says it too.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody can say it any more.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn is_stopped(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

/// What is sent.
fn document(batch: &[UsageEvent], dropped: u64) -> Value {
    let events: Vec<Value> = batch.iter().map(event).collect();
    json!({
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "dropped": dropped,
        "events": events,
    })
}

fn event(event: &UsageEvent) -> Value {
    let action = match event.action {
        Action::GatewayStart => "gateway.start",
        Action::DriverStart => "driver.start",
        Action::SandboxCreate => "sandbox.create",
        Action::SandboxStart => "sandbox.start",
        Action::SandboxStop => "sandbox.stop",
        Action::SandboxDelete => "sandbox.delete",
    };
    let outcome = match event.outcome {
        Outcome::Ok => "ok",
        Outcome::Refused => "refused",
        Outcome::Failed => "failed",
    };
    json!({ "event": action, "driver": event.driver.as_str(), "outcome": outcome, "duration": bucket(event.took) })
}

/// A range instead of a duration, which could tell one event from another.
fn bucket(took: Duration) -> &'static str {
    match took.as_millis() {
        0..100 => "<100ms",
        100..1_000 => "<1s",
        1_000..10_000 => "<10s",
        10_000..60_000 => "<1m",
        _ => ">=1m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_leave_as_ranges() {
        let range = |millis| bucket(Duration::from_millis(millis));
        assert_eq!([range(0), range(99), range(100), range(999)], ["<100ms", "<100ms", "<1s", "<1s"]);
        assert_eq!([range(1_000), range(10_000), range(60_000)], ["<10s", "<1m", ">=1m"]);
        assert_eq!(bucket(Duration::MAX), ">=1m");
    }
}
