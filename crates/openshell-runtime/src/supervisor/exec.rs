//! Commands in a sandbox: `ExecSandbox` and `ExecSandboxInteractive` as a channel to the service of processes.
//!
//! What the command prints is read from the channel as the client takes it, with nothing in between. What goes to its
//! standard input is a task of its own, so that a client which does not read may still say Ctrl-C.

mod asked;

use std::sync::Arc;

use futures_util::stream;
use openshell_proto::openshell::v1::exec_sandbox_event::Payload as Event;
use openshell_proto::openshell::v1::exec_sandbox_input::Payload as Input;
use openshell_proto::openshell::v1::{
    ExecSandboxEvent, ExecSandboxExit, ExecSandboxInput, ExecSandboxRequest, ExecSandboxStderr,
    ExecSandboxStdout,
};
use openshell_proto::relay::v1alpha1::from_supervisor::Frame as From;
use openshell_proto::relay::v1alpha1::to_supervisor::Frame as To;
use openshell_proto::relay::v1alpha1::{FromSupervisor, StdinEnd, ToSupervisor};
use prost::Message;
use prost::bytes::Bytes;
use tonic::{Code, Status, Streaming};

use super::ExecFlow;
use super::channel::{self, Channel};
use super::open::Target;
use crate::engine::Engine;
use crate::task::AbortOnDrop;

const NO_EXIT: &str = "the supervisor of the sandbox ended the channel before it told how the command ended";

/// A message to a process, as it goes over a channel.
pub(super) fn frame(frame: To) -> Bytes {
    ToSupervisor { frame: Some(frame) }.encode_to_vec().into()
}

fn stdin(bytes: Bytes) -> Bytes {
    frame(To::Stdin(bytes))
}

/// What a client is still to be told of its command.
struct Printing {
    channel: Channel,
    /// What comes after the event that was told last.
    exit: Option<i32>,
    over: bool,
    _input: Option<AbortOnDrop<()>>,
}

impl Engine {
    /// Runs a command; gives the id of its channel, and what it prints.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` that names the field, and whatever is in the way of a channel.
    pub(crate) async fn exec(
        self: &Arc<Self>,
        request: ExecSandboxRequest,
    ) -> Result<(String, ExecFlow), Status> {
        asked::check(&request)?;
        let input = request.stdin.clone();
        let start = asked::start(request, !input.is_empty());
        let (channel, way_in) = self.run(start).await?;
        let feeding = (!input.is_empty()).then(|| {
            AbortOnDrop(tokio::spawn(async move {
                if way_in.send_pieces(input, stdin).await {
                    way_in.send(frame(To::StdinEnd(StdinEnd {}))).await;
                }
            }))
        });
        Ok(printing(channel, feeding))
    }

    /// Runs a command with its input open; the same.
    ///
    /// # Errors
    /// The same, and `INVALID_ARGUMENT` when the first message is no start.
    pub(crate) async fn exec_interactive(
        self: &Arc<Self>,
        mut messages: Streaming<ExecSandboxInput>,
    ) -> Result<(String, ExecFlow), Status> {
        let Some(ExecSandboxInput { payload: Some(Input::Start(request)) }) =
            super::first(&mut messages).await?
        else {
            return Err(Status::invalid_argument("the first message is no `start`"));
        };
        asked::check(&request)?;
        let (has_terminal, first) = (request.tty, request.stdin.clone());
        let (channel, way_in) = self.run(asked::start(request, true)).await?;
        let feeding = tokio::spawn(async move {
            if way_in.send_pieces(first, stdin).await {
                feed(messages, way_in, has_terminal).await;
            }
        });
        Ok(printing(channel, Some(AbortOnDrop(feeding))))
    }

