//! Both versions of HTTP on every listener, silence that is ended, and an orderly end.

use std::time::{Duration, Instant};

use openshell_front::Limits;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::support::{Client, PATIENCE, Server, ask, ask_http1, certificates, client, files, load};

/// Silence that is ended, and what a busy machine is not silent for.
const SHORT: Duration = Duration::from_secs(1);

/// Waits until the other end hangs up, whatever it says before.
async fn hung_up(stream: &mut (impl AsyncRead + Unpin)) -> Duration {
    let began = Instant::now();
    let mut said = Vec::new();
    // Closed or reset, it is over.
    let _ =
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it is closed in time");
    began.elapsed()
}

#[tokio::test]
async fn both_versions_of_http_are_answered_on_every_listener() {
    let server = Server::start(None, Limits::default()).await;
    let uid = format!("unix {}", rustix::process::geteuid().as_raw());
    assert_eq!(ask(server.tcp().await).await.expect("HTTP/2"), "tcp");
    assert_eq!(ask_http1(server.tcp().await).await.expect("HTTP/1.1"), "tcp");
    assert_eq!(ask(server.unix().await).await.expect("HTTP/2"), uid);
    assert_eq!(ask_http1(server.unix().await).await.expect("HTTP/1.1"), uid);
}

#[tokio::test]
async fn a_socket_path_as_authority_is_answered() {
    let server = Server::start(None, Limits::default()).await;
    let mut stream = server.unix().await;
    // What gRPC's C core sends on unix:///tmp/g.sock: preface, SETTINGS, HEADERS of GET / with `:authority: tmp%2Fg.sock`.
    let authority = b"tmp%2Fg.sock";
    let length = u8::try_from(authority.len()).expect("short");
    let block = [&[0x82, 0x86, 0x84, 0x41, length][..], authority].concat();
    let head = [0, 0, u8::try_from(block.len()).expect("short"), 1, 0x5, 0, 0, 0, 1];
    let sent =
        [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0], &head, &block].concat();
    stream.write_all(&sent).await.expect("write");
    let mut got = Vec::new();
    let wanted = format!("unix {}", rustix::process::geteuid().as_raw());
    while !got.windows(wanted.len()).any(|window| window == wanted.as_bytes()) {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut got)).await.expect("in time");
        assert_ne!(read.expect("read"), 0, "hung up after {got:?}");
    }
}

