//! The engine's side of a watch: which of its events are reasons to look, and where a look gets its answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use openshell_driver_api::{
    DriverError, ErrorKind, EventStream, ObservedSandbox, PlatformEvent, SandboxId, async_trait,
};
use openshell_driver_common::container::names::Scope;
use openshell_driver_common::operations::{Kind, said};
use openshell_driver_common::watch::{self, News, Observer, Signal};

use crate::driver::Inner;
use crate::error;

/// The engine answers an event request a moment before it has subscribed, and replays what came since a time: asked
/// from a little earlier than now, that moment is covered.
const OVERLAP: Duration = Duration::from_secs(5);
/// The events that can change what is told of a container.
const ACTIONS: [&str; 8] = ["create", "start", "die", "stop", "oom", "pause", "unpause", "destroy"];

/// Starts a watch.
pub(crate) fn watch(inner: &Arc<Inner>) -> EventStream {
    let mut filters = inner.engine.scope.filters();
    filters.insert("type".to_owned(), vec!["container".to_owned()]);
    filters.insert("event".to_owned(), ACTIONS.map(str::to_owned).to_vec());
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(OVERLAP);
    let options = EventsOptionsBuilder::new().since(&since.as_secs().to_string()).filters(&filters).build();
    let scope = inner.engine.scope.clone();
    let events = inner.engine.docker.events(Some(options)).map(move |event| match event {
        Ok(event) => Ok(read(&scope, event)),
        Err(error) => Err(error::mapped("watch", error, |_| ErrorKind::Unavailable)),
    });
    watch::watch(Arc::clone(inner), inner.news.subscribe(), events)
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

/// What an event gives reason to. Events of others never get here, since the engine filters; they are left out anyway.
fn read(scope: &Scope, event: EventMessage) -> Vec<Signal> {
    let actor = event.actor.unwrap_or_default();
    let (Some(container), Some(sandbox)) =
        (actor.id, actor.attributes.and_then(|labels| scope.owner(&labels)))
    else {
        return Vec::new();
    };
    match event.action.as_deref() {
        Some("destroy") => vec![Signal::Gone(sandbox)],
        Some("oom") => {
            let text = "a process was killed for want of memory";
            let event = PlatformEvent {
                timestamp_ms: event.time.unwrap_or_default().saturating_mul(1000),
                ..said("docker", Kind::Warning, "OOMKilled", text)
            };
            let told = News::Said { id: sandbox.clone(), event };
            vec![Signal::News(told), Signal::Look { id: sandbox, resource: container }]
        }
        _ => vec![Signal::Look { id: sandbox, resource: container }],
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;
    use openshell_driver_api::labels;

    use super::*;

    fn event(action: &str, gateway: &str) -> EventMessage {
        let mut attributes = Scope { gateway_id: gateway.into() }.labels();
        attributes.insert(labels::SANDBOX_ID.to_owned(), "s".to_owned());
        EventMessage {
            action: Some(action.into()),
            actor: Some(EventActor { id: Some("c0ffee".into()), attributes: Some(attributes) }),
            time: Some(2),
            ..EventMessage::default()
        }
    }

    #[test]
    fn events_are_reasons_to_look() {
        let scope = Scope { gateway_id: "gw".into() };
        assert!(
            matches!(&read(&scope, event("start", "gw"))[..], [Signal::Look { id, resource }] if id.as_str() == "s" && resource == "c0ffee")
        );
        assert!(
            matches!(&read(&scope, event("destroy", "gw"))[..], [Signal::Gone(id)] if id.as_str() == "s")
        );
        assert!(read(&scope, event("start", "other")).is_empty());
        assert!(read(&scope, EventMessage::default()).is_empty());
        let oom = read(&scope, event("oom", "gw"));
        let [Signal::News(News::Said { event, .. }), Signal::Look { .. }] = &oom[..] else {
            panic!("a platform event and a look");
        };
        assert_eq!((event.timestamp_ms, event.kind.as_str()), (2000, "Warning"));
    }
}