    async fn run(self: &Arc<Self>, start: asked::Started) -> Result<(Channel, channel::Input), Status> {
        let record = self.reachable(&start.sandbox_id).await?;
        let channel = self.open(&record, &Target::Process, Some(frame(To::Start(start.start)))).await?;
        let way_in = channel.input().ok_or_else(super::stopping)?;
        if start.seconds > 0 {
            way_in.ends_within(start.seconds);
        }
        Ok((channel, way_in))
    }
}

/// Passes a client's messages on, to their end or the command's.
async fn feed(mut messages: Streaming<ExecSandboxInput>, way_in: channel::Input, has_terminal: bool) {
    loop {
        let passed = match messages.message().await {
            Ok(Some(ExecSandboxInput { payload: Some(Input::Stdin(bytes)) })) => {
                way_in.send_pieces(bytes, stdin).await
            }
            Ok(Some(ExecSandboxInput { payload: Some(Input::Resize(size)) })) => {
                match asked::window("resize", size.cols, size.rows) {
                    // Some terminals say for a moment that they have no size.
                    Ok(_) if !has_terminal || size.cols == 0 || size.rows == 0 => true,
                    Ok(size) => way_in.send_urgent(frame(To::Resize(size))).await,
                    Err(status) => return way_in.end(status),
                }
            }
            Ok(Some(ExecSandboxInput { payload: Some(Input::Start(_)) })) => {
                return way_in.end(Status::invalid_argument("a second `start`"));
            }
            // Of a newer client.
            Ok(Some(ExecSandboxInput { payload: None })) => true,
            Ok(None) => {
                way_in.send(frame(To::StdinEnd(StdinEnd {}))).await;
                return;
            }
            Err(status) => {
                let why = format!("the client's input broke: {}", status.message());
                return way_in.end(Status::new(Code::Cancelled, why));
            }
        };
        if !passed {
            return;
        }
    }
}

fn printing(channel: Channel, input: Option<AbortOnDrop<()>>) -> (String, ExecFlow) {
    let id = channel.id().to_owned();
    let printing = Printing { channel, exit: None, over: false, _input: input };
    (id, Box::pin(stream::unfold(printing, Printing::next)))
}

impl Printing {
    async fn next(mut self) -> Option<(Result<ExecSandboxEvent, Status>, Self)> {
        if self.over {
            return None;
        }
        if let Some(code) = self.exit.take() {
            return Some((Ok(self.ended(code)), self));
        }
        loop {
            let told = match self.channel.next().await {
                Ok(Some(bytes)) => self.told(bytes),
                Ok(None) => Err(self.channel.fail(NO_EXIT).await),
                Err(status) => Err(status),
            };
            match told {
                Ok(None) => {}
                Ok(Some(event)) => return Some((Ok(event), self)),
                Err(status) => {
                    self.over = true;
                    return Some((Err(status), self));
                }
            }
        }
    }

    /// What a frame of the supervisor's is to the client.
    fn told(&mut self, bytes: Bytes) -> Result<Option<ExecSandboxEvent>, Status> {
        let frame = FromSupervisor::decode(bytes)
            .map_err(|_| Status::internal("the supervisor of the sandbox sent what cannot be read"))?;
        let event = match frame.frame {
            Some(From::Stdout(data)) => Event::Stdout(ExecSandboxStdout { data }),
            Some(From::Stderr(data)) => Event::Stderr(ExecSandboxStderr { data }),
            Some(From::Exited(exited)) => return Ok(Some(self.ended(exited.code))),
            Some(From::Failed(failed)) => {
                // As a shell would have it: the words on its standard error, and its code.
                self.exit = Some(failed.code);
                let data = format!("{}\n", failed.message).into();
                Event::Stderr(ExecSandboxStderr { data })
            }
            Some(From::Started(_)) | None => return Ok(None),
        };
        Ok(Some(ExecSandboxEvent { payload: Some(event) }))
    }

    fn ended(&mut self, exit_code: i32) -> ExecSandboxEvent {
        self.over = true;
        self.channel.done();
        ExecSandboxEvent { payload: Some(Event::Exit(ExecSandboxExit { exit_code })) }
    }
}
