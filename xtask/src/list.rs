//! `list`: the drivers in their order, the options and the presets of `drivers.toml`.

use std::process::ExitCode;

use driver_manifest::Assembly;
use serde_json::{Value, json};

use crate::error::Result;
use crate::table::{Table, out};
use crate::workspace::Workspace;

/// List drivers, options and presets; the drivers' order is the auto-detect order
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result {
    let assembly = Workspace::find()?.assembly()?;
    if args.json {
        out(&format!("{:#}\n", as_json(&assembly)));
    } else {
        out(&as_text(&assembly));
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(assembly: &Assembly) -> Value {
    let drivers = assembly.drivers.iter().map(|driver| {
        json!({
            "name": driver.name,
            "summary": driver.summary,
            "kind": driver.kind.word(),
            "feature": driver.feature(),
            "package": driver.package(),
            "guest": driver.guest,
            "detect": driver.detect,
            "default": driver.default,
            "platforms": driver.platforms,
        })
    });
    let options = assembly.options.iter().map(|option| {
        json!({
            "name": option.name,
            "summary": option.summary,
            "env": option.env,
            "default": option.default,
        })
    });
    let presets = assembly
        .presets
        .iter()
        .map(|preset| json!({ "name": preset.name, "drivers": preset.drivers, "options": preset.options }));
    let order: Vec<&str> =
        assembly.drivers.iter().filter(|driver| driver.detect).map(|driver| driver.name.as_str()).collect();
    json!({
        "schema_version": 1,
        "drivers": drivers.collect::<Vec<_>>(),
        "options": options.collect::<Vec<_>>(),
        "presets": presets.collect::<Vec<_>>(),
        "detect_order": order,
    })
}

fn as_text(assembly: &Assembly) -> String {
    let mut drivers = Table::new(["driver", "kind", "detected", "default", "what it is"]);
    let mut place = 0;
    for driver in &assembly.drivers {
        let detected = if driver.detect {
            place += 1;
            place.to_string()
        } else {
            "-".to_owned()
        };
        drivers.row([&driver.name, driver.kind.word(), &detected, yes(driver.default), &driver.summary]);
    }
    let mut text = drivers.render();
    if !assembly.options.is_empty() {
        let mut options = Table::new(["option", "default", "variable", "what it is"]);
        for option in &assembly.options {
            let env = option.env.as_deref().unwrap_or("-");
            options.row([&option.name, if option.default { "on" } else { "off" }, env, &option.summary]);
        }
        text.push('\n');
        text.push_str(&options.render());
    }
    if !assembly.presets.is_empty() {
        let mut presets = Table::new(["preset", "drivers", "options"]);
        for preset in &assembly.presets {
            let sign = |(name, on): (&String, &bool)| format!("{}{name}", if *on { "+" } else { "-" });
            let options: Vec<String> = preset.options.iter().map(sign).collect();
            presets.row([preset.name.as_str(), &preset.drivers.join(","), &options.join(" ")]);
        }
        text.push('\n');
        text.push_str(&presets.render());
    }
    text
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}
