//! GPUs, in the engine's words; refused by name where it has none.

use bollard::models::DeviceRequest;
use openshell_driver_api::GpuRequest;
use openshell_driver_common::container::gpu::{Offer, names};

use crate::facts::Facts;

/// The request to the engine for a sandbox's GPUs; `None` when it asks for none.
///
/// # Errors
/// What cannot be had, and why.
pub(super) fn request(
    gpu: Option<GpuRequest>,
    ids: &[String],
    kind: &str,
    facts: &Facts,
) -> Result<Option<DeviceRequest>, String> {
    let version = if facts.version.is_empty() { "of unknown version" } else { &facts.version };
    let none = (!facts.cdi)
        .then(|| format!("engine {version} offers no CDI devices; it takes Docker 25 or newer with CDI on"));
    let names = names(gpu, ids, kind, &Offer { none, devices: facts.devices.clone() })?;
    Ok(names.map(|names| DeviceRequest {
        driver: Some("cdi".to_owned()),
        device_ids: Some(names),
        ..DeviceRequest::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_in_full_and_by_nothing_else() {
        let facts = Facts { version: "28.2.2".into(), cdi: true, ..Facts::default() };
        let asked = request(Some(GpuRequest { count: Some(1) }), &[], "a/b", &facts).expect("good");
        let asked = asked.expect("a request");
        assert_eq!(asked.driver.as_deref(), Some("cdi"));
        assert_eq!((&asked.count, &asked.capabilities), (&None, &None));
        assert_eq!(asked.device_ids, Some(vec!["a/b=0".to_owned()]));
        assert_eq!(request(None, &[], "a/b", &Facts::default()), Ok(None));
    }

    #[test]
    fn an_engine_without_the_interface() {
        let old = Facts { version: "20.10.24".into(), ..Facts::default() };
        let fault = request(Some(GpuRequest { count: None }), &[], "a/b", &old).expect_err("no CDI");
        assert_eq!(fault, "engine 20.10.24 offers no CDI devices; it takes Docker 25 or newer with CDI on");
    }
}
