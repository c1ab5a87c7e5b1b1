//! The supervisor inside a sandbox: see the library of this package.

use std::process::ExitCode;

fn main() -> ExitCode {
    openshell_sandbox::main()
}
