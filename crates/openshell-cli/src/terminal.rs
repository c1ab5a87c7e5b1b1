//! The terminal of whoever runs this, handed to a program in a sandbox: as it is for bytes, and given back as it was.

use std::io::{self, IsTerminal as _};

use openshell_proto::relay::v1alpha1::WindowSize;
use rustix::process::Signal;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// A size for a terminal that does not know its own, or is none.
const SIZE: WindowSize = WindowSize { columns: 80, rows: 24 };

/// A terminal that passes every key on; when this goes, in whatever way, the terminal is what it was.
#[derive(Debug)]
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    /// Takes the terminal on standard input.
    pub(crate) fn enter() -> io::Result<Self> {
        let raw = Self { before: tcgetattr(io::stdin())? };
        raw.again()?;
        Ok(raw)
    }

    /// Takes it anew: whoever stopped this program meanwhile has given it other settings.
    fn again(&self) -> io::Result<()> {
        let mut raw = self.before.clone();
        raw.make_raw();
        // At once: what was typed ahead is for the program in the sandbox.
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &raw)?)
    }

    /// Stops this program as Ctrl-Z stops others, with the terminal as it was, and takes it anew when it goes on.
    pub(crate) fn stop(&self) -> io::Result<()> {
        self.leave();
        rustix::process::kill_process(rustix::process::getpid(), Signal::STOP)?;
        self.again()
    }

    /// Goes on after a stop that nobody announced.
    pub(crate) fn resume(&self) -> io::Result<()> {
        self.again()
    }

    fn leave(&self) {
        // Not `Drain`: a terminal that somebody has halted would keep this program for ever.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Whether somebody types at standard input.
pub(crate) fn is_here() -> bool {
    io::stdin().is_terminal()
}

/// The terminal's size: of the one that is typed at, else of the one that is looked at.
pub(crate) fn size() -> WindowSize {
    let size = tcgetwinsize(io::stdin()).or_else(|_| tcgetwinsize(io::stdout()));
    match size {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            WindowSize { columns: size.ws_col.into(), rows: size.ws_row.into() }
        }
        _ => SIZE,
    }
}
