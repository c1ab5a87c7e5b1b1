//! The gateway's program: its command line. What starts it is in `start`; what it can run is in `generated`.

#[rustfmt::skip]
mod generated;

mod drivers;
mod start;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use openshell_core::{Environment, GatewayArgs, detect, shell};

use generated::CATALOG;

/// Runs sandboxes for agents on one compute driver.
#[derive(Debug, Parser)]
#[command(name = "openshell-gateway", version, long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    gateway: GatewayArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show every driver: whether this build has it, how to name it, and what its probe finds
    Drivers {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Read the configuration and choose the driver, without starting anything
    CheckConfig,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let env = Environment::from_process();
    match cli.command {
        Some(Command::Drivers { json }) => {
            let probes = detect::run(&CATALOG, &env.for_probes());
            shell::print(&drivers::report(&CATALOG, &probes, json))
        }
        Some(Command::CheckConfig) => match start::check(&CATALOG, &cli.gateway, &env) {
            Ok(report) => shell::print(&report),
            Err(error) => shell::fail(&error),
        },
        None => match start::run(&CATALOG, &cli.gateway, &env) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => shell::fail(&error),
        },
    }
}
