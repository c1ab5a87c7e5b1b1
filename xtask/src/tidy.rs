//! `tidy`: the invariants of ARCHITECTURE.md, each as a check. All violations in one run, each with its place and
//! what to do; `cargo test` runs it too.

mod features;
mod graph;
mod layout;
mod lexer;
mod names;
mod sources;

use std::process::ExitCode;

use crate::error::Result;
use crate::table::out;
use crate::workspace::Workspace;
use sources::Sources;

/// Check the invariants that ARCHITECTURE.md prints
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {}

/// What does not hold, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    file: String,
    line: usize,
    invariant: &'static str,
    message: String,
    hint: String,
}

impl Violation {
    fn new(
        invariant: &'static str,
        file: impl Into<String>,
        line: usize,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { file: file.into(), line: line.max(1), invariant, message: message.into(), hint: hint.into() }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, line, invariant, message, hint } = self;
        write!(f, "{file}:{line}: {message} [{invariant}]\n  hint: {hint}")
    }
}

/// Runs it.
pub(crate) fn run(_: &Args) -> Result {
    let workspace = Workspace::find()?;
    let violations = violations(&workspace)?;
    let mut text: String = violations.iter().map(|violation| format!("{violation}\n")).collect();
    if violations.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let count = match violations.len() {
        1 => "1 place breaks".to_owned(),
        more => format!("{more} places break"),
    };
    text.push_str(&format!("\n{count} an invariant of ARCHITECTURE.md\n"));
    out(&text);
    Ok(ExitCode::FAILURE)
}

/// Every violation, sorted by place.
pub(crate) fn violations(workspace: &Workspace) -> Result<Vec<Violation>> {
    let assembly = workspace.assembly()?;
    let sources = Sources::list(workspace)?;
    let graph = graph::Graph::load(workspace)?;
    let mut found = Vec::new();
    found.extend(graph.owned_crates(workspace, &assembly)?);
    found.extend(graph.forbidden_dependencies(&assembly));
    found.extend(names::check(&sources, &assembly, &graph));
    found.extend(layout::generated(&sources));
    found.extend(layout::members(workspace, &graph)?);
    found.extend(layout::files(&sources));
    found.extend(layout::documents(workspace)?);
    found.extend(features::check(workspace, &assembly)?);
    found.sort();
    found.dedup();
    Ok(found)
}
