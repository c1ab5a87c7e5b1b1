//! What an observation says.

use openshell_driver_api::conditions::{self, READY, ReasonClass, SUSPENDED, Wanted};
use openshell_proto::compute::v1::{DriverCondition, DriverSandbox};

/// The condition of a type.
pub(crate) fn condition<'a>(sandbox: &'a DriverSandbox, kind: &str) -> Option<&'a DriverCondition> {
    let conditions = sandbox.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions.iter().find(|condition| condition.r#type == kind)
}

fn holds(sandbox: &DriverSandbox, kind: &str) -> bool {
    condition(sandbox, kind).is_some_and(|condition| condition.status == "True")
}

/// Whether its resource runs.
pub(crate) fn is_ready(sandbox: &DriverSandbox) -> bool {
    holds(sandbox, READY)
}

/// Whether it says that it was suspended.
pub(crate) fn is_suspended(sandbox: &DriverSandbox) -> bool {
    holds(sandbox, SUSPENDED)
}

/// Whether it is stopped: by its word, or by the reason for which it is not ready.
pub(crate) fn is_stopped(sandbox: &DriverSandbox) -> bool {
    let by_reason = condition(sandbox, READY).is_some_and(|ready| {
        ready.status == "False"
            && conditions::classify(&ready.reason, Wanted::Stopped) == ReasonClass::Stopped
    });
    !is_ready(sandbox) && (is_suspended(sandbox) || by_reason)
}

/// Why it will never run, when it says so.
pub(crate) fn terminal(sandbox: &DriverSandbox) -> Option<&str> {
    let ready = condition(sandbox, READY).filter(|ready| ready.status == "False")?;
    let class = conditions::classify(&ready.reason, Wanted::Running);
    (class == ReasonClass::Terminal).then_some(ready.reason.as_str())
}

/// Its state in a few words.
pub(crate) fn shown(sandbox: &DriverSandbox) -> String {
    let Some(status) = &sandbox.status else { return "without a status".to_owned() };
    if status.conditions.is_empty() {
        return "without conditions".to_owned();
    }
    let shown = status.conditions.iter().map(|condition| {
        let DriverCondition { r#type, status, reason, .. } = condition;
        if reason.is_empty() { format!("{type}={status}") } else { format!("{type}={status} ({reason})") }
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// The backend's name for its resource, and its id for this run of it.
pub(crate) fn resource(sandbox: &DriverSandbox) -> (String, String) {
    let status = sandbox.status.clone().unwrap_or_default();
    (status.sandbox_name, status.instance_id)
}
