//! Bytes to a TOML tree: what is not UTF-8 and what is not TOML, all of it, and which parts of the tree to trust.

use std::borrow::Cow;

use toml::de::DeTable;

use crate::definitions::{Bracketed, Definitions};
use crate::diagnostic::{Code, Sink, Span};
use crate::words::shown;

/// The text of a file, and where it was not text.
pub(crate) struct Decoded<'b> {
    pub(crate) text: Cow<'b, str>,
    /// Where the replacement character stands for bytes that are not UTF-8.
    invalid: Vec<Span>,
}

/// Bytes to text. `None`: in another encoding altogether, which is reported.
pub(crate) fn decode<'b>(bytes: &'b [u8], sink: &mut Sink) -> Option<Decoded<'b>> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        sink.error(Code::NotUtf8, 0..0, "the file is UTF-16, and TOML is UTF-8")
            .hint("save it as UTF-8, or run `iconv -f UTF-16 -t UTF-8`");
        return None;
    }
    // Editors of some platforms begin a file with this mark; it is no part of the text.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some(Decoded { text: Cow::Borrowed(text), invalid: Vec::new() });
    }
    let mut text = String::with_capacity(bytes.len());
    let mut invalid: Vec<Span> = Vec::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if let Some(byte) = chunk.invalid().first() {
            let start = text.len();
            text.push(char::REPLACEMENT_CHARACTER);
            let same_line = invalid.last().is_some_and(|last| !text[last.end..start].contains('\n'));
            if !same_line {
                sink.error(Code::NotUtf8, start..text.len(), format!("the byte {byte:#04x} is not UTF-8"))
                    .label("here")
                    .hint("save the file as UTF-8");
            }
            invalid.push(start..text.len());
        }
    }
    Some(Decoded { text: Cow::Owned(text), invalid })
}

/// What of a recovered tree is not to be judged, because it was reported already.
#[derive(Debug, Default)]
pub(crate) struct Broken {
    /// Lines with a syntax error, whole.
    lines: Vec<Span>,
    /// Where each table of the text begins, headers that are broken among them.
    headers: Vec<usize>,
    /// Whether one of the lines is neither a pair nor a comment.
    hides_tables: bool,
}

impl Broken {
    /// Whether a syntax error is on one of the lines of `span`. An empty span is what recovery made up.
    pub(crate) fn covers(&self, span: &Span) -> bool {
        span.is_empty() || self.lines.iter().any(|line| line.start <= span.end && span.start <= line.end)
    }

    /// Whether a syntax error is in the table whose header is at `start`, up to the next header.
    pub(crate) fn table(&self, start: usize) -> bool {
        let end = self.headers.iter().copied().find(|header| *header > start).unwrap_or(usize::MAX);
        self.lines.iter().any(|line| line.start < end && start <= line.end)
    }

    /// The header of the table that `offset` is in.
    fn header_of(&self, offset: usize) -> Option<usize> {
        self.headers.iter().copied().take_while(|header| *header <= offset).last()
    }

    /// Whether the line of `offset` has one.
    fn has_line_of(&self, offset: usize) -> bool {
        self.lines.iter().any(|line| line.start <= offset && offset <= line.end)
    }

    /// Whether there is a syntax error at all.
    pub(crate) fn any(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Whether a syntax error may hide a table, so that what is not in the tree may still be in the text.
    pub(crate) fn hides_tables(&self) -> bool {
        self.hides_tables
    }
}

/// A text in which every bracket is closed, as long as the one it comes from, so that places are the same in both.
pub(crate) struct Mended<'d> {
    text: Cow<'d, str>,
    /// Lines with a syntax error that has been reported.
    lines: Vec<Span>,
}

/// Finds brackets that are never closed and reports each. To the parser such a bracket swallows the rest of the text,
/// tables and all; so a `0` and blanks are put in place of what it was meant to hold.
pub(crate) fn mend<'d>(decoded: &'d Decoded<'_>, sink: &mut Sink) -> Mended<'d> {
    /// More brackets than this are not a slip.
    const MOST: usize = 32;
    let mut text: Cow<'d, str> = Cow::Borrowed(&decoded.text);
    let mut lines: Vec<Span> = decoded.invalid.iter().map(|span| lines_of(&text, span)).collect();
    for _ in 0..MOST {
        let Some((open, end)) = first_not_closed(&text) else { break };
        let (what, bracket) = if open.is_list { ("list", "]") } else { ("inline table", "}") };
        sink.error(Code::Syntax, open.span.start..open.span.start + 1, format!("the {what} is not closed"))
            .label("it begins here")
            .hint(format!("close it with `{bracket}`"));
        lines.push(lines_of(&text, &(open.span.start..end.max(open.span.start + 1))));
        let blanks = text.as_bytes()[open.span.start + 1..end].iter().map(|byte| match byte {
            b'\n' | b'\r' => char::from(*byte),
            _ => ' ',
        });
        let mended =
            text[..open.span.start].chars().chain(['0']).chain(blanks).chain(text[end..].chars()).collect();
        text = Cow::Owned(mended);
    }
    Mended { text, lines }
}

/// The first bracket that is never closed, and where what it was meant to hold ends.
fn first_not_closed(text: &str) -> Option<(Bracketed, usize)> {
    let definitions = Definitions::of(text);
    let errors = sorted(DeTable::parse_recoverable(text).1, text);
    errors.iter().find_map(|(span, message)| {
        let open = definitions
            .bracketed
            .iter()
            .find(|open| open.span.start < span.start && span.start <= open.span.end)?;
        let line = lines_of(text, &(span.start..span.start));
        let end = if message.starts_with("unclosed array,") || message.starts_with("unclosed inline table") {
            text.len()
        } else if line.start > open.span.start && begins_anew(&text[line.clone()], open.is_list) {
            line.start
        } else {
            return None;
        };
        Some((Bracketed { span: open.span.clone(), is_list: open.is_list }, end.max(open.span.start + 1)))
    })
}

