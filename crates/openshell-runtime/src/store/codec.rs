//! Maps and reported states as JSON text, so that a person with `sqlite3` can read a row.

use std::collections::BTreeMap;

use openshell_driver_api::{Condition, ConditionStatus, SandboxStatus};
use serde_json::{Map, Value, json};

pub(super) fn map_to_text(map: &BTreeMap<String, String>) -> String {
    let object: Map<String, Value> = map.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    Value::Object(object).to_string()
}

pub(super) fn map_from_text(text: &str) -> Option<BTreeMap<String, String>> {
    let object: Map<String, Value> = serde_json::from_str(text).ok()?;
    object.into_iter().map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect()
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
    let value: Value = serde_json::from_str(text).ok()?;
    let conditions =
        value["conditions"].as_array()?.iter().map(condition_from_value).collect::<Option<Vec<_>>>()?;
    Some(SandboxStatus {
        sandbox_name: text_of(&value, "sandboxName")?,
        instance_id: text_of(&value, "instanceId")?,
        agent_fd: text_of(&value, "agentFd")?,
        sandbox_fd: text_of(&value, "sandboxFd")?,
        conditions,
        deleting: value["deleting"].as_bool()?,
    })
}

fn condition_from_value(value: &Value) -> Option<Condition> {
    Some(Condition {
        kind: text_of(value, "type")?,
        status: ConditionStatus::from_wire(&text_of(value, "status")?),
        reason: text_of(value, "reason")?,
        message: text_of(value, "message")?,
        last_transition_time: text_of(value, "lastTransitionTime")?,
    })
}

fn text_of(value: &Value, key: &str) -> Option<String> {
    Some(value.get(key)?.as_str()?.to_owned())
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
