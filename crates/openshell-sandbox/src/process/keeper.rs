//! The keeper: a process between the supervisor and a command that a channel runs, so that everything which that
//! command ever starts can be found and ended.
//!
//! Linux has no other name for "whatever came of this process" that an unprivileged descendant cannot shed: a session
//! and a group are left by `setsid`, an environment is the process's own to change and the supervisor's not to read.
//! But an orphan's parent is its nearest ancestor that said so (prctl(2), `PR_SET_CHILD_SUBREAPER`): all descendants
//! of a keeper stay below it. It is the supervisor's own program, runs as root and keeps no secret.
//!
//! ```text
//!   supervisor ── Run(plan) [stdin] ─▶ keeper ─▶ second stage ─▶ command ─▶ …
//!              ◀─ Started | Refused ──
//!              ── Signal(n) ─────────▶          to the command's process group
//!              ◀─ Exited ────────────
//!              ── Leave | Kill ──────▶          what is left goes on, as the sandbox's | ends at once
//!              ── end of the socket ─▶          HUP, 2 s, KILL
//! ```

mod tree;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use openshell_guest::frames::{MAX_FRAME, read, write};
use openshell_guest::second::{Plan, Refusal, Stdin};
use openshell_guest::start::{StartError, Streams, start};
use openshell_guest::{fds, reap};
use rustix::process::{
    DumpableBehavior, Pid, Signal, getpid, kill_process_group, set_child_subreaper, set_dumpable_behavior,
};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use serde::{Deserialize, Serialize};

/// The argument that makes this program a keeper.
pub(crate) const ARGUMENT: &str = "keeper";
/// How long a command may take to end of HUP.
const HANG_UP: Duration = Duration::from_secs(2);

/// What a keeper is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Start this; the first order, and only the first. A standard input that is passed comes right after it.
    Run(Box<Plan>),
    /// A signal, by its number, for the command's process group.
    Signal(i32),
    /// End everything at once.
    Kill,
    /// Leave what is left of it to the sandbox.
    Leave,
}

/// What a keeper tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// The command runs, under this number.
    Started(i32),
    /// It does not.
    Refused(Refusal),
    /// It has ended: its code, 128 and the number for a signal.
    Exited(i32),
}

/// Whether this process is a keeper; if it is, its work is done.
#[must_use]
pub(crate) fn taken() -> bool {
    let is = std::env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT);
    if is {
        // Whoever would want to know hears the socket end.
        let _ = keep();
    }
    is
}

fn keep() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    set_child_subreaper(Some(getpid()))?;
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Some(Order::Run(plan)) = read(&mut socket, MAX_FRAME)? else { return Ok(()) };
    let stdin = match plan.stdin {
        Stdin::Passed if !plan.tty => Some(fds::receive(&socket)?),
        _ => None,
    };
    let (stdout, stderr) =
        (io::stdout().as_fd().try_clone_to_owned()?, io::stderr().as_fd().try_clone_to_owned()?);
    // A stream has ended when the command's side is closed: nothing of it may stay here.
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    let command = match start::<StartError>(&plan, Streams { stdin, stdout, stderr }, |_| Ok(())) {
        Ok(command) => command,
        Err(error) => return write(&mut socket, &Word::Refused(error.refusal())),
    };
    drop(plan);
    write(&mut socket, &Word::Started(command.as_raw_nonzero().get()))?;
    let kept = Arc::new(Kept { command, running: Mutex::new(true) });
    let (reaping, tell) = (kept.clone(), socket.try_clone()?);
    thread::Builder::new().stack_size(64 << 10).spawn(move || reaping.reap(tell))?;
    kept.obey(&mut socket);
    Ok(())
}

/// A command that was started.
struct Kept {
    command: Pid,
    /// Whether the command's number is still its own.
    running: Mutex<bool>,
}

impl Kept {
    /// Takes children as they end, and tells of the command.
    fn reap(&self, mut tell: UnixStream) {
        while reap::wait_for_one() {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some((process, ending)) = reap::take() {
                if process == self.command {
                    *running = false;
                    // The supervisor may be gone: then the other thread knows.
                    let _ = write(&mut tell, &Word::Exited(ending.code));
                }
            }
        }
    }

    /// Does what it is told until there is nothing left to do.
    fn obey(&self, socket: &mut UnixStream) {
        loop {
            match read(socket, MAX_FRAME) {
                Ok(Some(Order::Signal(number))) => {
                    if let Some(signal) = Signal::from_named_raw(number) {
                        self.signal(signal);
                    }
                }
                Ok(Some(Order::Leave)) => return,
                Ok(Some(Order::Kill)) => return tree::end(),
                Ok(Some(Order::Run(_))) => {}
                Ok(None) | Err(_) => {
                    self.signal(Signal::HUP);
                    // What is stopped hears nothing else.
                    self.signal(Signal::CONT);
                    let deadline = Instant::now() + HANG_UP;
                    while Instant::now() < deadline && !tree::empty() {
                        thread::sleep(Duration::from_millis(20));
                    }
                    return tree::end();
                }
            }
        }
    }

    /// Under the lock, the command's number cannot become somebody else's.
    fn signal(&self, signal: Signal) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if *running {
            let _ = kill_process_group(self.command, signal);
        }
    }
}
