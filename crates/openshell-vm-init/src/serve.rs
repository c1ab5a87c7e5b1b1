//! While the main process runs, and until nothing of the workload is left.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use openshell_guest::reap::until_none;
use openshell_vm_init::protocol::{FromGuest, ToGuest};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::failure::{During, Failure};
use crate::port::Port;
use crate::workload::Workload;

const STEP: &str = "watch the command";
/// How long processes may take to die of KILL before the disk is brought into order without them.
const DYING: Duration = Duration::from_secs(2);

/// What there is to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Output,
    Port,
    End,
}

/// Forwards output, answers the driver and ends with the main process.
pub(crate) fn run(port: &mut Port, mut workload: Workload) -> Result<(), Failure> {
    let ended = reap(workload.process)?;
    let mut end = None;
    // Until when: the main process may run after a stop, the rest may die after it.
    let mut deadline = None;
    let mut writing = true;
    while writing || end.is_none() {
        // What has ended is left out: it would be ready for ever.
        let (mut fds, mut whose) = (Vec::new(), Vec::new());
        if writing {
            fds.push(PollFd::new(&workload.output, PollFlags::IN));
            whose.push(Source::Output);
        }
        if end.is_none() {
            fds.extend([PollFd::new(port, PollFlags::IN), PollFd::new(&ended, PollFlags::IN)]);
            whose.extend([Source::Port, Source::End]);
        }
        wait_for(&mut fds, deadline)?;
        let ready: Vec<_> = fds
            .iter()
            .zip(whose)
            .filter(|(fd, _)| !fd.revents().is_empty())
            .map(|(_, source)| source)
            .collect();
        if ready.contains(&Source::Output) {
            writing = copy(&mut workload);
        }
        if ready.contains(&Source::End) {
            end = Some(read_end(&ended)?);
            kill_everything();
            deadline = Some(Instant::now() + DYING);
        }
        if ready.contains(&Source::Port) && end.is_none() {
            for message in port.receive()? {
                match message {
                    ToGuest::Ping(number) => port.send(&FromGuest::Pong(number))?,
                    ToGuest::Stop { grace_ms } => {
                        // Gone already: then its end is on its way.
                        let _ = kill_process(workload.process, Signal::TERM);
                        let until = Instant::now() + Duration::from_millis(grace_ms);
                        deadline = Some(deadline.map_or(until, |known: Instant| known.min(until)));
                    }
                    // There is one specification in a machine's life.
                    ToGuest::Spec(_) => {}
                }
            }
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            if end.is_some() {
                break;
            }
            kill_everything();
            deadline = None;
        }
    }
    gone(&ended);
    if let Some((code, signal)) = end {
        let out_of_memory = workload.limits.out_of_memory();
        port.send(&FromGuest::Exited { code, signal, out_of_memory })?;
    }
    Ok(())
}

/// Everything but this process, which the kernel spares.
fn kill_everything() {
    // Nobody left is what is wanted.
    let _ = kill_process_group(Pid::INIT, Signal::KILL);
}

/// Waits for one of the descriptors or the deadline.
fn wait_for(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> Result<(), Failure> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let timeout = left.map(|left| Timespec {
        tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    });
    match poll(fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(Failure::new(STEP, error.to_string())),
    }
}

/// Copies what there is of the output to the console; false at its end.
fn copy(workload: &mut Workload) -> bool {
    let mut buffer = [0; 4096];
    match workload.output(&mut buffer) {
        None => false,
        Some(count) => {
            // The console may be gone; the workload goes on.
            let mut console = std::io::stdout().lock();
            let _ = console.write_all(&buffer[..count]).and_then(|()| console.flush());
            true
        }
    }
}

/// Waits for children as long as there are any, on a thread of its own, since nothing else says without signals that an
/// orphan has died. What it gives back tells the end of `main` (its code and signal), and closes when nobody is left.
fn reap(main: Pid) -> Result<OwnedFd, Failure> {
    let (ended, tell) = pipe_with(PipeFlags::CLOEXEC).during(STEP, "a pipe")?;
    let reaper = move || {
        until_none(|process, ending| {
            if process == main {
                let mut message = [0; 8];
                message[..4].copy_from_slice(&ending.code.to_ne_bytes());
                message[4..].copy_from_slice(&ending.signal.unwrap_or(0).to_ne_bytes());
                // Read for as long as this program lives.
                let _ = rustix::io::write(&tell, &message);
            }
        });
    };
    std::thread::Builder::new().stack_size(64 << 10).spawn(reaper).during(STEP, "a thread")?;
    Ok(ended)
}

fn read_end(ended: &OwnedFd) -> Result<(i32, Option<i32>), Failure> {
    let (mut code, mut signal) = ([0; 4], [0; 4]);
    for word in [&mut code, &mut signal] {
        if rustix::io::read(ended, &mut word[..]).during(STEP, "its end")? != 4 {
            return Err(Failure::new(STEP, "its end was not seen"));
        }
    }
    let signal = i32::from_ne_bytes(signal);
    Ok((i32::from_ne_bytes(code), (signal != 0).then_some(signal)))
}

/// Waits until nobody is left, so that the disk can be made read-only.
fn gone(ended: &OwnedFd) {
    let deadline = Instant::now() + DYING;
    loop {
        let mut fds = [PollFd::new(ended, PollFlags::IN)];
        let waited = wait_for(&mut fds, Some(deadline));
        if waited.is_err() || !fds[0].revents().is_empty() || deadline <= Instant::now() {
            return;
        }
    }
}
