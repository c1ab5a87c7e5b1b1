//! Connections into a sandbox: to the same port of this machine.

use bytes::Bytes;
use openshell_proto::openshell::v1::TcpForwardFrame;
use openshell_proto::openshell::v1::tcp_forward_frame::Payload;
use openshell_proto::openshell::v1::tcp_forward_init::Target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use super::{Answer, BoxStream};

pub(super) async fn forward(mut input: Streaming<TcpForwardFrame>) -> Answer<BoxStream<TcpForwardFrame>> {
    let init = match input.message().await?.and_then(|frame| frame.payload) {
        Some(Payload::Init(init)) => init,
        other => return Err(Status::invalid_argument(format!("no init, but {other:?}"))),
    };
    if init.sandbox_id == "id-gone" {
        return Err(Status::not_found("there is no such sandbox"));
    }
    let Some(Target::Tcp(target)) = init.target else { panic!("no port") };
    let port = u16::try_from(target.port).expect("a port");
    let socket = TcpStream::connect((target.host.as_str(), port)).await;
    let socket = socket.map_err(|error| Status::unavailable(error.to_string()))?;
    let (mut from, mut to) = socket.into_split();
    let (output, frames) = mpsc::channel(2);
    tokio::spawn(async move {
        while let Ok(Some(TcpForwardFrame { payload: Some(Payload::Data(data)) })) = input.message().await {
            let _ = to.write_all(&data).await;
        }
        let _ = to.shutdown().await;
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok(count) = from.read(&mut buffer).await
            && count > 0
        {
            let data = Payload::Data(Bytes::copy_from_slice(&buffer[..count]));
            if output.send(Ok(TcpForwardFrame { payload: Some(data) })).await.is_err() {
                return;
            }
        }
    });
    Ok(Response::new(Box::pin(ReceiverStream::new(frames))))
}
