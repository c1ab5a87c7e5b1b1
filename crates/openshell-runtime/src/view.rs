//! A stored sandbox, and a workspace, as clients see them.

use openshell_driver_api::conditions::{self, READY};
use openshell_driver_api::{Condition, ConditionStatus, PlatformEvent};
use openshell_proto::datamodel::v1::{ObjectMeta, Workspace, WorkspacePhase, WorkspaceStatus};
use openshell_proto::openshell::v1 as proto;
use prost::Message;

use crate::clock::rfc3339;
use crate::lifecycle::{self, Phase, Report, reason};
use crate::store::{self, Record};

/// The sandbox of a row. One of another driver than `driver_name` is in phase UNKNOWN and says why.
pub(crate) fn sandbox(mut record: Record, driver_name: &str) -> proto::Sandbox {
    // Written by this crate; a row that something else has broken still shows the rest.
    let spec = proto::SandboxSpec::decode(&*record.spec).ok();
    let report = record.life.report();
    let observed = record.life.observed.take().unwrap_or_default();
    let conditions = conditions_of(&record, report, observed.conditions, driver_name);
    let phase = wire_phase(phase(&record, driver_name)).into();
    proto::Sandbox {
        metadata: Some(ObjectMeta {
            id: record.id,
            name: record.name,
            created_at_ms: record.created_at_ms,
            labels: record.labels,
            resource_version: record.resource_version,
            annotations: record.annotations,
            workspace: record.workspace,
            deletion_timestamp_ms: record.deleted_at_ms.unwrap_or(0),
        }),
        spec,
        status: Some(proto::SandboxStatus {
            sandbox_name: observed.sandbox_name,
            agent_pod: observed.instance_id,
            agent_fd: observed.agent_fd,
            sandbox_fd: observed.sandbox_fd,
            conditions: conditions.into_iter().map(condition).collect(),
            phase,
            main_process_instance_id: record.life.main_process,
            exit_code: record.life.exit_code,
            ..proto::SandboxStatus::default()
        }),
    }
}

/// The phase that clients see.
pub(crate) fn phase(record: &Record, driver_name: &str) -> Phase {
    if record.driver == driver_name { record.life.phase } else { Phase::Unknown }
}

/// The backend's conditions, with the gateway's own `Ready` in place of the backend's where it has one.
fn conditions_of(
    record: &Record,
    report: Report,
    mut shown: Vec<Condition>,
    driver_name: &str,
) -> Vec<Condition> {
    let life = &record.life;
    if record.driver != driver_name {
        let message = format!(
            "made by the driver `{}`, and this gateway runs `{driver_name}`: it is left alone",
            record.driver
        );
        let unknown = conditions::not_ready(reason::OTHER_DRIVER, message);
        return vec![Condition { status: ConditionStatus::Unknown, ..unknown }];
    }
    if let Some(own) = &life.own {
        shown.retain(|condition| condition.kind != READY);
        let own = conditions::not_ready(&own.reason, own.message.clone()).since(rfc3339(own.since_ms));
        shown.insert(0, own);
    } else if report == Report::Unsupervised && life.phase.is_waiting() {
        shown.retain(|condition| condition.kind != READY);
        let message = "the backend runs it; its supervisor is not connected to the gateway";
        let awaited = conditions::not_ready(reason::SUPERVISOR_NOT_CONNECTED, message);
        let since = life.waiting_since_ms.unwrap_or(record.created_at_ms);
        shown.insert(0, awaited.since(rfc3339(since)));
    } else if shown.is_empty() && life.phase == Phase::Stopped {
        shown = conditions::stopped("stopped on request");
    } else if shown.is_empty() {
        let word = match life.phase {
            Phase::Deleting => conditions::reason::TERMINATING,
            Phase::Stopping => conditions::reason::STOPPING,
            Phase::Starting => conditions::reason::STARTING,
            _ => reason::PROVISIONING,
        };
        let ready = conditions::not_ready(word, "the backend has reported nothing yet");
        shown.push(ready.since(rfc3339(life.waiting_since_ms.unwrap_or(record.created_at_ms))));
    }
    shown
}

fn condition(condition: Condition) -> proto::SandboxCondition {
    proto::SandboxCondition {
        r#type: condition.kind,
        status: condition.status.as_str().to_owned(),
        reason: condition.reason,
        message: condition.message,
        last_transition_time: condition.last_transition_time,
    }
}

fn wire_phase(phase: Phase) -> proto::SandboxPhase {
    match phase {
        Phase::Provisioning => proto::SandboxPhase::Provisioning,
        Phase::Ready => proto::SandboxPhase::Ready,
        Phase::Error => proto::SandboxPhase::Error,
        Phase::Deleting => proto::SandboxPhase::Deleting,
        Phase::Unknown => proto::SandboxPhase::Unknown,
        Phase::Stopping => proto::SandboxPhase::Stopping,
        Phase::Stopped => proto::SandboxPhase::Stopped,
        Phase::Starting => proto::SandboxPhase::Starting,
    }
}

/// The workspace of a row.
pub(crate) fn workspace(workspace: &store::Workspace) -> Workspace {
    let phase = match workspace.phase() {
        lifecycle::WorkspacePhase::Active => WorkspacePhase::Active,
        lifecycle::WorkspacePhase::Terminating => WorkspacePhase::Terminating,
    };
    Workspace {
        metadata: Some(ObjectMeta {
            id: workspace.id.clone(),
            name: workspace.name.clone(),
            created_at_ms: workspace.created_at_ms,
            labels: workspace.labels.clone(),
            resource_version: workspace.resource_version,
            deletion_timestamp_ms: workspace.deleted_at_ms.unwrap_or(0),
            ..ObjectMeta::default()
        }),
        status: Some(WorkspaceStatus { phase: phase.into() }),
    }
}

/// A backend's message on the wire.
pub(crate) fn event(event: &PlatformEvent) -> proto::PlatformEvent {
    proto::PlatformEvent {
        timestamp_ms: event.timestamp_ms,
        source: event.source.clone(),
        r#type: event.kind.clone(),
        reason: event.reason.clone(),
        message: event.message.clone(),
        metadata: event.metadata.clone(),
    }
}
