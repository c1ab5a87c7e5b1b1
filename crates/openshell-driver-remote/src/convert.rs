//! Between the wire's messages and the driver API's types, both ways, for the client half and the server half alike.

use openshell_driver_api::{
    Capabilities, Condition, ConditionStatus, DriverError, GpuRequest, ListenerRequirement, ObservedSandbox,
    PlatformEvent, Resources, SandboxId, SandboxRequest, SandboxSpec, SandboxStatus, Secret, Template,
    WatchEvent,
};
use openshell_proto::compute::v1::{
    self as wire, gateway_listener_requirement::Selector, watch_sandboxes_event::Payload,
};
use openshell_proto::structs;

/// A sandbox to make, for the wire.
///
/// # Errors
/// `InvalidArgument` for a number in a template's configuration that the wire cannot hold exactly.
pub fn request_to_wire(
    request: &SandboxRequest,
    operation: &'static str,
) -> Result<wire::DriverSandbox, DriverError> {
    let SandboxRequest { id, name, namespace, workspace, spec } = request;
    Ok(wire::DriverSandbox {
        id: id.as_str().to_owned(),
        name: name.clone(),
        namespace: namespace.clone(),
        workspace: workspace.clone(),
        spec: Some(spec_to_wire(spec, operation)?),
        status: None,
    })
}

/// A sandbox to make, from the wire.
///
/// # Errors
/// `InvalidArgument` when there is no sandbox, no id or no spec in it, or a number that is none.
pub fn request_from_wire(
    sandbox: Option<wire::DriverSandbox>,
    operation: &'static str,
) -> Result<SandboxRequest, DriverError> {
    let missing = |what| DriverError::invalid(operation, format!("the request has no `{what}`"));
    let wire::DriverSandbox { id, name, namespace, spec, status: _, workspace } =
        sandbox.ok_or_else(|| missing("sandbox"))?;
    if id.is_empty() {
        return Err(DriverError::invalid(operation, "the sandbox has no `id`"));
    }
    let spec = spec_from_wire(spec.ok_or_else(|| missing("sandbox.spec"))?, operation)?;
    Ok(SandboxRequest { id: SandboxId::new(id)?, name, namespace, workspace, spec })
}

fn spec_to_wire(spec: &SandboxSpec, operation: &'static str) -> Result<wire::DriverSandboxSpec, DriverError> {
    let SandboxSpec { log_level, environment, template, gpu, token, command, tty } = spec;
    Ok(wire::DriverSandboxSpec {
        log_level: log_level.clone(),
        environment: environment.clone(),
        template: Some(template_to_wire(template, operation)?),
        resource_requirements: gpu.map(|GpuRequest { count }| wire::ResourceRequirements {
            gpu: Some(wire::GpuResourceRequirements { count }),
        }),
        // The one place where a token leaves this process, for the driver that it is meant for.
        sandbox_token: token.expose().to_owned(),
        command: command.clone(),
        tty: *tty,
    })
}

fn spec_from_wire(
    spec: wire::DriverSandboxSpec,
    operation: &'static str,
) -> Result<SandboxSpec, DriverError> {
    let wire::DriverSandboxSpec {
        log_level,
        environment,
        template,
        resource_requirements,
        sandbox_token,
        command,
        tty,
    } = spec;
    Ok(SandboxSpec {
        log_level,
        environment,
        template: template_from_wire(template.unwrap_or_default(), operation)?,
        gpu: resource_requirements
            .and_then(|required| required.gpu)
            .map(|gpu| GpuRequest { count: gpu.count }),
        token: Secret::new(sandbox_token),
        command,
        tty,
    })
}

