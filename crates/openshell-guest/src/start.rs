//! Starting a process: the first stage's part of it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use rustix::process::Pid;

use crate::fds;
use crate::frames::{MAX_FRAME, read, write};
use crate::second::{self, Plan, Refusal, Stdin};

/// What programs expect in their `PATH` where nobody says it.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a process's standard streams are.
#[derive(Debug)]
pub struct Streams {
    /// For [`Stdin::Passed`].
    pub stdin: Option<OwnedFd>,
    /// A pipe's end to write to; for a plan with a terminal, the process's side of that.
    pub stdout: OwnedFd,
    /// The same for the errors.
    pub stderr: OwnedFd,
}

/// Why a process was not started.
#[derive(Debug)]
pub enum StartError {
    /// This much did not work.
    Io(&'static str, io::Error),
    /// The second stage could not become the command.
    Refused(Refusal),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(what, error) => write!(f, "`{what}`: {error}"),
            Self::Refused(refusal) => f.write_str(&refusal.message),
        }
    }
}

impl std::error::Error for StartError {}

impl StartError {
    /// What became of the start, as a shell's code and words.
    #[must_use]
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            error => Refusal { message: error.to_string(), code: 126 },
        }
    }
}

/// Starts a process in a session of its own, and comes back when its `execve` has succeeded. `hold` is called with
/// its number before it can have children. Who waits for it is the caller's to see to, also where this fails after
/// that.
///
/// # Errors
/// A [`StartError`], or what `hold` says.
pub fn start<E: From<StartError>>(
    plan: &Plan,
    streams: Streams,
    hold: impl FnOnce(Pid) -> Result<(), E>,
) -> Result<Pid, E> {
    let during = |what: &'static str| move |error: io::Error| StartError::Io(what, error);
    let (mut ours, theirs) = UnixStream::pair().map_err(during("a socket"))?;
    let child = Command::new("/proc/self/exe")
        .arg(second::ARGUMENT)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(streams.stdout))
        .stderr(Stdio::from(streams.stderr))
        .spawn()
        .map_err(during("this program's second stage"))?;
    let process = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let process = process.ok_or_else(|| {
        StartError::Io("this program's second stage", io::Error::other("the kernel gave it no number"))
    })?;
    // It waits for its plan, so that it is held before it can have children.
    hold(process)?;
    write(&mut ours, plan).map_err(during("its plan"))?;
    if plan.stdin == Stdin::Passed
        && !plan.tty
        && let Some(stdin) = &streams.stdin
    {
        fds::send(&ours, stdin.as_fd()).map_err(during("its standard input"))?;
    }
    // The other end closes itself at `execve`: nothing to read means that the process runs.
    match read::<Refusal>(&mut ours, MAX_FRAME).map_err(during("its second stage"))? {
        None => Ok(process),
        Some(refusal) => Err(StartError::Refused(refusal).into()),
    }
}
