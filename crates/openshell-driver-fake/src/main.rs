//! `openshell-driver-fake`: the driver in memory as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    openshell_driver_fake::run()
}
