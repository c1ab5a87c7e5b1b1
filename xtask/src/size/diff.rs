//! `size diff`: what one selection has that another has not, crate by crate with the way by which it comes, and in bytes
//! where both have been built.

use std::collections::BTreeSet;
use std::process::ExitCode;

use driver_manifest::{Assembly, Selection};
use serde_json::json;

use super::crates::{Crates, built, shown};
use super::parts::{Apart, apart};
use crate::build::{self, CargoArgs, Job};
use crate::error::Result;
use crate::selection;
use crate::table::{Table, out};
use crate::verify::{Edges, Id};
use crate::workspace::{Rustc, Workspace, joined};

/// Compare two selections, each in one word: a preset, `default`, `all`, or drivers joined by commas; then +option, -option
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Args {
    /// For example `docker` or `default-telemetry`
    #[arg(value_name = "A")]
    first: String,
    /// The other one
    #[arg(value_name = "B")]
    second: String,
    /// Build both, for their bytes, instead of taking what `build` left
    #[arg(long)]
    build: bool,
    /// The profile whose bytes are compared
    #[arg(long, value_name = "PROFILE", default_value = "release")]
    profile: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One of the two.
struct Side {
    selection: Selection,
    crates: BTreeSet<Id>,
    /// Of the gateway, and of all files.
    bytes: Option<(u64, u64)>,
}

/// Runs it.
pub(super) fn run(workspace: &Workspace, assembly: &Assembly, args: &Args) -> Result {
    let rustc = Rustc::ask(workspace);
    let chosen = [selection::written(assembly, &args.first)?, selection::written(assembly, &args.second)?];
    let mut crates = Crates::load(workspace, assembly)?;
    crates.ask(&chosen, Edges::Counted)?;
    if args.build {
        build::refuse_drift(workspace)?;
        let cargo = CargoArgs { profile: args.profile.clone(), target: None, locked: false, offline: false };
        for selection in &chosen {
            Job::gateway(assembly, selection.clone(), &cargo).run(workspace, None)?;
        }
    }
    let triple = joined(rustc)?.host;
    let mut side = |selection: Selection| -> Result<Side> {
        let bytes = built(workspace, &selection, &args.profile, &triple);
        Ok(Side { crates: crates.of(&selection)?, bytes, selection })
    };
    let [first, second] = chosen;
    let (first, second) = (side(first)?, side(second)?);
    let apart = apart(&first.crates, &second.crates);
    let mut ways = |side: &Side, ids: &BTreeSet<Id>| -> Result<Vec<(String, String)>> {
        let way =
            |id| Ok((shown(id), crates.way_to(&side.selection, id, Edges::Counted)?.unwrap_or_default()));
        ids.iter().map(way).collect()
    };
    let gone = ways(&first, &apart.only_first)?;
    let come = ways(&second, &apart.only_second)?;
    out(&if args.json {
        json(&first, &second, &apart, [&gone, &come])
    } else {
        text(&first, &second, &apart, [&gone, &come])
    });
    Ok(ExitCode::SUCCESS)
}

fn text(first: &Side, second: &Side, apart: &Apart, ways: [&[(String, String)]; 2]) -> String {
    let (from, to) = (first.selection.slug(), second.selection.slug());
    let mut table = Table::new(["", &from, &to, "difference"]);
    let mut row = |name: &str, figures: Option<(u64, u64)>| {
        let Some((one, other)) = figures else { return };
        let difference = other.cast_signed().saturating_sub(one.cast_signed());
        table.row([name, &one.to_string(), &other.to_string(), &format!("{difference:+}")]);
    };
    row("crates", Some((first.crates.len() as u64, second.crates.len() as u64)));
    let bytes = first.bytes.zip(second.bytes);
    row("bytes of the gateway", bytes.map(|(one, other)| (one.0, other.0)));
    let programs = bytes.filter(|(one, other)| one.0 != one.1 || other.0 != other.1);
    row("bytes of all files", programs.map(|(one, other)| (one.1, other.1)));
    let mut text = table.render();
    let mut lines = Table::new(["", "", ""]);
    for (sign, ways) in [("-", ways[0]), ("+", ways[1])] {
        for (id, way) in ways {
            lines.row([sign, id, way]);
        }
    }
    for (name, (one, other)) in &apart.versions {
        let listed =
            |versions: &BTreeSet<String>| versions.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        lines.row(["~", name, &format!("{} → {}", listed(one), listed(other))]);
    }
    if first.crates != second.crates {
        text.push_str(&lines.render());
    }
    for side in [first, second] {
        if side.bytes.is_none() {
            let slug = side.selection.slug();
            text.push_str(&format!("no bytes: `{slug}` is not built in this profile; --build does it\n"));
        }
    }
    text
}

fn json(first: &Side, second: &Side, apart: &Apart, ways: [&[(String, String)]; 2]) -> String {
    let side = |side: &Side| {
        json!({
            "selection": side.selection.slug(),
            "crates": side.crates.len(),
            "gateway_bytes": side.bytes.map(|(gateway, _)| gateway),
            "bytes": side.bytes.map(|(_, all)| all),
        })
    };
    let only = |ways: &[(String, String)]| -> Vec<_> {
        ways.iter().map(|(id, way)| json!({ "crate": id, "by": way })).collect()
    };
    let versions = apart.versions.iter();
    let versions = versions.map(|(name, (one, other))| json!({ "name": name, "a": one, "b": other }));
    format!(
        "{:#}\n",
        json!({
            "schema_version": 1,
            "a": side(first),
            "b": side(second),
            "only_a": only(ways[0]),
            "only_b": only(ways[1]),
            "versions": versions.collect::<Vec<_>>(),
            "common": apart.common,
        })
    )
}
