//! What output goes to: a terminal of some width, with or without colours, or something that no person looks at.

use std::io::{IsTerminal as _, stderr, stdin, stdout};

use openshell_core::Environment;

/// A colour of a terminal, by what it is for (ECMA-48, SGR).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// As it is.
    Plain,
    /// Well.
    Good,
    /// On its way.
    Moving,
    /// Not well.
    Bad,
    /// Of less interest.
    Faint,
}

impl Style {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Moving => Some("33"),
            Self::Bad => Some("31"),
            Self::Faint => Some("2"),
        }
    }

    /// The text in its colour.
    pub(crate) fn paint(self, text: &str) -> String {
        match self.code() {
            Some(code) => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            None => text.to_owned(),
        }
    }
}

/// What standard output, standard error and standard input are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Screen {
    /// How many columns standard output has, when it is a terminal.
    pub(crate) width: Option<usize>,
    /// Whether colours are wanted on standard output.
    pub(crate) colour: bool,
    /// How many columns standard error has, when a line there can be written over.
    pub(crate) live: Option<usize>,
    /// Whether somebody can be asked.
    pub(crate) asks: bool,
}

impl Screen {
    /// What this process has.
    pub(crate) fn of(env: &Environment) -> Self {
        let width = stdout().is_terminal().then(|| columns(&stdout()));
        // https://no-color.org: set and not empty, whatever the value.
        let dumb = env.raw("TERM").is_some_and(|term| term == "dumb");
        Self {
            width,
            colour: width.is_some() && env.raw("NO_COLOR").is_none() && !dumb,
            live: (stderr().is_terminal() && !dumb).then(|| columns(&stderr())),
            asks: stdin().is_terminal() && stderr().is_terminal(),
        }
    }

    /// A screen that nobody looks at.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self { width: None, colour: false, live: None, asks: false }
    }
}

/// The width of a terminal; the old one of terminals for one that does not say.
fn columns(terminal: &impl std::os::fd::AsFd) -> usize {
    match rustix::termios::tcgetwinsize(terminal) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => 80,
    }
}
