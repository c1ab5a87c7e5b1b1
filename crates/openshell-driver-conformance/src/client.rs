//! Connections to a driver's socket, made leniently: what is wrong with the socket is a case's to say, and no reason to
//! look at nothing else.

use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use openshell_proto::compute::v1::compute_driver_client::ComputeDriverClient;
use openshell_uds::{ConnectError, PeerPolicy};
use tokio::net::UnixStream;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

/// The client.
pub(crate) type Client = ComputeDriverClient<Channel>;

/// The largest answer that is read; a gateway takes no more.
pub(crate) const MAX_MESSAGE: usize = openshell_driver_remote::MAX_MESSAGE;

/// Connects once. The peer's credentials are checked all the same: nothing is said to a stranger.
pub(crate) async fn connect(path: &Path, policy: &PeerPolicy) -> Result<UnixStream, ConnectError> {
    let tolerant = || {
        // Naming oneself admits nobody new, and turns off the look at the socket's mode.
        let mut policy = policy.clone();
        policy.allowed_uids.push(rustix::process::geteuid().as_raw());
        policy
    };
    match openshell_uds::connect(path, policy).await {
        Err(ConnectError::WritableByOthers { .. }) => openshell_uds::connect(path, &tolerant()).await,
        Err(ConnectError::Symlink { .. }) => {
            let io = |source| ConnectError::Io { path: path.to_owned(), source };
            let real = std::fs::canonicalize(path).map_err(io)?;
            openshell_uds::connect(&real, &tolerant()).await
        }
        connected => connected,
    }
}

/// A channel that connects as it needs to. `window` is how many bytes of a stream may be on their way unread.
pub(crate) fn channel(path: PathBuf, policy: PeerPolicy, window: Option<u32>) -> Channel {
    let connector = tower::service_fn(move |_: Uri| {
        let (path, policy) = (path.clone(), policy.clone());
        async move { connect(&path, &policy).await.map(TokioIo::new) }
    });
    // The authority is never resolved; a server may show it in its log.
    Endpoint::from_static("http://localhost")
        .initial_stream_window_size(window)
        .initial_connection_window_size(window)
        .connect_with_connector_lazy(connector)
}

/// A client over a channel.
pub(crate) fn client(channel: Channel) -> Client {
    ComputeDriverClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE)
}
