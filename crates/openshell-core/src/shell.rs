//! The last line of a program: an error with its causes, printed once, its remedies, and the exit code.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

/// The exit code when a program failed at what it set out to do.
pub const FAILURE: u8 = 1;
/// The exit code when it was asked for something that cannot be: a flag, a variable, `gateway.toml`, the selection.
pub const USAGE: u8 = 2;

/// An error that knows what can be done about it.
pub trait Remedy: Error {
    /// What to do, a line each; a command that runs wherever there is one.
    fn hints(&self) -> Vec<String>;

    /// The exit code that it calls for.
    fn exit_code(&self) -> u8 {
        USAGE
    }

    /// The error as the shell prints it: its chain once, then its hints. Ends with a newline.
    fn render(&self) -> String
    where
        Self: Sized,
    {
        render(self, &self.hints())
    }
}

/// An error's chain, a layer a line, and its hints. Ends with a newline.
#[must_use]
pub fn render(error: &dyn Error, hints: &[String]) -> String {
    let mut out = format!("error: {error}\n");
    let mut shown = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // A layer that repeats the one above it adds nothing.
        if !shown.ends_with(&text) {
            let _ = writeln!(out, "  caused by: {text}");
        }
        shown = text;
        source = cause.source();
    }
    for hint in hints {
        let _ = writeln!(out, "hint: {hint}");
    }
    out
}

/// Prints what was asked for to standard output. A reader that has gone is no failure; a full disk is one.
#[must_use]
pub fn print(text: &str) -> ExitCode {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => fail_plain(&error, &[]),
        _ => ExitCode::SUCCESS,
    }
}

/// Prints an error with its remedies to standard error and gives its exit code.
pub fn fail<E: Remedy>(error: &E) -> ExitCode {
    say(&error.render());
    ExitCode::from(error.exit_code())
}

/// To standard error; where nobody can read it, the exit code still says something.
fn say(text: &str) {
    let _unread = io::stderr().write_all(text.as_bytes());
}

/// Prints an error that has no remedy of its own, and gives the exit code of a failure.
pub fn fail_plain(error: &dyn Error, hints: &[String]) -> ExitCode {
    say(&render(error, hints));
    ExitCode::from(FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("inner")]
    struct Inner;

    #[derive(Debug, thiserror::Error)]
    #[error("outer: inner")]
    struct Repeats(#[source] Inner);

    #[test]
    fn the_chain_is_printed_once_and_hints_follow() {
        assert_eq!(
            render(&Outer(Inner), &["do this".to_owned()]),
            "error: outer\n  caused by: inner\nhint: do this\n"
        );
        assert_eq!(render(&Repeats(Inner), &[]), "error: outer: inner\n");
    }
}
