//! Diagnostics as people read them: the source underlined, hints below.
//!
//! The renderer is handed a window of lines, not the whole file, and long lines are cut around what they are shown for:
//! a file of one long line, or of ten thousand errors, costs no more than it has to.

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Label, Severity, Span};
use crate::report::{Report, Style};

/// A line longer than this is cut.
const LONGEST_LINE: usize = 160;
/// What is kept of a cut line on either side of the start of what it is shown for.
const KEPT: usize = 60;
/// Labels further apart than this many lines are shown in windows of their own.
const FARTHEST: usize = 40;
const CUT: char = '…';

/// One diagnostic, ending in a line break.
pub(crate) fn diagnostic(report: &Report, diagnostic: &Diagnostic, style: Style) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut places: Vec<(AnnotationKind, &Label)> = vec![(AnnotationKind::Primary, &diagnostic.primary)];
    places.extend(diagnostic.secondary.iter().map(|label| (AnnotationKind::Context, label)));
    let windows = windows(&report.source, places);
    let moved: Vec<(String, String)> = windows.iter().filter_map(|window| window.moved(report)).collect();

    let mut group =
        Group::with_title(level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.as_str()));
    for window in windows {
        group = group.element(window.snippet(&report.file_name));
    }
    for hint in &diagnostic.hints {
        group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
    }
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    let mut rendered = renderer.render(&[group]);
    for (printed, right) in moved {
        rendered = rendered.replacen(&printed, &right, 1);
    }
    let mut text = String::with_capacity(rendered.len() + 1);
    for line in rendered.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Lines that are shown together.
struct Window {
    first_line: usize,
    text: String,
    labels: Vec<(AnnotationKind, Span, String)>,
    /// Where the place that the window's head names is in the source.
    head: usize,
}

impl Window {
    fn snippet(self, file_name: &str) -> Snippet<'_, Annotation<'_>> {
        Snippet::source(self.text).path(file_name).line_start(self.first_line).annotations(
            self.labels.into_iter().map(|(kind, span, text)| {
                let annotation = kind.span(span);
                if text.is_empty() { annotation } else { annotation.label(text) }
            }),
        )
    }

    /// The renderer counts columns in the text that it is given: what it will print of a line that was cut, and what is
    /// right.
    fn moved(&self, report: &Report) -> Option<(String, String)> {
        let is_primary = |kind: AnnotationKind| kind == AnnotationKind::Primary;
        let (_, span, _) = self
            .labels
            .iter()
            .find(|(kind, ..)| is_primary(*kind))
            .or_else(|| self.labels.iter().min_by_key(|(_, span, _)| span.start))?;
        let before = &self.text[..span.start];
        let line = self.first_line + before.matches('\n').count();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let right = report.position(self.head);
        let place = |line: usize, column: usize| format!("{}:{line}:{column}", report.file_name);
        (right.column != column).then(|| (place(line, column), place(right.line, right.column)))
    }
}

/// The places grouped into windows, in the order of the text, but the primary one's first.
fn windows(source: &str, mut places: Vec<(AnnotationKind, &Label)>) -> Vec<Window> {
    places.sort_by_key(|(_, label)| label.span.start);
    let mut groups: Vec<Vec<(AnnotationKind, &Label)>> = Vec::new();
    for place in places {
        let near = groups.last().and_then(|group| group.last()).is_some_and(|(_, last)| {
            let between = &source[last.span.start..place.1.span.start];
            match between.bytes().filter(|byte| *byte == b'\n').count() {
                // On one line: unless it is cut between the two.
                0 => between.len() < KEPT || line_at(source, last.span.start).len() <= LONGEST_LINE,
                lines => lines <= FARTHEST,
            }
        });
        match groups.last_mut() {
            Some(group) if near => group.push(place),
            _ => groups.push(vec![place]),
        }
    }
    groups.sort_by_key(|group| !group.iter().any(|(kind, _)| *kind == AnnotationKind::Primary));
    groups.into_iter().map(|group| window(source, &group)).collect()
}

/// The line that an offset is on.
fn line_at(source: &str, offset: usize) -> &str {
    let start = source[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    let end = source[offset..].find('\n').map_or(source.len(), |newline| offset + newline);
    &source[start..end]
}

fn window(source: &str, group: &[(AnnotationKind, &Label)]) -> Window {
    let first = group.iter().map(|(_, label)| label.span.start).min().unwrap_or_default();
    let last = group.iter().map(|(_, label)| label.span.start).max().unwrap_or_default();
    let start = source[..first].rfind('\n').map_or(0, |newline| newline + 1);
    let end = source[last..].find('\n').map_or(source.len(), |newline| last + newline);

    let primary = group.iter().find(|(kind, _)| *kind == AnnotationKind::Primary).map(|(_, label)| label);
    let mut window = Window {
        first_line: source.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1,
        text: String::new(),
        labels: Vec::new(),
        head: primary.map_or(first, |label| label.span.start),
    };
    let mut line_start = start;
    for line in source[start..end].split('\n') {
        let line_end = line_start + line.len();
        // A place at the end of the file belongs to the last line.
        let here: Vec<_> = group
            .iter()
            .filter(|(_, label)| label.span.start >= line_start && label.span.start <= line_end)
            .collect();
        let kept = match here.first() {
            Some((_, label)) => keep(line, label.span.start - line_start),
            None => 0..line.len().min(floor(line, LONGEST_LINE)),
        };
        let mut shift = window.text.len();
        if kept.start > 0 {
            window.text.push(CUT);
            shift += CUT.len_utf8();
        }
        let content = line[kept.clone()].trim_end_matches('\r');
        window.text.push_str(content);
        let content_end = shift + content.len();
        if kept.end < line.len() {
            window.text.push(CUT);
        }
        for (kind, label) in here {
            // What goes on over several lines, or beyond the cut, is underlined as far as it can be seen.
            let clip =
                |offset: usize| (shift + offset.saturating_sub(line_start + kept.start)).min(content_end);
            let (from, to) = (clip(label.span.start), clip(label.span.end.min(line_end)));
            window.labels.push((*kind, from..to.max(from), label.text.clone()));
        }
        window.text.push('\n');
        line_start = line_end + 1;
    }
    window
}

/// The part of a line that is shown for what begins at `at`.
fn keep(line: &str, at: usize) -> Span {
    if line.len() <= LONGEST_LINE {
        return 0..line.len();
    }
    floor(line, at.saturating_sub(KEPT))..floor(line, at + KEPT)
}

/// The nearest boundary of a character at or below.
fn floor(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}
