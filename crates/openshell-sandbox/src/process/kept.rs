//! A command behind its keeper, as the supervisor sees it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use openshell_guest::fds;
use openshell_guest::frames::{Frames, MAX_FRAME, encode};
use openshell_guest::second::{Plan, Stdin};
use openshell_guest::start::Streams;
use rustix::process::Pid;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;

use crate::process::Reaper;
use crate::process::keeper::{ARGUMENT, Order, Word};

/// A keeper. When it is dropped, its command is hung up on and everything of it ended, unless
/// [`Order::Leave`] was given.
pub(crate) struct Kept {
    socket: UnixStream,
    frames: Frames,
}

impl Kept {
    /// Starts a keeper that starts the command; its first word says how that went.
    ///
    /// # Errors
    /// There is no room for another process, or the plan is too long for a message.
    pub(crate) async fn start(plan: Plan, streams: Streams, reaper: &Reaper) -> io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let passed = streams.stdin.filter(|_| plan.stdin == Stdin::Passed && !plan.tty);
        let order = encode(&Order::Run(Box::new(plan)))?;
        let keeper = Command::new("/proc/self/exe")
            .arg(ARGUMENT)
            .env_clear()
            // Out of reach of what a terminal of the supervisor's own sends.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(streams.stdout))
            .stderr(Stdio::from(streams.stderr))
            .spawn()?;
        if let Some(keeper) = i32::try_from(keeper.id()).ok().and_then(Pid::from_raw) {
            // Its end says nothing that the end of the socket does not: it is only not to stay a zombie, or stopped.
            reaper.expect_keeper(keeper);
        }
        ours.set_nonblocking(true)?;
        let mut socket = UnixStream::from_std(ours)?;
        socket.write_all(&order).await?;
        if let Some(stdin) = passed {
            let send = || fds::send(&socket, stdin.as_fd());
            socket.async_io(Interest::WRITABLE, send).await?;
        }
        Ok(Self { socket, frames: Frames::new(MAX_FRAME) })
    }

    /// Waits for what the keeper says next; nothing when it is gone. Nothing is lost when this is given up while it
    /// waits.
    pub(crate) async fn word(&mut self) -> Option<Word> {
        loop {
            match self.frames.next_message() {
                Ok(Some(word)) => return Some(word),
                Ok(None) => {}
                Err(_) => return None,
            }
            self.socket.readable().await.ok()?;
            let mut bytes = [0; 512];
            match self.socket.try_read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.frames.push(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }

    /// Tells the keeper something.
    pub(crate) fn order(&self, order: &Order) {
        if let Ok(frame) = encode(order) {
            // A few bytes, and the keeper reads: there is room. A keeper that is gone has ended.
            let _ = rustix::io::write(&self.socket, &frame);
        }
    }
}
