//! What comes over a channel for a process that runs: its standard input, its terminal's size, signals.

use std::io;
use std::os::fd::OwnedFd;

use bytes::{Buf, Bytes};
use openshell_guest::streams::resize;
use openshell_proto::relay::v1alpha1::to_supervisor::Frame;
use openshell_proto::relay::v1alpha1::{ToSupervisor, WindowSize};
use prost::Message;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::{Receiver, Sender};

/// The end of input on a terminal (termios(3), `VEOF`).
const END: &[u8] = &[4];

/// The way in of a channel.
pub(crate) struct Input {
    /// Encoded messages.
    pub(crate) from: Receiver<Bytes>,
    /// Where standard input goes: a pipe, or our side of a terminal; nowhere without.
    pub(crate) stdin: Option<AsyncFd<OwnedFd>>,
    /// Whether that is a terminal.
    pub(crate) is_terminal: bool,
    /// Where signals go, by their numbers.
    pub(crate) signals: Sender<i32>,
}

impl Input {
    /// Passes on what comes, as fast as the process takes it; comes back when the channel is broken, or what comes is
    /// no message.
    pub(crate) async fn feed(mut self) {
        while let Some(message) = self.from.recv().await {
            let Ok(message) = ToSupervisor::decode(message) else { return };
            match message.frame {
                Some(Frame::Stdin(bytes)) => self.write(bytes).await,
                Some(Frame::StdinEnd(_)) if self.is_terminal => self.write(Bytes::from_static(END)).await,
                Some(Frame::StdinEnd(_)) => self.stdin = None,
                Some(Frame::Resize(size)) => {
                    let (columns, rows) = characters(size);
                    if let Some(terminal) = self.stdin.as_ref().filter(|_| self.is_terminal) {
                        // It has gone with the process.
                        let _ = resize(terminal, columns, rows);
                    }
                }
                Some(Frame::Signal(number)) => {
                    // Nobody takes them any more: the process has ended.
                    let _ = self.signals.send(number).await;
                }
                // There is one start in a channel; what a newer gateway has to say besides is no matter.
                Some(Frame::Start(_)) | None => {}
            }
        }
    }

    /// Writes all of it. A process that reads no more loses what comes, as it would from a pipe that it has closed.
    async fn write(&mut self, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let Some(stdin) = &self.stdin else { return };
            let written = async {
                let mut ready = stdin.writable().await?;
                Ok::<_, io::Error>(ready.try_io(|stdin| Ok(rustix::io::write(stdin.get_ref(), &bytes)?)))
            };
            match written.await {
                Ok(Ok(Ok(count))) => bytes.advance(count),
                Ok(Err(_would_wait)) => {}
                Ok(Ok(Err(_))) | Err(_) => self.stdin = None,
            }
        }
    }
}

/// A size as a terminal knows it; none is the usual one.
pub(crate) fn characters(size: WindowSize) -> (u16, u16) {
    let limited = |given: u32, usual| match u16::try_from(given) {
        Ok(0) => usual,
        Ok(given) => given,
        Err(_) => u16::MAX,
    };
    (limited(size.columns, 80), limited(size.rows, 24))
}
