//! `openshell`: the command line client of the gateway.
//!
//! ```text
//!   args ─▶ target (which gateway, and why) ─▶ connect (Unix, TCP, TLS) ─▶ gateway (one call, one deadline)
//!    │         ▲ contexts, registrations                                      │
//!    └─────────┴─▶ commands::* ◀── session (form, workspace), resolve (names) ┘
//!                    │ └▶ view (words, JSON) ─▶ table, output (stdout, a closed pipe is no error)
//!                    └▶ channel (a way into a sandbox) ─▶ pipes, terminal, signals; transfer (files)
//! ```
//!
//! Standard output carries what was asked for and nothing else; errors, hints and progress go to standard error, and
//! the kind of an error is the exit code.

mod args;
mod channel;
mod commands;
mod complete;
mod connect;
mod contexts;
mod endpoint;
mod error;
mod gateway;
mod output;
mod parse;
mod pipes;
mod progress;
mod resolve;
mod screen;
mod session;
mod signals;
mod table;
mod target;
mod terminal;
mod text;
mod transfer;
mod view;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Args;
use crate::error::CliError;

fn main() -> ExitCode {
    complete::answer();
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return CliError::Runtime(error).report(),
    };
    let outcome = runtime.block_on(commands::run(args));
    // A name that is looked up in another thread is not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => error.report(),
    }
}
