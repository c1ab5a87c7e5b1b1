//! How a sandbox is shown: its observation, its conditions, the event about it.

use openshell_driver_api::conditions::{self, READY, RUNNING, SUSPENDED, reason};
use openshell_proto::compute::v1::{
    DriverCondition, DriverSandbox, DriverSandboxStatus, WatchSandboxesEvent, WatchSandboxesSandboxEvent,
    watch_sandboxes_event::Payload,
};

use crate::world::{Kept, Phase};
use crate::{Contract, Fault, Scenario};

/// The padding of a giant answer: more than the contract allows, and no more than a reader that takes a little at a time
/// comes to the end of.
const GIANT: usize = 68 * 1024;

/// A request as the driver's protobuf library reads it.
pub(crate) fn understood(scenario: &Scenario, mut asked: DriverSandbox) -> DriverSandbox {
    if scenario.contract == Contract::Early {
        asked.workspace.clear();
        if let Some(spec) = &mut asked.spec {
            spec.command.clear();
            (spec.tty, spec.resource_requirements) = (false, None);
        }
    }
    asked
}

/// Where a sandbox is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    Get,
    List,
    Event,
}

/// Whether the image can never be had. `invalid` is a domain that no registry is in (RFC 2606).
pub(crate) fn image_is_missing(asked: &DriverSandbox) -> bool {
    let template = asked.spec.as_ref().and_then(|spec| spec.template.as_ref());
    template.is_some_and(|template| {
        template.image.split('/').next().is_some_and(|host| host.ends_with(".invalid"))
    })
}

/// Whether the main process of a sandbox's run ends by itself; `workspace`: with the files of earlier runs. There are no processes
/// here, so a script that says `exit` is taken at its word, and one that looks into its workspace first begins to find
/// something there in its second run.
pub(crate) fn ends(kept: &Kept, workspace: bool) -> bool {
    let command = kept.asked.spec.as_ref().map(|spec| spec.command.as_slice()).unwrap_or_default();
    let says = |text: &str| command.iter().any(|word| word.contains(text));
    says("exit 7") && (!says("-e /sandbox/") || (kept.run > 1 && workspace))
}

/// The id of an observation.
pub(crate) fn shown_id(scenario: &Scenario, kept: &Kept) -> String {
    let id = if scenario.has(Fault::NameAsId) { &kept.asked.name } else { &kept.asked.id };
    id.clone()
}

/// An observation.
pub(crate) fn sandbox(scenario: &Scenario, kept: &Kept, place: Where) -> DriverSandbox {
    let asked = &kept.asked;
    let unless = |fault, text: &String| if scenario.has(fault) { String::new() } else { text.clone() };
    let tells_token = scenario.has(match place {
        Where::Get => Fault::TokenInGet,
        Where::List => Fault::TokenInList,
        Where::Event => Fault::TokenInEvents,
    });
    let mut spec = asked.spec.clone().filter(|_| tells_token || scenario.has(Fault::SpecEchoed));
    if let Some(spec) = spec.as_mut().filter(|_| !tells_token) {
        spec.sandbox_token.clear();
    }
    let bare = (place == Where::List && scenario.has(Fault::ListWithoutStatus))
        || (place == Where::Event && scenario.has(Fault::EventsWithoutStatus));
    DriverSandbox {
        id: shown_id(scenario, kept),
        name: unless(Fault::NameDropped, &asked.name),
        namespace: if scenario.has(Fault::GiantAnswers) {
            "x".repeat(GIANT)
        } else {
            asked.namespace.clone()
        },
        spec,
        status: (!bare).then(|| status(scenario, kept)),
        workspace: unless(Fault::WorkspaceDropped, &asked.workspace),
    }
}

/// The event about a sandbox.
pub(crate) fn event(scenario: &Scenario, kept: &Kept) -> WatchSandboxesEvent {
    let sandbox = Some(sandbox(scenario, kept, Where::Event));
    WatchSandboxesEvent { payload: Some(Payload::Sandbox(WatchSandboxesSandboxEvent { sandbox })) }
}

fn status(scenario: &Scenario, kept: &Kept) -> DriverSandboxStatus {
    let mut sandbox_name = format!("fake-{}", kept.asked.id);
    if scenario.has(Fault::StartMakesNew) {
        sandbox_name = format!("{sandbox_name}-{}", kept.run);
    }
    DriverSandboxStatus {
        sandbox_name,
        instance_id: kept.run.to_string(),
        conditions: conditions_of(scenario, kept),
        deleting: kept.phase == Phase::Deleting && scenario.contract == Contract::Current,
        ..DriverSandboxStatus::default()
    }
}

fn conditions_of(scenario: &Scenario, kept: &Kept) -> Vec<DriverCondition> {
    if scenario.has(Fault::NoConditions) {
        return Vec::new();
    }
    let time = match scenario.has(Fault::OddTimes) {
        true => "just now".to_owned(),
        false => conditions::timestamp(kept.since),
    };
    let condition = |kind: &str, status: &str, reason: &str| DriverCondition {
        r#type: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: String::new(),
        last_transition_time: time.clone(),
    };
    let (ready, why) = match kept.phase {
        Phase::Starting if scenario.has(Fault::ForeignReasons) => ("False", "Bewildered"),
        Phase::Starting => ("False", reason::STARTING),
        Phase::Ready => ("True", RUNNING),
        Phase::Stopped => ("False", reason::STOPPED),
        Phase::Failed => ("False", reason::IMAGE_PULL_FAILED),
        Phase::Exited => ("False", reason::CONTAINER_EXITED),
        Phase::Deleting => ("False", reason::TERMINATING),
    };
    let mut all = vec![condition(READY, ready, why)];
    if kept.phase == Phase::Stopped && !scenario.has(Fault::StoppedNotSuspended) {
        all.push(condition(SUSPENDED, "True", reason::STOPPED));
    }
    if scenario.has(Fault::OddConditionStatus) {
        all.push(condition("Healthy", "yes", ""));
    }
    all
}
