//! CPU, memory and GPUs, as a cluster reserves them and holds a container to them: pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use openshell_driver_api::quantity::ParsedResources;
use openshell_driver_api::{DriverError, Resources};
use openshell_driver_common::faults::Faults;

use crate::asked::Asked;
use crate::config::Config;

/// Below this, runtimes do not start a container.
const LEAST_MEMORY: u64 = 6 << 20;

/// Reads them, with the operator's where a request leaves one open.
///
/// # Errors
/// `InvalidArgument` with every one that is junk, or that no container could run with.
pub(super) fn read(
    resources: &Resources,
    asked: &Asked,
    config: &Config,
) -> Result<ResourceRequirements, DriverError> {
    let mut parsed = ParsedResources::read(resources)?;
    let mut faults = Faults::default();
    if let Some(memory) = parsed.memory_limit.filter(|memory| memory.units() < LEAST_MEMORY) {
        let (text, bytes) = (&resources.memory_limit, memory.units());
        faults.add(format!(
            "memory_limit: `{text}` ({bytes} bytes) is below what containers start with, `6Mi`"
        ));
    }
    faults.into_result()?;
    let own = ParsedResources::read(&config.resources)?;
    let mut merged = resources.clone();
    // A limit of its own may lie below the operator's request, and a request of its own above the operator's limit:
    // what is asked for stands, and what is left open gives way.
    let fill = |text: &mut String, default: &String, fits: bool| {
        if text.is_empty() && fits {
            text.clone_from(default);
            return true;
        }
        false
    };
    let fits = |low: Option<_>, high: Option<_>| low.is_none() || high.is_none() || low <= high;
    if fill(&mut merged.cpu_limit, &config.resources.cpu_limit, fits(parsed.cpu_request, own.cpu_limit)) {
        parsed.cpu_limit = own.cpu_limit;
    }
    if fill(
        &mut merged.memory_limit,
        &config.resources.memory_limit,
        fits(parsed.memory_request, own.memory_limit),
    ) {
        parsed.memory_limit = own.memory_limit;
    }
    fill(&mut merged.cpu_request, &config.resources.cpu_request, fits(own.cpu_request, parsed.cpu_limit));
    fill(
        &mut merged.memory_request,
        &config.resources.memory_request,
        fits(own.memory_request, parsed.memory_limit),
    );
    let pairs = |cpu: &str, memory: &str| {
        let pairs = [("cpu", cpu), ("memory", memory)];
        let given = pairs.iter().filter(|(_, text)| !text.is_empty());
        given
            .map(|(name, text)| ((*name).to_owned(), Quantity((*text).to_owned())))
            .collect::<BTreeMap<_, _>>()
    };
    let requests = pairs(&merged.cpu_request, &merged.memory_request);
    let mut limits = pairs(&merged.cpu_limit, &merged.memory_limit);
    if let Some((resource, count)) = &asked.gpu {
        // A limit alone: of such a resource a request cannot be another number.
        limits.insert(resource.clone(), Quantity(count.to_string()));
    }
    let some = |pairs: BTreeMap<String, Quantity>| (!pairs.is_empty()).then_some(pairs);
    Ok(ResourceRequirements { requests: some(requests), limits: some(limits), claims: None })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn merged(own: &str, set: impl FnOnce(&mut Resources)) -> Result<Value, String> {
        let config = Config::read(&own.parse().expect("TOML")).expect("a configuration");
        let mut resources = Resources::default();
        set(&mut resources);
        let read =
            read(&resources, &Asked::default(), &config).map_err(|error| error.message().to_owned())?;
        Ok(serde_json::to_value(read).expect("JSON"))
    }

    #[test]
    fn what_is_asked_for_stands_and_the_rest_is_the_operator_s() {
        assert_eq!(merged("", |_| {}), Ok(json!({})));
        let own = "cpu_request = '100m'\ncpu_limit = '2'\nmemory_request = '64Mi'\nmemory_limit = '1Gi'";
        let all = json!({ "requests": { "cpu": "100m", "memory": "64Mi" }, "limits": { "cpu": "2", "memory": "1Gi" } });
        assert_eq!(merged(own, |_| {}), Ok(all));
        let small = merged(own, |r| {
            r.cpu_limit = "50m".into();
            r.memory_request = "2Gi".into();
        });
        assert_eq!(small, Ok(json!({ "requests": { "memory": "2Gi" }, "limits": { "cpu": "50m" } })));
        let both = merged("", |r| {
            r.cpu_request = "1".into();
            r.cpu_limit = "1500m".into();
        });
        assert_eq!(both, Ok(json!({ "requests": { "cpu": "1" }, "limits": { "cpu": "1500m" } })));
    }

    #[test]
    fn what_no_container_runs_with() {
        for (text, part) in
            [("1Mi", "below what containers start with"), ("0", "limit of zero"), ("lots", "`lots`")]
        {
            let fault = merged("", |r| r.memory_limit = text.into()).expect_err(text);
            assert!(fault.contains(part), "{text}: {fault}");
        }
    }
}
