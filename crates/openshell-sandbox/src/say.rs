//! The supervisor's own words, on its standard error, beside the main process's.

use std::fmt::Display;
use std::io::{self, Write};

/// Says a line. Nobody may read it any more: that is no reason for a sandbox to end, as it would be for `eprintln!`.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "openshell-sandbox: {line}");
}
