//! The signals that end a program or tell it something, while it has something to clean up or somebody to pass them on to.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// One that ends programs, by its number.
    End(i32),
    /// The terminal has another size.
    Resized,
    /// Stop, and go on when told to.
    Stop,
    /// It goes on after a stop.
    Continued,
}

/// Listens for signals; what they would do by default they do no longer.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    quit: Signal,
    window: Option<Signal>,
    stop: Option<Signal>,
    cont: Option<Signal>,
}

impl Signals {
    /// Those that end programs.
    pub(crate) fn ends() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            window: None,
            stop: None,
            cont: None,
        })
    }

    /// Those that matter to whoever has a terminal, too.
    pub(crate) fn of_terminal() -> io::Result<Self> {
        // SIGTSTP and SIGCONT by their numbers on Linux.
        Ok(Self {
            window: Some(signal(SignalKind::window_change())?),
            stop: Some(signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?),
            cont: Some(signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?),
            ..Self::ends()?
        })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Came {
        tokio::select! {
            () = came(&mut self.interrupt) => Came::End(SignalKind::interrupt().as_raw_value()),
            () = came(&mut self.terminate) => Came::End(SignalKind::terminate().as_raw_value()),
            () = came(&mut self.hangup) => Came::End(SignalKind::hangup().as_raw_value()),
            () = came(&mut self.quit) => Came::End(SignalKind::quit().as_raw_value()),
            () = perhaps(self.window.as_mut()) => Came::Resized,
            () = perhaps(self.stop.as_mut()) => Came::Stop,
            () = perhaps(self.cont.as_mut()) => Came::Continued,
        }
    }
}

async fn came(signal: &mut Signal) {
    // There is no end to signals while the runtime lives.
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

async fn perhaps(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => came(signal).await,
        None => std::future::pending().await,
    }
}
