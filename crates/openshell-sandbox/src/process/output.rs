//! A process's output on its way into a channel.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use bytes::Bytes;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::ioctl_fionread;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::process::frames;
use crate::process::lines::Stream;

/// The most bytes of output in a message of a file's channel.
pub(crate) const LARGE: usize = 256 << 10;
/// The most bytes of output in a message of a command's: a hundred that nobody reads shall fit into the supervisor.
pub(crate) const SMALL: usize = 32 << 10;
/// How long somebody who was left behind and has the output open may hold up the end.
const GRACE: Duration = Duration::from_millis(500);

thread_local! {
    /// Where output is read to before its length is known; one for all channels, since nothing waits while it is
    /// used.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; LARGE]);
}

/// Makes a descriptor one that tokio can wait for.
///
/// # Errors
/// The kernel's, or there is no runtime.
#[expect(
    deprecated,
    reason = "what comes after it is `unsafe`, for types whose descriptor changes: an `OwnedFd`'s does not"
)]
pub(crate) fn waitable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    fcntl_setfl(&descriptor, fcntl_getfl(&descriptor)? | OFlags::NONBLOCK)?;
    AsyncFd::new(descriptor)
}

/// When the process has ended, if it has; what it is told by is a sender of the same.
pub(crate) type Ended = watch::Receiver<Option<Instant>>;

/// One output of a process: a pipe, or our side of its terminal.
pub(crate) struct Output<'a> {
    /// Where it is read.
    pub(crate) source: &'a AsyncFd<OwnedFd>,
    /// What it is to the reader.
    pub(crate) stream: Stream,
    /// The most bytes in a message.
    pub(crate) piece: usize,
}

impl Output<'_> {
    /// Sends what the process prints, as fast as the channel takes it, until its end.
    ///
    /// The end is that of the output; or, once the process has ended, everything that was there by then and whatever
    /// comes within [`GRACE`] from those it left behind. A channel that is gone is an end, too.
    pub(crate) async fn pump(&self, channel: &Sender<Bytes>, ended: Ended) {
        let mut waiting = ended.clone();
        let over = async move {
            // An error: nobody is left to tell, since the process is given up.
            let at = waiting.wait_for(Option::is_some).await.map_or(None, |at| *at);
            sleep_until(at.unwrap_or_else(Instant::now) + GRACE).await;
        };
        tokio::pin!(over);
        // How much of what was there at the end is not sent yet.
        let mut owed = None;
        loop {
            if owed.is_none() && ended.borrow().is_some() {
                owed = Some(ioctl_fionread(self.source).unwrap_or(0));
            }
            let (count, frame) = tokio::select! {
                biased;
                ready = self.source.readable() => {
                    let Ok(mut ready) = ready else { return };
                    match ready.try_io(|source| self.take(source.get_ref())) {
                        Ok(Ok(Some(piece))) => piece,
                        // Its end, which a terminal says by an error.
                        Ok(Ok(None) | Err(_)) => return,
                        Err(_would_wait) => continue,
                    }
                }
                () = &mut over => return,
            };
            if channel.send(frame).await.is_err() {
                return;
            }
            let at = *ended.borrow();
            if let (Some(owed), Some(at)) = (&mut owed, at) {
                *owed = owed.saturating_sub(count);
                if *owed == 0 && Instant::now() > at + GRACE {
                    return;
                }
            }
        }
    }

    /// Reads a piece without waiting; nothing at the end.
    fn take(&self, source: &OwnedFd) -> io::Result<Option<(u64, Bytes)>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let count = rustix::io::read(source, &mut scratch[..self.piece])?;
            Ok((count > 0).then(|| (count as u64, frames::output(self.stream, &scratch[..count]))))
        })
    }
}
