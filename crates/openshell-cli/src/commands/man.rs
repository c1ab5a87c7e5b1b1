//! `man`: the manual, out of the program itself, so that a packager needs nothing but the program.

use std::path::Path;

use clap::CommandFactory as _;

use crate::args::Args;
use crate::error::CliError;
use crate::output;

/// Prints the main page, or writes a page for each command into a directory.
pub(crate) fn run(dir: Option<&Path>) -> Result<(), CliError> {
    // The version is said once, and `help` says what the pages say.
    let command = Args::command().propagate_version(false).disable_help_subcommand(true);
    match dir {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            output::text(&String::from_utf8_lossy(&page))
        }
        Some(dir) => {
            let failed =
                |source| CliError::File { doing: "write the manual to", path: dir.to_owned(), source };
            std::fs::create_dir_all(dir).map_err(failed)?;
            clap_mangen::generate_to(command, dir).map_err(failed)
        }
    }
}
