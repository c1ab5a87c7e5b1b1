//! Channels to a port in the sandbox: connected, and their bytes carried both ways with half closes.
//!
//! Names are looked up in `/etc/hosts` alone: the resolver of a static C library needs files of the host's that an image does
//! not have, and one of our own would be 100 lines for what no client of ours asks for: a forward goes to the sandbox itself.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use openshell_proto::openshell::v1::{RelayFrame, TcpRelayTarget};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tonic::Streaming;

use super::names::{HOSTS, in_hosts, text_of};
use super::relay::{Reason, closed, data, next};

/// How long a connection may take to come up; the gateway gives up after ten seconds.
const CONNECT: Duration = Duration::from_secs(8);
/// How much is read at a time.
const PIECE: usize = 64 << 10;
const GONE: &str = "the gateway ended the stream";

/// Connects to a port; says in words why that cannot be.
pub(super) async fn connect(target: &TcpRelayTarget) -> Result<TcpStream, Reason> {
    let port = u16::try_from(target.port).map_err(|_| format!("{} is no port", target.port))?;
    let hosts = text_of(HOSTS).unwrap_or_default();
    let addresses = addresses(&target.host, &hosts)?;
    let shown = if target.host.is_empty() { "localhost" } else { &target.host };
    let mut why = String::new();
    for address in addresses {
        let address = SocketAddr::new(address, port);
        why = match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                // Small pieces go at once; without it they still go.
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                format!("nobody listens at {shown} port {port} in the sandbox")
            }
            Ok(Err(error)) => format!("cannot connect to {shown} port {port} in the sandbox: {error}"),
            Err(_) => format!("{shown} port {port} in the sandbox does not answer within {CONNECT:?}"),
        };
    }
    Err(why)
}

/// The addresses of a host, in the order in which they are tried.
fn addresses(host: &str, hosts: &str) -> Result<Vec<IpAddr>, Reason> {
    if host.is_empty() || host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse() {
        return Ok(vec![address]);
    }
    let found = in_hosts(hosts, host);
    if found.is_empty() {
        return Err(format!(
            "`{host}` is neither an address nor a name in the sandbox's {HOSTS}, which is all that is looked at, without DNS; \
             hint: give its address (in the sandbox: getent hosts {host})"
        ));
    }
    Ok(found)
}

/// Carries bytes both ways until both sides are done.
pub(super) async fn carry(
    socket: TcpStream,
    to_gateway: mpsc::Sender<RelayFrame>,
    from_gateway: &mut Streaming<RelayFrame>,
    closing: &mut oneshot::Receiver<Reason>,
) -> Result<(), Reason> {
    let (reader, writer) = socket.into_split();
    let both = async { tokio::try_join!(up(reader, to_gateway), down(from_gateway, writer)).map(|_| ()) };
    tokio::select! {
        biased;
        reason = closed(closing) => Err(reason),
        ended = both => ended,
    }
}

/// From the port to the gateway.
async fn up(reader: OwnedReadHalf, to_gateway: mpsc::Sender<RelayFrame>) -> Result<(), Reason> {
    loop {
        tokio::select! {
            // What is wrong is said by the next read.
            _ = reader.readable() => {}
            () = to_gateway.closed() => return Err(GONE.to_owned()),
        }
        // Not kept while there is nothing to read: most connections are idle, and there may be many.
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(PIECE);
            match reader.try_read_buf(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {
                    if to_gateway.send(data(take(&mut buffer))).await.is_err() {
                        return Err(GONE.to_owned());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(format!("the connection in the sandbox broke: {error}")),
            }
        }
    }
}

/// What was read: a large piece is handed on as it is, a small one does not hold a large buffer while it waits.
fn take(buffer: &mut BytesMut) -> Bytes {
    if buffer.len() >= PIECE / 4 {
        return buffer.split().freeze();
    }
    let piece = Bytes::copy_from_slice(buffer);
    buffer.clear();
    piece
}

/// From the gateway to the port.
async fn down(from_gateway: &mut Streaming<RelayFrame>, mut writer: OwnedWriteHalf) -> Result<(), Reason> {
    while let Some(bytes) = next(from_gateway).await? {
        if writer.write_all(&bytes).await.is_err() {
            // Nobody reads any more there; what it has said before is still to be delivered.
            while next(from_gateway).await?.is_some() {}
            return Ok(());
        }
    }
    // One that has hung up needs to be told nothing.
    let _ = writer.shutdown().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_a_name_of_this_machine_or_one_in_the_file() {
        let hosts = "127.0.0.1 localhost\n# 10.9.9.9 web\n10.0.0.7\tweb.local Web # the web\nfe80::1%eth0 odd\nfd00::7 web\n";
        let ip = |text: &str| -> IpAddr { text.parse().expect("an address") };
        let loopback = vec![ip("127.0.0.1"), ip("::1")];
        for (host, found) in [
            ("", loopback.clone()),
            ("LocalHost", loopback),
            ("10.1.2.3", vec![ip("10.1.2.3")]),
            ("[::1]", vec![ip("::1")]),
            ("web", vec![ip("10.0.0.7"), ip("fd00::7")]),
            ("web.local", vec![ip("10.0.0.7")]),
        ] {
            assert_eq!(addresses(host, hosts), Ok(found), "{host}");
        }
        let refusal = addresses("example.org", hosts).expect_err("unknown");
        let expected = "`example.org` is neither an address nor a name in the sandbox's /etc/hosts, which is all that is looked at, \
                        without DNS; hint: give its address (in the sandbox: getent hosts example.org)";
        assert_eq!(refusal, expected);
    }

    #[test]
    fn a_small_piece_holds_no_large_buffer() {
        let mut buffer = BytesMut::with_capacity(PIECE);
        buffer.extend_from_slice(b"small");
        assert_eq!(&take(&mut buffer)[..], b"small");
        assert!(buffer.is_empty() && buffer.capacity() >= PIECE, "it is read into again");
        buffer.extend_from_slice(&[7; PIECE]);
        assert_eq!(take(&mut buffer).len(), PIECE);
        assert!(buffer.is_empty());
    }
}
