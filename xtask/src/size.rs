//! `size`: what a selection costs, and what it is worth to leave something out. Crates are counted by graph alone, which
//! is quick; bytes and seconds need builds and are there only where something was built.
//!
//! ```text
//! drivers.toml ─selections▶ cargo lines ─cargo tree▶ crates ─┬▶ budgets   against drivers.toml
//!                                └─builds▶ bytes, seconds ───┼▶ worth     what each driver and option adds and takes
//!                                                            ├▶ diff      one selection against another
//!                                                            └▶ golden    against the lists in generated/crates/
//! ```

mod budget;
mod budgets;
mod clean;
mod crates;
mod diff;
mod golden;
mod list;
mod parts;
mod worth;

pub(crate) use budget::Budgeted;
pub(crate) use budgets::percent;
pub(crate) use crates::Crates;

use crate::error::Result;
use crate::workspace::Workspace;

/// Count the crates and bytes of selections, against the budgets of drivers.toml
#[derive(Debug, Clone, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Command {
    Worth(worth::Args),
    Diff(diff::Args),
    Golden(golden::Args),
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result {
    let workspace = Workspace::find()?;
    let assembly = workspace.assembly()?;
    match &args.command {
        None => budgets::run(&workspace, &assembly, args.json),
        Some(Command::Worth(args)) => worth::run(&workspace, &assembly, args),
        Some(Command::Diff(args)) => diff::run(&workspace, &assembly, args),
        Some(Command::Golden(args)) => golden::run(&workspace, &assembly, args),
    }
}
