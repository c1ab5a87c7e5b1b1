//! The service's side of a watch: which of its events are reasons to look, and where a look gets its answer.
//!
//! ```text
//!   streams of events, several where the service polls ─ each event once ─┬─ an end ─▶ told as it is (runs.rs)
//!   lists, now and then (heal.rs) ────────────────────────────────────────┴─ else ───▶ a look
//! ```

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_core::Stream;
use futures_util::stream::{self, BoxStream, StreamExt};
use openshell_driver_api::{DriverError, ErrorKind, EventStream, ObservedSandbox, SandboxId, async_trait};
use openshell_driver_common::container::names::Scope;
use openshell_driver_common::watch::{self, Observer, Signal};

use crate::driver::Inner;
use crate::engine::{Event, Events, Filters};
use crate::heal;
use crate::runs::End;

/// The service begins to look a moment after it was asked, and replays what came since a time: asked from a little earlier
/// than now, that moment is covered.
const OVERLAP: Duration = Duration::from_secs(5);
/// How often a service looks at the file of its events for one listener, from the moment that it began to listen.
///
/// Source: `POLL_DURATION` of `nxadm/tail`, by which Podman reads it.
const POLL: Duration = Duration::from_millis(250);
/// How many listen there, each a part of that time after the one before: what happens is heard by the first that looks.
const LISTENERS: u32 = 4;
/// How many events are known again: far more than happen between two looks of the service.
const RECENT: usize = 4096;
/// How much older than the newest an event is that was told before, in nanoseconds.
const REPLAYED: i64 = 60_000_000_000;
/// The events that can change what is told of a container, in words that every version knows.
const ACTIONS: [&str; 9] =
    ["create", "init", "start", "died", "stop", "pause", "unpause", "cleanup", "remove"];

/// Starts a watch.
pub(crate) fn watch(inner: &Arc<Inner>) -> EventStream {
    watch::watch(Arc::clone(inner), inner.news.subscribe(), all(Arc::clone(inner)))
}

/// Whatever is a reason to look. The first that fails is the end of all.
fn all(inner: Arc<Inner>) -> impl Stream<Item = Result<Vec<Signal>, DriverError>> + Send {
    let listeners = if inner.engine.polls_events() { LISTENERS } else { 1 };
    let recent = Arc::<Mutex<Recent>>::default();
    let mut sources: Vec<BoxStream<'static, _>> =
        vec![heal::signals(Arc::clone(&inner), Arc::clone(&recent)).boxed()];
    for nth in 0..listeners {
        let delay = POLL * nth / LISTENERS;
        sources.push(events(Arc::clone(&inner), Arc::clone(&recent), delay).boxed());
    }
    stream::select_all(sources)
}

/// The events that came last, by what tells one from another.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    known: HashSet<u64>,
    order: VecDeque<u64>,
    /// When the newest was.
    newest: i64,
    /// The containers that they were about since somebody asked for that.
    heard: HashSet<String>,
}

impl Recent {
    /// Whether an event comes for the first time.
    fn is_new(&mut self, event: &Event) -> bool {
        // A service whose log begins anew tells all of it once more.
        if event.at < self.newest.saturating_sub(REPLAYED) {
            return false;
        }
        self.newest = self.newest.max(event.at);
        let mut hasher = DefaultHasher::new();
        (&event.actor.id, &event.action, event.at).hash(&mut hasher);
        let key = hasher.finish();
        if !self.known.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        if self.heard.len() < RECENT {
            self.heard.insert(event.actor.id.clone());
        }
        true
    }

    /// The containers that events were about since the last time. Of more than can be kept some are missing, and looked at
    /// once more.
    pub(crate) fn take_heard(&mut self) -> HashSet<String> {
        std::mem::take(&mut self.heard)
    }
}

/// Where a stream of events is.
enum Stage {
    Asking(Duration),
    Listening(Events),
    Ended,
}

/// What the service's events give reason to, for one listener, until it ends them.
fn events(
    inner: Arc<Inner>,
    recent: Arc<Mutex<Recent>>,
    delay: Duration,
) -> impl Stream<Item = Result<Vec<Signal>, DriverError>> + Send {
    stream::unfold((inner, recent, Stage::Asking(delay)), |(inner, recent, stage)| async move {
        let (told, stage) = match stage {
            Stage::Ended => return None,
            Stage::Asking(delay) => {
                // The first asks at once: the snapshot is taken after that.
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                match inner.engine.events(&filters(&inner), SystemTime::now() - OVERLAP).await {
                    Ok(events) => (Ok(Vec::new()), Stage::Listening(events)),
                    Err(failure) => (Err(failure.into()), Stage::Ended),
                }
            }
            Stage::Listening(mut events) => match events.next().await {
                Ok(Some(event)) => {
                    let new = recent.lock().unwrap_or_else(PoisonError::into_inner).is_new(&event);
                    let signals = if new { inner.read_event(&event) } else { Vec::new() };
                    (Ok(signals), Stage::Listening(events))
                }
                // A service ends them where its log begins anew. Asked again, it tells what came meanwhile; one that is
                // gone cannot be asked, and that is the end.
                Ok(None) => (Ok(Vec::new()), Stage::Asking(POLL)),
                // Whatever it is, the reader comes back for a new snapshot.
                Err(failure) => (Err(failure.mapped(|_| ErrorKind::Unavailable)), Stage::Ended),
            },
        };
        Some((told, (inner, recent, stage)))
    })
}

