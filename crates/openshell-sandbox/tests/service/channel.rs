//! A channel's other side.

use std::sync::Arc;

use bytes::Bytes;
use openshell_proto::relay::v1alpha1::from_supervisor::Frame;
use openshell_proto::relay::v1alpha1::start::What;
use openshell_proto::relay::v1alpha1::to_supervisor::Frame as ToFrame;
use openshell_proto::relay::v1alpha1::{
    Command, FromSupervisor, MainProcess, Start, StdinEnd, ToSupervisor, WindowSize,
};
use openshell_sandbox::{QUEUE, Sandbox, serve};
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// An open channel.
pub(crate) struct Channel {
    /// Towards the supervisor.
    pub(crate) input: mpsc::Sender<Bytes>,
    /// From the supervisor.
    pub(crate) output: mpsc::Receiver<Bytes>,
    /// The supervisor's side, which ends with the channel.
    pub(crate) served: JoinHandle<()>,
}

/// How a channel went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// Of `Exited` or `Failed`; -1 without either.
    pub(crate) code: i32,
    pub(crate) pid: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// Of `Failed`.
    pub(crate) message: String,
}

impl End {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl Channel {
    pub(crate) fn open(sandbox: &Arc<Sandbox>, what: What) -> Self {
        let (input, from) = mpsc::channel(QUEUE);
        let (to, output) = mpsc::channel(QUEUE);
        let served = tokio::spawn(serve(Start { what: Some(what) }, from, to, sandbox.clone()));
        Self { input, output, served }
    }

    pub(crate) fn main(sandbox: &Arc<Sandbox>) -> Self {
        Self::open(sandbox, What::MainProcess(MainProcess {}))
    }

    pub(crate) fn command(sandbox: &Arc<Sandbox>, command: Command) -> Self {
        Self::open(sandbox, What::Command(command))
    }

    /// A script, without input.
    pub(crate) fn shell(sandbox: &Arc<Sandbox>, script: &str) -> Self {
        Self::command(sandbox, shell(script))
    }

    async fn send(self, frame: ToFrame) -> Self {
        let message = ToSupervisor { frame: Some(frame) }.encode_to_vec();
        // A channel that has ended takes nothing.
        let _ = self.input.send(message.into()).await;
        self
    }

    pub(crate) async fn stdin(self, bytes: &[u8]) -> Self {
        self.send(ToFrame::Stdin(Bytes::copy_from_slice(bytes))).await
    }

    pub(crate) async fn stdin_end(self) -> Self {
        self.send(ToFrame::StdinEnd(StdinEnd {})).await
    }

    pub(crate) async fn signal(self, number: i32) -> Self {
        self.send(ToFrame::Signal(number)).await
    }

    pub(crate) async fn resize(self, columns: u32, rows: u32) -> Self {
        self.send(ToFrame::Resize(WindowSize { columns, rows })).await
    }

    /// The next message; nothing at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let message = self.output.recv().await?;
        FromSupervisor::decode(message).expect("a message").frame
    }

    /// Reads until what was printed has `words` in it, and gives all of it.
    pub(crate) async fn until(&mut self, words: &str) -> String {
        let mut text = String::new();
        while !text.contains(words) {
            match self.next().await {
                Some(Frame::Stdout(bytes) | Frame::Stderr(bytes)) => text += &String::from_utf8_lossy(&bytes),
                Some(Frame::Started(_)) => {}
                other => panic!("{other:?} before `{words}`, after `{text}`"),
            }
        }
        text
    }

    /// Reads to the end, which has to be in order: nothing after the last message.
    pub(crate) async fn end(mut self) -> End {
        let mut end = End { code: -1, ..End::default() };
        while let Some(frame) = self.next().await {
            assert_eq!(end.code, -1, "{frame:?} after the last message");
            match frame {
                Frame::Started(started) => end.pid = started.pid,
                Frame::Stdout(bytes) => end.stdout.extend_from_slice(&bytes),
                Frame::Stderr(bytes) => end.stderr.extend_from_slice(&bytes),
                Frame::Exited(exited) => end.code = exited.code,
                Frame::Failed(failed) => (end.code, end.message) = (failed.code, failed.message),
            }
        }
        self.served.await.expect("the supervisor's side ends in order");
        end
    }
}

/// A script as a command.
pub(crate) fn shell(script: &str) -> Command {
    Command { argv: ["sh", "-c", script].map(str::to_owned).to_vec(), ..Command::default() }
}
