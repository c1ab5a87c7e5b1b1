//! The sessions that are up: one a sandbox, the newest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openshell_proto::openshell::v1::gateway_message::Payload;
use openshell_proto::openshell::v1::{GatewayMessage, RelayClose};
use tokio::sync::{mpsc, watch};
use tonic::Status;

/// One session: the way to say something to a supervisor.
pub(crate) struct Session {
    /// Tells it from the sandbox's other sessions.
    pub(super) id: String,
    /// Whose supervisor it is.
    pub(super) sandbox: String,
    /// Which run of the main process it speaks for; another run is another supervisor.
    pub(super) instance: String,
    queue: mpsc::Sender<GatewayMessage>,
    over: watch::Sender<Option<Status>>,
}

impl Session {
    /// A session, and when it is over.
    pub(super) fn new(
        id: String,
        sandbox: String,
        instance: String,
        queue: mpsc::Sender<GatewayMessage>,
        over: watch::Sender<Option<Status>>,
    ) -> Self {
        Self { id, sandbox, instance, queue, over }
    }

    /// Says something, and waits for the room to. `false`: the session is over.
    pub(super) async fn say(&self, payload: Payload) -> bool {
        let mut over = self.over.subscribe();
        tokio::select! {
            said = self.queue.send(GatewayMessage { payload: Some(payload) }) => said.is_ok(),
            _ = over.wait_for(Option::is_some) => false,
        }
    }

    /// Says something if there is room.
    pub(super) fn try_say(&self, payload: Payload) -> bool {
        self.queue.try_send(GatewayMessage { payload: Some(payload) }).is_ok()
    }

    /// Says that a channel has ended. Where there is no room the end of the channel's own stream has to do.
    pub(super) fn say_closed(&self, channel_id: &str, reason: &str) {
        let close = RelayClose { channel_id: channel_id.to_owned(), reason: reason.to_owned() };
        let _said = self.try_say(Payload::RelayClose(close));
    }

    /// Ends it; the supervisor is told why. The first end counts.
    pub(super) fn end(&self, status: Status) {
        self.over.send_if_modified(|over| {
            let first = over.is_none();
            over.get_or_insert(status);
            first
        });
    }
}

/// Every session that is up.
#[derive(Default)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<String, Arc<Session>>>,
    /// Changes whenever one begins.
    arrivals: watch::Sender<()>,
}

impl Sessions {
    /// Begins a session, and gives the older one of the same sandbox, which is nobody's any more.
    pub(super) fn enter(&self, session: Arc<Session>) -> Option<Arc<Session>> {
        let older = self.open().insert(session.sandbox.clone(), session);
        self.arrivals.send_replace(());
        older
    }

    /// Ends a session, unless a newer one is in its place.
    pub(super) fn leave(&self, session: &Arc<Session>) {
        let mut open = self.open();
        if open.get(&session.sandbox).is_some_and(|found| Arc::ptr_eq(found, session)) {
            open.remove(&session.sandbox);
        }
    }

    /// The session of a sandbox.
    pub(crate) fn get(&self, sandbox: &str) -> Option<Arc<Session>> {
        self.open().get(sandbox).map(Arc::clone)
    }

    /// The session of a sandbox; where it is away, waits for it so long.
    pub(super) async fn wait(&self, sandbox: &str, patience: Duration) -> Option<Arc<Session>> {
        let mut arrivals = self.arrivals.subscribe();
        let wait = async {
            loop {
                arrivals.mark_unchanged();
                if let Some(session) = self.get(sandbox) {
                    return Some(session);
                }
                arrivals.changed().await.ok()?;
            }
        };
        tokio::time::timeout(patience, wait).await.ok().flatten()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.open().len()
    }

    /// Ends all of them.
    pub(super) fn end_all(&self, status: &Status) {
        self.open().values().for_each(|session| session.end(status.clone()));
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        // No code that may panic runs under this lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
