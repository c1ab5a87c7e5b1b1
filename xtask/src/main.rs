//! The menu of this repository: `cargo xtask <command>`, one module a command. Nothing else in the workspace spawns cargo,
//! and no rule of the manifest is here: those are `driver-manifest`'s.

mod bench;
mod build;
mod ci;
mod error;
mod generate;
mod list;
mod python;
mod selection;
mod size;
mod table;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

/// The menu of this repository
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = false)]
enum Command {
    Gen(generate::Args),
    Build(build::Args),
    List(list::Args),
    Test(test::Args),
    Tidy(tidy::Args),
    Size(size::Args),
    Bench(bench::Args),
    Ci(ci::Args),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Gen(args) => generate::run(args),
        Command::Build(args) => build::run(&args),
        Command::List(args) => list::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Tidy(args) => tidy::run(&args),
        Command::Size(args) => size::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Ci(args) => ci::run(&args),
    };
    result.unwrap_or_else(|error| {
        error.print();
        error.exit_code()
    })
}
