//! The report on one text: its diagnostics, and their two forms, for people and for programs.

use std::fmt;

use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Label, Severity};
use crate::render;

/// Everything that is wrong with one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub(crate) file_name: String,
    pub(crate) source: String,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Whether a rendering is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Text alone.
    #[default]
    Plain,
    /// With the escape codes of a terminal.
    Coloured,
}

/// A place as people count: from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Report {
    /// What was found, in the order of the text.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// How many errors there are, warnings left out.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }

    /// The line and the column of a byte offset.
    #[must_use]
    pub fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.source.len());
        while !self.source.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.source[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// All diagnostics for people, each ending in a line break, a blank line between two; empty when there is none.
    #[must_use]
    pub fn render(&self, style: Style) -> String {
        let rendered: Vec<String> =
            self.diagnostics.iter().map(|diagnostic| render::diagnostic(self, diagnostic, style)).collect();
        rendered.join("\n")
    }

    /// All diagnostics for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let label = |label: &Label| {
            let (start, end) = (self.position(label.span.start), self.position(label.span.end));
            json!({
                "start": { "line": start.line, "column": start.column, "offset": label.span.start },
                "end": { "line": end.line, "column": end.column, "offset": label.span.end },
                "text": label.text,
            })
        };
        let diagnostic = |diagnostic: &Diagnostic| {
            json!({
                "code": diagnostic.code.as_str(),
                "severity": diagnostic.severity.as_str(),
                "message": diagnostic.message,
                "primary": label(&diagnostic.primary),
                "secondary": diagnostic.secondary.iter().map(label).collect::<Vec<_>>(),
                "hints": diagnostic.hints,
            })
        };
        json!({
            "file": self.file_name,
            "diagnostics": self.diagnostics.iter().map(diagnostic).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(Style::Plain).trim_end())
    }
}

impl std::error::Error for Report {}
