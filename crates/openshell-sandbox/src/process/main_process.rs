//! The main process: what the sandbox is there for.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

use openshell_guest::second::{Refusal, Stdin};
use openshell_guest::start::{StartError, Streams, start};
use openshell_guest::streams::{made_by, resize, terminal};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{OptionalActions, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::{mpsc, watch};

use crate::process::Reaper;
use crate::process::identity::Identity;
use crate::process::lines::{Lines, Splitter, Stream};

/// The size of a terminal that nobody looks at, in characters.
const SIZE: (u16, u16) = (80, 24);
/// What a copy of output holds; twice, without a terminal.
const PIECE: usize = 32 << 10;

/// The main process.
pub(crate) struct MainProcess {
    process: Option<Pid>,
    terminal: Option<OwnedFd>,
    ended: watch::Receiver<Option<i32>>,
    lines: Lines,
}

/// The copies of its output to the supervisor's own; ends when they have.
pub struct Output {
    copying: mpsc::Receiver<()>,
}

impl Output {
    /// Waits until everything that was printed is passed on, at most so long.
    pub(crate) async fn passed_on(mut self, patience: Duration) {
        // A late byte is no reason to stay.
        let _ = tokio::time::timeout(patience, self.copying.recv()).await;
    }
}

impl MainProcess {
    /// Starts it: `argv` exactly, with a terminal or without, which then has the supervisor's own standard input.
    ///
    /// A command that cannot be started counts as one that has ended with the code of the [`Refusal`] that comes
    /// back.
    pub(crate) fn start(
        argv: Vec<String>,
        tty: bool,
        identity: &Identity,
        reaper: &Reaper,
    ) -> (Self, Output, Option<Refusal>) {
        let lines = Lines::default();
        let (tell, ended) = watch::channel(None);
        let (copies, copying) = mpsc::channel(1);
        let begun = begin(argv, tty, identity, reaper, &lines, copies);
        let (process, terminal, refusal) = match begun {
            Ok((process, terminal, child)) => {
                tokio::spawn(async move { tell.send(Some(child.ended().await.code)) });
                (Some(process), terminal, None)
            }
            Err(refusal) => {
                // Kept by the receiver.
                let _ = tell.send(Some(refusal.code));
                lines.close();
                (None, None, Some(refusal))
            }
        };
        (Self { process, terminal, ended, lines }, Output { copying }, refusal)
    }

    /// Its number; nothing where it could not be started.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.process.map(|process| process.as_raw_nonzero().get())
    }

    /// Waits for its end: its exit code, 128 and the number for a signal. Any number may wait, also after the end.
    pub(crate) async fn ended(&self) -> i32 {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(code) => code.unwrap_or_default(),
            // Its waiting was given up: the supervisor ends.
            Err(_) => 137,
        }
    }

    /// Sends it a signal by its number; one that does not exist, or that comes after its end, goes nowhere.
    pub(crate) fn signal(&self, number: i32) {
        if self.ended.borrow().is_none()
            && let (Some(process), Some(signal)) = (self.process, Signal::from_named_raw(number))
        {
            let _ = kill_process(process, signal);
        }
    }

    /// The supervisor's own terminal has another size: so has the main process's.
    pub(crate) fn follow_size(&self) {
        match (&self.terminal, size()) {
            (Some(terminal), Some((columns, rows))) => drop(resize(terminal, columns, rows)),
            _ => self.signal(Signal::WINCH.as_raw()),
        }
    }

    /// What it prints, for the gateway.
    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }
}

type Begun = (Pid, Option<OwnedFd>, super::reaper::Child);

fn begin(
    argv: Vec<String>,
    tty: bool,
    identity: &Identity,
    reaper: &Reaper,
    lines: &Lines,
    copies: mpsc::Sender<()>,
) -> Result<Begun, Refusal> {
    let during = |what| move |error: io::Error| StartError::Io(what, error).refusal();
    let (uid, gid) = (identity.user.uid, identity.user.gid);
    let mut sources = Vec::new();
    let (streams, ours) = if tty {
        let (columns, rows) = size().unwrap_or(SIZE);
        let (ours, theirs) = made_by(uid, gid, || terminal(columns, rows)).map_err(during("its terminal"))?;
        pass_on_raw();
        sources.push((Stream::Stdout, ours.try_clone().map_err(during("its terminal"))?));
        let stderr = theirs.try_clone().map_err(during("its terminal"))?;
        (Streams { stdin: None, stdout: theirs, stderr }, Some(ours))
    } else {
        let pipes = || Ok((pipe_with(PipeFlags::CLOEXEC)?, pipe_with(PipeFlags::CLOEXEC)?));
        let ((stdout, to_stdout), (stderr, to_stderr)) =
            made_by(uid, gid, pipes).map_err(during("its output"))?;
        sources.extend([(Stream::Stdout, stdout), (Stream::Stderr, stderr)]);
        let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(during("its input"))?;
        (Streams { stdin: Some(stdin), stdout: to_stdout, stderr: to_stderr }, None)
    };
    let stdin = if tty { Stdin::Empty } else { Stdin::Passed };
    let plan = identity.plan(argv, "", [], tty, stdin);
    let mut child = None;
    let process = start::<StartError>(&plan, streams, |process| {
        child = Some(reaper.expect(process));
        Ok(())
    })
    .map_err(StartError::refusal)?;
    let child = child.ok_or_else(|| during("its end")(io::ErrorKind::NotFound.into()))?;
    let last = std::sync::Arc::new(Closing(lines.clone()));
    for (stream, source) in sources {
        let splitter = Splitter::new(lines.clone(), stream);
        let (copies, last) = (copies.clone(), last.clone());
        let copy = move || {
            pass_on(stream, File::from(source), splitter);
            drop((last, copies));
        };
        thread::Builder::new().stack_size(128 << 10).spawn(copy).map_err(during("a thread"))?;
    }
    Ok((process, ours, child))
}

/// Closes the queue with the last copy.
struct Closing(Lines);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Copies a stream to the supervisor's own, byte for byte, and to the queue, until its end. On a thread of its own:
/// what reads the supervisor's output may be slow, and then the main process waits for it, and nobody else.
fn pass_on(stream: Stream, mut source: File, mut splitter: Splitter) {
    let mut buffer = vec![0; PIECE];
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // A terminal that nobody has open any more.
            Err(_) => return,
        };
        let bytes = &buffer[..count];
        // Nobody may read it any more; the main process goes on.
        let _ = match stream {
            Stream::Stdout => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
            Stream::Stderr => io::stderr().write_all(bytes),
        };
        splitter.push(bytes);
    }
}

/// The size of the supervisor's own terminal, if it has one.
fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// Has the supervisor's own terminal change nothing: the main process's has made its line ends already.
fn pass_on_raw() {
    if isatty(io::stdout())
        && let Ok(mut settings) = tcgetattr(io::stdout())
    {
        settings.make_raw();
        let _ = tcsetattr(io::stdout(), OptionalActions::Now, &settings);
    }
}
