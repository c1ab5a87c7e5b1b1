//! The service's side of a watch: which of its events are reasons to look, and where a look gets its answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_core::Stream;
use futures_util::stream;
use openshell_driver_api::{DriverError, ErrorKind, EventStream, ObservedSandbox, SandboxId, async_trait};
use openshell_driver_common::container::names::Scope;
use openshell_driver_common::watch::{self, Observer, Signal};

use crate::driver::Inner;
use crate::engine::{Event, Events, Filters};

/// The service begins to look a moment after it was asked, and replays what came since a time: asked from a little earlier
/// than now, that moment is covered.
const OVERLAP: Duration = Duration::from_secs(5);
/// The events that can change what is told of a container, in words that every version knows.
const ACTIONS: [&str; 9] =
    ["create", "init", "start", "died", "stop", "pause", "unpause", "cleanup", "remove"];

/// Starts a watch.
pub(crate) fn watch(inner: &Arc<Inner>) -> EventStream {
    watch::watch(Arc::clone(inner), inner.news.subscribe(), events(Arc::clone(inner)))
}

/// Where a stream of events is.
enum Stage {
    Asking,
    Listening(Events),
    Ended,
}

/// What the service's events give reason to, until it ends them.
fn events(inner: Arc<Inner>) -> impl Stream<Item = Result<Vec<Signal>, DriverError>> + Send {
    stream::unfold((inner, Stage::Asking), |(inner, stage)| async move {
        match stage {
            Stage::Asking => {
                let since = SystemTime::now() - OVERLAP;
                match inner.engine.events(&filters(&inner), since).await {
                    Ok(events) => Some((Ok(Vec::new()), (inner, Stage::Listening(events)))),
                    Err(failure) => Some((Err(failure.into()), (inner, Stage::Ended))),
                }
            }
            Stage::Listening(mut events) => match events.next().await {
                Ok(Some(event)) => {
                    let signals = read(&inner.scope, &event);
                    for signal in &signals {
                        if let Signal::Gone(id) = signal {
                            let (inner, id) = (Arc::clone(&inner), id.clone());
                            tokio::spawn(async move { inner.sweep(&id).await });
                        }
                    }
                    Some((Ok(signals), (inner, Stage::Listening(events))))
                }
                Ok(None) => None,
                // Whatever it is, the reader comes back for a new snapshot.
                Err(failure) => {
                    Some((Err(failure.mapped(|_| ErrorKind::Unavailable)), (inner, Stage::Ended)))
                }
            },
            Stage::Ended => None,
        }
    })
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
        _ => vec![Signal::Look { resource: event.actor.id.clone() }],
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
        Ok(self.engine.inspect(container).await?.and_then(|found| self.read(&found)))
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
        Event { kind: "container".into(), action: action.into(), actor }
    }

    #[test]
    fn events_are_reasons_to_look() {
        let scope = Scope { gateway_id: "gw".into() };
        let of = |action, gateway, name| read(&scope, &event(action, gateway, name));
        assert!(matches!(&of("died", "gw", "a")[..], [Signal::Look { resource }] if resource == "c0ffee"));
        assert!(matches!(&of("remove", "gw", "a")[..], [Signal::Gone(id)] if id.as_str() == "s"));
        assert!(of("start", "other", "a").is_empty());
        assert!(of("remove", "gw", "openshell-gw.s.files").is_empty(), "a helper that comes and goes");
        assert!(read(&scope, &Event::default()).is_empty());
    }
}
