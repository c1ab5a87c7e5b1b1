//! A client of the gateway, as tonic makes one.

use std::path::Path;

use hyper_util::rt::TokioIo;
use openshell_proto::openshell::v1 as proto;
use openshell_proto::openshell::v1::open_shell_client::OpenShellClient;
use tokio::net::{TcpStream, UnixStream};
use tonic::Code;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::Result;

/// The client.
pub(crate) type Client = OpenShellClient<Channel>;

/// What one stream may have on its way here, and what all of them together may: as `openshell` has it, so that one that is
/// not read holds up no other.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// What one frame of HTTP/2 may have.
const FRAME: u32 = 512 << 10;

/// The most bytes of an answer.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Connects to the gateway's socket.
pub(crate) async fn connect(socket: &Path) -> Result<Client> {
    let channel = connect_by(Endpoint::from_static("http://gateway"), socket).await?;
    Ok(OpenShellClient::new(channel).max_decoding_message_size(MAX_ANSWER))
}

/// Connects to a socket for streams that carry much.
pub(crate) async fn connect_wide(socket: &Path) -> Result<Channel> {
    let endpoint = Endpoint::from_static("http://gateway")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME);
    connect_by(endpoint, socket).await
}

async fn connect_by(endpoint: Endpoint, socket: &Path) -> Result<Channel> {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Ok(endpoint.connect_with_connector(connector).await?)
}

/// Connects to the gateway's port on the loopback address.
pub(crate) async fn connect_tcp(port: u16) -> Result<Channel> {
    let connector = tower::service_fn(move |_: Uri| async move {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(TokioIo::new(stream))
    });
    Ok(Endpoint::from_static("http://gateway").connect_with_connector(connector).await?)
}

/// A request as people make them: an image, a command, a few variables and labels.
pub(crate) fn create_request(name: String, image: &str) -> proto::CreateSandboxRequest {
    let map = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    proto::CreateSandboxRequest {
        name,
        labels: map(&[("team", "bench"), ("purpose", "figures")]),
        spec: Some(proto::SandboxSpec {
            environment: map(&[("LANG", "C.UTF-8"), ("RUST_LOG", "info"), ("TERM", "xterm")]),
            template: Some(proto::SandboxTemplate { image: image.to_owned(), ..Default::default() }),
            command: vec!["sleep".to_owned(), "3600".to_owned()],
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Creates a sandbox; its id.
pub(crate) async fn create(client: &mut Client, name: String, image: &str) -> Result<(String, String)> {
    let created = client.create_sandbox(create_request(name, image)).await?.into_inner();
    let metadata =
        created.sandbox.and_then(|sandbox| sandbox.metadata).ok_or("an answer without metadata")?;
    Ok((metadata.id, metadata.name))
}

/// Asks for a sandbox.
pub(crate) async fn get(client: &mut Client, name: &str) -> Result<Option<proto::Sandbox>> {
    let request = proto::GetSandboxRequest { name: name.to_owned(), ..Default::default() };
    match client.get_sandbox(request).await {
        Ok(found) => Ok(found.into_inner().sandbox),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(status.into()),
    }
}

/// Deletes a sandbox, and waits for nothing.
pub(crate) async fn delete(client: &mut Client, name: &str) -> Result<()> {
    let request = proto::DeleteSandboxRequest { name: name.to_owned(), ..Default::default() };
    client.delete_sandbox(request).await?;
    Ok(())
}

/// A page of sandboxes.
pub(crate) async fn list(client: &mut Client, limit: u32, offset: u32) -> Result<Vec<proto::Sandbox>> {
    let request = proto::ListSandboxesRequest { limit, offset, ..Default::default() };
    Ok(client.list_sandboxes(request).await?.into_inner().sandboxes)
}
