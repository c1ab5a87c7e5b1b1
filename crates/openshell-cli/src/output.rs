//! Standard output and error, written to so that a closed pipe is no panic.

use std::io::{self, Write as _};

use serde_json::Value;

use crate::error::CliError;

/// Writes text as it is, and sees it off: whoever reads a pipe reads it now.
pub(crate) fn text(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Writes one line.
pub(crate) fn line(line: &str) -> Result<(), CliError> {
    text(&format!("{line}\n"))
}

/// Writes a document of JSON.
pub(crate) fn json(value: &Value) -> Result<(), CliError> {
    line(&format!("{value:#}"))
}

/// Writes a document of JSON on one line, as one of many.
pub(crate) fn json_line(value: &Value) -> Result<(), CliError> {
    line(&value.to_string())
}

/// Writes to standard error. When nobody reads that either, there is nobody left to tell.
pub(crate) fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
