//! Waiting for children: how one has ended, and the end of all, orphans too.

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus, wait, waitid};

/// How a process has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// A shell's way to put it: the exit code, or 128 and the signal.
    pub code: i32,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
}

impl Ending {
    /// Of a status; nothing for a process that has only stopped or goes on.
    #[must_use]
    pub fn of(status: WaitStatus) -> Option<Self> {
        match status.terminating_signal() {
            Some(signal) => Some(Self { code: 128 + signal, signal: Some(signal) }),
            None => status.exit_status().map(|code| Self { code, signal: None }),
        }
    }
}

/// Waits until some child has ended, and leaves it for [`take`]; false when there is no child, now or to come.
#[must_use]
pub fn wait_for_one() -> bool {
    loop {
        match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Err(Errno::INTR) => {}
            result => return result.is_ok(),
        }
    }
}

/// Takes a child that has ended, whichever, without waiting for one.
#[must_use]
pub fn take() -> Option<(Pid, Ending)> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((process, status))) => {
                if let Some(ending) = Ending::of(status) {
                    return Some((process, ending));
                }
            }
            Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Waits for children as long as there are any, and says of each that, and how, it has ended. It blocks its thread.
pub fn until_none(mut each: impl FnMut(Pid, Ending)) {
    while wait_for_one() {
        while let Some((process, ending)) = take() {
            each(process, ending);
        }
    }
}
