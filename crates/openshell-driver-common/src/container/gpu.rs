//! GPUs, as devices of the Container Device Interface: which names a request comes to, or why it cannot be had.
//!
//! Nothing is reserved: an engine keeps no account of devices, and two sandboxes may be given the same one.

use openshell_driver_api::GpuRequest;

/// No host has more; a request for more is a mistake, and would make a long list of names.
const MOST: u32 = 128;
/// The word for every device of a kind, in the specifications that vendors' tools write.
const ALL: &str = "all";

/// What an engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Why it has none at all, in words.
    pub none: Option<String>,
    /// The devices that it knows (`nvidia.com/gpu=0`); `None` where that cannot be found out.
    pub devices: Option<Vec<String>>,
}

/// The full names of a sandbox's GPUs; `None` when it asks for none.
///
/// # Errors
/// What cannot be had, and why.
pub fn names(
    gpu: Option<GpuRequest>,
    ids: &[String],
    kind: &str,
    offer: &Offer,
) -> Result<Option<Vec<String>>, String> {
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
    if let Some(why) = &offer.none {
        return Err(why.clone());
    }
    let names = if ids.is_empty() { by_count(count, kind, offer)? } else { by_id(count, ids, kind)? };
    if let Some(known) = &offer.devices
        && let Some(missing) = names.iter().find(|name| !known.contains(name))
    {
        let known: Vec<String> = of_kind(known, kind).map(|name| format!("`{name}`")).collect();
        let there = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(format!("the engine knows no device `{missing}`; of `{kind}` it has {there}"));
    }
    Ok(Some(names))
}

fn of_kind<'a>(known: &'a [String], kind: &'a str) -> impl Iterator<Item = &'a String> {
    known.iter().filter(move |name| name.split_once('=').is_some_and(|(of, _)| of == kind))
}

/// The first so many of those that the engine lists; by their numbers where it lists none.
fn by_count(count: Option<u32>, kind: &str, offer: &Offer) -> Result<Vec<String>, String> {
    let Some(count) = count else { return Ok(vec![format!("{kind}={ALL}")]) };
    let Some(known) = &offer.devices else {
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

    fn offer(devices: Option<&[&str]>) -> Offer {
        let devices = devices.map(|devices| devices.iter().map(|device| (*device).to_owned()).collect());
        Offer { none: None, devices }
    }

    fn asked(count: Option<u32>, ids: &[&str], offer: &Offer) -> Result<Vec<String>, String> {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        names(Some(GpuRequest { count }), &ids, KIND, offer).map(|names| names.expect("names"))
    }

    #[test]
    fn devices_are_named() {
        let silent = offer(None);
        assert_eq!(names(None, &[], KIND, &silent), Ok(None));
        assert_eq!(asked(None, &[], &silent), Ok(vec!["nvidia.com/gpu=all".into()]));
        assert_eq!(
            asked(Some(2), &[], &silent),
            Ok(vec!["nvidia.com/gpu=0".into(), "nvidia.com/gpu=1".into()])
        );
        assert_eq!(
            asked(None, &["1", "nvidia.com/gpu=GPU-1f"], &silent),
            Ok(vec!["nvidia.com/gpu=1".into(), "nvidia.com/gpu=GPU-1f".into()])
        );
        let two = offer(Some(&[
            "nvidia.com/gpu=GPU-1f",
            "nvidia.com/gpu=3",
            "nvidia.com/gpu=1",
            "a/b=0",
            "nvidia.com/gpu=all",
        ]));
        assert_eq!(asked(Some(1), &[], &two), Ok(vec!["nvidia.com/gpu=1".into()]));
        assert_eq!(asked(None, &[], &two), Ok(vec!["nvidia.com/gpu=all".into()]));
        let by_id = names(None, &["3".to_owned()], KIND, &two).expect("good");
        assert_eq!(by_id, Some(vec!["nvidia.com/gpu=3".to_owned()]), "ids alone ask for it");
    }

    #[test]
    fn what_cannot_be_had_is_said() {
        let none = Offer { none: Some("nothing here".into()), devices: None };
        assert_eq!(asked(None, &[], &none), Err("nothing here".into()));
        let one = offer(Some(&["nvidia.com/gpu=0"]));
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
            let fault = asked(count, ids, &one).expect_err(said);
            assert!(fault.contains(said), "{said}: {fault}");
        }
    }
}
