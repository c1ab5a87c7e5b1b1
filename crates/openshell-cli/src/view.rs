//! Sandboxes in words and in JSON. JSON has the names of the protos and always every key, so that a script can rely on it.

use openshell_proto::openshell::v1::{
    PlatformEvent, Sandbox, SandboxCondition, SandboxPhase, SandboxSpec, SandboxStatus,
};
use openshell_proto::structs;
use serde_json::{Value, json};

use crate::text::{age, clean, table, time, word};

/// A phase in a word; a number that this program does not know is `unknown`, too.
pub(crate) fn phase(sandbox: &Sandbox) -> SandboxPhase {
    let number = sandbox.status.as_ref().map_or(0, |status| status.phase);
    SandboxPhase::try_from(number).unwrap_or(SandboxPhase::Unknown)
}

/// The word for a phase.
pub(crate) fn phase_word(phase: SandboxPhase) -> &'static str {
    match phase {
        SandboxPhase::Unspecified | SandboxPhase::Unknown => "unknown",
        SandboxPhase::Provisioning => "provisioning",
        SandboxPhase::Ready => "ready",
        SandboxPhase::Error => "error",
        SandboxPhase::Deleting => "deleting",
        SandboxPhase::Stopping => "stopping",
        SandboxPhase::Stopped => "stopped",
        SandboxPhase::Starting => "starting",
    }
}

/// The sandbox's name, made harmless.
pub(crate) fn name(sandbox: &Sandbox) -> String {
    sandbox.metadata.as_ref().map(|metadata| clean(&metadata.name)).unwrap_or_default()
}

/// The sandbox's id.
pub(crate) fn id(sandbox: &Sandbox) -> String {
    sandbox.metadata.as_ref().map(|metadata| metadata.id.clone()).unwrap_or_default()
}

fn image(sandbox: &Sandbox) -> String {
    let template = sandbox.spec.as_ref().and_then(|spec| spec.template.as_ref());
    template.map(|template| clean(&template.image)).unwrap_or_default()
}

/// Why it is in its phase: the reason and the message of the condition that says so.
pub(crate) fn why(sandbox: &Sandbox) -> Option<String> {
    let conditions = sandbox.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let not_ready = |condition: &&SandboxCondition| condition.r#type == "Ready" && condition.status != "True";
    let condition = conditions.iter().find(not_ready)?;
    Some(match (clean(&condition.reason), clean(&condition.message)) {
        (reason, message) if message.is_empty() => reason,
        (reason, message) if reason.is_empty() => message,
        (reason, message) => format!("{reason}: {message}"),
    })
}

/// The table of `list`.
pub(crate) fn list(sandboxes: &[Sandbox], with_workspace: bool, now_ms: i64) -> String {
    let row = |workspace: &str, rest: [&str; 5]| -> Vec<String> {
        with_workspace.then_some(workspace).into_iter().chain(rest).map(str::to_owned).collect()
    };
    let mut rows = vec![row("WORKSPACE", ["NAME", "PHASE", "AGE", "IMAGE", "ID"])];
    for sandbox in sandboxes {
        let metadata = sandbox.metadata.clone().unwrap_or_default();
        let image = match image(sandbox) {
            image if image.is_empty() => "-".to_owned(),
            image => image,
        };
        rows.push(row(
            &clean(&metadata.workspace),
            [
                &clean(&metadata.name),
                phase_word(phase(sandbox)),
                &age(metadata.created_at_ms, now_ms),
                &image,
                &clean(&metadata.id),
            ],
        ));
    }
    table(&rows)
}