fn template_to_wire(
    template: &Template,
    operation: &'static str,
) -> Result<wire::DriverSandboxTemplate, DriverError> {
    let Template { image, agent_socket_path, labels, environment, resources, platform_config, driver_config } =
        template;
    let config = |key: &str, object: &_| match structs::from_json(object) {
        Ok(fields) if fields.fields.is_empty() => Ok(None),
        Ok(fields) => Ok(Some(fields)),
        Err(error) => Err(DriverError::invalid(operation, format!("`{key}`: {error}"))),
    };
    let Resources { cpu_request, cpu_limit, memory_request, memory_limit } = resources;
    Ok(wire::DriverSandboxTemplate {
        image: image.clone(),
        agent_socket_path: agent_socket_path.clone(),
        labels: labels.clone(),
        environment: environment.clone(),
        resources: (*resources != Resources::default()).then(|| wire::DriverResourceRequirements {
            cpu_request: cpu_request.clone(),
            cpu_limit: cpu_limit.clone(),
            memory_request: memory_request.clone(),
            memory_limit: memory_limit.clone(),
        }),
        platform_config: config("platform_config", platform_config)?,
        driver_config: config("driver_config", driver_config)?,
    })
}

fn template_from_wire(
    template: wire::DriverSandboxTemplate,
    operation: &'static str,
) -> Result<Template, DriverError> {
    let wire::DriverSandboxTemplate {
        image,
        agent_socket_path,
        labels,
        environment,
        resources,
        platform_config,
        driver_config,
    } = template;
    let config = |key: &str, fields: Option<_>| {
        structs::to_json(&fields.unwrap_or_default())
            .map_err(|error| DriverError::invalid(operation, format!("`{key}`: {error}")))
    };
    let wire::DriverResourceRequirements { cpu_request, cpu_limit, memory_request, memory_limit } =
        resources.unwrap_or_default();
    Ok(Template {
        image,
        agent_socket_path,
        labels,
        environment,
        resources: Resources { cpu_request, cpu_limit, memory_request, memory_limit },
        platform_config: config("platform_config", platform_config)?,
        driver_config: config("driver_config", driver_config)?,
    })
}

/// What a backend reports, for the wire.
#[must_use]
pub fn observed_to_wire(sandbox: ObservedSandbox) -> wire::DriverSandbox {
    let ObservedSandbox { id, name, namespace, workspace, status } = sandbox;
    let SandboxStatus { sandbox_name, instance_id, agent_fd, sandbox_fd, conditions, deleting } = status;
    let conditions = conditions.into_iter().map(|condition| {
        let Condition { kind, status, reason, message, last_transition_time } = condition;
        wire::DriverCondition {
            r#type: kind,
            status: status.as_str().to_owned(),
            reason,
            message,
            last_transition_time,
        }
    });
    wire::DriverSandbox {
        id: id.as_str().to_owned(),
        name,
        namespace,
        workspace,
        spec: None,
        status: Some(wire::DriverSandboxStatus {
            sandbox_name,
            instance_id,
            agent_fd,
            sandbox_fd,
            conditions: conditions.collect(),
            deleting,
        }),
    }
}

