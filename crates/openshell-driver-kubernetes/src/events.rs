//! Events of the cluster about our pods (scheduled, pulling, pulled, failed …) as platform events: pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Event;
use openshell_driver_api::PlatformEvent;

/// What the cluster says of a pod. The time is that of the last occurrence; one that is repeated says how often.
pub(crate) fn platform(event: &Event) -> PlatformEvent {
    let time = event.last_timestamp.as_ref().or(event.first_timestamp.as_ref()).map(|time| time.0);
    let time = time.or(event.event_time.as_ref().map(|time| time.0));
    let time = time.or(event.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let source = event.source.as_ref().and_then(|source| source.component.as_deref());
    let source = source.or(event.reporting_component.as_deref()).filter(|source| !source.is_empty());
    let repeated =
        event.count.filter(|count| *count > 1).map(|count| ("count".to_owned(), count.to_string()));
    let host = event.source.as_ref().and_then(|source| source.host.clone());
    let node = host.filter(|host| !host.is_empty()).map(|host| ("node".to_owned(), host));
    PlatformEvent {
        timestamp_ms: time.map_or(0, |time| time.as_millisecond()),
        source: source.unwrap_or("kubernetes").to_owned(),
        kind: event.type_.clone().unwrap_or_else(|| "Normal".to_owned()),
        reason: event.reason.clone().unwrap_or_default(),
        message: event.message.clone().unwrap_or_default(),
        metadata: repeated.into_iter().chain(node).collect::<BTreeMap<_, _>>(),
    }
}

/// The uid of the pod that an event is about.
pub(crate) fn pod(event: &Event) -> Option<&str> {
    let about = &event.involved_object;
    let is_pod = about.kind.as_deref() == Some("Pod");
    about.uid.as_deref().filter(|uid| is_pod && !uid.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(value: serde_json::Value) -> Event {
        serde_json::from_value(value).expect("an event")
    }

    #[test]
    fn a_kubelet_s_event() {
        let event = event(json!({
            "metadata": { "name": "a.1", "creationTimestamp": "2026-01-01T00:00:00Z" },
            "involvedObject": { "kind": "Pod", "name": "a", "uid": "u" },
            "reason": "BackOff", "message": "Back-off pulling image", "type": "Warning", "count": 3,
            "source": { "component": "kubelet", "host": "node-1" },
            "firstTimestamp": "2026-01-01T00:00:01Z", "lastTimestamp": "2026-01-01T00:00:02Z",
        }));
        let told = platform(&event);
        assert_eq!(told.timestamp_ms, 1_767_225_602_000);
        assert_eq!((told.source.as_str(), told.kind.as_str()), ("kubelet", "Warning"));
        assert_eq!((told.reason.as_str(), told.message.as_str()), ("BackOff", "Back-off pulling image"));
        assert_eq!(told.metadata["count"], "3");
        assert_eq!(told.metadata["node"], "node-1");
        assert_eq!(pod(&event), Some("u"));
    }

    #[test]
    fn a_scheduler_s_event_has_another_time_and_source() {
        let event = event(json!({
            "metadata": { "name": "a.1" },
            "involvedObject": { "kind": "Pod", "uid": "u" },
            "eventTime": "2026-01-01T00:00:01.500000Z", "reportingComponent": "default-scheduler",
            "reason": "Scheduled",
        }));
        let told = platform(&event);
        assert_eq!((told.timestamp_ms, told.source.as_str()), (1_767_225_601_500, "default-scheduler"));
        assert_eq!((told.kind.as_str(), told.metadata.len()), ("Normal", 0));
    }

    #[test]
    fn what_is_about_something_else_is_nobody_s() {
        for about in [json!({ "kind": "Node", "uid": "u" }), json!({ "kind": "Pod" }), json!({})] {
            assert_eq!(pod(&event(json!({ "metadata": {}, "involvedObject": about }))), None);
        }
    }
}