#[tokio::test]
async fn silence_is_ended_before_the_first_byte_and_after_the_last_request() {
    let limits = Limits { first_byte: SHORT, idle: SHORT, ..Limits::default() };
    let server = Server::start(None, limits).await;
    let mut silent = server.tcp().await;
    assert!(hung_up(&mut silent).await >= SHORT / 2);

    let mut idle = Client::over(server.tcp().await).await.expect("HTTP/2");
    assert_eq!(idle.ask("/").await.expect("an answer"), "tcp");
    tokio::time::timeout(PATIENCE, async {
        while server.tcp.open() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the idle one is closed in time");
    idle.ask("/").await.expect_err("the connection is gone");
}

#[tokio::test]
async fn a_request_under_way_is_not_idle() {
    let limits = Limits { idle: SHORT, ..Limits::default() };
    let server = Server::start(None, limits).await;
    let mut busy = Client::over(server.tcp().await).await.expect("HTTP/2");
    let answer = tokio::spawn(async move { busy.ask("/slow").await });
    server.service.asked.notified().await;
    tokio::time::sleep(SHORT * 4).await;
    server.service.go_on.notify_one();
    assert_eq!(answer.await.expect("no panic").expect("an answer"), "tcp");
}

#[tokio::test]
async fn headers_that_do_not_end_are_ended() {
    let limits = Limits { first_byte: SHORT, ..Limits::default() };
    let server = Server::start(None, limits).await;
    let mut slow = server.tcp().await;
    slow.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nx").await.expect("write");
    assert!(hung_up(&mut slow).await < PATIENCE);
}

#[tokio::test]
async fn at_the_end_requests_under_way_are_answered_also_over_tls() {
    let home = TempDir::new().expect("a directory");
    let made = certificates(home.path(), &[]);
    let mut server = Server::start(Some(load(files(&made, None))), Limits::default()).await;
    let stream = server.tls(client(&made.ca, None)).await.expect("TLS");
    let mut busy = Client::over(stream).await.expect("HTTP/2");
    let answer = tokio::spawn(async move { busy.ask("/slow").await });
    server.service.asked.notified().await;
    let _silent = server.unix().await;
    server.begin_stop();
    tokio::time::timeout(PATIENCE, async {
        while server.socket.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("nobody new finds it, while the request goes on");
    server.service.go_on.notify_one();
    assert_eq!(answer.await.expect("no panic").expect("an answer"), "tls");
    server.ended().await;
}

#[tokio::test]
async fn the_drain_is_bounded() {
    let limits = Limits { drain: SHORT, ..Limits::default() };
    let mut server = Server::start(None, limits).await;
    let mut endless = Client::over(server.unix().await).await.expect("HTTP/2");
    let answer = tokio::spawn(async move { endless.ask("/slow").await });
    server.service.asked.notified().await;
    server.begin_stop();
    server.ended().await;
    answer.await.expect("no panic").expect_err("it was cut");
}

/// The client's side of HTTP/2 by hand: the preface and empty settings.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A request for `path`, which is short.
fn get(stream: u32, path: &str) -> Vec<u8> {
    let length = u8::try_from(path.len()).expect("short");
    frame(1, 0x5, stream, &[&[0x82, 0x86, 0x04, length][..], path.as_bytes(), b"\x01\x01a"].concat())
}

#[tokio::test]
async fn a_few_bytes_are_no_greeting() {
    let server = Server::start(None, Limits { first_byte: SHORT, ..Limits::default() }).await;
    for sent in [&b"P"[..], &HELLO[..23]] {
        let mut slow = server.tcp().await;
        slow.write_all(sent).await.expect("write");
        hung_up(&mut slow).await;
    }
}

#[tokio::test]
async fn floods_of_frames_end_their_connection_alone() {
    let server = Server::start(None, Limits::default()).await;
    let resets: Vec<u8> = (0..20_000_u32)
        .flat_map(|at| [get(at * 2 + 1, "/stranger"), frame(3, 0, at * 2 + 1, &[0, 0, 0, 8])].concat())
        .collect();
    // A header that never ends, each part of it small.
    let part = [&[0x00, 1, b'x', 0x7f, 0x81, 0x06][..], &vec![b'v'; 0x7f + 0x301]].concat();
    let endless: Vec<u8> = std::iter::once(frame(1, 0, 1, &part))
        .chain((0..2_000).map(|_| frame(9, 0, 1, &part)))
        .flatten()
        .collect();
    let empty: Vec<u8> = std::iter::once(frame(1, 0, 1, &[]))
        .chain((0..200_000).map(|_| frame(9, 0, 1, &[])))
        .flatten()
        .collect();
    for (what, flood) in [("rapid reset", resets), ("CONTINUATION", endless), ("empty CONTINUATION", empty)] {
        let (mut reader, mut writer) = server.tcp().await.into_split();
        let flooding = tokio::spawn(async move {
            writer.write_all(HELLO).await?;
            writer.write_all(&flood).await?;
            Ok::<_, std::io::Error>(writer)
        });
        hung_up(&mut reader).await;
        drop(flooding.await.expect("no panic"));
        assert_eq!(ask(server.tcp().await).await.expect(what), "tcp", "after {what}");
    }
}

#[tokio::test]
async fn strangers_with_requests_under_way_keep_nobody_out() {
    let server = Server::start(None, Limits { connections: 4, ..Limits::default() }).await;
    let mut known = Client::over(server.tcp().await).await.expect("HTTP/2");
    assert_eq!(known.ask("/").await.expect("an answer"), "tcp");
    let mut strangers = Vec::new();
    for _ in 0..12 {
        let mut stranger = server.tcp().await;
        stranger.write_all(&[HELLO, &get(1, "/stranger")].concat()).await.expect("write");
        strangers.push(stranger);
        assert_eq!(known.ask("/").await.expect("who is known stays"), "tcp");
    }
    assert_eq!(ask(server.tcp().await).await.expect("a place for another"), "tcp");
}

#[tokio::test]
async fn a_flood_of_connections_is_never_there_all_at_once() {
    const CONNECTIONS: usize = 4;
    let server = Server::start(None, Limits { connections: CONNECTIONS, ..Limits::default() }).await;
    let mut known = Client::over(server.tcp().await).await.expect("HTTP/2");
    assert_eq!(known.ask("/").await.expect("an answer"), "tcp");
    let mut strangers = Vec::new();
    for _ in 0..100 {
        let mut stranger = server.tcp().await;
        // None of them hears that it is to go.
        stranger.write_all(&[HELLO, &get(1, "/stranger")].concat()).await.expect("write");
        strangers.push(stranger);
        let open = usize::try_from(server.tcp.open()).expect("a number");
        assert!(open <= 2 * CONNECTIONS + 1, "{open} are open");
    }
    assert_eq!(ask(server.tcp().await).await.expect("a place for another"), "tcp");
    assert_eq!(known.ask("/").await.expect("who is known stays"), "tcp");
    assert!(server.tcp.open() <= 9, "{} are open", server.tcp.open());
}

/// The window of a stream, as the server's settings have it (RFC 9113, section 6.5.2).
async fn window_of(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> u32 {
    stream.write_all(HELLO).await.expect("write");
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.expect("a frame");
    assert_eq!(head[3], 4, "settings come first");
    let mut settings = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    stream.read_exact(&mut settings).await.expect("its payload");
    let mut settings = settings.as_chunks::<6>().0.iter();
    let found = settings.find(|setting| setting[..2] == [0, 4]).expect("a window");
    u32::from_be_bytes([found[2], found[3], found[4], found[5]])
}

#[tokio::test]
async fn a_window_is_as_large_as_its_distance_needs() {
    let server = Server::start(None, Limits::default()).await;
    assert_eq!(window_of(server.tcp().await).await, 1024 * 1024);
    assert_eq!(window_of(server.unix().await).await, 256 * 1024);
    let server = Server::start(None, Limits { window: 100_000, ..Limits::default() }).await;
    assert_eq!(window_of(server.tcp().await).await, 100_000);
    assert_eq!(window_of(server.unix().await).await, 100_000);
}

#[tokio::test]
async fn who_does_not_say_who_they_are_is_closed_and_who_does_stays() {
    let limits = Limits { introduction: Some(SHORT), ..Limits::default() };
    let server = Server::start(None, limits).await;
    let mut known = Client::over(server.tcp().await).await.expect("HTTP/2");
    assert_eq!(known.ask("/").await.expect("an answer"), "tcp");
    let mut stranger = server.tcp().await;
    stranger.write_all(&[HELLO, &get(1, "/stranger")].concat()).await.expect("write");
    assert!(hung_up(&mut stranger).await >= SHORT / 2);
    tokio::time::sleep(SHORT).await;
    assert_eq!(known.ask("/").await.expect("it stays"), "tcp");
}

#[tokio::test]
async fn of_those_that_are_known_the_newest_stay() {
    let server = Server::start(None, Limits { known: 2, ..Limits::default() }).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::over(server.tcp().await).await.expect("HTTP/2");
        assert_eq!(client.ask("/").await.expect("an answer"), "tcp");
        clients.push(client);
    }
    clients[0].ask("/").await.expect_err("the oldest had to go");
    for client in &mut clients[1..] {
        assert_eq!(client.ask("/").await.expect("it stays"), "tcp");
    }
}

#[tokio::test]
async fn a_request_that_begins_as_the_connection_is_shown_out_is_answered() {
    let server = Server::start(None, Limits { connections: 1, ..Limits::default() }).await;
    // A client that has not heard of the end when it asks: it reads nothing before.
    let mut late = server.tcp().await;
    late.write_all(&[HELLO, &get(1, "/")].concat()).await.expect("write");
    let mut said = vec![0; 1];
    late.read_exact(&mut said).await.expect("a word");
    while server.service.answered() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(ask(server.tcp().await).await.expect("its place"), "tcp");
    late.write_all(&get(3, "/slow")).await.expect("write");
    tokio::time::timeout(PATIENCE, server.service.asked.notified()).await.expect("it is taken");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.service.go_on.notify_one();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, late.read_to_end(&mut rest)).await.expect("an end");
    let answers = rest.windows(3).filter(|window| window == b"tcp").count();
    assert_eq!(answers, 2, "{rest:?}");
}

#[tokio::test]
async fn who_does_not_listen_does_not_hold_up_the_end() {
    let mut server = Server::start(None, Limits::default()).await;
    let mut deaf = server.tcp().await;
    deaf.write_all(&[HELLO, &get(1, "/")].concat()).await.expect("write");
    while server.service.answered() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let began = Instant::now();
    server.begin_stop();
    server.ended().await;
    assert!(began.elapsed() < Limits::default().drain, "{:?}", began.elapsed());
}
