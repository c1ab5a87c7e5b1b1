//! `size`: what a selection costs, in crates of its graph and, where it has been built, in bytes.

use std::process::ExitCode;

use driver_manifest::{Assembly, Selection};
use serde_json::json;

use crate::error::Result;
use crate::selection;
use crate::table::{Table, out};
use crate::workspace::{GATEWAY_BIN, GATEWAY_PACKAGE, Workspace};

/// Count the crates and bytes of selections, against the budgets of drivers.toml
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One selection, without options: what a driver costs is not what an option costs.
#[derive(Debug, Clone)]
struct Size {
    selection: String,
    crates: u64,
    crates_budget: Option<u64>,
    bytes: Option<u64>,
    bytes_budget: Option<u64>,
}

impl Size {
    fn over(&self) -> bool {
        let above = |figure: Option<u64>, budget: Option<u64>| figure.zip(budget).is_some_and(|(f, b)| f > b);
        above(Some(self.crates), self.crates_budget) || above(self.bytes, self.bytes_budget)
    }
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result {
    let workspace = Workspace::find()?;
    let assembly = workspace.assembly()?;
    let sizes = measure(&workspace, &assembly)?;
    if args.json {
        let selections = sizes.iter().map(|size| {
            json!({
                "selection": size.selection,
                "crates": size.crates,
                "crates_budget": size.crates_budget,
                "bytes": size.bytes,
                "bytes_budget": size.bytes_budget,
            })
        });
        let selections = selections.collect::<Vec<_>>();
        out(&format!("{:#}\n", json!({ "schema_version": 1, "selections": selections })));
    } else {
        let figure = |figure: Option<u64>| figure.map_or_else(|| "-".to_owned(), |figure| figure.to_string());
        let mut table = Table::new(["selection", "crates", "at most", "bytes", "at most", ""]);
        for size in &sizes {
            let note = if size.over() { "over budget" } else { "" };
            table.row([
                &size.selection,
                &size.crates.to_string(),
                &figure(size.crates_budget),
                &figure(size.bytes),
                &figure(size.bytes_budget),
                note,
            ]);
        }
        out(&table.render());
    }
    Ok(if sizes.iter().any(Size::over) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Every selection of drivers, no option in it. A driver's budget is that of the selection of it alone.
fn measure(workspace: &Workspace, assembly: &Assembly) -> Result<Vec<Size>> {
    let mut sizes = Vec::new();
    for selection in selection::subsets(assembly)? {
        let selection = selection::without_options(assembly, &selection)?;
        let names = &selection.drivers;
        let alone = match names.as_slice() {
            [name] => assembly.driver(name),
            _ => None,
        };
        sizes.push(Size {
            crates: crates(workspace, &selection)?,
            crates_budget: alone.and_then(|driver| driver.budget.crates),
            bytes: bytes(workspace, &selection),
            bytes_budget: alone.and_then(|driver| driver.budget.bytes),
            selection: names.join("-"),
        });
    }
    Ok(sizes)
}

/// `cargo tree -e normal --prefix none --no-dedupe | sort -u | wc -l`.
fn crates(workspace: &Workspace, selection: &Selection) -> Result<u64> {
    let features = selection.features().join(",");
    let args = ["tree", "-p", GATEWAY_PACKAGE, "-e", "normal", "--prefix", "none", "--no-dedupe"];
    let args = [&args[..], &["--no-default-features", "--features", &features, "--locked"]].concat();
    let tree = workspace.cargo_output(&args)?;
    let lines: std::collections::BTreeSet<&str> = tree.lines().filter(|line| !line.is_empty()).collect();
    Ok(lines.len() as u64)
}

/// The gateway that `build` left for the selection in the release profile, when it did.
fn bytes(workspace: &Workspace, selection: &Selection) -> Option<u64> {
    let folder = workspace.target_dir().join("gateways").join(selection.slug()).join("release");
    let triples = std::fs::read_dir(folder).ok()?.flatten();
    triples
        .filter_map(|triple| std::fs::metadata(triple.path().join(GATEWAY_BIN)).ok())
        .map(|meta| meta.len())
        .max()
}
