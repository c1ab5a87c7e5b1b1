//! The driver programs: a `main` that hands one registration to the code that all of them share.

use driver_manifest::Driver;
use quote::quote;

use super::{crate_ident, predicate, root_file};
use crate::layout::program;
use crate::platform;

/// The source of a driver's program.
pub(crate) fn program_main(driver: &Driver) -> String {
    let name = &driver.name;
    let package = crate_ident(driver.package().unwrap_or_default());
    let run = quote! {
        fn main() -> std::process::ExitCode {
            openshell_drivers::run(#name, &#package::REGISTRATION)
        }
    };
    let program = program(name);
    let about = format!("`{program}`: the driver `{name}` behind a socket of its own.");
    let Some(platforms) = platform::any(&driver.platforms) else {
        return root_file(&about, run);
    };
    let platforms = predicate(&platforms);
    let message = format!("error: `{program}` runs on {} only", platform::prose(&driver.platforms));
    let tokens = quote! {
        #[cfg(#platforms)]
        #run

        #[cfg(not(#platforms))]
        fn main() -> std::process::ExitCode {
            eprintln!(#message);
            std::process::ExitCode::FAILURE
        }
    };
    root_file(&about, tokens)
}
