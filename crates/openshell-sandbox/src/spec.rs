//! `OPENSHELL_MAIN_PROCESS_SPEC`: what the main process is.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde::Deserialize;

/// The variable.
pub(crate) const VARIABLE: &str = "OPENSHELL_MAIN_PROCESS_SPEC";
const VERSION: u32 = 1;
const ENCODED: &str = "base64url:";

/// What the main process is.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Spec {
    version: u32,
    /// Its exact words; empty: the image's own.
    #[serde(default)]
    pub(crate) command: Vec<String>,
    /// Whether it has a terminal.
    #[serde(default)]
    pub(crate) tty: bool,
}

/// Why a specification is none.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It is no JSON of this shape.
    Json(serde_json::Error),
    /// What follows the prefix is no base64url.
    Base64,
    /// It is of a version that this program does not know.
    Version(u32),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{VARIABLE}` ")?;
        match self {
            Self::Json(error) => write!(f, "is no specification: {error}"),
            Self::Base64 => write!(f, "is no base64url after `{ENCODED}`"),
            Self::Version(version) => {
                write!(
                    f,
                    "is of version {version}: this supervisor knows {VERSION}; is it older than the gateway?"
                )
            }
        }
    }
}

/// Reads the variable's value; no value is an empty command without a terminal.
pub(crate) fn read(value: Option<&str>) -> Result<Spec, Unreadable> {
    let Some(value) = value else {
        return Ok(Spec { version: VERSION, command: Vec::new(), tty: false });
    };
    let spec: Spec = match value.strip_prefix(ENCODED) {
        None => serde_json::from_str(value),
        Some(encoded) => {
            let bytes = URL_SAFE_NO_PAD.decode(encoded).or_else(|_| URL_SAFE.decode(encoded));
            serde_json::from_slice(&bytes.map_err(|_| Unreadable::Base64)?)
        }
    }
    .map_err(Unreadable::Json)?;
    if spec.version == VERSION { Ok(spec) } else { Err(Unreadable::Version(spec.version)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_encoded_or_not_there() {
        let text = r#"{"version":1,"command":["a b","ü"],"tty":true}"#;
        let expected = Spec { version: 1, command: vec!["a b".to_owned(), "ü".to_owned()], tty: true };
        let encoded =
            [URL_SAFE.encode(text), URL_SAFE_NO_PAD.encode(text)].map(|it| format!("{ENCODED}{it}"));
        for value in [text, &encoded[0], &encoded[1]] {
            assert_eq!(read(Some(value)).expect("a specification"), expected, "{value}");
        }
        assert_eq!(read(None).expect("none").command, Vec::<String>::new());
        assert_eq!(read(Some(r#"{"version":1}"#)).expect("little").command, Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (value, words) in [
            ("{", "is no specification"),
            ("base64url:?", "is no base64url after `base64url:`"),
            (r#"{"version":2}"#, "is of version 2: this supervisor knows 1"),
        ] {
            let error = read(Some(value)).expect_err(value).to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
