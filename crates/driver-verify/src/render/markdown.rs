//! The verdict as Markdown, for the summary page of a CI run.

use std::fmt::Write as _;

use super::{cell, hope};
use crate::verdict::{Layer, Verdict};

impl Verdict {
    /// A heading, a table, the reasons as a list. Ends with a line's end.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = format!("### {}: {}\n\n|  |  |", escaped(&self.subject), self.answer().word());
        for layer in Layer::ALL {
            let star = if self.required.contains(&layer) { "\\*" } else { "" };
            let _ = write!(out, " {}{star} |", layer.word());
        }
        out.push_str("\n| --- | --- |");
        out.push_str(&" --- |".repeat(Layer::ALL.len()));
        for row in &self.rows {
            let _ = write!(out, "\n| {} | {} |", escaped(&row.target), hope(row));
            for layer in Layer::ALL {
                let word = cell(row, row.layers.get(&layer));
                let strong = if word == "leak" { "**" } else { "" };
                let _ = write!(out, " {strong}{word}{strong} |");
            }
        }
        out.push_str("\n\n\\* required\n");
        let reasons = self.reasons();
        if !reasons.is_empty() {
            out.push('\n');
        }
        for reason in &reasons {
            let _ = writeln!(out, "- {}", escaped(reason));
        }
        if !self.notes.is_empty() {
            let _ = write!(out, "\n<details><summary>{} notes</summary>\n\n", self.notes.len());
            for note in &self.notes {
                let _ = writeln!(out, "- {}", escaped(note));
            }
            out.push_str("\n</details>\n");
        }
        out
    }
}

/// Text of a file under suspicion, made harmless.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '\\' | '*' | '_' | '[' | ']' | '`' => {
                out.push('\\');
                out.push(char);
            }
            '\n' | '\r' => out.push(' '),
            char => out.push(char),
        }
    }
    out
}
