//! The driver `{{name}}` as a program behind a socket, with the command line that all driver programs share.

use {{crate}}::REGISTRATION;

/// The driver's name: that of its table.
const NAME: &str = "{{name}}";
/// For `--help`.
const SUMMARY: &str = "{{summary}}";

fn main() -> std::process::ExitCode {
    openshell_drivers::run_foreign(NAME, SUMMARY, &REGISTRATION)
}
