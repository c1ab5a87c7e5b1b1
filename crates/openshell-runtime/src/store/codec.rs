//! Maps and reported states as JSON text, so that a person with `sqlite3` can read a row.

use std::borrow::Cow;
use std::collections::BTreeMap;

use openshell_driver_api::{Condition, ConditionStatus, SandboxStatus};
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub(super) fn map_to_text(map: &BTreeMap<String, String>) -> String {
    let object: Map<String, Value> = map.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    Value::Object(object).to_string()
}

pub(super) fn map_from_text(text: &str) -> Option<BTreeMap<String, String>> {
    serde_json::from_str(text).ok()
}

pub(super) fn status_to_text(status: &SandboxStatus) -> String {
    let conditions: Vec<Value> = status
        .conditions
        .iter()
        .map(|condition| {
            json!({
                "type": condition.kind,
                "status": condition.status.as_str(),
                "reason": condition.reason,
                "message": condition.message,
                "lastTransitionTime": condition.last_transition_time,
            })
        })
        .collect();
    json!({
        "sandboxName": status.sandbox_name,
        "instanceId": status.instance_id,
        "agentFd": status.agent_fd,
        "sandboxFd": status.sandbox_fd,
        "conditions": conditions,
        "deleting": status.deleting,
    })
    .to_string()
}

pub(super) fn status_from_text(text: &str) -> Option<SandboxStatus> {
    let stored: StoredStatus<'_> = serde_json::from_str(text).ok()?;
    let conditions = stored.conditions.into_iter().map(|condition| Condition {
        kind: condition.kind,
        status: ConditionStatus::from_wire(&condition.status),
        reason: condition.reason,
        message: condition.message,
        last_transition_time: condition.last_transition_time,
    });
    Some(SandboxStatus {
        sandbox_name: stored.sandbox_name,
        instance_id: stored.instance_id,
        agent_fd: stored.agent_fd,
        sandbox_fd: stored.sandbox_fd,
        conditions: conditions.collect(),
        deleting: stored.deleting,
    })
}

/// What [`status_to_text`] writes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredStatus<'t> {
    sandbox_name: String,
    instance_id: String,
    agent_fd: String,
    sandbox_fd: String,
    #[serde(borrow)]
    conditions: Vec<StoredCondition<'t>>,
    deleting: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredCondition<'t> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    status: Cow<'t, str>,
    reason: String,
    message: String,
    last_transition_time: String,
}

#[cfg(test)]
mod tests {
    use openshell_driver_api::conditions;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let status = SandboxStatus {
            sandbox_name: "n\"\n".to_owned(),
            instance_id: "i".to_owned(),
            agent_fd: "a".to_owned(),
            sandbox_fd: "s".to_owned(),
            conditions: conditions::stopped("söö")
                .into_iter()
                .map(|c| c.since("2026-01-01T00:00:00Z"))
                .collect(),
            deleting: true,
        };
        assert_eq!(status_from_text(&status_to_text(&status)), Some(status));
        let map = BTreeMap::from([("a".to_owned(), "b\"".to_owned()), (String::new(), String::new())]);
        assert_eq!(map_from_text(&map_to_text(&map)), Some(map));
    }

    #[test]
    fn junk_is_none() {
        for junk in ["", "[]", "{}", "{\"conditions\":[{}]}", "{\"a\":1}"] {
            assert_eq!(status_from_text(junk), None, "{junk}");
        }
        assert_eq!(map_from_text("{\"a\":1}"), None);
    }
}
