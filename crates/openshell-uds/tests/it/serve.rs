//! The accept loop: credentials in requests, strangers out, bounds, and an orderly end.

use std::time::{Duration, Instant};

use openshell_uds::{Limits, PeerPolicy, bind, bind_for, connect, serve, serve_with};
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;

use crate::support::{WhoAmI, as_nobody, ask, dir, given_path, is_root, never, now, set_mode};

const DRAIN: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_request_knows_its_peer() {
    let home = dir();
    let path = home.path().join("s");
    tokio::spawn(serve(bind(&path).expect("bind"), PeerPolicy::default(), WhoAmI, never(), DRAIN));
    let stream = connect(&path, &PeerPolicy::default()).await.expect("connect");
    let answer = ask(stream, "/").await.expect("an answer");
    assert_eq!(answer, rustix::process::geteuid().as_raw().to_string());
}

#[tokio::test]
async fn a_stranger_is_hung_up_on_without_a_word() {
    if !is_root() {
        return;
    }
    let home = dir();
    set_mode(home.path(), 0o755);
    let path = home.path().join("s");
    let open_to_a_third = PeerPolicy { allowed_uids: vec![4242], ..PeerPolicy::default() };
    let listener = bind_for(&path, &open_to_a_third).expect("bind");
    tokio::spawn(serve(listener, open_to_a_third, WhoAmI, never(), DRAIN));
    let mut child = as_nobody("serve::child_is_refused", &path);
    let status = tokio::task::spawn_blocking(move || child.wait()).await.expect("no panic").expect("wait");
    assert!(status.success(), "see the child's output");
}

#[tokio::test]
#[ignore = "the child of another test"]
async fn child_is_refused() {
    let mut stream = tokio::net::UnixStream::connect(given_path()).await.expect("connect");
    let mut said = Vec::new();
    // Closed at once, or reset; in no case a byte.
    let _ = stream.read_to_end(&mut said).await;
    assert!(said.is_empty(), "{said:?}");
}

#[tokio::test]
async fn at_the_end_the_file_goes_first_and_running_requests_finish() {
    let home = dir();
    let path = home.path().join("s");
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { drop(stopped.await) };
    let server =
        tokio::spawn(serve(bind(&path).expect("bind"), PeerPolicy::default(), WhoAmI, shutdown, DRAIN));
    let stream = connect(&path, &PeerPolicy::default()).await.expect("connect");
    let slow = tokio::spawn(ask(stream, "/slow"));
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.send(()).expect("the server runs");
    while path.exists() {
        assert!(!slow.is_finished(), "nobody new finds it, while the request goes on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    slow.await.expect("no panic").expect("the request that ran gets its answer");
    server.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn the_drain_is_bounded() {
    let home = dir();
    let path = home.path().join("s");
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { drop(stopped.await) };
    let drain = Duration::from_millis(200);
    let server =
        tokio::spawn(serve(bind(&path).expect("bind"), PeerPolicy::default(), WhoAmI, shutdown, drain));
    let stream = connect(&path, &PeerPolicy::default()).await.expect("connect");
    let endless = tokio::spawn(ask(stream, "/never"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop.send(()).expect("the server runs");
    let ended = tokio::time::timeout(DRAIN, server).await.expect("it is bounded");
    ended.expect("no panic").expect("an end");
    endless.await.expect("no panic").expect_err("the request was cut");
}

#[tokio::test]
async fn a_silent_connection_neither_stays_nor_holds_up_the_end() {
    let home = dir();
    let path = home.path().join("s");
    let limits = Limits { connections: 1, first_byte: Duration::from_secs(1), ..Limits::default() };
    tokio::spawn(serve_with(bind(&path).expect("bind"), PeerPolicy::default(), WhoAmI, never(), limits));
    let _silent = connect(&path, &PeerPolicy::default()).await.expect("connect");
    let second = connect(&path, &PeerPolicy::default()).await.expect("connect");
    ask(second, "/").await.expect("served once the silent one was closed");

    let path = home.path().join("t");
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { drop(stopped.await) };
    let server =
        tokio::spawn(serve(bind(&path).expect("bind"), PeerPolicy::default(), WhoAmI, shutdown, DRAIN));
    let _silent = connect(&path, &PeerPolicy::default()).await.expect("connect");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    stop.send(()).expect("the server runs");
    server.await.expect("no panic").expect("an end");
    assert!(began.elapsed() < DRAIN, "took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_panic_in_one_request_ends_that_request_alone() {
    let home = dir();
    let path = home.path().join("s");
    tokio::spawn(serve(bind(&path).expect("bind"), PeerPolicy::default(), WhoAmI, never(), DRAIN));
    let stream = connect(&path, &PeerPolicy::default()).await.expect("connect");
    ask(stream, "/panic").await.expect_err("no answer");
    let stream = connect(&path, &PeerPolicy::default()).await.expect("connect");
    ask(stream, "/").await.expect("the next one is served");
}

#[tokio::test]
async fn a_shutdown_that_came_first_is_honoured() {
    let home = dir();
    let path = home.path().join("s");
    serve(bind(&path).expect("bind"), PeerPolicy::default(), WhoAmI, now(), DRAIN).await.expect("an end");
    assert!(!path.exists());
}
