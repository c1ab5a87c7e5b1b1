//! Both versions of HTTP on every listener, silence that is ended, and an orderly end.

use std::time::{Duration, Instant};

use openshell_front::Limits;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Client, PATIENCE, Server, ask, ask_http1, certificates, client, files, load};

const SHORT: Duration = Duration::from_millis(200);

/// Waits until the other end hangs up, whatever it says before.
async fn hung_up(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Duration {
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
    let began = Instant::now();
    server.begin_stop();
    server.ended().await;
    assert!(began.elapsed() < SHORT * 20, "{:?}", began.elapsed());
    answer.await.expect("no panic").expect_err("it was cut");
}
