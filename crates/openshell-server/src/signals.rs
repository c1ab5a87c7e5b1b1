//! SIGTERM and SIGINT.

use tokio::signal::unix::{SignalKind, signal};

use crate::error::StartError;

/// Ready at the first SIGTERM or SIGINT. The handlers are in place when this returns.
pub(crate) fn stop() -> Result<impl Future<Output = ()>, StartError> {
    let listen =
        |kind| signal(kind).map_err(|source| StartError::Io { action: "listen for signals", source });
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
