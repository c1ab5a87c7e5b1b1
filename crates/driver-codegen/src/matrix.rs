//! The CI matrix: which selections are built. Every driver alone, every preset, all but one, all.

use std::collections::BTreeSet;

use driver_manifest::{Assembly, Driver};
use serde_json::{Value, json};

use crate::layout::json_comment;

/// The matrix as JSON, in the form that GitHub's `strategy.matrix` takes.
pub(crate) fn matrix(assembly: &Assembly) -> String {
    let names: Vec<&str> = assembly.drivers.iter().map(|driver| driver.name.as_str()).collect();
    let mut rows = Rows { assembly, seen: BTreeSet::new(), rows: Vec::new() };
    for name in &names {
        rows.push((*name).to_owned(), &[name], &[]);
    }
    for preset in &assembly.presets {
        let drivers: Vec<&str> = preset.drivers.iter().map(String::as_str).collect();
        let options: Vec<(&str, bool)> =
            preset.options.iter().map(|(name, on)| (name.as_str(), *on)).collect();
        rows.push(preset.name.clone(), &drivers, &options);
    }
    if names.len() > 2 {
        for left_out in &names {
            let drivers: Vec<&str> = names.iter().copied().filter(|name| name != left_out).collect();
            rows.push(format!("without-{left_out}"), &drivers, &[]);
        }
    }
    rows.push("all".to_owned(), &names, &[]);
    for option in &assembly.options {
        let prefix = if option.default { "without" } else { "with" };
        rows.push(format!("all-{prefix}-{}", option.name), &names, &[(&option.name, !option.default)]);
    }
    let value = json!({ "$comment": json_comment(), "include": rows.rows });
    format!("{value:#}\n")
}

struct Rows<'a> {
    assembly: &'a Assembly,
    /// The build lines that are there.
    seen: BTreeSet<String>,
    rows: Vec<Value>,
}

impl Rows<'_> {
    /// Adds a selection that is not there yet.
    fn push(&mut self, name: String, drivers: &[&str], changed: &[(&str, bool)]) {
        let changed = changed
            .iter()
            .filter(|(name, on)| self.assembly.option(name).is_some_and(|option| option.default != *on));
        let mut build = format!("cargo xtask build --drivers {}", drivers.join(","));
        for (option, on) in changed {
            build.push_str(&format!(" --with{}-option {option}", if *on { "" } else { "out" }));
        }
        if !self.seen.insert(build.clone()) {
            return;
        }
        let selected: Vec<&Driver> = drivers.iter().filter_map(|name| self.assembly.driver(name)).collect();
        let platforms: BTreeSet<&str> =
            selected.iter().flat_map(|driver| &driver.platforms).map(String::as_str).collect();
        self.rows.push(
            json!({ "name": name, "drivers": drivers.join(","), "build": build, "platforms": platforms }),
        );
    }
}
