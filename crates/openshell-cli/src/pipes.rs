//! Standard input and output of a command that runs elsewhere. Both may stand still for as long as they like, so each has a
//! thread that may wait for it: the connection to the gateway and the signals never do.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::thread;

use bytes::Bytes;
use openshell_files::PIECE;
use openshell_proto::relay::v1alpha1::{StdinEnd, to_supervisor::Frame};
use tokio::sync::{mpsc, oneshot};

use crate::channel::Sender;
use crate::error::CliError;

/// How many pieces of output may wait to be written.
const QUEUE: usize = 4;

/// Sends standard input, piece by piece, and its end. A read may be under way when the program ends, which nobody waits for.
pub(crate) fn feed(sender: Sender) {
    thread::spawn(move || {
        let mut buffer = vec![0; PIECE];
        let mut input = io::stdin().lock();
        loop {
            match input.read(&mut buffer) {
                Ok(count) if count > 0 => {
                    if !sender.blocking_send(Frame::Stdin(Bytes::copy_from_slice(&buffer[..count]))) {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // An input that cannot be read is one that is over.
                Ok(_) | Err(_) => break,
            }
        }
        sender.blocking_send(Frame::StdinEnd(StdinEnd {}));
    });
}

/// Where a piece of output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Stdout,
    Stderr,
}

/// Writes to standard output and error, byte for byte and in order.
#[derive(Debug)]
pub(crate) struct Out {
    pieces: mpsc::Sender<(To, Bytes)>,
    /// How it ended.
    ended: oneshot::Receiver<io::Result<()>>,
}

impl Out {
    /// Begins.
    pub(crate) fn new() -> io::Result<Self> {
        // Copies of the descriptors, since the library's own standard output looks for lines.
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let (pieces, mut queue) = mpsc::channel::<(To, Bytes)>(QUEUE);
        let (end, ended) = oneshot::channel();
        thread::spawn(move || {
            let mut outcome = Ok(());
            while let Some((to, piece)) = queue.blocking_recv() {
                let mut file = match to {
                    To::Stdout => &stdout,
                    To::Stderr => &stderr,
                };
                outcome = file.write_all(&piece);
                if outcome.is_err() {
                    break;
                }
            }
            // Whoever waited for it may be gone.
            let _ = end.send(outcome);
        });
        Ok(Self { pieces, ended })
    }

    /// Writes a piece when there is room for it.
    pub(crate) async fn write(&mut self, to: To, piece: Bytes) -> Result<(), CliError> {
        if self.pieces.send((to, piece)).await.is_ok() {
            return Ok(());
        }
        // Only an error ends it early.
        let outcome = (&mut self.ended).await.unwrap_or(Ok(()));
        Err(CliError::Output(outcome.err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())))
    }

    /// Waits until all of it is written.
    pub(crate) async fn finish(self) -> Result<(), CliError> {
        drop(self.pieces);
        Ok(self.ended.await.unwrap_or(Ok(()))?)
    }
}
