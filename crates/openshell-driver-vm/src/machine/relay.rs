//! Between a machine's second port and the sandbox's own socket of the gateway: how a supervisor without a network reaches it.
//!
//! ```text
//!   port ── frames ─▶ carry ── bytes ─▶ gateway        an Open dials it; a gateway that is away is a Close back, and the
//!   port ◀─ frames ── back ◀── bytes ── gateway        supervisor tries again
//! ```
//!
//! Nothing is kept but the frame under way. A gateway that does not read holds up its own supervisor: QEMU takes no more of
//! this port, and the guest's talk with the driver, its pings above all, has another. What the guest may do is to connect and
//! to send bytes; that it is the sandbox's supervisor its token says, to the gateway.

use std::fmt;
use std::fs::File;
use std::future::pending;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openshell_vm_init::line::{HEADER, Header, Kind, MAX_DATA, NoHeader, frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long the gateway may take to be connected to: its socket has a queue.
const DIAL: Duration = Duration::from_secs(5);

/// What the address of a Unix socket holds, in bytes.
const LONGEST: usize = 107;

/// The relay of one machine; dropped, it ends with its connection.
#[derive(Debug, Default)]
pub(super) struct Relay(JoinSet<Result<(), Broken>>);

/// What a guest did that no guest of ours does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// It sent what is no frame.
    NoHeader(NoHeader),
    /// It closed, or sent bytes of, a connection that it has not opened.
    NeverOpened(u32),
    /// It opened one of a number that it has used.
    OpenedAgain(u32),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader(error) => write!(f, "{error}"),
            Self::NeverOpened(number) => {
                write!(f, "it spoke of the supervisor's connection {number}, which it has not opened")
            }
            Self::OpenedAgain(number) => write!(f, "it opened the supervisor's connection {number} again"),
        }
    }
}

impl Relay {
    /// Begins to carry what comes from `port` to the gateway's socket at `socket`, which need not be there yet.
    pub(super) fn start(port: UnixStream, socket: PathBuf) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(carry(port, socket));
        Self(tasks)
    }

    /// Waits until the guest breaks the protocol; for ever, where it does not.
    pub(super) async fn broken(&mut self) -> Broken {
        loop {
            match self.0.join_next().await {
                Some(Ok(Err(broken))) => return broken,
                // The port is closed, with its machine.
                Some(_) => {}
                None => pending().await,
            }
        }
    }
}

/// The connection that there is, and what is sent back of it.
struct Connection {
    number: u32,
    /// None once the gateway takes no more.
    to_gateway: Option<OwnedWriteHalf>,
    stop: oneshot::Sender<()>,
}

/// One machine's line.
struct Line {
    socket: PathBuf,
    /// The guest's end, while [`back`] does not have it.
    to_guest: Option<OwnedWriteHalf>,
    connection: Option<Connection>,
    /// At most one at a time, which gives the guest's end back.
    back: JoinSet<OwnedWriteHalf>,
}

/// Takes frames until the port closes.
async fn carry(port: UnixStream, socket: PathBuf) -> Result<(), Broken> {
    let (mut from_guest, to_guest) = port.into_split();
    let mut line = Line { socket, to_guest: Some(to_guest), connection: None, back: JoinSet::new() };
    let (mut header, mut data) = ([0; HEADER], vec![0; MAX_DATA]);
    let mut last = 0;
    loop {
        if from_guest.read_exact(&mut header).await.is_err() {
            return Ok(());
        }
        let Header { kind, connection, length } = Header::decode(header).map_err(Broken::NoHeader)?;
        let data = &mut data[..usize::from(length)];
        if from_guest.read_exact(data).await.is_err() {
            return Ok(());
        }
        match kind {
            Kind::Open if connection <= last => return Err(Broken::OpenedAgain(connection)),
            Kind::Open => {
                last = connection;
                line.open(connection).await;
            }
            Kind::Data | Kind::Close if connection > last => return Err(Broken::NeverOpened(connection)),
            Kind::Data => line.hand_on(connection, data).await,
            Kind::Close => line.close(connection).await,
        }
    }
}

impl Line {
    /// Connects to the gateway in place of whatever connection there is.
    async fn open(&mut self, number: u32) {
        self.end().await;
        let Some(mut to_guest) = self.to_guest.take() else { return };
        match dial(&self.socket).await {
            Ok(gateway) => {
                let (from_gateway, to_gateway) = gateway.into_split();
                let (stop, stopped) = oneshot::channel();
                self.connection = Some(Connection { number, to_gateway: Some(to_gateway), stop });
                self.back.spawn(back(number, from_gateway, to_guest, stopped));
            }
            Err(error) => {
                tracing::trace!(socket = %self.socket.display(), %error, "a supervisor finds no gateway");
                close(&mut to_guest, number).await;
                self.to_guest = Some(to_guest);
            }
        }
    }

    /// Hands bytes on; those of an old connection to nobody.
    async fn hand_on(&mut self, number: u32, data: &[u8]) {
        let Some(connection) = self.connection.as_mut().filter(|open| open.number == number) else { return };
        let Some(to_gateway) = &mut connection.to_gateway else { return };
        if to_gateway.write_all(data).await.is_err() {
            // What it said before its end comes back all the same, and then its end.
            connection.to_gateway = None;
        }
    }

    /// The guest has no more of a connection.
    async fn close(&mut self, number: u32) {
        if self.connection.as_ref().is_some_and(|open| open.number == number) {
            self.end().await;
        }
    }

    /// Ends the connection that there is, once the frame under way is the guest's: half of one would be the end of the line.
    async fn end(&mut self) {
        let Some(Connection { stop, .. }) = self.connection.take() else { return };
        // It may have ended by itself.
        let _ = stop.send(());
        if let Some(Ok(to_guest)) = self.back.join_next().await {
            self.to_guest = Some(to_guest);
        }
    }
}

/// From the gateway to the guest, until either has no more or it is stopped.
async fn back(
    number: u32,
    mut from_gateway: OwnedReadHalf,
    mut to_guest: OwnedWriteHalf,
    mut stopped: oneshot::Receiver<()>,
) -> OwnedWriteHalf {
    let mut buffer = Box::new([0; HEADER + MAX_DATA]);
    loop {
        let read = tokio::select! {
            _ = &mut stopped => return to_guest,
            read = from_gateway.read(&mut buffer[HEADER..]) => read,
        };
        let Ok(count @ 1..) = read else { break };
        if to_guest.write_all(frame(&mut buffer, number, count)).await.is_err() {
            return to_guest;
        }
    }
    close(&mut to_guest, number).await;
    to_guest
}

/// Tells the guest of a connection's end.
async fn close(to_guest: &mut OwnedWriteHalf, number: u32) {
    // A port that is closed is seen by who reads it.
    let _ = to_guest.write_all(&Header::of(Kind::Close, number).encode()).await;
}

/// Connects to the gateway's socket, however long its path.
async fn dial(socket: &Path) -> io::Result<UnixStream> {
    let connected = async {
        if socket.as_os_str().len() <= LONGEST {
            return UnixStream::connect(socket).await;
        }
        let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let directory = File::open(directory)?;
        UnixStream::connect(Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name))
            .await
    };
    timeout(DIAL, connected).await.map_err(|_| io::ErrorKind::TimedOut)?
}

#[cfg(test)]
mod tests;