/// Whether a line is a table's header or, where that cannot be an element, a key and its value.
fn begins_anew(line: &str, in_list: bool) -> bool {
    let line = line.trim_start();
    let is_header = line.strip_prefix('[').is_some_and(|rest| {
        rest.starts_with('[') || rest.starts_with(|first: char| first.is_ascii_alphabetic())
    });
    is_header || (in_list && is_pair(line))
}

/// Whether a line begins with a key and `=`.
fn is_pair(line: &str) -> bool {
    line.split_once('=').is_some_and(|(key, _)| {
        let key = key.trim();
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    })
}

/// Errors as places and messages, in the order of the text.
fn sorted(errors: Vec<toml::de::Error>, text: &str) -> Vec<(Span, String)> {
    let mut errors: Vec<(Span, String)> = errors
        .into_iter()
        .map(|error| {
            let span = error.span().unwrap_or(text.len()..text.len());
            (clamp(text, span), error.message().to_owned())
        })
        .collect();
    errors.sort_by_key(|(span, _)| (span.start, span.end));
    errors
}

/// Text to a tree, every syntax error reported: the first of each line, since what follows it is its echo.
pub(crate) fn parse<'t>(mended: &'t Mended<'_>, sink: &mut Sink) -> (DeTable<'t>, Broken) {
    let text: &'t str = &mended.text;
    let (tree, errors) = DeTable::parse_recoverable(text);
    let definitions = Definitions::of(text);
    let mut broken =
        Broken { lines: mended.lines.clone(), headers: definitions.headers.clone(), hides_tables: false };
    let mut duplicates = Vec::new();
    for (span, message) in sorted(errors, text) {
        if message == "duplicate key" {
            duplicates.push(span);
        } else if !broken.has_line_of(span.start) {
            broken.lines.push(lines_of(text, &span));
            let (message, hint) = in_our_words(&message, &text[span.clone()]);
            sink.error(Code::Syntax, span, message).hint(hint);
        }
    }
    broken.hides_tables = broken.lines.iter().any(|line| {
        let line = text[line.clone()].trim_start();
        !is_pair(line) && !line.starts_with('#')
    });
    report_duplicates(text, &definitions, &broken, duplicates, sink);
    (tree.into_inner(), broken)
}

/// A key given twice. A table given twice is one error: its keys, which then meet those of the first, are not more. And
/// under a header that could not be read, keys meet those of the table before, through no fault of theirs.
fn report_duplicates(
    text: &str,
    definitions: &Definitions,
    broken: &Broken,
    duplicates: Vec<Span>,
    sink: &mut Sink,
) {
    let is_header = |span: &Span| text[lines_of(text, span)].trim_start().starts_with('[');
    let twice: Vec<Option<usize>> =
        duplicates.iter().filter(|span| is_header(span)).map(|span| broken.header_of(span.start)).collect();
    for span in duplicates {
        let header = broken.header_of(span.start);
        let header_is_broken = header.is_some_and(|header| broken.covers(&(header..header + 1)));
        if header_is_broken || broken.covers(&span) || (!is_header(&span) && twice.contains(&header)) {
            continue;
        }
        let name = &text[span.clone()];
        let what = if is_header(&span) { "table" } else { "key" };
        let error = sink.error(
            Code::DuplicateKey,
            span.clone(),
            format!("the {what} `{}` is given twice", shown(name)),
        );
        error.label("again here");
        if let Some(first) = definitions.first(&span) {
            error.also(first, "first here");
        }
        error.hint("keep one of the two");
    }
}

/// The parser's message, and what to do about it. What people get wrong most is said plainly.
fn in_our_words(message: &str, found: &str) -> (String, &'static str) {
    let said = |ours: &str, hint| (ours.to_owned(), hint);
    let starts = |start: &str| message.starts_with(start);
    if starts("string values must be quoted") && found.trim().is_empty() {
        said("a value is missing", "write `key = value`")
    } else if starts("string values must be quoted") {
        said("a text is not in quotes", "put it in quotes: `\"…\"`")
    } else if starts("invalid basic string, expected `\"`") {
        said("a text is not closed", "close it with `\"`")
    } else if starts("invalid literal string, expected `'`") {
        said("a text is not closed", "close it with `'`")
    } else if starts("invalid boolean") {
        said("neither `true` nor `false`", "write `true` or `false`, or put a text in quotes")
    } else if starts("unclosed array table") {
        said("the header of a table is not closed", "close it with `]]`")
    } else if starts("unclosed table") {
        said("the header of a table is not closed", "close it with `]`")
    } else if starts("missing comma") {
        said("a comma is missing", "separate what is in brackets with `,`")
    } else if starts("key with no value") {
        said("a key without a value", "write `key = value`")
    } else {
        (message.to_owned(), "a line is `key = value`, `[table]`, `[[table]]` or `# comment`")
    }
}

/// The whole lines that a span touches, without the last line break.
fn lines_of(text: &str, span: &Span) -> Span {
    let start = text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
    // A span that ends with a line break does not touch the line after it.
    let last =
        if span.end > span.start && text[..span.end].ends_with('\n') { span.end - 1 } else { span.end };
    let end = text[last..].find('\n').map_or(text.len(), |newline| last + newline);
    start..end
}

/// A span that is safe to slice with.
fn clamp(text: &str, span: Span) -> Span {
    let floor = |offset: usize| {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    };
    let start = floor(span.start);
    start..floor(span.end).max(start)
}
