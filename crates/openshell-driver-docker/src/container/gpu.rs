//! GPUs, as devices of the Container Device Interface: named to the engine, refused by name where it has none.
//!
//! Nothing is reserved: an engine keeps no account of devices, and two sandboxes may be given the same one.

use bollard::models::DeviceRequest;
use openshell_driver_api::GpuRequest;

use crate::facts::Facts;

/// No host has more; a request for more is a mistake, and would make a long list of names.
const MOST: u32 = 128;
/// The word for every device of a kind, in the specifications that vendors' tools write.
const ALL: &str = "all";

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
    let count = match gpu {
        None if ids.is_empty() => return Ok(None),
        gpu => gpu.and_then(|gpu| gpu.count),
    };
    if count == Some(0) {
        return Err("a count of 0 asks for none; leave the request out".to_owned());
    }
    if count.is_some_and(|count| count > MOST) || ids.len() > MOST as usize {
        return Err(format!("more than {MOST} are asked for"));
    }
    if !facts.cdi {
        return Err(format!(
            "engine {} offers no CDI devices; it takes Docker 25 or newer with CDI on",
            if facts.version.is_empty() { "of unknown version" } else { &facts.version }
        ));
    }
    let names = if ids.is_empty() { by_count(count, kind, facts)? } else { by_id(count, ids, kind)? };
    if let Some(known) = &facts.devices
        && let Some(missing) = names.iter().find(|name| !known.contains(name))
    {
        let known: Vec<String> = of_kind(known, kind).map(|name| format!("`{name}`")).collect();
        let there = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(format!("the engine knows no device `{missing}`; of `{kind}` it has {there}"));
    }
    Ok(Some(DeviceRequest {
        driver: Some("cdi".to_owned()),
        device_ids: Some(names),
        ..DeviceRequest::default()
    }))
}

fn of_kind<'a>(known: &'a [String], kind: &'a str) -> impl Iterator<Item = &'a String> {
    known.iter().filter(move |name| name.split_once('=').is_some_and(|(of, _)| of == kind))
}

/// The first so many of those that the engine lists; by their numbers where it lists none.
fn by_count(count: Option<u32>, kind: &str, facts: &Facts) -> Result<Vec<String>, String> {
    let Some(count) = count else { return Ok(vec![format!("{kind}={ALL}")]) };
    let Some(known) = &facts.devices else {
        return Ok((0..count).map(|number| format!("{kind}={number}")).collect());
    };
    // Specifications name a device by its number and by its serial, too: the number alone counts it once.
    let number = |name: &String| name.split_once('=').and_then(|(_, id)| id.parse::<u32>().ok());
    let mut numbers: Vec<u32> = of_kind(known, kind).filter_map(number).collect();
    numbers.sort_unstable();
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    if numbers.len() < wanted {
        return Err(format!("{count} are asked for, and the engine has {} of `{kind}`", numbers.len()));
    }
    Ok(numbers[..wanted].iter().map(|number| format!("{kind}={number}")).collect())
}

/// Those that were named, each in full.
fn by_id(count: Option<u32>, ids: &[String], kind: &str) -> Result<Vec<String>, String> {
    if count.is_some_and(|count| usize::try_from(count) != Ok(ids.len())) {
        return Err(format!("the count is not that of `gpu_device_ids`, {}", ids.len()));
    }
    let mut names = Vec::new();
    for id in ids {
        let bare = match id.split_once('=') {
            Some((of, bare)) if of == kind => bare,
            Some((of, _)) => {
                return Err(format!("`{}` is not of `{kind}` (`gpu_cdi_kind`)", of.escape_debug()));
            }
            None => id,
        };
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | ':');
        if bare.is_empty() || !bare.chars().all(good) {
            return Err(format!("`{}` is not the name of a device", id.escape_debug()));
        }
        let name = format!("{kind}={bare}");
        if names.contains(&name) {
            return Err(format!("`{name}` is named twice"));
        }
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "nvidia.com/gpu";

    fn facts(devices: Option<&[&str]>) -> Facts {
        let devices = devices.map(|devices| devices.iter().map(|device| (*device).to_owned()).collect());
        Facts { version: "28.2.2".into(), cdi: true, devices, ..Facts::default() }
    }

    fn names(count: Option<u32>, ids: &[&str], facts: &Facts) -> Result<Vec<String>, String> {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let request = request(Some(GpuRequest { count }), &ids, KIND, facts)?.expect("a request");
        assert_eq!(request.driver.as_deref(), Some("cdi"));
        assert_eq!((&request.count, &request.capabilities), (&None, &None));
        Ok(request.device_ids.expect("devices"))
    }

    #[test]
    fn devices_are_named() {
        let silent = facts(None);
        assert_eq!(request(None, &[], KIND, &Facts::default()), Ok(None));
        assert_eq!(names(None, &[], &silent), Ok(vec!["nvidia.com/gpu=all".into()]));
        assert_eq!(
            names(Some(2), &[], &silent),
            Ok(vec!["nvidia.com/gpu=0".into(), "nvidia.com/gpu=1".into()])
        );
        assert_eq!(
            names(None, &["1", "nvidia.com/gpu=GPU-1f"], &silent),
            Ok(vec!["nvidia.com/gpu=1".into(), "nvidia.com/gpu=GPU-1f".into()])
        );
        let two = facts(Some(&[
            "nvidia.com/gpu=GPU-1f",
            "nvidia.com/gpu=3",
            "nvidia.com/gpu=1",
            "a/b=0",
            "nvidia.com/gpu=all",
        ]));
        assert_eq!(names(Some(1), &[], &two), Ok(vec!["nvidia.com/gpu=1".into()]));
        assert_eq!(names(None, &[], &two), Ok(vec!["nvidia.com/gpu=all".into()]));
        let asked =
            request(None, &["3".to_owned()], KIND, &two).expect("good").expect("ids alone ask for it");
        assert_eq!(asked.device_ids, Some(vec!["nvidia.com/gpu=3".to_owned()]));
    }

    #[test]
    fn what_cannot_be_had_is_said() {
        let old = Facts { version: "20.10.24".into(), ..Facts::default() };
        let fault = names(None, &[], &old).expect_err("no CDI");
        assert_eq!(fault, "engine 20.10.24 offers no CDI devices; it takes Docker 25 or newer with CDI on");
        let one = facts(Some(&["nvidia.com/gpu=0"]));
        for (count, ids, said) in [
            (Some(0), &[][..], "a count of 0"),
            (Some(u32::MAX), &[][..], "more than 128"),
            (Some(2), &[][..], "has 1 of `nvidia.com/gpu`"),
            (Some(2), &["0"][..], "the count is not"),
            (None, &["7"][..], "no device `nvidia.com/gpu=7`; of `nvidia.com/gpu` it has `nvidia.com/gpu=0`"),
            (None, &["amd.com/gpu=0"][..], "`amd.com/gpu` is not of"),
            (None, &["0", "0"][..], "named twice"),
            (None, &[""][..], "not the name of a device"),
            (None, &["a b"][..], "not the name of a device"),
            (None, &[][..], "no device `nvidia.com/gpu=all`"),
        ] {
            let fault = names(count, ids, &one).expect_err(said);
            assert!(fault.contains(said), "{said}: {fault}");
        }
    }
}
