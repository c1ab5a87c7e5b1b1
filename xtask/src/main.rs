//! The menu of this repository: `cargo xtask <command>`, one module a command. Nothing else in the workspace spawns cargo,
//! and no rule of the manifest is here: those are `driver-manifest`'s.

mod affected;
mod bench;
mod build;
mod ci;
mod completions;
mod edit;
mod error;
mod generate;
mod list;
mod matrix;
mod new_driver;
mod overlay;
mod python;
mod selection;
mod size;
mod table;
mod test;
mod tidy;
mod verify;
mod workspace;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};

/// The menu of this repository
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = false)]
enum Command {
    Gen(generate::Args),
    NewDriver(new_driver::Args),
    Edit(edit::Args),
    Build(build::Args),
    VerifyCompiledOut(verify::Args),
    Learn(verify::LearnArgs),
    List(list::Args),
    Test(test::Args),
    Tidy(tidy::Args),
    Matrix(matrix::Args),
    Size(size::Args),
    Affected(affected::Args),
    Bench(bench::Args),
    Ci(ci::Args),
    Completions(completions::Args),
}

fn main() -> ExitCode {
    completions::answer(Command::command);
    let result = match parse() {
        Command::Gen(args) => generate::run(args),
        Command::NewDriver(args) => new_driver::run(&args),
        Command::Edit(args) => edit::run(&args),
        Command::Build(args) => build::run(&args),
        Command::VerifyCompiledOut(args) => verify::run(&args),
        Command::Learn(args) => verify::learn(&args),
        Command::List(args) => list::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Tidy(args) => tidy::run(&args),
        Command::Matrix(args) => matrix::run(&args),
        Command::Size(args) => size::run(&args),
        Command::Affected(args) => affected::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Ci(args) => ci::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    result.unwrap_or_else(|error| {
        error.print();
        error.exit_code()
    })
}

/// The command line. A wrong call of the verification is no verdict, and has an exit code of its own.
fn parse() -> Command {
    Command::try_parse().unwrap_or_else(|error| {
        let verifies = std::env::args().nth(1).is_some_and(|name| name == "verify-compiled-out");
        if !verifies || error.exit_code() == 0 {
            error.exit();
        }
        // A closed standard error is no reason to panic.
        let _gone = error.print();
        std::process::exit(verify::TOOL_FAILED.into())
    })
}
