//! The clock: ends the waits that took too long. It sleeps until the next one is due, and looks at nothing before.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use super::{Engine, Fate};
use crate::clock::{between, millis, now_ms};
use crate::store::Record;

/// How long to wait when the store fails.
const PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) async fn keep_time(self: Arc<Self>) {
        loop {
            let sleep = self.expire_due().await;
            tokio::select! {
                () = self.stopped() => return,
                () = self.timer.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Ends the wait that is due, if one is, and says how long it is to the next.
    async fn expire_due(self: &Arc<Self>) -> Duration {
        let driver = self.settings.driver_name.clone();
        let (id, since) = match self.store.read(move |db| db.longest_waiting(&driver)).await {
            Ok(Some(waiting)) => waiting,
            // Any change wakes the clock.
            Ok(None) => return Duration::from_secs(3600),
            Err(error) => {
                tracing::error!(error = &error as &dyn Error, "the store cannot say what waits");
                return PAUSE;
            }
        };
        let timeout_ms = millis(self.settings.provisioning_timeout);
        let (due_ms, now) = (since.saturating_add(timeout_ms), now_ms());
        if now < due_ms {
            return between(now, due_ms);
        }
        let expire = move |record: &mut Record, now| {
            record.life.expire(timeout_ms, now);
            (Fate::Stay, ())
        };
        match self.change(&id, expire).await {
            Ok(_) => Duration::ZERO,
            Err(error) => {
                tracing::error!(error = &error as &dyn Error, sandbox = id, "a wait could not be ended");
                PAUSE
            }
        }
    }
}
