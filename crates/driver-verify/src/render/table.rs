//! The table for people: drivers × layers, then what was found and why the answer is what it is.

use std::fmt::Write as _;

use super::{cell, hope};
use crate::verdict::{Answer, Control, ControlState, Layer, Outcome, Verdict};

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[33m";
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// Text in a colour, padded outside of it.
fn painted(text: &str, colour: Option<&str>, width: usize) -> String {
    let pad = " ".repeat(width.saturating_sub(text.chars().count()));
    match colour {
        Some(colour) => format!("{colour}{text}{RESET}{pad}"),
        None => format!("{text}{pad}"),
    }
}

fn colour_of(outcome: Option<&Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Clean | Outcome::Found(_)) => GREEN,
        Some(Outcome::Leak(_)) => RED,
        Some(Outcome::Blind(_) | Outcome::Note(_)) => YELLOW,
        Some(Outcome::NotApplicable(_)) | None => DIM,
    }
}

impl Verdict {
    /// For a terminal. Required layers are marked with `*`. Ends with a line's end.
    #[must_use]
    pub fn table(&self, colour: bool) -> String {
        let paint = |text: &str, with: &'static str, width| painted(text, colour.then_some(with), width);
        let mut out = String::new();
        let mut columns: Vec<(String, usize)> = vec![(String::new(), 0), (String::new(), "left out".len())];
        columns[0].1 = self.rows.iter().map(|row| row.target.chars().count()).max().unwrap_or(0);
        for layer in Layer::ALL {
            let star = if self.required.contains(&layer) { "*" } else { "" };
            let cells = self.rows.iter().map(|row| cell(row, row.layers.get(&layer)).len());
            let title = format!("{}{star}", layer.word());
            let width = cells.chain([title.len()]).max().unwrap_or(0);
            columns.push((title, width));
        }
        let titles = columns.iter().map(|(title, width)| paint(title, DIM, *width));
        push_line(&mut out, titles);
        for row in &self.rows {
            let mut cells = vec![paint(&row.target, "", columns[0].1), paint(hope(row), DIM, columns[1].1)];
            for (layer, (_, width)) in Layer::ALL.iter().zip(&columns[2..]) {
                let outcome = row.layers.get(layer);
                cells.push(paint(cell(row, outcome), colour_of(outcome), *width));
            }
            push_line(&mut out, cells.into_iter());
        }
        out.push('\n');
        for control in &self.controls {
            if let ControlState::Failed(_) = control.state {
                out.push_str(&failed(control, colour));
            }
        }
        let answer = self.answer();
        let shade = match answer {
            Answer::Clean => GREEN,
            Answer::Leak => RED,
            Answer::CannotCertify => YELLOW,
        };
        let _ = writeln!(out, "{}: {}", self.subject, paint(answer.word(), shade, 0));
        for reason in self.reasons() {
            let _ = writeln!(out, "  {reason}");
        }
        for note in &self.notes {
            let _ = writeln!(out, "{}", paint(&format!("note: {note}"), DIM, 0));
        }
        out
    }
}

fn push_line(out: &mut String, cells: impl Iterator<Item = String>) {
    let line = cells.collect::<Vec<_>>().join("  ");
    out.push_str(line.trim_end());
    out.push('\n');
}

/// The hint of a control that failed; why it did is among the reasons.
fn failed(control: &Control, colour: bool) -> String {
    let name = painted("control failed", colour.then_some(YELLOW), 0);
    match &control.hint {
        Some(hint) => format!("{name}: {}\n  hint: {hint}\n", control.name),
        None => format!("{name}: {}\n", control.name),
    }
}
