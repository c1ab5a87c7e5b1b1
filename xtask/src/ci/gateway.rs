//! The jobs of the workflow's matrix: the rows that `gen` wrote, and the build of one of them.

use std::process::ExitCode;

use serde_json::Value;

use super::{Ci, Outcome};
use crate::error::{Error, Result};
use crate::workspace::Workspace;

/// Made by `gen` out of drivers.toml.
const MATRIX: &str = "ci/generated/matrix.json";

/// Prints the names of the rows as `rows=[…]`, which a workflow's step takes as its output.
pub(super) fn matrix(workspace: &Workspace) -> Result {
    let names: Vec<Value> = rows(workspace)?.iter().map(|row| row["name"].clone()).collect();
    println!("rows={}", Value::Array(names));
    Ok(ExitCode::SUCCESS)
}

fn rows(workspace: &Workspace) -> Result<Vec<Value>> {
    let text = workspace.read(MATRIX)?;
    let mut value: Value = serde_json::from_str(&text).map_err(|error| Error::output(MATRIX, error))?;
    match value["include"].take() {
        Value::Array(rows) => Ok(rows),
        _ => Err(Error::output(MATRIX, "it has no list `include`")),
    }
}

/// Builds a row with the very line that stands in it.
pub(super) fn row(ci: &Ci) -> Result<Outcome> {
    let rows = rows(&ci.workspace)?;
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    let wanted = ci.row.as_deref().unwrap_or_default();
    let Some(row) = rows.iter().find(|row| row["name"].as_str() == Some(wanted)) else {
        let message = match wanted {
            "" => format!("the job `gateway` builds one row of `{MATRIX}`, and none was named"),
            wanted => format!("no row of `{MATRIX}` is named `{wanted}`"),
        };
        return Err(Error::refused(message, format!("--row with one of: {}", names.join(", "))));
    };
    let line = row["build"].as_str().and_then(|line| line.strip_prefix("cargo xtask "));
    let line = line.ok_or_else(|| Error::output(MATRIX, format!("row `{wanted}` has no build line")))?;
    let words: Vec<&str> = line.split_whitespace().chain(["--locked"]).collect();
    ci.xtask(&words)
}