/// What a backend reports, from the wire; `None` when it has no id that can be one, which nothing can be done with. A
/// spec in it is not looked at.
#[must_use]
pub fn observed_from_wire(sandbox: wire::DriverSandbox) -> Option<ObservedSandbox> {
    let wire::DriverSandbox { id, name, namespace, spec: _, status, workspace } = sandbox;
    let id = known_id(id)?;
    let wire::DriverSandboxStatus { sandbox_name, instance_id, agent_fd, sandbox_fd, conditions, deleting } =
        status.unwrap_or_default();
    let conditions = conditions.into_iter().map(|condition| {
        let wire::DriverCondition { r#type, status, reason, message, last_transition_time } = condition;
        let status = ConditionStatus::from_wire(&status);
        Condition { kind: r#type, status, reason, message, last_transition_time }
    });
    let conditions = conditions.collect();
    let status = SandboxStatus { sandbox_name, instance_id, agent_fd, sandbox_fd, conditions, deleting };
    Some(ObservedSandbox { id, name, namespace, workspace, status })
}

/// An id that somebody may have given; one that is longer than any is no id, and would be kept and logged like one.
fn known_id(id: String) -> Option<SandboxId> {
    const LONGEST: usize = 256;
    SandboxId::new(id).ok().filter(|id| id.as_str().len() <= LONGEST)
}

/// One item of a watch, for the wire.
#[must_use]
pub fn event_to_wire(event: WatchEvent) -> wire::WatchSandboxesEvent {
    let payload = match event {
        WatchEvent::Sandbox(sandbox) => {
            Payload::Sandbox(wire::WatchSandboxesSandboxEvent { sandbox: Some(observed_to_wire(sandbox)) })
        }
        WatchEvent::Deleted(id) => {
            Payload::Deleted(wire::WatchSandboxesDeletedEvent { sandbox_id: id.as_str().to_owned() })
        }
        WatchEvent::Platform { id, event } => {
            let PlatformEvent { timestamp_ms, source, kind, reason, message, metadata } = event;
            Payload::PlatformEvent(wire::WatchSandboxesPlatformEvent {
                sandbox_id: id.as_str().to_owned(),
                event: Some(wire::DriverPlatformEvent {
                    timestamp_ms,
                    source,
                    r#type: kind,
                    reason,
                    message,
                    metadata,
                }),
            })
        }
    };
    wire::WatchSandboxesEvent { payload: Some(payload) }
}

/// One item of a watch, from the wire; the error says why there is nothing in it to use.
///
/// # Errors
/// A few words, for a log.
pub fn event_from_wire(event: wire::WatchSandboxesEvent) -> Result<WatchEvent, &'static str> {
    const NO_ID: &str = "it names no sandbox";
    match event.payload.ok_or("it is of a kind that is not known here")? {
        Payload::Sandbox(event) => {
            let sandbox = event.sandbox.ok_or("it holds no sandbox")?;
            observed_from_wire(sandbox).map(WatchEvent::Sandbox).ok_or(NO_ID)
        }
        Payload::Deleted(event) => known_id(event.sandbox_id).map(WatchEvent::Deleted).ok_or(NO_ID),
        Payload::PlatformEvent(event) => {
            let id = known_id(event.sandbox_id).ok_or(NO_ID)?;
            let wire::DriverPlatformEvent { timestamp_ms, source, r#type, reason, message, metadata } =
                event.event.ok_or("it holds no event")?;
            let event = PlatformEvent { timestamp_ms, source, kind: r#type, reason, message, metadata };
            Ok(WatchEvent::Platform { id, event })
        }
    }
}

/// Who a driver is, for the wire.
#[must_use]
pub fn capabilities_to_wire(capabilities: Capabilities) -> wire::GetCapabilitiesResponse {
    let Capabilities { driver_name, driver_version, default_image, gateway_manages_lifecycle } = capabilities;
    wire::GetCapabilitiesResponse { driver_name, driver_version, default_image, gateway_manages_lifecycle }
}

/// Who a driver is, from the wire.
#[must_use]
pub fn capabilities_from_wire(answer: wire::GetCapabilitiesResponse) -> Capabilities {
    let wire::GetCapabilitiesResponse {
        driver_name,
        driver_version,
        default_image,
        gateway_manages_lifecycle,
    } = answer;
    Capabilities { driver_name, driver_version, default_image, gateway_manages_lifecycle }
}

/// An address to listen on, for the wire.
#[must_use]
pub fn requirement_to_wire(requirement: ListenerRequirement) -> wire::GatewayListenerRequirement {
    let (reason, selector) = match requirement {
        ListenerRequirement::Exact { reason, address } => (reason, Selector::ExactBindAddress(address)),
        ListenerRequirement::DefaultRoute { reason } => {
            (reason, Selector::DefaultRouteInterface(wire::GatewayDefaultRouteInterfaceRequirement {}))
        }
        ListenerRequirement::Loopback { reason } => {
            (reason, Selector::LoopbackInterface(wire::GatewayLoopbackInterfaceRequirement {}))
        }
    };
    wire::GatewayListenerRequirement { reason, selector: Some(selector) }
}

/// An address to listen on, from the wire; `None` for a selector that is not known here.
#[must_use]
pub fn requirement_from_wire(requirement: wire::GatewayListenerRequirement) -> Option<ListenerRequirement> {
    let wire::GatewayListenerRequirement { reason, selector } = requirement;
    Some(match selector? {
        Selector::ExactBindAddress(address) => ListenerRequirement::Exact { reason, address },
        Selector::DefaultRouteInterface(_) => ListenerRequirement::DefaultRoute { reason },
        Selector::LoopbackInterface(_) => ListenerRequirement::Loopback { reason },
    })
}
