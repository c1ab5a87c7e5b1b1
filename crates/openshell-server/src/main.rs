//! The gateway's program: its command line. What starts it is in `start`; what it can run is in `generated`.

#[rustfmt::skip]
mod generated;

mod backend;
mod certs;
mod complete;
mod descriptors;
mod doors;
mod drivers;
mod error;
mod front;
mod metrics;
mod plan;
mod program;
mod sandboxes;
mod signals;
mod start;
mod supervisor;
mod token;
mod usage;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use openshell_core::{Environment, GatewayArgs, detect, settings, shell};

use generated::CATALOG;

/// What a person in a hurry looks for.
const EXAMPLES: &str = "\
Examples:
  openshell-gateway                                serve on the first backend that is found, until SIGTERM
  openshell-gateway --drivers NAME --no-tcp        on a backend that is named, on the Unix socket alone
  openshell-gateway check-config                   what would run, who would get in, what is wrong
  openshell-gateway token show                     what a client on TCP shows
  openshell-gateway generate-certs --dir DIR --host gateway.example.org --client ci";

/// Runs sandboxes for agents on one compute driver
#[derive(Debug, Parser)]
#[command(name = "openshell-gateway", version, long_about = None, after_help = EXAMPLES)]
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
    /// Read the configuration, choose the driver, and say who would get in where, without starting anything
    CheckConfig,
    /// The token that clients show on TCP
    Token {
        #[command(subcommand)]
        action: token::Action,
    },
    /// Make certificates for the TCP listener and its clients, with a CA of their own
    GenerateCerts(certs::Args),
    /// Print what makes a shell complete commands, options and drivers: eval "$(openshell-gateway completions bash)"
    Completions {
        /// The shell
        shell: complete::Shell,
    },
}

fn main() -> ExitCode {
    if let Some(words) = complete::answer(Cli::command(), &CATALOG) {
        return shell::print(&words);
    }
    let cli = Cli::parse();
    let env = Environment::from_process();
    match cli.command {
        Some(Command::Drivers { json }) => {
            let probes = detect::run(&CATALOG, &env.for_probes());
            // What is wrong with the file is for others to say; it may name a driver's program.
            let config = settings::load_config(cli.gateway.config.as_deref(), &env, &CATALOG);
            shell::print(&drivers::report(&CATALOG, &probes, &config.unwrap_or_default(), json))
        }
        Some(Command::CheckConfig) => match plan::check(&CATALOG, &cli.gateway, &env) {
            Ok(report) => shell::print(&report),
            Err(error) => shell::fail(&error),
        },
        Some(Command::Token { action }) => match token::run(action, &CATALOG, &cli.gateway, &env) {
            Ok(report) => shell::print(&report),
            Err(error) => shell::fail(&error),
        },
        Some(Command::GenerateCerts(args)) => match certs::run(args) {
            Ok(report) => shell::print(&report),
            Err(error) => shell::fail(&error),
        },
        Some(Command::Completions { shell }) => shell::print(&shell.to_string()),
        None => match start::run(&CATALOG, &cli.gateway, &env) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => shell::fail(&error),
        },
    }
}
