//! A channel that runs a process: from the start to the last message.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;
use openshell_guest::second::{Plan, Refusal, Stdin};
use openshell_guest::start::Streams;
use openshell_guest::streams::{made_by, terminal};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::process::input::Input;
use crate::process::keeper::{Order, Word};
use crate::process::kept::Kept;
use crate::process::lines::Stream;
use crate::process::output::{LARGE, Output, SMALL, waitable};
use crate::process::{Reaper, frames};

/// The code of a command that was ended for its time being over, as timeout(1) has it.
const TIMED_OUT: i32 = 124;
/// How long such a command may take to end of TERM.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The code of a process that was ended by KILL.
const KILLED: i32 = 137;

/// What to run in a channel.
pub(crate) struct Wanted {
    /// What, as whom, where.
    pub(crate) plan: Plan,
    /// With a terminal of this size, in columns and rows; without, three pipes.
    pub(crate) terminal: Option<(u16, u16)>,
    /// After which it is ended.
    pub(crate) timeout: Option<Duration>,
    /// Whether much is to go through it.
    pub(crate) large: bool,
}

/// How a process has ended.
enum Ending {
    /// With this code.
    Exited(i32),
    /// Its keeper is gone.
    Unkept,
}

/// The supervisor's ends of a process's streams.
struct Ends {
    stdin: Option<AsyncFd<OwnedFd>>,
    stdout: AsyncFd<OwnedFd>,
    stderr: Option<AsyncFd<OwnedFd>>,
    is_terminal: bool,
}

/// Runs a process in a channel; `input` and `output` as in [`crate::service::serve`].
pub(crate) async fn run(wanted: Wanted, input: Receiver<Bytes>, output: Sender<Bytes>, reaper: &Reaper) {
    let started = tokio::select! {
        started = start(&wanted, reaper) => started,
        // It broke meanwhile: whatever was begun ends with its keeper's socket.
        () = output.closed() => return,
    };
    let last = match started {
        Err(refusal) => frames::failed(refusal.message, refusal.code),
        Ok((kept, ends, pid)) => {
            if output.send(frames::started(pid)).await.is_err() {
                return;
            }
            match drive(kept, ends, &wanted, input, &output).await {
                Some(Ending::Exited(code)) => frames::exited(code),
                Some(Ending::Unkept) => {
                    // Only who may do anything in the sandbox can have ended its keeper: this is all that is left to be done.
                    if let Some(process) = Pid::from_raw(pid) {
                        let _ = kill_process_group(process, Signal::KILL);
                    }
                    frames::exited(KILLED)
                }
                None => return,
            }
        }
    };
    // A channel that breaks this late has nothing left to end.
    let _ = output.send(last).await;
}

async fn start(wanted: &Wanted, reaper: &Reaper) -> Result<(Kept, Ends, i32), Refusal> {
    let refused = |error: io::Error| Refusal { message: format!("it cannot be started: {error}"), code: 126 };
    let (streams, ends) = connect(wanted).map_err(refused)?;
    let mut kept = Kept::start(wanted.plan.clone(), streams, reaper).await.map_err(refused)?;
    match kept.word().await {
        Some(Word::Started(pid)) => Ok((kept, ends, pid)),
        Some(Word::Refused(refusal)) => Err(refusal),
        Some(Word::Exited(_)) | None => Err(refused(io::Error::other("its keeper has ended"))),
    }
}

/// Makes the process's streams, which are its user's own.
fn connect(wanted: &Wanted) -> io::Result<(Streams, Ends)> {
    let plan = &wanted.plan;
    if let Some((columns, rows)) = wanted.terminal {
        let (ours, theirs) = made_by(plan.uid, plan.gid, || terminal(columns, rows))?;
        let stderr = theirs.try_clone()?;
        let ends = Ends {
            stdin: Some(waitable(ours.try_clone()?)?),
            stdout: waitable(ours)?,
            stderr: None,
            is_terminal: true,
        };
        return Ok((Streams { stdin: None, stdout: theirs, stderr }, ends));
    }
    let pipe = || {
        let pipe = pipe_with(PipeFlags::CLOEXEC)?;
        if wanted.large {
            // No more than an optimisation, which a user with many pipes is refused.
            let _ = fcntl_setpipe_size(&pipe.0, LARGE);
        }
        Ok::<_, io::Error>(pipe)
    };
    let pipes = || Ok((pipe()?, pipe()?, pipe()?));
    let ((stdin, to_stdin), (stdout, to_stdout), (stderr, to_stderr)) = made_by(plan.uid, plan.gid, pipes)?;
    let open = plan.stdin == Stdin::Passed;
    let ends = Ends {
        stdin: if open { Some(waitable(to_stdin)?) } else { None },
        stdout: waitable(stdout)?,
        stderr: Some(waitable(stderr)?),
        is_terminal: false,
    };
    Ok((Streams { stdin: open.then_some(stdin), stdout: to_stdout, stderr: to_stderr }, ends))
}

/// Keeps everything moving until the process has ended and what it printed is sent; gives its code, or nothing when
/// the channel broke, whereupon the keeper ends the process.
async fn drive(
    mut kept: Kept,
    ends: Ends,
    wanted: &Wanted,
    input: Receiver<Bytes>,
    output: &Sender<Bytes>,
) -> Option<Ending> {
    let Ends { stdin, stdout, stderr, is_terminal } = ends;
    let (tell, ended) = watch::channel(None);
    let piece = if wanted.large { LARGE } else { SMALL };
    let pumps = async {
        let stdout = Output { source: &stdout, stream: Stream::Stdout, piece };
        match &stderr {
            None => stdout.pump(output, ended.clone()).await,
            Some(stderr) => {
                let stderr = Output { source: stderr, stream: Stream::Stderr, piece };
                tokio::join!(stdout.pump(output, ended.clone()), stderr.pump(output, ended.clone()));
            }
        }
    };
    // Both ways of the keeper's socket are used at once.
    let (signals, mut asked) = mpsc::channel(1);
    let feed = Input { from: input, stdin, is_terminal, signals }.feed();
    tokio::pin!(pumps, feed);
    let (mut code, mut pumped, mut timed_out) = (None, false, false);
    let mut alarm = wanted.timeout.map(|timeout| Instant::now() + timeout);
    while code.is_none() || !pumped {
        tokio::select! {
            () = &mut pumps, if !pumped => pumped = true,
            word = kept.word(), if code.is_none() => {
                code = Some(match word {
                    Some(Word::Exited(code)) => Ending::Exited(code),
                    _ => Ending::Unkept,
                });
                alarm = None;
                // Received by the pumps, if they still run.
                let _ = tell.send(Some(Instant::now()));
            }
            Some(number) = asked.recv() => kept.order(&Order::Signal(number)),
            // The channel broke: the drop of `kept` says so.
            () = &mut feed => return None,
            () = output.closed() => return None,
            () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => {
                alarm = None;
                if timed_out {
                    kept.order(&Order::Kill);
                } else {
                    timed_out = true;
                    kept.order(&Order::Signal(Signal::TERM.as_raw()));
                    alarm = Some(Instant::now() + LAST_WORDS);
                }
            }
        }
    }
    if timed_out {
        kept.order(&Order::Kill);
        return Some(Ending::Exited(TIMED_OUT));
    }
    kept.order(&Order::Leave);
    code
}
