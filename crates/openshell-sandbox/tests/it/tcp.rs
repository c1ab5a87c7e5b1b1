//! Channels to a port in the sandbox.

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::channel::Channel;
use crate::gateway::{Gateway, Ways};
use crate::program::{Program, is_not_root};

async fn up() -> (Gateway, Program, TcpListener, u32) {
    let gateway = Gateway::up(Ways::default());
    let program = Program::start(&gateway, &["/bin/sleep", "1000"]);
    gateway.session(0).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (gateway, program, listener, port.into())
}

async fn pair(gateway: &Gateway, listener: &TcpListener, port: u32) -> (Channel, TcpStream) {
    let (channel, accepted) = tokio::join!(gateway.tcp("", port), listener.accept());
    (channel.expect("a channel"), accepted.expect("a connection").0)
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_go_both_ways_and_each_way_ends_by_itself() {
    if is_not_root() {
        return;
    }
    const SIZE: usize = 5_000_000;
    let (gateway, _program, listener, port) = up().await;
    let (mut channel, mut socket) = pair(&gateway, &listener, port).await;
    let serve = tokio::spawn(async move {
        let mut all = Vec::new();
        // The client's half close gets here, and the other half is open.
        socket.read_to_end(&mut all).await.expect("bytes");
        socket.write_all(&all).await.expect("written");
        all.len()
    });
    let piece: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for _ in 0..SIZE / piece.len() {
        channel.send(Bytes::copy_from_slice(&piece)).await;
    }
    channel.to_sandbox = None;
    let mut back = Vec::new();
    while let Some(bytes) = channel.bytes().await {
        back.extend_from_slice(&bytes);
    }
    assert_eq!(serve.await.expect("no panic"), SIZE);
    assert!(back == piece.repeat(SIZE / piece.len()), "{} bytes came back", back.len());
    assert!(gateway.heard().closes.is_empty(), "{:?}", gateway.heard().closes);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ports_half_close_gets_to_the_gateway() {
    if is_not_root() {
        return;
    }
    let (gateway, _program, listener, port) = up().await;
    let (mut channel, mut socket) = pair(&gateway, &listener, port).await;
    socket.write_all(b"all I have to say").await.expect("written");
    socket.shutdown().await.expect("closed");
    assert_eq!(channel.bytes().await.as_deref(), Some(&b"all I have to say"[..]));
    assert_eq!(channel.bytes().await, None);
    channel.send(&b"and still I hear"[..]).await;
    channel.to_sandbox = None;
    let mut heard = String::new();
    socket.read_to_string(&mut heard).await.expect("text");
    assert_eq!(heard, "and still I hear");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_gone_ends_the_connection_and_a_connection_that_breaks_says_so() {
    if is_not_root() {
        return;
    }
    let (gateway, _program, listener, port) = up().await;
    let (channel, mut socket) = pair(&gateway, &listener, port).await;
    drop(channel);
    let read = socket.read(&mut [0; 8]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");

    let (mut channel, socket) = pair(&gateway, &listener, port).await;
    // Ends with a reset, not with an orderly close (socket(7), SO_LINGER).
    #[allow(deprecated)]
    socket.set_linger(Some(std::time::Duration::ZERO)).expect("an option");
    drop(socket);
    assert_eq!(channel.bytes().await, None);
    let id = channel.id.clone();
    let close = gateway
        .until("a reason", |heard| heard.closes.iter().find(|close| close.channel_id == id).cloned())
        .await;
    assert!(close.reason.contains("the connection in the sandbox broke"), "{close:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_said_in_words() {
    if is_not_root() {
        return;
    }
    let (gateway, _program, listener, port) = up().await;
    drop(listener);
    for (host, port, words) in [
        ("", port, format!("nobody listens at localhost port {port} in the sandbox")),
        ("127.0.0.1", port, format!("nobody listens at 127.0.0.1 port {port} in the sandbox")),
        ("", 0, "0 is no port: ports are 1 to 65535".to_owned()),
        ("no.such.host", 80, "`no.such.host` is neither an address nor a name".to_owned()),
    ] {
        let refused = gateway.tcp(host, port).await.map(|_| ()).expect_err("nobody is there");
        assert!(refused.contains(&words), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_nobody_reads_holds_up_no_other() {
    if is_not_root() {
        return;
    }
    let (gateway, program, listener, port) = up().await;
    let (stuck, mut socket) = pair(&gateway, &listener, port).await;
    let flood = tokio::spawn(async move { while socket.write_all(&[7; 65_536]).await.is_ok() {} });
    let mut others = Vec::new();
    for number in 0_u8..50 {
        let (channel, mut socket) = pair(&gateway, &listener, port).await;
        tokio::spawn(async move {
            let mut byte = [0];
            while socket.read_exact(&mut byte).await.is_ok() && socket.write_all(&byte).await.is_ok() {}
        });
        others.push((number, channel));
    }
    for (number, channel) in &mut others {
        channel.send(Bytes::copy_from_slice(&[*number])).await;
        assert_eq!(channel.bytes().await.as_deref(), Some(&[*number][..]));
    }
    println!("50 connections and one that is stuck: {}", program.memory());
    assert!(!flood.is_finished());
    drop(stuck);
    flood.await.expect("no panic");
}
