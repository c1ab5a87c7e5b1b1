//! The tables of the documentation, as Markdown.

use driver_manifest::{Assembly, Driver, EXTERNAL, Kind};

use crate::platform;

/// The README's: driver, where it runs, trust boundary, how to activate it.
pub(crate) fn readme_drivers(assembly: &Assembly) -> String {
    let rows = assembly.drivers.iter().map(|driver| {
        let Driver { name, docs, .. } = driver;
        vec![code(name), docs.runs.clone(), docs.boundary.clone(), activate(driver)]
    });
    table(&["driver", "where it runs", "trust boundary", "activate it"], rows)
}

/// The documentation's: what it is, where it runs, how to build it in, how to activate it.
pub(crate) fn drivers(assembly: &Assembly) -> String {
    let rows = assembly.drivers.iter().map(|driver| {
        let Driver { name, summary, docs, .. } = driver;
        vec![
            code(name),
            summary.clone(),
            docs.runs.clone(),
            docs.boundary.clone(),
            platform::prose(&driver.platforms),
            code(&format!("cargo xtask build --drivers {name}")),
            activate(driver),
        ]
    });
    let head = [
        "driver",
        "what it drives",
        "where it runs",
        "trust boundary",
        "platforms",
        "build it in",
        "activate it",
    ];
    table(&head, rows)
}

/// The drivers that are detected, in order.
pub(crate) fn detection(assembly: &Assembly) -> String {
    let detected = assembly.drivers.iter().filter(|driver| driver.detect);
    let lines: String = detected
        .enumerate()
        .map(|(index, driver)| format!("{}. `{}`: {}\n", index + 1, driver.name, driver.summary))
        .collect();
    if lines.is_empty() { "None: every driver has to be named.\n".to_owned() } else { lines }
}

/// The options.
pub(crate) fn options(assembly: &Assembly) -> String {
    let rows = assembly.options.iter().map(|option| {
        vec![
            code(&option.name),
            option.summary.clone(),
            if option.default { "on" } else { "off" }.to_owned(),
            code(&format!("--with{}-option {}", if option.default { "out" } else { "" }, option.name)),
            option.env.as_deref().map(code).unwrap_or_default(),
        ]
    });
    table(&["option", "what it adds", "default", "change it in a build", "variable at run time"], rows)
}

/// The presets.
pub(crate) fn presets(assembly: &Assembly) -> String {
    let rows = assembly.presets.iter().map(|preset| {
        let drivers = preset.drivers.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ");
        let options =
            preset.options.iter().map(|(name, on)| code(&format!("{}{name}", if *on { "+" } else { "-" })));
        let options = options.collect::<Vec<_>>().join(", ");
        vec![
            code(&preset.name),
            drivers,
            options,
            code(&format!("cargo xtask build --preset {}", preset.name)),
        ]
    });
    table(&["preset", "drivers", "options changed", "build it"], rows)
}

/// The flag and the line of gateway.toml that select a driver.
fn activate(driver: &Driver) -> String {
    let Driver { name, detect, .. } = driver;
    if name == EXTERNAL {
        return "`--compute-driver-socket PATH` or `compute_driver_socket = \"PATH\"`".to_owned();
    }
    let mut text = if *detect { "found by itself, or " } else { "" }.to_owned();
    text.push_str(&format!("`--drivers {name}` or `compute_drivers = [\"{name}\"]`"));
    match &driver.kind {
        Kind::Socket { path: Some(path) } => text.push_str(&format!("; it listens at `{path}`")),
        Kind::Socket { path: None } => {
            text.push_str(&format!("; its socket: `[openshell.drivers.{name}] driver_socket = \"PATH\"`"));
        }
        _ => {}
    }
    text
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    if rows.is_empty() {
        return "None.\n".to_owned();
    }
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), " --- |".repeat(head.len()));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| escape(cell)).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

/// A text that cannot end its cell or its row; a dash where there is none.
fn escape(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn a_cell_cannot_break_its_row() {
        let text = table(&["a"], [vec!["x|y\nz".to_owned()], vec![String::new()]]);
        assert_eq!(text, "| a |\n| --- |\n| x\\|y z |\n| - |\n");
        assert_eq!(table(&["a"], []), "None.\n");
    }
}
