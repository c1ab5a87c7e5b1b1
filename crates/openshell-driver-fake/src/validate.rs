//! Whether a create could be honoured: junk is refused with its text, and so is what this driver has none of.

use openshell_driver_api::Resources;
use openshell_driver_api::quantity::{ParsedResources, Quantity};
use openshell_proto::compute::v1::{DriverResourceRequirements, DriverSandbox};
use tonic::Status;

use crate::{Fault, Scenario};

/// Checks what would be created.
///
/// # Errors
/// `INVALID_ARGUMENT`, unless the scenario breaks it.
pub(crate) fn check(scenario: &Scenario, asked: &DriverSandbox) -> Result<(), Status> {
    if asked.id.is_empty() {
        return Err(Status::invalid_argument("the sandbox has no `id`"));
    }
    let spec = asked.spec.as_ref().ok_or_else(|| Status::invalid_argument("the sandbox has no `spec`"))?;
    let gpu = spec.resource_requirements.as_ref().and_then(|required| required.gpu.as_ref());
    if gpu.is_some() && !scenario.has(Fault::GpuDropped) {
        return Err(Status::invalid_argument("`gpu`: this driver has none"));
    }
    let template = spec.template.clone().unwrap_or_default();
    let no_image = template.image.is_empty();
    if no_image && (scenario.default_image.is_empty() || scenario.has(Fault::EmptyImageRefused)) {
        return Err(Status::invalid_argument("`template.image` is empty, and there is no default image"));
    }
    match template.resources {
        Some(resources) => quantities(scenario, &resources),
        None => Ok(()),
    }
}

fn quantities(scenario: &Scenario, asked: &DriverResourceRequirements) -> Result<(), Status> {
    let mut resources = Resources {
        cpu_request: asked.cpu_request.clone(),
        cpu_limit: asked.cpu_limit.clone(),
        memory_request: asked.memory_request.clone(),
        memory_limit: asked.memory_limit.clone(),
    };
    if scenario.has(Fault::ZeroLimitAccepted) {
        for limit in [&mut resources.cpu_limit, &mut resources.memory_limit] {
            if limit == "0" {
                limit.clear();
            }
        }
    }
    if scenario.has(Fault::RequestAboveLimitAccepted) && ParsedResources::read(&resources).is_err() {
        // Each by itself, so that none is compared.
        let requests =
            Resources { cpu_limit: String::new(), memory_limit: String::new(), ..resources.clone() };
        let limits =
            Resources { cpu_request: String::new(), memory_request: String::new(), ..resources.clone() };
        if ParsedResources::read(&requests).is_ok() && ParsedResources::read(&limits).is_ok() {
            return Ok(());
        }
    }
    let suffixed = |text: &String| text.ends_with(char::is_alphabetic) && is_quantity(text);
    let all =
        [&resources.cpu_request, &resources.cpu_limit, &resources.memory_request, &resources.memory_limit];
    if scenario.has(Fault::GoodQuantitiesRefused) && all.into_iter().any(suffixed) {
        return Err(Status::invalid_argument("quantities with a suffix are not known here"));
    }
    match ParsedResources::read(&resources) {
        Ok(_) => Ok(()),
        Err(_) if scenario.has(Fault::JunkQuantitiesAccepted) && !compares(&resources) => Ok(()),
        Err(error) if scenario.has(Fault::JunkInternal) => Err(Status::internal(error.message())),
        Err(_) if scenario.has(Fault::JunkUnnamed) => Err(Status::invalid_argument("the request is invalid")),
        Err(error) => Err(Status::invalid_argument(error.message())),
    }
}

/// Whether every text is a quantity, so that what is wrong is how they compare, or a zero.
fn compares(resources: &Resources) -> bool {
    let texts =
        [&resources.cpu_request, &resources.cpu_limit, &resources.memory_request, &resources.memory_limit];
    texts.into_iter().filter(|text| !text.is_empty()).all(|text| is_quantity(text))
}

fn is_quantity(text: &str) -> bool {
    text.parse::<Quantity>().is_ok()
}
