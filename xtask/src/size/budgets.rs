//! `size` by itself: every selection of drivers, its crates by graph and, where it has been built, its bytes; each also in
//! percent of the gateway with every driver, and against the budgets of drivers.toml. Last the default gateway, which has
//! options, too.

use std::process::ExitCode;

use driver_manifest::{Assembly, Budget, Selection};
use serde_json::{Value, json};

use super::budget::alone;
use super::crates::{Crates, built};
use crate::error::Result;
use crate::selection;
use crate::table::{Table, out};
use crate::verify::Edges;
use crate::workspace::{Rustc, Workspace, joined};

/// One selection, without options: what a driver costs is not what an option costs. But the default gateway has its own.
#[derive(Debug, Clone)]
struct Size {
    selection: String,
    crates: u64,
    /// Of its gateway, where that was built.
    bytes: Option<u64>,
    /// Of the selection with every driver.
    all: (u64, Option<u64>),
    /// What it is held to; nothing, for more than one driver that are not the default ones.
    budget: Budget,
}

/// A figure and what it may be.
type Held = (Option<f64>, Option<u64>);

impl Size {
    fn figures(&self) -> [Held; 4] {
        let bytes_percent = self.bytes.zip(self.all.1).map(|(bytes, all)| percent(bytes, all));
        [
            (Some(self.crates as f64), self.budget.crates),
            (Some(percent(self.crates, self.all.0)), self.budget.crates_percent),
            (self.bytes.map(|bytes| bytes as f64), self.budget.bytes),
            (bytes_percent, self.budget.bytes_percent),
        ]
    }

    fn over(&self) -> bool {
        let above = |(figure, budget): Held| figure.zip(budget).is_some_and(|(f, b)| f > b as f64);
        self.figures().into_iter().any(above)
    }

    fn json(&self) -> Value {
        let [_, crates_percent, _, bytes_percent] = self.figures();
        json!({
            "selection": self.selection,
            "crates": self.crates,
            "crates_budget": self.budget.crates,
            "crates_percent": crates_percent.0,
            "crates_percent_budget": crates_percent.1,
            "bytes": self.bytes,
            "bytes_budget": self.budget.bytes,
            "bytes_percent": bytes_percent.0,
            "bytes_percent_budget": bytes_percent.1,
        })
    }
}

/// A share of a whole.
pub(crate) fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

/// Runs it.
pub(super) fn run(workspace: &Workspace, assembly: &Assembly, json: bool) -> Result {
    let sizes = measure(workspace, assembly)?;
    if json {
        let selections = sizes.iter().map(Size::json).collect::<Vec<_>>();
        out(&format!("{:#}\n", json!({ "schema_version": 1, "selections": selections })));
    } else {
        out(&table(&sizes).render());
    }
    Ok(if sizes.iter().any(Size::over) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn table(sizes: &[Size]) -> Table<10> {
    let mut table = Table::new([
        "selection",
        "crates",
        "at most",
        "% of all",
        "at most",
        "bytes",
        "at most",
        "% of all",
        "at most",
        "",
    ]);
    for size in sizes {
        let note = if size.over() { "over budget" } else { "" };
        let cells = size.figures().map(|(figure, most)| {
            let figure =
                figure.map(
                    |figure| if figure.fract() == 0.0 { format!("{figure}") } else { format!("{figure:.1}") },
                );
            [figure, most.map(|most| most.to_string())].map(|cell| cell.unwrap_or_else(|| "-".to_owned()))
        });
        let [crates, share, bytes, bytes_share] = &cells;
        table.row([
            &size.selection,
            &crates[0],
            &crates[1],
            &share[0],
            &share[1],
            &bytes[0],
            &bytes[1],
            &bytes_share[0],
            &bytes_share[1],
            note,
        ]);
    }
    table
}

/// Every selection of drivers, no option in it. A driver's budget is that of the selection of it alone.
fn measure(workspace: &Workspace, assembly: &Assembly) -> Result<Vec<Size>> {
    let rustc = Rustc::ask(workspace);
    let mut crates = Crates::load(workspace, assembly)?;
    let mut selections: Vec<Selection> = Vec::new();
    for selection in selection::subsets(assembly)? {
        let bare = selection::without_options(assembly, &selection)?;
        // A named socket driver brings the external one: with it or alone, it is the same gateway.
        let known = selections.iter().any(|known| known.drivers == bare.drivers);
        // Options say again what was implied as if it had been named.
        selections.extend((!known).then_some(Selection { implied: selection.implied, ..bare }));
    }
    crates.ask(&selections, Edges::Counted)?;
    let triple = joined(rustc)?.host;
    let everything = selection::without_options(assembly, &selection::everything(assembly)?)?;
    let bytes =
        |selection: &Selection| built(workspace, selection, "release", &triple).map(|(gateway, _)| gateway);
    let all = (crates.of_gateway(&everything)?, bytes(&everything));
    let mut sizes = Vec::new();
    for selection in selections {
        let alone = alone(assembly, &selection);
        sizes.push(Size {
            crates: crates.of_gateway(&selection)?,
            bytes: bytes(&selection),
            all,
            budget: alone.map(|driver| driver.budget).unwrap_or_default(),
            selection: selection.drivers.join("-"),
        });
    }
    let default = assembly.default_selection();
    if assembly.budget != Budget::default() && !default.drivers.is_empty() {
        sizes.push(Size {
            crates: crates.of_gateway(&default)?,
            bytes: bytes(&default),
            all,
            budget: assembly.budget,
            selection: format!("{}, with its options", selection::DEFAULT),
        });
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(crates: u64, bytes: Option<u64>) -> Size {
        let budget =
            Budget { crates: Some(75), bytes: Some(700), crates_percent: Some(75), bytes_percent: Some(70) };
        Size { selection: "a".to_owned(), crates, bytes, all: (100, Some(1000)), budget }
    }

    #[test]
    fn each_figure_is_held_to_its_own_bound() {
        assert!(!size(75, Some(700)).over());
        assert!(!size(75, None).over(), "what is not built has no bytes");
        assert!(size(76, None).over());
        assert!(size(75, Some(701)).over());
        let share = |all| Size {
            all,
            budget: Budget { crates: None, bytes: None, ..size(0, None).budget },
            ..size(75, Some(700))
        };
        assert!(!share((100, None)).over(), "nothing to compare with");
        assert!(share((99, None)).over());
        assert!(share((100, Some(999))).over());
        assert!(table(&[size(76, None)]).render().ends_with(
            "a          76      75       76        75       -      700      -         70       over budget\n"
        ));
    }
}
