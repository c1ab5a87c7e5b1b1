//! What of a `Cargo.toml` is ours, as a text to hash: the freshness lock compares it without generating anything.

use toml_edit::{Item, Table};

use super::DRIVER_FEATURE;
use super::edit::{direct_dependencies, is_program, literal, owned_dependencies, parse};
use super::table::table;

/// Our keys and their values in canonical form, and the names of all direct dependencies, on which the features of
/// the options depend. `options` are the names of the options that are written now. `None` when the text does not
/// parse.
#[must_use]
pub fn owned_projection(text: &str, options: &[String]) -> Option<String> {
    let document = parse(text).ok()?;
    let mut lines = Vec::new();
    let is_ours = |key: &str| {
        key == "default" || key.starts_with(DRIVER_FEATURE) || options.iter().any(|option| option == key)
    };
    for (key, item) in
        table(&document, &["features"]).into_iter().flat_map(Table::iter).filter(|(key, _)| is_ours(key))
    {
        lines.push(format!("feature {key} = {}", literal(item)));
    }
    for (target, package) in owned_dependencies(&document) {
        let path: Vec<&str> = match &target {
            None => vec!["dependencies"],
            Some(target) => vec!["target", target, "dependencies"],
        };
        let value =
            table(&document, &path).and_then(|table| table.get(&package)).map(literal).unwrap_or_default();
        lines.push(format!("dependency {}/{package} = {value}", target.unwrap_or_default()));
    }
    let tables = document.get("bin").and_then(Item::as_array_of_tables);
    for table in tables.into_iter().flat_map(|tables| tables.iter()).filter(|table| is_program(table)) {
        let fields: Vec<String> =
            table.iter().map(|(key, item)| format!("{key} = {}", literal(item))).collect();
        lines.push(format!("program {}", fields.join(", ")));
    }
    let mut direct = direct_dependencies(&document);
    direct.sort();
    lines.push(format!("direct {direct:?}"));
    Some(lines.join("\n"))
}
