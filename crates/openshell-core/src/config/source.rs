//! The text of `gateway.toml`: read with every precaution, and able to say where a byte of it is.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::problem::{Location, Problem};

/// The largest file that is taken for a configuration.
const MAX_BYTES: u64 = 1 << 20;

/// A file's text.
#[derive(Debug, Clone)]
pub(crate) struct SourceText {
    path: PathBuf,
    text: String,
}

impl SourceText {
    pub(crate) fn new(path: &Path, text: String) -> Self {
        Self { path: path.to_owned(), text }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a span of bytes is. A span of several lines is underlined in its first.
    pub(crate) fn locate(&self, span: &Range<usize>) -> Location {
        let floor = |at: usize| {
            (0..=at.min(self.text.len())).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0)
        };
        let (start, end) = (floor(span.start), floor(span.end.max(span.start)));
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        let line = self.text[line_start..line_end].trim_end_matches('\r');
        let chars = |at: usize| {
            self.text[line_start..at.min(line_start + line.len()).max(line_start)].chars().count()
        };
        Location {
            path: self.path.clone(),
            line: self.text[..start].matches('\n').count() + 1,
            column: chars(start) + 1,
            text: line.to_owned(),
            underlined: chars(start)..chars(end),
        }
    }
}

/// Reads a file. `Ok(None)`: there is no such file (a link that leads nowhere is a fault instead).
pub(crate) fn read(path: &Path) -> Result<Option<SourceText>, Problem> {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match fs::read_link(path) {
                Ok(target) => Err(Problem::new(format!(
                    "`{shown}` is a link to `{}`, which does not exist",
                    target.display()
                ))
                .hint(format!("remove the link or make its target: ls -l {shown}"))),
                Err(_) => Ok(None),
            };
        }
        Err(error) => return Err(unreadable(path, &error)),
    };
    // Asked before it is opened: opening a pipe waits for somebody to write into it.
    if metadata.is_dir() {
        return Err(Problem::new(format!("`{shown}` is a directory, not a configuration file"))
            .hint(format!("openshell-gateway --config {}", path.join("gateway.toml").display())));
    }
    if !metadata.is_file() {
        return Err(Problem::new(format!("`{shown}` is not a regular file")));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Problem::new(format!("`{shown}` is too large for a configuration: more than 1 MiB")));
    }
    decode(path, bytes).map(Some)
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let problem = Problem::new(format!("cannot read `{}`: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::PermissionDenied => problem.hint(format!("ls -l {}", path.display())),
        _ => problem,
    }
}

fn decode(path: &Path, bytes: Vec<u8>) -> Result<SourceText, Problem> {
    String::from_utf8(bytes).map(|text| SourceText::new(path, text)).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let byte = error.as_bytes()[at];
        // The bytes as text, so that the line can be shown; up to `at` they are what they were.
        let lossy = SourceText::new(path, String::from_utf8_lossy(error.as_bytes()).into_owned());
        let width = char::REPLACEMENT_CHARACTER.len_utf8();
        Problem::at(lossy.locate(&(at..at + width)), format!("byte 0x{byte:02x} is not UTF-8"))
            .hint("save the file as UTF-8; TOML knows no other encoding")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_found_by_line_and_column() {
        let source = SourceText::new(Path::new("f"), "a = 1\r\nü = \"x\"\nlast".to_owned());
        let at = |span| {
            let location = source.locate(&span);
            (location.line, location.column, location.text.clone(), location.underlined)
        };
        assert_eq!(at(0..1), (1, 1, "a = 1".to_owned(), 0..1));
        assert_eq!(at(12..15), (2, 5, "ü = \"x\"".to_owned(), 4..7));
        assert_eq!(at(16..20), (3, 1, "last".to_owned(), 0..4));
        assert_eq!(at(20..20), (3, 5, "last".to_owned(), 4..4), "the end of the file");
        assert_eq!(at(900..901).0, 3, "beyond it");
        assert_eq!(at(0..20), (1, 1, "a = 1".to_owned(), 0..5), "several lines");
    }
}
