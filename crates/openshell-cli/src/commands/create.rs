//! `sandbox create`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use openshell_proto::openshell::v1::{
    CreateSandboxRequest, GpuResourceRequirements, ResourceRequirements, SandboxSpec, SandboxTemplate,
};
use openshell_proto::{Struct, structs};
use serde_json::{Map, Value};
use tonic::Code;

use super::wait::{self, Goal, Limit};
use crate::args::CreateArgs;
use crate::error::CliError;
use crate::session::{One, Session};
use crate::{output, view};

/// The request that a command line means.
pub(crate) fn request(args: &CreateArgs) -> Result<CreateSandboxRequest, CliError> {
    let template = SandboxTemplate {
        image: args.image.clone().unwrap_or_default(),
        resources: resources(args)?,
        driver_config: args.driver_config.as_ref().map(structure).transpose()?,
        ..SandboxTemplate::default()
    };
    let gpu = args.gpu.map(|count| GpuResourceRequirements { count });
    let spec = SandboxSpec {
        environment: unique("--env", &args.env)?,
        template: Some(template),
        resource_requirements: gpu.map(|gpu| ResourceRequirements { gpu: Some(gpu) }),
        command: args.command.clone(),
        tty: args.tty,
        ..SandboxSpec::default()
    };
    Ok(CreateSandboxRequest {
        spec: Some(spec),
        name: args.name.clone().unwrap_or_default(),
        labels: unique("--label", &args.label)?,
        annotations: BTreeMap::new(),
        // What is meant when none is named, the session knows.
        workspace: String::new(),
    })
}

/// Makes it, prints its name, and waits for it when asked to.
pub(crate) async fn run(
    session: &Session,
    args: &CreateArgs,
    mut request: CreateSandboxRequest,
) -> Result<(), CliError> {
    let workspace = session.workspace(&args.place);
    request.workspace = workspace.clone().unwrap_or_default();
    let what = match &args.name {
        Some(name) => format!("create sandbox `{name}`"),
        None => "create a sandbox".to_owned(),
    };
    let hint = |code| match (code, &args.name) {
        (Code::AlreadyExists, Some(name)) => {
            let taken = session.one(name, &args.place);
            Some(format!("see what has that name: {}", taken.command("get")))
        }
        (Code::NotFound, _) => Some("see which workspaces there are: openshell workspace list".to_owned()),
        (Code::Unavailable, _) => Some("see how the gateway and its driver are: openshell status".to_owned()),
        _ => None,
    };
    let answer = session
        .gateway
        .call(what.as_str(), hint, request, |mut client, request| async move {
            client.create_sandbox(request).await
        })
        .await?;
    let sandbox = answer.sandbox.ok_or(CliError::Empty { what })?;
    let made = One { name: view::name(&sandbox), workspace, anywhere: false };
    let json = session.printer.json();
    if !json {
        // At once: whoever waits for it in vain wants to know what to delete.
        output::line(&made.name)?;
    }
    let Some(limit) = args.wait else {
        return if json { output::json(&view::json(&sandbox)) } else { Ok(()) };
    };
    let (last, result) = wait::until(session, &made, sandbox, Goal::Ready, Limit::new(limit)).await;
    if json {
        output::json(&view::json(&last))?;
    }
    result
}

/// `{"limits": {…}, "requests": {…}}` of what is given; nothing when nothing is.
fn resources(args: &CreateArgs) -> Result<Option<Struct>, CliError> {
    let side = |cpu: &Option<String>, memory: &Option<String>| -> Map<String, Value> {
        [("cpu", cpu), ("memory", memory)]
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), Value::from(value.as_deref()?))))
            .collect()
    };
    let sides: Map<String, Value> = [
        ("limits", side(&args.cpu, &args.memory)),
        ("requests", side(&args.cpu_request, &args.memory_request)),
    ]
    .into_iter()
    .filter(|(_, quantities)| !quantities.is_empty())
    .map(|(key, quantities)| (key.to_owned(), Value::Object(quantities)))
    .collect();
    if sides.is_empty() { Ok(None) } else { structure(&sides).map(Some) }
}

fn structure(object: &Map<String, Value>) -> Result<Struct, CliError> {
    structs::from_json(object).map_err(|error| CliError::Usage(error.to_string()))
}

/// Pairs as a map; a key given twice is a mistake, not a choice of ours.
pub(crate) fn unique(option: &str, pairs: &[(String, String)]) -> Result<BTreeMap<String, String>, CliError> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        match map.entry(key.clone()) {
            Entry::Vacant(entry) => entry.insert(value.clone()),
            Entry::Occupied(_) => return Err(CliError::Usage(format!("`{option} {key}=…` is given twice"))),
        };
    }
    Ok(map)
}