/// The text of `get`. Values of the environment stay out of it: they may be secrets, and JSON has them.
pub(crate) fn details(sandbox: &Sandbox, now_ms: i64) -> String {
    let metadata = sandbox.metadata.clone().unwrap_or_default();
    let spec = sandbox.spec.clone().unwrap_or_default();
    let status = sandbox.status.clone().unwrap_or_default();
    let mut rows = Vec::new();
    let mut row = |key: &str, value: String| {
        if !value.is_empty() {
            rows.push(vec![format!("{key}:"), value]);
        }
    };
    row("name", clean(&metadata.name));
    row("workspace", clean(&metadata.workspace));
    row("id", clean(&metadata.id));
    row("phase", phase_word(phase(sandbox)).to_owned());
    row("created", format!("{} ({} ago)", time(metadata.created_at_ms), age(metadata.created_at_ms, now_ms)));
    if metadata.deletion_timestamp_ms != 0 {
        row("deletion", format!("asked for at {}", time(metadata.deletion_timestamp_ms)));
    }
    row("image", image(sandbox));
    row("command", spec.command.iter().map(|part| word(part)).collect::<Vec<_>>().join(" "));
    row("labels", joined(metadata.labels.iter().map(|(key, value)| format!("{key}={value}"))));
    row("environment", joined(spec.environment.keys().cloned()));
    let template = spec.template.unwrap_or_default();
    row(
        "resources",
        template.resources.as_ref().map(|fields| clean(&structure(fields).to_string())).unwrap_or_default(),
    );
    if let Some(gpu) = spec.resource_requirements.and_then(|requirements| requirements.gpu) {
        row("gpu", gpu.count.map_or_else(|| "as the driver sees fit".to_owned(), |count| count.to_string()));
    }
    row("resource", clean(&status.sandbox_name));
    row("exit code", status.exit_code.map(|code| code.to_string()).unwrap_or_default());

    let mut out = table(&rows);
    if !status.conditions.is_empty() {
        out += "\nconditions:\n";
        let mut rows = vec![["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"].map(str::to_owned).to_vec()];
        rows.extend(status.conditions.iter().map(|condition| {
            [
                &condition.r#type,
                &condition.status,
                &condition.reason,
                &condition.last_transition_time,
                &condition.message,
            ]
            .map(|cell| if cell.is_empty() { "-".to_owned() } else { clean(cell) })
            .to_vec()
        }));
        out += &table(&rows).lines().map(|line| format!("  {line}\n")).collect::<String>();
    }
    out
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.map(|part| clean(&part)).collect::<Vec<_>>().join(", ")
}

/// A sandbox as JSON.
pub(crate) fn json(sandbox: &Sandbox) -> Value {
    let metadata = sandbox.metadata.clone().unwrap_or_default();
    json!({
        "metadata": {
            "id": metadata.id,
            "name": metadata.name,
            "workspace": metadata.workspace,
            "created_at_ms": metadata.created_at_ms,
            "deletion_timestamp_ms": metadata.deletion_timestamp_ms,
            "resource_version": metadata.resource_version,
            "labels": metadata.labels,
            "annotations": metadata.annotations,
        },
        "spec": spec_json(&sandbox.spec.clone().unwrap_or_default()),
        "status": status_json(sandbox, &sandbox.status.clone().unwrap_or_default()),
    })
}

fn spec_json(spec: &SandboxSpec) -> Value {
    let template = spec.template.clone().unwrap_or_default();
    let gpu = spec.resource_requirements.and_then(|requirements| requirements.gpu);
    json!({
        "log_level": spec.log_level,
        "environment": spec.environment,
        "providers": spec.providers,
        "command": spec.command,
        "tty": spec.tty,
        "gpu": gpu.map(|gpu| json!({ "count": gpu.count })),
        // Opaque to this program.
        "policy_bytes": spec.policy.as_ref().map(|policy| policy.len()),
        "template": {
            "image": template.image,
            "runtime_class_name": template.runtime_class_name,
            "agent_socket": template.agent_socket,
            "labels": template.labels,
            "annotations": template.annotations,
            "environment": template.environment,
            "resources": template.resources.as_ref().map(structure),
            "user_namespaces": template.user_namespaces,
            "driver_config": template.driver_config.as_ref().map(structure),
        },
    })
}

fn status_json(sandbox: &Sandbox, status: &SandboxStatus) -> Value {
    let conditions: Vec<Value> = status
        .conditions
        .iter()
        .map(|condition| {
            json!({
                "type": condition.r#type,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message,
                "last_transition_time": condition.last_transition_time,
            })
        })
        .collect();
    json!({
        "phase": phase_word(phase(sandbox)),
        "sandbox_name": status.sandbox_name,
        "agent_pod": status.agent_pod,
        "agent_fd": status.agent_fd,
        "sandbox_fd": status.sandbox_fd,
        "current_policy_version": status.current_policy_version,
        "main_process_instance_id": status.main_process_instance_id,
        "exit_code": status.exit_code,
        "conditions": conditions,
    })
}

/// A backend's message as JSON.
pub(crate) fn event_json(event: &PlatformEvent) -> Value {
    json!({
        "timestamp_ms": event.timestamp_ms,
        "source": event.source,
        "type": event.r#type,
        "reason": event.reason,
        "message": event.message,
        "metadata": event.metadata,
    })
}

/// A `Struct` as JSON; one that holds what JSON cannot is `null`, since it is shown and not used.
fn structure(fields: &openshell_proto::Struct) -> Value {
    structs::to_json(fields).map_or(Value::Null, Value::Object)
}
