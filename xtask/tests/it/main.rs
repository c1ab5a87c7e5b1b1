//! The menu through its binary: what it prints, how it exits, and the invariants and budgets that it enforces.

mod audit;
mod budgets;
mod edit;
mod generate;
#[cfg(unix)]
mod hostile;
mod matrix;
mod menu;
#[cfg(unix)]
mod new_driver;
mod overlay;
mod size;
mod tidy;
mod verify;

use std::path::Path;
use std::process::{Command, Output};

/// The repository's root.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root")
}

/// Runs the menu in a directory.
fn xtask(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(args).current_dir(dir).output().expect("the menu runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
