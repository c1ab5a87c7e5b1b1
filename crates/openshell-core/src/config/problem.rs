//! A fault of the configuration, shown where it is: file, line, column, the line underlined, a hint.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use crate::shell::Remedy;

/// The longest part of a source line that is shown.
const MAX_SHOWN: usize = 120;

/// A place in a file, with the line to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file as it was named.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The line itself.
    pub text: String,
    /// What of it to underline, in characters.
    pub underlined: Range<usize>,
}

/// A value of the file and where it stands, for what can only be judged together with flags and variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub at: Location,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// Where, for what stands in a file.
    pub location: Option<Box<Location>>,
    /// What to do.
    pub hints: Vec<String>,
}

impl Problem {
    /// A fault with no place in a file: of a flag, a variable, or a file as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), location: None, hints: Vec::new() }
    }

    /// A fault at a place.
    pub fn at(location: Location, message: impl Into<String>) -> Self {
        Self { message: message.into(), location: Some(Box::new(location)), hints: Vec::new() }
    }

    /// The same with a hint more.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same with what stands behind the underlined part left out, where that is nobody's to read in a log.
    #[must_use]
    pub fn redacted(mut self) -> Self {
        if let Some(location) = &mut self.location {
            location.text = location.text.chars().take(location.underlined.end).collect::<String>() + " …";
        }
        self
    }

    /// The fault under a heading, `error` or `warning`. Ends with a newline.
    #[must_use]
    pub fn render(&self, heading: &str) -> String {
        let mut out = format!("{heading}: {}\n", self.message);
        if let Some(location) = &self.location {
            out.push_str(&location.to_string());
        }
        for hint in &self.hints {
            out.push_str(&format!("hint: {hint}\n"));
        }
        out
    }
}

impl fmt::Display for Location {
    /// The place, the line and the underline, a newline after each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, underlined) = window(&self.text, &self.underlined);
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{margin}--> {}:{}:{}", self.path.display(), self.line, self.column)?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{}", format!("{number} | {shown}").trim_end())?;
        let marks = "^".repeat(underlined.len().max(1));
        writeln!(f, "{margin} | {}{marks}", " ".repeat(underlined.start))
    }
}

/// The part of a line that is shown, with no character in it that could move a terminal's cursor, and where the
/// underline is in it.
fn window(line: &str, underlined: &Range<usize>) -> (String, Range<usize>) {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let chars: Vec<char> = line.chars().map(plain).collect();
    let start = if underlined.start < MAX_SHOWN * 2 / 3 { 0 } else { underlined.start - MAX_SHOWN / 3 };
    let start = start.min(chars.len());
    let end = (start + MAX_SHOWN).min(chars.len());
    let before = if start > 0 { "… " } else { "" };
    let after = if end < chars.len() { " …" } else { "" };
    let shown = format!("{before}{}{after}", chars[start..end].iter().collect::<String>());
    let shift = |column: usize| column.clamp(start, end.max(start)) - start + before.chars().count();
    (shown, shift(underlined.start)..shift(underlined.end))
}

/// Every fault of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{}", problem.render("error"))?;
        }
        match self.0.len() {
            1 => write!(f, "the configuration has an error"),
            count => write!(f, "the configuration has {count} errors"),
        }
    }
}

impl std::error::Error for Problems {}

impl Remedy for Problems {
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }

    fn render(&self) -> String {
        format!("{self}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(text: &str, underlined: Range<usize>) -> Location {
        Location {
            path: "gateway.toml".into(),
            line: 12,
            column: underlined.start + 1,
            text: text.to_owned(),
            underlined,
        }
    }

    #[test]
    fn a_fault_is_shown_where_it_is() {
        let problem =
            Problem::at(location("prot = 1", 0..4), "unknown key `prot`").hint("did you mean `port`?");
        assert_eq!(
            problem.render("error"),
            "error: unknown key `prot`\n  \
               --> gateway.toml:12:1\n   \
                |\n\
             12 | prot = 1\n   \
                | ^^^^\n\
             hint: did you mean `port`?\n"
        );
    }

    #[test]
    fn the_end_of_a_file_still_gets_a_mark() {
        assert_eq!(location("", 0..0).to_string(), "  --> gateway.toml:12:1\n   |\n12 |\n   | ^\n");
    }

    #[test]
    fn a_long_line_is_cut_around_the_fault() {
        let text = format!("{}bad{}", "a".repeat(500), "b".repeat(500));
        let shown = location(&text, 500..503).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[2].chars().count() < 140, "{shown}");
        let at = lines[3].find('^').expect("an underline");
        assert_eq!(lines[2].chars().skip(at).take(3).collect::<String>(), "bad");
    }

    #[test]
    fn a_file_cannot_drive_the_terminal() {
        assert!(!location("a = \"\u{1b}[2J\u{7}\"", 0..1).to_string().contains(['\u{1b}', '\u{7}']));
    }

    #[test]
    fn what_is_behind_a_secret_key_is_not_shown() {
        let problem = Problem::at(location("db_url = \"postgres://u:pw@h\"", 0..6), "no").redacted();
        assert!(!problem.render("error").contains("pw"), "{problem:?}");
    }
}
