//! Sandboxes in words and in JSON. JSON has the names of the protos and always every key, so that a script can rely on it.

use std::collections::BTreeMap;

use openshell_proto::datamodel::v1::ObjectMeta;
use openshell_proto::openshell::v1::{
    PlatformEvent, Sandbox, SandboxCondition, SandboxLogLine, SandboxPhase, SandboxSpec, SandboxStatus,
};
use openshell_proto::structs;
use serde_json::{Value, json};

use crate::screen::Style;
use crate::session::Printer;
use crate::table::{Cell, Table};
use crate::text::{age, clean, time, word};

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

/// The phase in its colour.
fn phase_cell(phase: SandboxPhase) -> Cell {
    let style = match phase {
        SandboxPhase::Ready => Style::Good,
        SandboxPhase::Error => Style::Bad,
        SandboxPhase::Provisioning | SandboxPhase::Starting | SandboxPhase::Stopping => Style::Moving,
        SandboxPhase::Unspecified
        | SandboxPhase::Unknown
        | SandboxPhase::Stopped
        | SandboxPhase::Deleting => Style::Faint,
    };
    Cell::styled(phase_word(phase), style)
}

fn dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// The table of `list`.
pub(crate) struct List {
    printer: Printer,
    with_workspace: bool,
    table: Table,
}

impl List {
    /// A table with its first line.
    pub(crate) fn new(printer: &Printer, with_workspace: bool) -> Self {
        let mut headers = if with_workspace { vec!["WORKSPACE"] } else { Vec::new() };
        headers.extend(["NAME", "PHASE", "AGE", "IMAGE", "ID"]);
        if printer.wide() {
            headers.extend(["LABELS", "RESOURCE", "WHY"]);
        }
        let image = usize::from(with_workspace) + 3;
        let mut table = printer.table(headers).elastic(image);
        if printer.wide() {
            table = table.elastic(image + 2).elastic(image + 3).elastic(image + 4);
        }
        Self { printer: *printer, with_workspace, table }
    }

    /// Adds a row; one that is gone has that word in the place of its phase.
    pub(crate) fn push(&mut self, sandbox: &Sandbox, gone: bool, now_ms: i64) {
        let metadata = sandbox.metadata.clone().unwrap_or_default();
        let mut row: Vec<Cell> = Vec::new();
        if self.with_workspace {
            row.push(clean(&metadata.workspace).into());
        }
        row.extend([
            clean(&metadata.name).into(),
            if gone { Cell::styled("gone", Style::Faint) } else { phase_cell(phase(sandbox)) },
            age(metadata.created_at_ms, now_ms).into(),
            dash(image(sandbox)).into(),
            clean(&metadata.id).into(),
        ]);
        if self.printer.wide() {
            let labels = labels(&metadata.labels);
            let resource = sandbox.status.as_ref().map(|status| clean(&status.sandbox_name));
            row.extend(
                [labels, resource.unwrap_or_default(), why(sandbox).unwrap_or_default()]
                    .map(|text| Cell::from(dash(text))),
            );
        }
        self.table.push(row);
    }

    /// The text of it; what is added afterwards is a table without a first line, in the same columns.
    pub(crate) fn take(&mut self) -> String {
        let text = self.table.render(&self.printer.screen);
        self.table.clear();
        text
    }
}

