//! A command that a channel runs.

use bytes::Bytes;
use openshell_proto::relay::v1alpha1::Command;
use tokio::sync::mpsc::{Receiver, Sender};

use crate::service::Sandbox;

/// Serves a command's channel.
pub(crate) async fn serve(wanted: Command, input: Receiver<Bytes>, output: Sender<Bytes>, sandbox: &Sandbox) {
    let _ = (wanted, input, output, &sandbox.identity);
}
