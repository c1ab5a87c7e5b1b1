//! `openshell`: the command line client of the gateway.
//!
//! ```text
//!   args ─▶ commands::* ─▶ gateway (one call, one deadline) ─▶ the gateway's Unix socket
//!                │
//!                └▶ view (words, JSON) ─▶ output (stdout, a closed pipe is no error)
//! ```
//!
//! Standard output carries what was asked for and nothing else; errors and hints go to standard error, and their kind
//! is the exit code.

mod args;
mod commands;
mod error;
mod gateway;
mod output;
mod parse;
mod text;
mod view;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;
use crate::error::CliError;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return CliError::Runtime(error).report(),
    };
    match runtime.block_on(commands::run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}
