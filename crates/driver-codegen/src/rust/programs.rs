//! The driver programs: a `main` that hands one registration to the code that all of them share, and the program's
//! report of itself.

use driver_manifest::{Assembly, Driver};
use quote::quote;

use super::arms::compiled_options;
use super::{crate_ident, predicate, root_file};
use crate::layout::program;
use crate::platform;

/// The source of a driver's program.
pub(crate) fn program_main(assembly: &Assembly, driver: &Driver) -> String {
    let name = &driver.name;
    let package = crate_ident(driver.package().unwrap_or_default());
    let options = compiled_options(assembly);
    let report = quote!(openshell_driver_api::report!(REPORT, &[#name], OPTIONS););
    let run = quote! {
        fn main() -> std::process::ExitCode {
            openshell_drivers::run(#name, &#package::REGISTRATION)
        }
    };
    let program = program(name);
    let about = format!("`{program}`: the driver `{name}` behind a socket of its own.");
    let Some(platforms) = platform::any(&driver.platforms) else {
        return root_file(&about, quote!(#options #report #run));
    };
    let platforms = predicate(&platforms);
    let message = format!("error: `{program}` runs on {} only", platform::prose(&driver.platforms));
    let tokens = quote! {
        #[cfg(#platforms)]
        #options

        #[cfg(#platforms)]
        #report

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
