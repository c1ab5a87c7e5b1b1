//! The devices of the host, as their vendors describe them for the Container Device Interface. A service lists none, and it
//! reads the same directories.
//!
//! Source: "Container Device Interface", the sections on the location and the fields of a specification.

use std::fs;
use std::path::Path;

use openshell_driver_common::container::gpu::Offer;
use serde::Deserialize;

/// Where descriptions are.
const DIRECTORIES: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];
/// A description larger than this is none.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// A description, as far as names go.
#[derive(Deserialize)]
struct Description {
    kind: String,
    #[serde(default)]
    devices: Vec<Device>,
}

#[derive(Deserialize)]
struct Device {
    name: String,
}

/// What an engine of this host can be asked for.
pub(crate) fn offer() -> Offer {
    read(&DIRECTORIES.map(Path::new))
}

/// No device at all.
pub(crate) fn none() -> Offer {
    read(&[])
}

fn read(directories: &[&Path]) -> Offer {
    let (mut devices, mut any, mut whole) = (Vec::new(), false, true);
    for directory in directories {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let Some(kind) = path.extension().and_then(|kind| kind.to_str()) else { continue };
            // What is written in YAML is left to the service to read: it knows then what there is, and nobody here does.
            whole &= !matches!(kind, "yaml" | "yml");
            any |= matches!(kind, "json" | "yaml" | "yml");
            let small = entry.metadata().is_ok_and(|metadata| metadata.len() <= MAX_FILE);
            if kind != "json" || !small {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            match serde_json::from_str::<Description>(&text) {
                Ok(found) => {
                    let names =
                        found.devices.into_iter().map(|device| format!("{}={}", found.kind, device.name));
                    devices.extend(names);
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a device description is broken")
                }
            }
        }
    }
    devices.sort();
    devices.dedup();
    let none = (!any).then(|| {
        let directories = DIRECTORIES.map(|directory| format!("`{directory}`")).join(" or ");
        format!("the engine's host has no CDI devices: {directories} holds no description of any")
    });
    Offer { none, devices: whole.then_some(devices) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_descriptions_name() {
        let root = tempfile::tempdir().expect("a directory");
        let nothing = read(&[root.path(), Path::new("/nowhere")]);
        assert!(nothing.none.is_some_and(|why| why.contains("`/etc/cdi` or `/var/run/cdi`")));
        let write = |name: &str, text: &str| fs::write(root.path().join(name), text).expect("a file");
        write(
            "a.json",
            r#"{"cdiVersion": "0.6.0", "kind": "a.com/gpu", "devices": [{"name": "1"}, {"name": "0"}]}"#,
        );
        write("broken.json", "{");
        write("notes.txt", "a.com/gpu");
        let offer = read(&[root.path()]);
        assert_eq!(
            offer,
            Offer { none: None, devices: Some(vec!["a.com/gpu=0".into(), "a.com/gpu=1".into()]) }
        );
        write("b.yaml", "kind: b.com/gpu\n");
        assert_eq!(read(&[root.path()]), Offer { none: None, devices: None }, "nobody here knows");
    }
}
