//! What the values of single keys may be.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use openshell_driver_api::Table;
use openshell_driver_common::config::{Problem, Reader, absolute, did_you_mean};
use openshell_driver_common::container::image;

/// The machine that QEMU plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MachineType {
    /// The first of the others that boots the kernel.
    #[default]
    Auto,
    /// No PCI, no firmware worth the name: the fastest.
    Microvm,
    /// A PC with PCI Express.
    Q35,
}

/// What runs a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Accelerator {
    /// KVM where a guest has been seen to run under it, else TCG.
    #[default]
    Auto,
    /// The host's processor; a driver that cannot have it does not open.
    Kvm,
    /// QEMU's own translator, which needs nothing of the host and is slower by a factor.
    Tcg,
}

/// What a guest can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Network {
    /// Nothing but its loopback: the machine has no network interface.
    #[default]
    None,
    /// Whatever the host reaches, its loopback as `10.0.2.2` too: QEMU's user-mode network.
    User,
}

/// A range of user ids of the host that nobody else uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Uids {
    /// The first.
    pub(crate) first: u32,
    /// How many; so many sandboxes run at most.
    pub(crate) count: u32,
}

impl Default for Uids {
    /// Source of a range that nobody uses: systemd, "Users, Groups, UIDs and GIDs on systemd Systems", whose table ends
    /// its container ranges below it and leaves it out.
    fn default() -> Self {
        Self { first: 1_879_048_192, count: 65_536 }
    }
}

/// `auto`, `microvm` or `q35`.
pub(super) fn machine(text: &str) -> Result<MachineType, Problem> {
    match text {
        "auto" => Ok(MachineType::Auto),
        "microvm" => Ok(MachineType::Microvm),
        "q35" => Ok(MachineType::Q35),
        _ => Err(("is none of `auto`, `microvm`, `q35`".to_owned(), Some("machine = \"auto\"".to_owned()))),
    }
}

/// `auto`, `kvm` or `tcg`.
pub(super) fn accelerator(text: &str) -> Result<Accelerator, Problem> {
    match text {
        "auto" => Ok(Accelerator::Auto),
        "kvm" => Ok(Accelerator::Kvm),
        "tcg" => Ok(Accelerator::Tcg),
        _ => Err(("is none of `auto`, `kvm`, `tcg`".to_owned(), Some("accelerator = \"auto\"".to_owned()))),
    }
}

/// `none` or `user`.
pub(crate) fn network(text: &str) -> Result<Network, Problem> {
    match text {
        "none" => Ok(Network::None),
        "user" => Ok(Network::User),
        _ => Err(("is neither `none` nor `user`".to_owned(), Some("network = \"none\"".to_owned()))),
    }
}

/// The table `images`: a reference and the absolute path of what it means.
pub(super) fn images(table: &Table, reader: &mut Reader<'_>) -> BTreeMap<String, PathBuf> {
    let mut images = BTreeMap::new();
    for (reference, value) in block(table, reader, "images").into_iter().flatten() {
        let Some(text) = value.as_str() else {
            reader.fault("images", format!("`{reference}` is not given a path"), None);
            continue;
        };
        if let Err(problem) = image::check(reference) {
            reader.fault("images", format!("`{reference}` {problem}"), None);
            continue;
        }
        match absolute("images", text) {
            Ok(path) => {
                images.insert(reference.clone(), path);
            }
            Err((problem, _)) => {
                let hint = Some(format!("\"{reference}\" = \"/path/to/image.tar\""));
                reader.fault("images", format!("`{reference}`: `{text}` {problem}"), hint);
            }
        }
    }
    images
}

/// The table `uids`: `{ first = 1879048192, count = 65536 }`.
pub(super) fn uids(table: &Table, reader: &mut Reader<'_>) -> Option<Uids> {
    const EXAMPLE: &str = "uids = { first = 1879048192, count = 65536 }";
    const KEYS: [&str; 2] = ["first", "count"];
    let block = block(table, reader, "uids")?;
    let mut faults = Vec::new();
    for key in block.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        faults.push((format!("unknown key `{key}`"), did_you_mean(key, &KEYS)));
    }
    let [first, count] = KEYS.map(|key| {
        let number = block.get(key).and_then(|value| u32::try_from(value.as_integer()?).ok());
        let number = number.filter(|number| *number > 0);
        if number.is_none() {
            faults.push((format!("`{key}` is not a whole number from 1 on"), EXAMPLE.to_owned()));
        }
        number
    });
    if let (Some(first), Some(count)) = (first, count) {
        // The last number of all means "nobody" to the kernel.
        if first.checked_add(count).is_some() && faults.is_empty() {
            return Some(Uids { first, count });
        }
        if first.checked_add(count).is_none() {
            faults.push((
                format!("`{count}` users from `{first}` on are more than there are"),
                EXAMPLE.to_owned(),
            ));
        }
    }
    for (message, hint) in faults {
        reader.fault("uids", message, Some(hint));
    }
    None
}

/// A table in the table.
fn block<'a>(table: &'a Table, reader: &mut Reader<'_>, key: &str) -> Option<&'a Table> {
    let value = table.get(key)?;
    if value.as_table().is_none() {
        let message = format!("`{key}` is not a table");
        reader.fault(key, message, Some(format!("[openshell.drivers.vm.{key}]")));
    }
    value.as_table()
}

/// A quantity of bytes in a range.
pub(super) fn size(reader: &mut Reader<'_>, key: &str, least: u64, most: u64) -> Option<u64> {
    let size = u64::try_from(reader.bytes(key)?).ok()?;
    if (least..=most).contains(&size) {
        return Some(size);
    }
    let message = format!("`{key}` is not between `{}` and `{}`", shown(least), shown(most));
    reader.fault(key, message, None);
    None
}

/// A number of bytes as it would be written in the table.
fn shown(bytes: u64) -> String {
    [(30, "Gi"), (20, "Mi"), (10, "Ki")]
        .into_iter()
        .find(|(bits, _)| bytes > 0 && bytes.is_multiple_of(1 << bits))
        .map_or_else(|| bytes.to_string(), |(bits, suffix)| format!("{}{suffix}", bytes >> bits))
}

/// A whole number in a range.
pub(super) fn number(reader: &mut Reader<'_>, key: &str, least: i64, most: i64) -> Option<u32> {
    reader.integer(key, least, most).and_then(|number| u32::try_from(number).ok())
}

/// A time in whole seconds, in a range.
pub(super) fn seconds(reader: &mut Reader<'_>, key: &str, least: i64, most: i64) -> Option<Duration> {
    number(reader, key, least, most).map(|seconds| Duration::from_secs(seconds.into()))
}
