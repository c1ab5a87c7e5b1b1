//! `size` by itself: every selection of drivers, its crates by graph and, where it has been built, its bytes, against the
//! budgets of drivers.toml.

use std::process::ExitCode;

use driver_manifest::Assembly;
use serde_json::json;

use super::crates::{Crates, built};
use crate::error::Result;
use crate::selection;
use crate::table::{Table, out};
use crate::verify::Edges;
use crate::workspace::{Rustc, Workspace, joined};

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
pub(super) fn run(workspace: &Workspace, assembly: &Assembly, json: bool) -> Result {
    let sizes = measure(workspace, assembly)?;
    if json {
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
    let rustc = Rustc::ask(workspace);
    let mut crates = Crates::load(workspace, assembly)?;
    let selections = selection::subsets(assembly)?;
    let selections = selections.iter().map(|selection| selection::without_options(assembly, selection));
    let selections = selections.collect::<Result<Vec<_>>>()?;
    crates.ask(&selections, Edges::Counted)?;
    let triple = joined(rustc)?.host;
    let mut sizes = Vec::new();
    for selection in selections {
        let names = &selection.drivers;
        let alone = match names.as_slice() {
            [name] => assembly.driver(name),
            _ => None,
        };
        sizes.push(Size {
            crates: crates.of_gateway(&selection)?,
            crates_budget: alone.and_then(|driver| driver.budget.crates),
            bytes: built(workspace, &selection, "release", &triple).map(|(gateway, _)| gateway),
            bytes_budget: alone.and_then(|driver| driver.budget.bytes),
            selection: names.join("-"),
        });
    }
    Ok(sizes)
}
