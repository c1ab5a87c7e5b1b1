//! What a client asks for: checked, and turned into what a driver is asked for.
//!
//! Nothing that matters is dropped in silence. What only a backend can judge is passed on, for the driver to honour or
//! to refuse by name (`runtime_class_name`, `user_namespaces` and the template's annotations in `platform_config`);
//! what no part of this gateway has is refused here (`providers`). A policy is stored and given back as it came.

use openshell_driver_api::quantity::ParsedResources;
use openshell_driver_api::{
    DriverError, GpuRequest, Resources, SandboxId, SandboxRequest, SandboxSpec, Secret, Template,
};
use openshell_proto::openshell::v1 as proto;
use openshell_proto::structs;
use prost::Message;
use serde_json::{Map, Value};

use crate::limits;
use crate::store::Record;

/// The prefix of the labels that drivers put on what they make.
const RESERVED_LABELS: &str = "openshell.ai/";
/// The most bytes of a spec, encoded.
const MAX_SPEC: usize = 1024 * 1024;

/// Checks everything of a creation that needs neither store nor driver.
///
/// # Errors
/// Every fault, each naming its field.
pub(crate) fn check(request: &proto::CreateSandboxRequest, config_key: &str) -> Result<(), String> {
    let mut faults = Vec::new();
    if !request.name.is_empty() {
        faults.extend(crate::names::check(&request.name).err());
    }
    faults.extend(limits::label_faults("labels", &request.labels));
    faults.extend(limits::annotation_faults("annotations", &request.annotations));
    if let Some(spec) = &request.spec {
        faults.extend(spec_faults(spec));
        if let Err(error) = driver_spec(spec, config_key) {
            faults.push(error.message().to_owned());
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

fn spec_faults(spec: &proto::SandboxSpec) -> Vec<String> {
    let mut faults = Vec::new();
    if spec.encoded_len() > MAX_SPEC {
        faults.push(format!("`spec` has more than {MAX_SPEC} bytes"));
    }
    if !spec.providers.is_empty() {
        faults.push("`spec.providers`: this gateway has no credential providers".to_owned());
    }
    faults.extend(limits::log_level_fault("spec.log_level", &spec.log_level));
    faults.extend(limits::command_faults("spec.command", &spec.command));
    let mut environments = vec![("spec.environment", &spec.environment)];
    environments
        .extend(spec.template.as_ref().map(|template| ("spec.template.environment", &template.environment)));
    faults.extend(limits::environment_faults(&environments));
    if let Some(template) = &spec.template {
        faults.extend(limits::text_fault("spec.template.image", &template.image));
        faults.extend(limits::text_fault("spec.template.agent_socket", &template.agent_socket));
        faults.extend(limits::text_fault("spec.template.runtime_class_name", &template.runtime_class_name));
        faults.extend(limits::label_faults("spec.template.labels", &template.labels));
        faults.extend(limits::annotation_faults("spec.template.annotations", &template.annotations));
        for key in template.labels.keys().filter(|key| key.starts_with(RESERVED_LABELS)) {
            faults.push(format!(
                "`spec.template.labels`: `{key}` begins with `{RESERVED_LABELS}`, which is reserved"
            ));
        }
    }
    faults
}

/// What the driver is asked for, for a stored sandbox.
///
/// # Errors
/// `InvalidArgument` for a spec that cannot be read; what was checked at its creation can.
pub(crate) fn driver_request(record: &Record, config_key: &str) -> Result<SandboxRequest, DriverError> {
    let spec = proto::SandboxSpec::decode(&*record.spec)
        .map_err(|error| invalid("the stored spec cannot be read").with_source(error))?;
    Ok(SandboxRequest {
        id: SandboxId::new(record.id.as_str())?,
        name: record.name.clone(),
        namespace: String::new(),
        workspace: record.workspace.clone(),
        spec: driver_spec(&spec, config_key)?,
    })
}

fn driver_spec(spec: &proto::SandboxSpec, config_key: &str) -> Result<SandboxSpec, DriverError> {
    let template = match &spec.template {
        Some(template) => driver_template(template, config_key)?,
        None => Template::default(),
    };
    let gpu = spec.resource_requirements.and_then(|requirements| requirements.gpu);
    Ok(SandboxSpec {
        log_level: spec.log_level.clone(),
        environment: spec.environment.clone(),
        template,
        gpu: gpu.map(|gpu| GpuRequest { count: gpu.count }),
        // Whoever asks for the sandbox to be made puts it in; it is never stored.
        token: Secret::default(),
        command: spec.command.clone(),
        tty: spec.tty,
    })
}

fn driver_template(template: &proto::SandboxTemplate, config_key: &str) -> Result<Template, DriverError> {
    Ok(Template {
        image: template.image.clone(),
        agent_socket_path: template.agent_socket.clone(),
        labels: template.labels.clone(),
        environment: template.environment.clone(),
        resources: match &template.resources {
            Some(resources) => resources_of(&object("spec.template.resources", resources)?)?,
            None => Resources::default(),
        },
        platform_config: platform_config(template),
        driver_config: match &template.driver_config {
            Some(config) => {
                let config = object("spec.template.driver_config", config)?;
                match limits::config_fault("spec.template.driver_config", &config) {
                    Some(fault) => return Err(invalid(fault)),
                    None => own_block(config, config_key)?,
                }
            }
            None => Map::new(),
        },
    })
}

/// What is asked of any platform, for the driver to honour or refuse.
fn platform_config(template: &proto::SandboxTemplate) -> Map<String, Value> {
    let mut config = Map::new();
    if !template.runtime_class_name.is_empty() {
        config.insert("runtime_class_name".to_owned(), Value::from(template.runtime_class_name.as_str()));
    }
    if let Some(user_namespaces) = template.user_namespaces {
        config.insert("user_namespaces".to_owned(), Value::from(user_namespaces));
    }
    if !template.annotations.is_empty() {
        let annotations =
            template.annotations.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
        config.insert("annotations".to_owned(), Value::Object(annotations.collect()));
    }
    config
}

/// The block of one driver; the others' are for other gateways. Blocks of which this driver reads none are refused: the
/// name is mistyped, or whoever asks believes to be somewhere else.
fn own_block(mut config: Map<String, Value>, config_key: &str) -> Result<Map<String, Value>, DriverError> {
    if let Some((name, _)) = config.iter().find(|(_, block)| !block.is_object()) {
        return Err(invalid(format!("`spec.template.driver_config.{name}` is not an object")));
    }
    match config.remove(config_key) {
        Some(Value::Object(block)) => Ok(block),
        _ if config.is_empty() => Ok(Map::new()),
        _ => {
            let names: Vec<String> = config.keys().map(|name| format!("`{}`", name.escape_debug())).collect();
            Err(invalid(format!(
                "`spec.template.driver_config` has no block `{config_key}`, which is this gateway's driver, only {}",
                names.join(", ")
            )))
        }
    }
}

/// Reads `{"limits": {"cpu": …, "memory": …}, "requests": {…}}`, and checks the quantities.
fn resources_of(object: &Map<String, Value>) -> Result<Resources, DriverError> {
    let mut resources = Resources::default();
    for (group, values) in object {
        let Value::Object(values) = values else {
            return Err(invalid(format!("`spec.template.resources.{group}` is not an object")));
        };
        for (key, value) in values {
            let path = format!("spec.template.resources.{group}.{key}");
            let slot = match (group.as_str(), key.as_str()) {
                ("limits", "cpu") => &mut resources.cpu_limit,
                ("limits", "memory") => &mut resources.memory_limit,
                ("requests", "cpu") => &mut resources.cpu_request,
                ("requests", "memory") => &mut resources.memory_request,
                _ => {
                    return Err(invalid(format!(
                        "`{path}` is none of `cpu`, `memory` of `limits`, `requests`"
                    )));
                }
            };
            *slot = match value {
                Value::String(text) if !text.is_empty() => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => return Err(invalid(format!("`{path}` is not a quantity"))),
            };
        }
        if !matches!(group.as_str(), "limits" | "requests") {
            return Err(invalid(format!(
                "`spec.template.resources.{group}` is neither `limits` nor `requests`"
            )));
        }
    }
    ParsedResources::read(&resources)?;
    Ok(resources)
}

fn object(field: &str, value: &prost_types::Struct) -> Result<Map<String, Value>, DriverError> {
    structs::to_json(value).map_err(|error| invalid(format!("`{field}`: {error}")))
}

fn invalid(message: impl Into<String>) -> DriverError {
    DriverError::invalid("read sandbox spec", message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn request(template: proto::SandboxTemplate) -> proto::CreateSandboxRequest {
        let spec = proto::SandboxSpec { template: Some(template), ..Default::default() };
        proto::CreateSandboxRequest { spec: Some(spec), ..Default::default() }
    }

    fn fields(value: &Value) -> Option<prost_types::Struct> {
        Some(structs::from_json(value.as_object().unwrap()).unwrap())
    }

    fn map(key: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn resources_and_their_unknown_keys() {
        let good = json!({"limits": {"cpu": 2, "memory": "1Gi"}, "requests": {"cpu": "500m"}});
        let resources = resources_of(good.as_object().unwrap()).unwrap();
        assert_eq!(
            (resources.cpu_limit.as_str(), resources.memory_limit.as_str(), resources.cpu_request.as_str()),
            ("2", "1Gi", "500m")
        );
        for (bad, says) in [
            (json!({"limits": {"gpu": 1}}), "limits.gpu"),
            (json!({"limit": {}}), "resources.limit"),
            (json!({"limits": "2"}), "resources.limits"),
            (json!({"limits": {"cpu": true}}), "limits.cpu"),
            (json!({"limits": {"cpu": "2 cores"}}), "2 cores"),
        ] {
            let template = proto::SandboxTemplate { resources: fields(&bad), ..Default::default() };
            let fault = check(&request(template), "fake").unwrap_err();
            assert!(fault.contains(says), "{bad}: {fault}");
        }
    }

    #[test]
    fn a_driver_gets_its_own_block_alone() {
        let config = json!({"fake": {"a": 1}, "other": {"b": 2}});
        let template = proto::SandboxTemplate { driver_config: fields(&config), ..Default::default() };
        let driver = driver_template(&template, "fake").unwrap();
        assert_eq!(Value::Object(driver.driver_config), json!({"a": 1}));
        let fault = own_block(json!({"faek": {}}).as_object().unwrap().clone(), "fake").unwrap_err();
        assert!(fault.message().contains("no block `fake`") && fault.message().contains("`faek`"));
        assert!(own_block(Map::new(), "fake").unwrap().is_empty());
        let fault = own_block(json!({"fake": 1}).as_object().unwrap().clone(), "fake").unwrap_err();
        assert!(fault.message().contains("driver_config.fake"));
    }

    #[test]
    fn what_only_a_backend_can_judge_is_passed_on() {
        let template = proto::SandboxTemplate {
            runtime_class_name: "gvisor".to_owned(),
            user_namespaces: Some(false),
            annotations: map("a", "b"),
            ..Default::default()
        };
        let expected =
            json!({"runtime_class_name": "gvisor", "user_namespaces": false, "annotations": {"a": "b"}});
        assert_eq!(Value::Object(platform_config(&template)), expected);
        assert!(platform_config(&proto::SandboxTemplate::default()).is_empty());
    }

    #[test]
    fn every_fault_is_told_at_once_and_no_value_of_a_variable() {
        let template =
            proto::SandboxTemplate { labels: map("openshell.ai/sandbox-id", "x"), ..Default::default() };
        let mut bad = request(template);
        bad.name = "No".to_owned();
        bad.labels = map("k k", "v");
        bad.annotations = map("", "v");
        let spec = bad.spec.as_mut().unwrap();
        spec.environment = map("OPENSHELL_TOKEN", "s3cret");
        spec.environment.insert("A=B".to_owned(), "s3cret".to_owned());
        spec.environment.insert("C".to_owned(), "s3cret\0".to_owned());
        spec.providers = vec!["p".to_owned()];
        spec.command = vec![String::new(), "a\0".to_owned()];
        let fault = check(&bad, "fake").unwrap_err();
        for says in [
            "`No`",
            "`k k`",
            "`annotations`",
            "OPENSHELL_TOKEN",
            "A=B",
            "`C`",
            "providers",
            "NUL",
            "empty text",
            "openshell.ai/sandbox-id",
        ] {
            assert!(fault.contains(says), "{says}: {fault}");
        }
        assert!(!fault.contains("s3cret"), "{fault}");
    }

    #[test]
    fn nothing_at_all_is_a_sandbox() {
        assert_eq!(check(&proto::CreateSandboxRequest::default(), "fake"), Ok(()));
    }
}
