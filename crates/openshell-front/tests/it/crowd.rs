//! Ten thousand connections that only lie there keep nobody out.

use std::time::{Duration, Instant};

use openshell_front::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;

use crate::support::{Client, Server, ask};

const CROWD: u64 = 10_000;
/// Descriptors for everything else in this process; the other tests run beside this one.
const RESERVE: u64 = 1_000;

/// As many as the limit of descriptors lets be; each open one needs two of them, for both ends are here.
fn crowd(limits: &Limits) -> u64 {
    let now = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // The server's ends are those of its limit alone.
    let room = allowed.saturating_sub(RESERVE + u64::try_from(limits.connections).expect("a small number"));
    if room < CROWD {
        println!("the limit of {allowed} descriptors leaves {room} idle connections instead of {CROWD}");
    }
    room.min(CROWD)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_idle_connections_keeps_nobody_out() {
    let limits = Limits { first_byte: Duration::from_secs(120), ..Limits::default() };
    let server = Server::start(None, limits).await;
    let mut known = Client::over(server.tcp().await).await.expect("HTTP/2");
    assert_eq!(known.ask("/").await.expect("an answer"), "tcp");
    let mut busy = Client::over(server.tcp().await).await.expect("HTTP/2");
    let slow = tokio::spawn(async move { busy.ask("/slow").await });
    server.service.asked.notified().await;

    let mut idle = Vec::new();
    for _ in 0..crowd(&limits) {
        idle.push(TcpStream::connect(server.address).await.expect("connect"));
    }
    // The kernel's queue may be full still, and then takes nobody for a second or more.
    ask(server.tcp().await).await.expect("the last of the crowd is in");
    // Not by waiting until the crowd is shown out for its silence.
    let within = |began: Instant| assert!(began.elapsed() < limits.first_byte / 2, "{:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(ask(server.tcp().await).await.expect("a place by the crowded door"), "tcp");
    within(began);
    let began = Instant::now();
    assert!(ask(server.unix().await).await.expect("the other door").starts_with("unix"));
    within(began);
    assert_eq!(known.ask("/").await.expect("who was answered before stays"), "tcp");
    server.service.go_on.notify_one();
    assert_eq!(slow.await.expect("no panic").expect("who is busy stays"), "tcp");
    assert!(server.tcp.open() <= 2 * 1024 + 1, "{} are open", server.tcp.open());
}
