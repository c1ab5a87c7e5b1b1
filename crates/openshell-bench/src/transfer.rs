//! Files through a gateway, as `openshell sandbox upload` and `download` move them: a tar stream in pieces of a channel.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::Path;

use bytes::{Buf as _, Bytes};
use futures_util::stream;
use openshell_files::{PIECE, Target, pack, unpack};
use openshell_proto::gateway::v1alpha1::channel_frame::Payload;
use openshell_proto::gateway::v1alpha1::gateway_client::GatewayClient;
use openshell_proto::gateway::v1alpha1::{ChannelFrame, ChannelOpen};
use openshell_proto::relay::v1alpha1::from_supervisor::Frame as From;
use openshell_proto::relay::v1alpha1::to_supervisor::Frame as To;
use openshell_proto::relay::v1alpha1::{
    Download, FromSupervisor, Start, StdinEnd, ToSupervisor, Upload, start,
};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::Result;

/// The service that moves files.
pub(crate) const SERVICE: &str = "openshell.process.v1alpha1";
/// How many frames wait on either side.
const QUEUE: usize = 4;

/// Copies a file into a sandbox.
pub(crate) async fn upload(channel: &Channel, sandbox: &str, file: &Path, to: (&str, &str)) -> Result<()> {
    let upload = Upload { directory: to.0.to_owned(), name: to.1.to_owned() };
    let (sender, mut frames) = open(channel, sandbox, start::What::Upload(upload)).await?;
    let file = file.to_owned();
    let packed = spawn_blocking(move || {
        let packed = pack(Outgoing(&sender), &[file], &mut |_| {});
        // A supervisor that has given up says why.
        let _over = sender.blocking_send(data(To::StdinEnd(StdinEnd {})));
        packed
    });
    let mut said = Vec::new();
    let ended = until_end(&mut frames, async |frame| {
        if let From::Stderr(piece) = frame {
            said.extend(piece);
        }
    });
    let code = ended.await?;
    packed.await??;
    well(code, &said)
}

/// Copies a file out of a sandbox, to `to.1` in the directory `to.0`.
pub(crate) async fn download(channel: &Channel, sandbox: &str, path: &str, to: (&Path, &str)) -> Result<()> {
    let download = Download { path: path.to_owned() };
    let (_sender, mut frames) = open(channel, sandbox, start::What::Download(download)).await?;
    let target = Target::open(to.0, OsStr::new(to.1))?;
    let (pieces, queue) = mpsc::channel(QUEUE);
    let unpacked = spawn_blocking(move || {
        unpack(&target, None, Incoming { pieces: queue, piece: Bytes::new() }, &mut |_| {})
    });
    let mut said = Vec::new();
    let ended = until_end(&mut frames, async |frame| match frame {
        // One that takes no more says why itself.
        From::Stdout(piece) => drop(pieces.send(piece).await),
        From::Stderr(piece) => said.extend(piece),
        _ => {}
    });
    let code = ended.await?;
    drop(pieces);
    unpacked.await??;
    well(code, &said)
}

/// Opens a channel and starts something there.
async fn open(
    channel: &Channel,
    sandbox: &str,
    what: start::What,
) -> Result<(mpsc::Sender<ChannelFrame>, Streaming<ChannelFrame>)> {
    let (sender, mut queue) = mpsc::channel(QUEUE);
    let open = ChannelOpen { sandbox_id: sandbox.to_owned(), service_id: SERVICE.to_owned() };
    sender.send(ChannelFrame { payload: Some(Payload::Open(open)) }).await?;
    sender.send(data(To::Start(Start { what: Some(what) }))).await?;
    let requests = stream::poll_fn(move |context| queue.poll_recv(context));
    let frames = GatewayClient::new(channel.clone()).open_channel(requests).await?.into_inner();
    Ok((sender, frames))
}

fn data(frame: To) -> ChannelFrame {
    let message = ToSupervisor { frame: Some(frame) };
    ChannelFrame { payload: Some(Payload::Data(message.encode_to_vec().into())) }
}

/// Hands over what comes, until what was started has ended; its code.
async fn until_end(frames: &mut Streaming<ChannelFrame>, mut take: impl AsyncFnMut(From)) -> Result<i32> {
    while let Some(frame) = frames.message().await? {
        let Some(Payload::Data(data)) = frame.payload else { continue };
        match FromSupervisor::decode(data)?.frame {
            Some(From::Exited(exited)) => return Ok(exited.code),
            Some(From::Failed(failed)) => return Err(failed.message.into()),
            Some(frame) => take(frame).await,
            None => {}
        }
    }
    Err("the channel ended before what was started".into())
}

fn well(code: i32, said: &[u8]) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    Err(format!("it ends with {code}: {}", String::from_utf8_lossy(said).trim()).into())
}

/// A channel's standard input.
struct Outgoing<'a>(&'a mpsc::Sender<ChannelFrame>);

impl Write for Outgoing<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let piece = &buffer[..buffer.len().min(PIECE)];
        let sent = self.0.blocking_send(data(To::Stdin(Bytes::copy_from_slice(piece))));
        sent.map(|()| piece.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A channel's standard output.
struct Incoming {
    pieces: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let count = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
