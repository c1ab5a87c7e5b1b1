//! `openshell-gateway drivers`: prints the report of core, and does not mind a reader that has gone.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use openshell_core::catalog::Catalog;
use openshell_core::detect::Probes;
use openshell_core::{report, shell};

pub(crate) fn print(catalog: &Catalog, probes: &Probes, json: bool) -> ExitCode {
    let text = if json {
        format!("{:#}\n", report::drivers_json(catalog, probes))
    } else {
        report::drivers_text(catalog, probes)
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => shell::fail_plain(&error, &[]),
        _ => ExitCode::SUCCESS,
    }
}
