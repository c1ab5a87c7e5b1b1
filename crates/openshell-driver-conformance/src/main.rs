//! `openshell-driver-conformance`: holds a driver's socket to the contract.

use std::process::ExitCode;

fn main() -> ExitCode {
    openshell_driver_conformance::run_program()
}
