//! The service `openshell.process.v1alpha1`: what a channel of the gateway's asks for, done inside the sandbox.
//!
//! This is all that the link knows of processes and files: it hands a channel's first message and two queues to
//! [`serve`], and everything else is behind it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use openshell_proto::relay::v1alpha1::start::What;
use openshell_proto::relay::v1alpha1::to_supervisor::Frame;
use openshell_proto::relay::v1alpha1::{Start, ToSupervisor};
use prost::Message;
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender};

use crate::process::identity::Identity;
use crate::process::main_process::Output;
use crate::process::{MainProcess, Reaper, channel, command, frames};
use crate::say::say;

/// The `service_id` of `RelayOpen` that means this service.
pub(crate) const SERVICE: &str = "openshell.process.v1alpha1";

/// How many messages a channel's queue of input holds.
pub const QUEUE: usize = 4;

/// What is known of the sandbox, and its main process.
pub struct Sandbox {
    /// This run of the main process: random, 32 hexadecimal digits.
    pub(crate) instance_id: String,
    /// The main process.
    pub(crate) main: MainProcess,
    /// Whom, where and with which environment processes are started.
    identity: Identity,
    /// Who waits for children.
    reaper: Reaper,
}

impl Sandbox {
    /// Starts the main process: `command` exactly, with a terminal or without, and what waits for all children from
    /// then on. Needs a runtime of tokio's with one thread.
    ///
    /// A main process that cannot be started counts as one that has ended with a shell's code; it is said on the
    /// standard error.
    ///
    /// # Errors
    /// The kernel gives no random numbers, or no signal when a child ends.
    pub fn start(command: Vec<String>, tty: bool, identity: Identity) -> io::Result<(Self, Output)> {
        let instance_id = instance_id()?;
        let reaper = Reaper::default();
        // Before there are children, so that no end is missed.
        tokio::spawn(reaper.clone().run(signal(SignalKind::child())?));
        let (main, output, refusal) = MainProcess::start(command, tty, &identity, &reaper);
        if let Some(refusal) = refusal {
            say(format_args!("cannot start the main process: {}", refusal.message));
        }
        Ok((Self { instance_id, main, identity, reaper }, output))
    }
}

/// 16 random bytes in hexadecimal.
fn instance_id() -> rustix::io::Result<String> {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Serves one channel, from its `Start` to its `Exited` or `Failed`, which is the last message that it puts into
/// `output`.
///
/// `input` has the encoded `ToSupervisor` messages after `start`, `output` takes encoded `FromSupervisor`; the
/// former is of length [`QUEUE`], the latter of any. A gateway that has ended its half of the channel in order leaves `input` open. The drop of
/// its sender, or of the other end of `output`, means that the channel broke: then the process is ended with all that
/// it has started (HUP, after 2 s KILL), except for the main process, which goes on.
pub async fn serve(start: Start, input: Receiver<Bytes>, output: Sender<Bytes>, sandbox: Arc<Sandbox>) {
    let identity = &sandbox.identity;
    let wanted = match start.what {
        Some(What::Command(wanted)) => command::command(wanted, identity),
        Some(What::Upload(wanted)) => command::upload(wanted, identity),
        Some(What::Download(wanted)) => command::download(wanted, identity),
        Some(What::MainProcess(_)) => return main_channel(&sandbox.main, input, output).await,
        None => {
            // A channel that breaks now has nothing to end.
            let message = "this supervisor knows nothing of the kind that is to be started: is it older than the \
                gateway?";
            let _ = output.send(frames::failed(message, 126)).await;
            return;
        }
    };
    channel::run(wanted, input, output, &sandbox.reaper).await;
}

/// The main process's channel: signals in, its exit code out. Its end ends the channel, and not the other way round.
async fn main_channel(main: &MainProcess, mut input: Receiver<Bytes>, output: Sender<Bytes>) {
    if let Some(pid) = main.pid()
        && output.send(frames::started(pid)).await.is_err()
    {
        return;
    }
    loop {
        tokio::select! {
            code = main.ended() => {
                let _ = output.send(frames::exited(code)).await;
                return;
            }
            message = input.recv() => match message.map(ToSupervisor::decode) {
                Some(Ok(ToSupervisor { frame: Some(Frame::Signal(number)) })) => main.signal(number),
                // Signals are all that it takes.
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}
