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
    line(&harmless(format!("{value:#}")))
}

/// Writes a document of JSON on one line, as one of many.
pub(crate) fn json_line(value: &Value) -> Result<(), CliError> {
    line(&harmless(value.to_string()))
}

/// JSON without the controls that it may hold as they are (RFC 8259, section 7) and some terminals obey: escaped, it is the same
/// document, for they can be in its strings alone.
fn harmless(json: String) -> String {
    let obeyed = |letter: char| matches!(letter, '\u{7f}'..='\u{9f}');
    if !json.contains(obeyed) {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        if obeyed(letter) {
            out += &format!("\\u{:04x}", u32::from(letter));
        } else {
            out.push(letter);
        }
    }
    out
}

/// Writes to standard error. When nobody reads that either, there is nobody left to tell.
pub(crate) fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_nothing_in_it_that_a_terminal_obeys_and_stays_what_it_was() {
        let value = serde_json::json!({ "a\u{9b}": "\u{1b}[2J\u{9b}2J\u{7f}ü" });
        let text = harmless(value.to_string());
        assert!(!text.contains(char::is_control), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), value);
    }
}
