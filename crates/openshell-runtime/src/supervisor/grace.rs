//! How a sandbox's readiness follows its session: at once when it comes, after some grace when it goes.

use std::collections::HashSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Engine, Fate};
use crate::store::{Record, StoreError};

/// How long commands of clients may go on when the gateway is to stop.
const LAST_COMMANDS: Duration = Duration::from_secs(3);

impl Engine {
    /// Looks after some time whether the sandbox's supervisor is back, and stores that it is awaited if not.
    pub(super) fn give_grace(self: &Arc<Self>, sandbox: &str) {
        self.give_grace_to(vec![sandbox.to_owned()]);
    }

    fn give_grace_to(self: &Arc<Self>, sandboxes: Vec<String>) {
        let Some(grace) = self.settings.supervision.as_ref().map(|supervision| supervision.grace) else {
            return;
        };
        let engine = Arc::clone(self);
        // A gateway that stops gives it anew when it comes up.
        let _stopping = self.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(grace) => {}
                () = engine.stopped() => return,
            }
            for sandbox in sandboxes {
                if let Err(error) = engine.await_supervisor(&sandbox).await {
                    let error = &error as &dyn Error;
                    tracing::error!(sandbox, error, "that its supervisor is away could not be stored");
                }
            }
        });
    }

    async fn await_supervisor(self: &Arc<Self>, sandbox: &str) -> Result<(), StoreError> {
        let engine = Arc::clone(self);
        let away = move |record: &mut Record, now| {
            // On the store's thread: a session that came before this is seen, and one that comes after it is stored after it.
            if engine.supervisors.sessions.get(&record.id).is_none() {
                record.life.disconnected(now);
            }
            (Fate::Stay, ())
        };
        self.change(sandbox, away).await.map(|_| ())
    }

    /// Begins nothing new in sandboxes, and ends what runs there for clients unless it is over within a moment.
    pub(crate) fn drain_supervisors(self: &Arc<Self>) {
        self.supervisors.drain();
        let engine = Arc::clone(self);
        let _stopping = self.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(LAST_COMMANDS) => engine.supervisors.end_channels(),
                // Which ends them itself.
                () = engine.stopped() => {}
            }
        });
    }

    /// At the gateway's start: opens the doors of all sandboxes and gives their supervisors time to come back; without
    /// supervision, takes the backend's word alone from now on.
    pub(crate) async fn resume_supervision(self: &Arc<Self>) -> Result<(), StoreError> {
        let driver = self.settings.driver_name.clone();
        let read = self.store.read(move |db| Ok((db.ids(&driver)?, db.supervised(&driver)?)));
        let (all, supervised) = read.await?;
        if self.settings.supervision.is_none() {
            for id in supervised {
                let change = |record: &mut Record, now| {
                    record.life.unsupervised(now);
                    (Fate::Stay, ())
                };
                self.change(&id, change).await?;
            }
            return Ok(());
        }
        // Also of those that have no supervisor as far as is known: it may have been known before.
        let mut closed = HashSet::new();
        for id in all {
            if let Err(error) = self.open_door(&id).await {
                let error = &error as &dyn Error;
                tracing::error!(sandbox = id, error, "its supervisor cannot reach the gateway");
                closed.insert(id);
            }
        }
        tracing::info!(
            sandboxes = supervised.len(),
            closed = closed.len(),
            "waiting for supervisors to connect"
        );
        self.give_grace_to(supervised);
        Ok(())
    }
}
