//! `sandbox forward`: ports of a sandbox as ports of this machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use openshell_proto::openshell::v1::{
    TcpForwardFrame, TcpForwardInit, TcpRelayTarget, tcp_forward_frame::Payload, tcp_forward_init::Target,
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use super::exec::find;
use crate::args::ForwardArgs;
use crate::error::CliError;
use crate::output;
use crate::parse::Forward;
use crate::session::{One, Session, Way};
use crate::signals::{Came, Signals};

/// How much is read of a connection at once.
const PIECE: usize = 64 * 1024;
/// How many pieces of a connection may wait to be sent.
const QUEUE: usize = 4;
/// How long a gateway that went away is waited for by a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where a program in a sandbox listens.
const HOST: &str = "127.0.0.1";

/// Forwards ports until Ctrl-C, or until the sandbox is gone.
pub(crate) async fn run(session: Session, args: &ForwardArgs, way: Way) -> Result<(), CliError> {
    let (one, id) = find(&session, &args.which).await?;
    let mut signals = Signals::ends().map_err(CliError::Runtime)?;
    let mut listeners = Vec::new();
    for port in &args.ports {
        let listen = |source| CliError::Listen { address: port.local, source };
        let listener = TcpListener::bind(port.local).await.map_err(listen)?;
        let local = listener.local_addr().map_err(listen)?;
        listeners.push((listener, Forward { local, ..*port }));
    }
    // Said when all of them listen: whoever reads the first line may use them.
    for (_, port) in &listeners {
        say(&session, &one, port)?;
    }
    let line = Arc::new(Line { way, one, id, session: Mutex::new(Arc::new(session)) });
    let (gone, mut is_gone) = mpsc::channel(1);
    let mut doors = JoinSet::new();
    for (listener, port) in listeners {
        doors.spawn(accept(line.clone(), listener, port, gone.clone()));
    }
    tokio::select! {
        // That is how it ends.
        Came::End(_) = signals.next() => Ok(()),
        Some(error) = is_gone.recv() => Err(error),
        else => Ok(()),
    }
}

fn say(session: &Session, one: &One, port: &Forward) -> Result<(), CliError> {
    if session.printer.json() {
        return output::json_line(&json!({
            "address": port.local.ip().to_string(), "port": port.local.port(), "remote_port": port.remote,
        }));
    }
    output::line(&format!("{} is port {} of {}", port.local, port.remote, one.name))
}

/// What all connections share.
struct Line {
    way: Way,
    one: One,
    id: String,
    /// The connection to the gateway, which is made anew when it broke.
    session: Mutex<Arc<Session>>,
}

impl Line {
    /// Completes "cannot …".
    fn what(&self, remote: u16) -> String {
        format!("forward to port {remote} of sandbox `{}`", self.one.name)
    }

    async fn session(&self) -> Arc<Session> {
        self.session.lock().await.clone()
    }

    /// Another connection to the gateway than the one that broke; many may ask, and one makes it.
    async fn renew(&self, broken: &Arc<Session>) -> Result<Arc<Session>, CliError> {
        let mut session = self.session.lock().await;
        if Arc::ptr_eq(&session, broken) {
            *session = Arc::new(self.way.again(PATIENCE).await?);
        }
        Ok(session.clone())
    }
}

