//! The drivers that a `gateway.toml` needs. Only the keys that name a driver are read; whether the rest is right is
//! for `openshell-gateway check-config` to say.

use std::path::Path;

use driver_manifest::{Assembly, EXTERNAL};
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::workspace::read_named;

/// What a configuration comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Needed {
    pub(super) drivers: Vec<String>,
    /// Why these.
    pub(super) note: String,
}

/// Reads the file.
pub(super) fn needed(path: &Path, assembly: &Assembly) -> Result<Needed> {
    let shown = path.display();
    let bytes = read_named(path, &shown.to_string(), "--from-config takes the path of a gateway.toml")?;
    let hint = format!("openshell-gateway check-config --config {shown}");
    let text = String::from_utf8(bytes)
        .map_err(|error| Error::refused(format!("`{shown}` is not UTF-8: {error}"), hint.clone()))?;
    let table: Table = text.trim_start_matches('\u{feff}').parse().map_err(|error: toml::de::Error| {
        Error::refused(format!("`{shown}` is not TOML\n{}", error.to_string().trim_end()), hint.clone())
    })?;
    of_table(&table, assembly).map_err(|fault| Error::refused(format!("`{shown}`: {fault}"), hint))
}

fn of_table(table: &Table, assembly: &Assembly) -> std::result::Result<Needed, String> {
    let openshell = sub_table(table, "openshell")?;
    let gateway = openshell.map(|table| sub_table(table, "gateway")).transpose()?.flatten();
    let tables = openshell.map(|table| sub_table(table, "drivers")).transpose()?.flatten();
    let socket = match gateway.and_then(|gateway| gateway.get("compute_driver_socket")) {
        None => false,
        Some(Value::String(path)) if path.is_empty() => {
            return Err("`compute_driver_socket` is an empty path".to_owned());
        }
        Some(Value::String(_)) => true,
        Some(_) => return Err("`compute_driver_socket` is not a text".to_owned()),
    };
    if socket {
        // Whatever name is given beside it, the driver is behind the socket.
        return Ok(Needed::new([EXTERNAL.to_owned()], "`compute_driver_socket` is set"));
    }
    let named = names(gateway)?;
    if named.is_empty() {
        let detected =
            assembly.drivers.iter().filter(|driver| driver.detect).map(|driver| driver.name.clone());
        return Ok(Needed::new(detected, "it names no driver, so all that are detected"));
    }
    let behind_socket = |name: &str| {
        let own = tables.and_then(|tables| tables.get(name)).and_then(Value::as_table);
        own.is_some_and(|own| own.contains_key("driver_socket"))
    };
    let is_path =
        |name: &str| name.split_once(':').is_some_and(|(prefix, _)| prefix.eq_ignore_ascii_case(EXTERNAL));
    if let Some(name) = named.iter().find(|name| is_path(name) && name.ends_with(':')) {
        return Err(format!("`compute_drivers` has `{name}`: the path after it is empty"));
    }
    let mut drivers: Vec<String> = named
        .into_iter()
        .map(|name| if is_path(&name) || behind_socket(&name) { EXTERNAL.to_owned() } else { name })
        .collect();
    drivers.sort();
    drivers.dedup();
    Ok(Needed::new(drivers, "`compute_drivers` names them"))
}

impl Needed {
    fn new(drivers: impl IntoIterator<Item = String>, because: &str) -> Self {
        let drivers: Vec<String> = drivers.into_iter().collect();
        let note = format!("the configuration needs `{}`: {because}", drivers.join("`, `"));
        Self { drivers, note }
    }
}

fn sub_table<'a>(table: &'a Table, key: &str) -> std::result::Result<Option<&'a Table>, String> {
    match table.get(key) {
        None => Ok(None),
        Some(Value::Table(table)) => Ok(Some(table)),
        Some(_) => Err(format!("`{key}` is not a table")),
    }
}

fn names(gateway: Option<&Table>) -> std::result::Result<Vec<String>, String> {
    let fault = || "`compute_drivers` is not a list of names".to_owned();
    match gateway.and_then(|gateway| gateway.get("compute_drivers")) {
        None => Ok(Vec::new()),
        Some(Value::Array(names)) => {
            names.iter().map(|name| name.as_str().map(ToOwned::to_owned).ok_or_else(fault)).collect()
        }
        Some(_) => Err(fault()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drivers(config: &str) -> std::result::Result<Vec<String>, String> {
        let manifest = "[[driver]]\nname = \"one\"\nsummary = \"x\"\nkind = \"in-tree\"\npackage = \"p\"\ndetect = true\n\
                        [[driver]]\nname = \"external\"\nsummary = \"x\"\nkind = \"socket\"\n";
        let assembly =
            crate::selection::parse_manifest(manifest.as_bytes()).expect("a manifest without a fault");
        of_table(&config.parse().expect("TOML"), &assembly).map(|needed| needed.drivers)
    }

    #[test]
    fn the_driver_that_would_run_is_needed() {
        let cases = [
            ("", "one"),
            ("[openshell.gateway]\ncompute_drivers = []", "one"),
            ("[openshell.gateway]\ncompute_drivers = [\"one\"]", "one"),
            ("[openshell.gateway]\ncompute_drivers = [\"External:/run/x.sock\"]", "external"),
            ("[openshell.gateway]\ncompute_drivers = [\"one\"]\ncompute_driver_socket = \"/x\"", "external"),
            (
                "[openshell.gateway]\ncompute_drivers = [\"kyma\"]\n[openshell.drivers.kyma]\ndriver_socket = \"/x\"",
                "external",
            ),
            ("[openshell.drivers.other]\nkey = 1", "one"),
        ];
        for (config, wanted) in cases {
            assert_eq!(drivers(config).unwrap(), [wanted], "{config}");
        }
    }

    #[test]
    fn keys_of_another_type_are_refused() {
        for config in [
            "openshell = 1",
            "[openshell]\ngateway = 1",
            "[openshell.gateway]\ncompute_drivers = \"one\"",
            "[openshell.gateway]\ncompute_drivers = [1]",
            "[openshell.gateway]\ncompute_driver_socket = 1",
            "[openshell.gateway]\ncompute_driver_socket = \"\"",
            "[openshell.gateway]\ncompute_drivers = [\"External:\"]",
        ] {
            assert!(drivers(config).is_err(), "{config}");
        }
    }
}
