//! A new entry as text.

use std::fmt::Write as _;

use toml_edit::Value;

/// What a new entry says; what is `None` is left out. Nothing is checked here: the reader checks the whole text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewDriver<'a> {
    /// `name`.
    pub name: &'a str,
    /// `summary`.
    pub summary: &'a str,
    /// `kind`.
    pub kind: &'a str,
    /// `package`.
    pub package: Option<&'a str>,
    /// `path`.
    pub path: Option<&'a str>,
    /// `version`.
    pub version: Option<&'a str>,
    /// `socket`.
    pub socket: Option<&'a str>,
    /// `detect`.
    pub detect: Option<bool>,
    /// `default`.
    pub default: Option<bool>,
}

impl NewDriver<'_> {
    /// The text of the entry, a key a line, in the order of the project's own.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from("[[driver]]\n");
        let mut key = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                // Writing to a `String` never fails.
                let _ = writeln!(text, "{name} = {value}");
            }
        };
        key("name", Some(self.name.into()));
        key("summary", Some(self.summary.into()));
        key("kind", Some(self.kind.into()));
        key("package", self.package.map(Into::into));
        key("path", self.path.map(Into::into));
        key("version", self.version.map(Into::into));
        key("socket", self.socket.map(Into::into));
        key("detect", self.detect.map(Into::into));
        key("default", self.default.map(Into::into));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_said_and_quoted() {
        let entry = NewDriver {
            name: "a",
            summary: "says \"b\"",
            kind: "socket",
            socket: Some("/run/a.sock"),
            default: Some(false),
            ..NewDriver::default()
        };
        let text = entry.text();
        assert!(
            text.starts_with("[[driver]]\nname = \"a\"\n") && text.ends_with("default = false\n"),
            "{text}"
        );
        let read: toml::Table = text.parse().expect("TOML");
        assert_eq!(read["driver"][0]["summary"].as_str(), Some("says \"b\""));
        assert_eq!(read["driver"][0]["socket"].as_str(), Some("/run/a.sock"));
        assert!(!text.contains("package"));
    }
}