async fn accept(line: Arc<Line>, listener: TcpListener, port: Forward, gone: mpsc::Sender<CliError>) {
    let mut connections = JoinSet::new();
    loop {
        // Those that have ended are let go of.
        while connections.try_join_next().is_some() {}
        let (socket, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // No room for another one, most likely; some will end.
                output::complain(&format!("warning: a connection was not taken: {error}\n"));
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        connections.spawn(serve(line.clone(), socket, from, port.remote, gone.clone()));
    }
}

/// Sees one connection through. What goes wrong ends it, and nothing else; but for a sandbox that is gone.
async fn serve(
    line: Arc<Line>,
    socket: TcpStream,
    from: SocketAddr,
    remote: u16,
    gone: mpsc::Sender<CliError>,
) {
    // Small requests go at once.
    let _ = socket.set_nodelay(true);
    if let Err(error) = carry(&line, socket, remote).await {
        if error.refusal() == Some(Code::NotFound) {
            let _ = gone.send(error).await;
        } else {
            output::complain(&format!("warning: the connection from {from} ended\n"));
            error.tell();
        }
    }
}

async fn carry(line: &Line, socket: TcpStream, remote: u16) -> Result<(), CliError> {
    let mut session = line.session().await;
    let (frames, sender) = match open(line, &session, remote).await {
        Err(CliError::Lost { .. }) => {
            session = line.renew(&session).await?;
            open(line, &session, remote).await?
        }
        opened => opened?,
    };
    let (mut input, mut output) = socket.into_split();
    let outcome = {
        let up = up(&mut input, sender);
        let down = down(frames, &mut output);
        tokio::pin!(up, down);
        // Each direction ends for itself; the other goes on.
        tokio::select! {
            ended = &mut up => match ended {
                End::Over => down.await,
                End::Gone => Ok(End::Gone),
            },
            ended = &mut down => {
                if matches!(ended, Ok(End::Over)) {
                    up.await;
                }
                ended
            }
        }
    };
    outcome.map(drop).map_err(|status| {
        // Not an orderly end: whoever reads here has to know that something is missing.
        let _ = rustix::net::sockopt::set_socket_linger(output.as_ref(), Some(Duration::ZERO));
        output.forget();
        session.gateway.failed(line.what(remote), |code| line.one.hint(code), status)
    })
}

/// How one direction of a connection ended.
enum End {
    /// Nothing more comes.
    Over,
    /// Nobody is there any more.
    Gone,
}

/// Asks for a connection in the sandbox, and waits for it within the deadline of a call.
async fn open(
    line: &Line,
    session: &Session,
    remote: u16,
) -> Result<(Streaming<TcpForwardFrame>, mpsc::Sender<TcpForwardFrame>), CliError> {
    let (sender, queue) = mpsc::channel(QUEUE);
    let target = Target::Tcp(TcpRelayTarget { host: HOST.to_owned(), port: remote.into() });
    let init =
        TcpForwardInit { sandbox_id: line.id.clone(), target: Some(target), ..TcpForwardInit::default() };
    // The queue is empty yet, so that there is room.
    let _ = sender.try_send(TcpForwardFrame { payload: Some(Payload::Init(init)) });
    let mut client = session.gateway.client();
    let opened = session.gateway.within(line.what(remote), |code| line.one.hint(code), async {
        client.forward_tcp(ReceiverStream::new(queue)).await
    });
    Ok((opened.await?.into_inner(), sender))
}

/// From here to there.
async fn up(input: &mut OwnedReadHalf, sender: mpsc::Sender<TcpForwardFrame>) -> End {
    let mut buffer = BytesMut::with_capacity(PIECE);
    loop {
        buffer.reserve(PIECE);
        let count = tokio::select! {
            count = input.read_buf(&mut buffer) => count,
            // Nothing more is taken. Whether that is an orderly end, the other direction knows.
            () = sender.closed() => return End::Over,
        };
        match count {
            // The end of the stream of frames is that of the connection's.
            Ok(0) => return End::Over,
            Ok(_) => {
                let data = buffer.split().freeze();
                if sender.send(TcpForwardFrame { payload: Some(Payload::Data(data)) }).await.is_err() {
                    return End::Over;
                }
            }
            Err(_) => return End::Gone,
        }
    }
}

/// From there to here.
async fn down(
    mut frames: Streaming<TcpForwardFrame>,
    output: &mut OwnedWriteHalf,
) -> Result<End, tonic::Status> {
    while let Some(frame) = frames.message().await? {
        let data = match frame.payload {
            Some(Payload::Data(data)) => data,
            _ => Bytes::new(),
        };
        if output.write_all(&data).await.is_err() {
            return Ok(End::Gone);
        }
    }
    let _ = output.shutdown().await;
    Ok(End::Over)
}