/// The text of `get`. Values of the environment stay out of it: they may be secrets, and JSON has them.
pub(crate) fn details(printer: &Printer, sandbox: &Sandbox, events: &[PlatformEvent], now_ms: i64) -> String {
    let metadata = sandbox.metadata.clone().unwrap_or_default();
    let spec = sandbox.spec.clone().unwrap_or_default();
    let status = sandbox.status.clone().unwrap_or_default();
    let mut table = Table::default();
    let mut row = |key: &str, value: Cell| table.push([format!("{key}:").into(), value]);
    let mut some = |key: &str, value: String| {
        if !value.is_empty() {
            row(key, value.into());
        }
    };
    some("name", clean(&metadata.name));
    some("workspace", clean(&metadata.workspace));
    some("id", clean(&metadata.id));
    some("phase", phase_word(phase(sandbox)).to_owned());
    some(
        "created",
        format!("{} ({} ago)", time(metadata.created_at_ms), age(metadata.created_at_ms, now_ms)),
    );
    if metadata.deletion_timestamp_ms != 0 {
        some("deletion", format!("asked for at {}", time(metadata.deletion_timestamp_ms)));
    }
    some("image", image(sandbox));
    some("command", spec.command.iter().map(|part| word(part)).collect::<Vec<_>>().join(" "));
    some("labels", labels(&metadata.labels));
    some("environment", joined(spec.environment.keys().cloned()));
    let template = spec.template.unwrap_or_default();
    some(
        "resources",
        template.resources.as_ref().map(|fields| clean(&structure(fields).to_string())).unwrap_or_default(),
    );
    if let Some(gpu) = spec.resource_requirements.and_then(|requirements| requirements.gpu) {
        some("gpu", gpu.count.map_or_else(|| "as the driver sees fit".to_owned(), |count| count.to_string()));
    }
    let settings = template.driver_config.as_ref().map(structure).unwrap_or_default();
    for (driver, keys) in settings.as_object().into_iter().flatten() {
        for (key, value) in keys.as_object().into_iter().flatten() {
            // Mounts, above all: what of the host or of volumes is in there, an entry a line.
            let entries = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            for entry in entries {
                let text = entry.as_str().map_or_else(|| entry.to_string(), str::to_owned);
                some(&format!("{}.{}", clean(driver), clean(key)), clean(&text));
            }
        }
    }
    some("resource", clean(&status.sandbox_name));
    some("exit code", status.exit_code.map(|code| code.to_string()).unwrap_or_default());

    let mut out = table.render(&printer.screen);
    if !status.conditions.is_empty() {
        let mut table = Table::with_headers(["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]);
        for condition in &status.conditions {
            let cells = [
                &condition.r#type,
                &condition.status,
                &condition.reason,
                &condition.last_transition_time,
                &condition.message,
            ];
            table.push(cells.map(|cell| Cell::from(dash(clean(cell)))));
        }
        out += &section("conditions", &table, printer);
    }
    if !events.is_empty() {
        let mut table = Table::with_headers(["AGE", "TYPE", "SOURCE", "REASON", "MESSAGE"]);
        for event in events {
            table.push(event_row(event, age(event.timestamp_ms, now_ms)));
        }
        out += &section("events", &table, printer);
    }
    out
}

/// A table below a heading, moved to the right. Nothing of it is cut: it is what was asked for.
fn section(heading: &str, table: &Table, printer: &Printer) -> String {
    let lines = table.render(&printer.screen);
    format!("\n{heading}:\n{}", lines.lines().map(|line| format!("  {line}\n")).collect::<String>())
}

/// The cells of an event, after `when`.
pub(crate) fn event_row(event: &PlatformEvent, when: String) -> [Cell; 5] {
    let style = if event.r#type == "Warning" { Style::Bad } else { Style::Plain };
    [
        when.into(),
        Cell::styled(dash(clean(&event.r#type)), style),
        dash(clean(&event.source)).into(),
        dash(clean(&event.reason)).into(),
        dash(clean(&event.message)).into(),
    ]
}

/// Labels as people write them.
pub(crate) fn labels(labels: &BTreeMap<String, String>) -> String {
    joined(labels.iter().map(|(key, value)| format!("{key}={value}")))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.map(|part| clean(&part)).collect::<Vec<_>>().join(", ")
}

/// A sandbox as JSON.
pub(crate) fn json(sandbox: &Sandbox) -> Value {
    let metadata = sandbox.metadata.clone().unwrap_or_default();
    json!({
        "metadata": metadata_json(&metadata),
        "spec": spec_json(&sandbox.spec.clone().unwrap_or_default()),
        "status": status_json(sandbox, &sandbox.status.clone().unwrap_or_default()),
    })
}

/// What sandboxes and workspaces have in common as JSON.
pub(crate) fn metadata_json(metadata: &ObjectMeta) -> Value {
    json!({
        "id": metadata.id,
        "name": metadata.name,
        "workspace": metadata.workspace,
        "created_at_ms": metadata.created_at_ms,
        "deletion_timestamp_ms": metadata.deletion_timestamp_ms,
        "resource_version": metadata.resource_version,
        "labels": metadata.labels,
        "annotations": metadata.annotations,
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

/// A line of a log, for programs.
pub(crate) fn log_json(line: &SandboxLogLine) -> Value {
    json!({
        "timestamp_ms": line.timestamp_ms,
        "level": line.level,
        "target": line.target,
        "message": line.message,
        "source": line.source,
        "fields": line.fields,
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