impl Inner {
    /// What an event gives reason to; what a sandbox that somebody removed by hand has left is swept.
    fn read_event(self: &Arc<Self>, event: &Event) -> Vec<Signal> {
        let container = &event.actor.id;
        if let Some(code) = exit_code(event) {
            let stopped = |id: &SandboxId, started_at: &str| self.marks.has(id, started_at);
            // By the container's id, which is known of our own alone.
            match self.runs.end(container, code, event.at, stopped) {
                End::Told(ended) => return vec![Signal::Seen(ended)],
                End::Later => return Vec::new(),
                End::Unknown => {}
            }
        }
        let signals = read(&self.scope, event);
        for signal in &signals {
            if let Signal::Gone(id) = signal {
                self.runs.forget(container);
                if self.removals.has(container) {
                    continue;
                }
                let (inner, id) = (Arc::clone(self), id.clone());
                tokio::spawn(async move { inner.sweep(&id).await });
            }
        }
        signals
    }
}

/// The exit code of a main process that ended.
fn exit_code(event: &Event) -> Option<i64> {
    let code = event.actor.attributes.get("containerExitCode").filter(|_| event.action == "died")?;
    code.parse().ok()
}

/// The events of this gateway's containers.
fn filters(inner: &Inner) -> Filters {
    let mut filters = inner.filters();
    filters.insert("type".to_owned(), vec!["container".to_owned()]);
    filters.insert("event".to_owned(), ACTIONS.map(str::to_owned).to_vec());
    filters
}

/// What an event gives reason to. Those of others are left out.
fn read(scope: &Scope, event: &Event) -> Vec<Signal> {
    let Some(sandbox) = scope.owner(&event.actor.attributes) else { return Vec::new() };
    let name = event.actor.attributes.get("name").map(String::as_str).unwrap_or_default();
    match event.action.as_str() {
        _ if scope.is_files_container(name) => Vec::new(),
        "remove" => vec![Signal::Gone(sandbox)],
        _ => vec![Signal::Look { id: sandbox, resource: event.actor.id.clone() }],
    }
}

#[async_trait]
impl Observer for Inner {
    async fn observe_all(&self) -> Result<Vec<ObservedSandbox>, DriverError> {
        Inner::observe_all(self).await
    }

    async fn observe(&self, id: &SandboxId) -> Result<Option<ObservedSandbox>, DriverError> {
        Inner::observe(self, id).await
    }

    async fn look(&self, container: &str) -> Result<Option<ObservedSandbox>, DriverError> {
        let found = self.engine.inspect(container).await?;
        if found.is_none() {
            self.runs.forget(container);
        }
        Ok(found.and_then(|found| self.read(&found)))
    }
}

#[cfg(test)]
mod tests {
    use openshell_driver_api::labels;

    use super::*;
    use crate::engine::Actor;

    fn event(action: &str, gateway: &str, name: &str) -> Event {
        let mut attributes = Scope { gateway_id: gateway.into() }.labels();
        attributes.insert(labels::SANDBOX_ID.to_owned(), "s".to_owned());
        attributes.insert("name".to_owned(), name.to_owned());
        let actor = Actor { id: "c0ffee".into(), attributes };
        Event { kind: "container".into(), action: action.into(), actor, at: 1 }
    }

    #[test]
    fn an_event_counts_once_however_many_listen() {
        let mut recent = Recent::default();
        let died = event("died", "gw", "a");
        assert!(recent.is_new(&died) && !recent.is_new(&died));
        assert!(recent.is_new(&Event { at: 2, ..died.clone() }), "a second run's");
        assert!(recent.is_new(&event("cleanup", "gw", "a")));
        assert_eq!(recent.take_heard(), HashSet::from(["c0ffee".to_owned()]));
        assert_eq!(recent.take_heard(), HashSet::new());
        for at in 0..i64::try_from(2 * RECENT).expect("a number") {
            recent.is_new(&Event { at, ..event("start", "gw", "a") });
        }
        assert!(recent.known.len() <= RECENT && recent.order.len() <= RECENT);
        assert!(recent.is_new(&Event { at: 2 * REPLAYED, ..event("start", "gw", "a") }));
        assert!(!recent.is_new(&Event { at: REPLAYED - 1, ..event("stop", "gw", "a") }), "of long ago");
        assert!(recent.is_new(&Event { at: REPLAYED, ..event("stop", "gw", "a") }));
    }

    #[test]
    fn only_an_end_has_an_exit_code() {
        for (action, code, expected) in
            [("died", "7", Some(7)), ("died", "x", None), ("cleanup", "0", None), ("died", "", None)]
        {
            let mut event = event(action, "gw", "a");
            event.actor.attributes.insert("containerExitCode".to_owned(), code.to_owned());
            assert_eq!(exit_code(&event), expected, "{action} {code}");
        }
    }

    #[test]
    fn events_are_reasons_to_look() {
        let scope = Scope { gateway_id: "gw".into() };
        let of = |action, gateway, name| read(&scope, &event(action, gateway, name));
        assert!(
            matches!(&of("died", "gw", "a")[..], [Signal::Look { id, resource }] if id.as_str() == "s" && resource == "c0ffee")
        );
        assert!(matches!(&of("remove", "gw", "a")[..], [Signal::Gone(id)] if id.as_str() == "s"));
        assert!(of("start", "other", "a").is_empty());
        assert!(of("remove", "gw", "openshell-gw.s.files").is_empty(), "a helper that comes and goes");
        assert!(read(&scope, &Event::default()).is_empty());
    }
}
