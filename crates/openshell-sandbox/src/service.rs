//! The service `openshell.process.v1alpha1`: what a channel of the gateway's asks for, done inside the sandbox.
//!
//! This is all that the link knows of processes and files: it hands a channel's first message and two queues to
//! [`serve`], and everything else is behind it.

use std::sync::Arc;

use bytes::Bytes;
use openshell_proto::relay::v1alpha1::{Start, start::What};
use tokio::sync::mpsc::{Receiver, Sender};

use crate::process::identity::Identity;
use crate::process::{MainProcess, Reaper, command};

/// The `service_id` of `RelayOpen` that means this service.
pub(crate) const SERVICE: &str = "openshell.process.v1alpha1";

/// How many messages each of a channel's two queues holds.
pub(crate) const QUEUE: usize = 4;

/// What is known of the sandbox.
pub(crate) struct Sandbox {
    /// This run of the main process: random, 32 hexadecimal digits.
    pub(crate) instance_id: String,
    /// The main process.
    pub(crate) main: MainProcess,
    /// Whom, where and with which environment processes are started.
    pub(crate) identity: Identity,
    /// Who waits for children.
    pub(crate) reaper: Reaper,
}

/// Serves one channel, from its `Start` to its `Exited` or `Failed`, which is the last message that it puts into `output`.
///
/// `input` has the encoded `ToSupervisor` messages after `start`, `output` takes encoded `FromSupervisor`; both are of
/// length [`QUEUE`]. A gateway that has ended its half of the channel in order leaves `input` open. The drop of its
/// sender, or of the other end of `output`, means that the channel broke: then the process is ended with all that it
/// has started (HUP, after 2 s KILL), except for the main process, which goes on.
pub(crate) async fn serve(
    start: Start,
    input: Receiver<Bytes>,
    output: Sender<Bytes>,
    sandbox: Arc<Sandbox>,
) {
    match start.what {
        Some(What::Command(wanted)) => command::serve(wanted, input, output, &sandbox).await,
        Some(What::Upload(_) | What::Download(_)) => {}
        Some(What::MainProcess(_)) => {}
        None => {}
    }
}
