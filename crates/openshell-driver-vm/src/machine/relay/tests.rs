//! A port without a machine behind it, and a gateway that says what the test wants.

use std::os::fd::OwnedFd;

use tokio::net::UnixListener;

use super::*;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long somebody is tried who does not read.
const TRIED: Duration = Duration::from_millis(300);

/// A guest's end of the port, and the place of the gateway's socket.
struct Bench {
    port: UnixStream,
    relay: Relay,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (port, its) = UnixStream::pair().expect("a port");
        Self { port, relay: Relay::start(its, dir.path().join("gateway.sock")), dir }
    }

    /// A gateway, in place of the one before it.
    fn gateway(&self) -> UnixListener {
        let path = self.dir.path().join("gateway.sock");
        let _ = std::fs::remove_file(&path);
        UnixListener::bind(path).expect("a socket")
    }

    async fn say(&mut self, kind: Kind, connection: u32, data: &[u8]) {
        let length = u16::try_from(data.len()).expect("a length");
        let header = Header { kind, connection, length }.encode();
        let frame = [&header[..], data].concat();
        timeout(PATIENCE, self.port.write_all(&frame)).await.expect("in time").expect("taken");
    }

    async fn hear(&mut self) -> (Kind, u32, Vec<u8>) {
        let mut header = [0; HEADER];
        timeout(PATIENCE, self.port.read_exact(&mut header)).await.expect("in time").expect("a header");
        let Header { kind, connection, length } = Header::decode(header).expect("a header");
        let mut data = vec![0; usize::from(length)];
        timeout(PATIENCE, self.port.read_exact(&mut data)).await.expect("in time").expect("its bytes");
        (kind, connection, data)
    }
}

async fn accept(gateway: &UnixListener) -> UnixStream {
    timeout(PATIENCE, gateway.accept()).await.expect("in time").expect("a connection").0
}

async fn read(stream: &mut UnixStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.expect("in time").expect("bytes");
    bytes
}

async fn ended(stream: &mut UnixStream) {
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("in time").expect("an end");
    assert_eq!(rest, b"");
}

/// A piece that is larger than a frame.
fn large() -> Vec<u8> {
    (0..100_000_u32).map(|number| (number % 251) as u8).collect()
}

#[tokio::test]
async fn bytes_go_both_ways_and_either_side_may_end_it() {
    let mut bench = Bench::new();
    let gateway = bench.gateway();
    bench.say(Kind::Open, 1, b"").await;
    let mut there = accept(&gateway).await;
    bench.say(Kind::Data, 1, b"question").await;
    assert_eq!(read(&mut there, 8).await, b"question");
    let sent = large();
    let mut got = Vec::new();
    let (_, ()) = tokio::join!(there.write_all(&sent), async {
        while got.len() < sent.len() {
            let (kind, connection, data) = bench.hear().await;
            assert_eq!((kind, connection), (Kind::Data, 1));
            got.extend(data);
        }
    });
    assert!(got == sent, "other bytes");
    there.write_all(b"last").await.expect("written");
    drop(there);
    assert_eq!(bench.hear().await, (Kind::Data, 1, b"last".to_vec()));
    assert_eq!(bench.hear().await, (Kind::Close, 1, Vec::new()));
    // The guest says so, too, and the other way round the gateway hears it.
    bench.say(Kind::Close, 1, b"").await;
    bench.say(Kind::Open, 2, b"").await;
    let mut there = accept(&gateway).await;
    bench.say(Kind::Data, 2, b"x").await;
    bench.say(Kind::Close, 2, b"").await;
    assert_eq!(read(&mut there, 1).await, b"x");
    ended(&mut there).await;
}

#[tokio::test]
async fn a_gateway_that_is_away_is_said_and_found_when_it_is_back() {
    let mut bench = Bench::new();
    for number in 1..=3 {
        bench.say(Kind::Open, number, b"").await;
        // What it sends before it knows is dropped.
        bench.say(Kind::Data, number, b"lost").await;
        assert_eq!(bench.hear().await, (Kind::Close, number, Vec::new()));
    }
    // A socket of a gateway that was killed.
    drop(bench.gateway());
    bench.say(Kind::Open, 4, b"").await;
    assert_eq!(bench.hear().await, (Kind::Close, 4, Vec::new()));
    let gateway = bench.gateway();
    bench.say(Kind::Open, 5, b"").await;
    bench.say(Kind::Data, 5, b"found").await;
    assert_eq!(read(&mut accept(&gateway).await, 5).await, b"found");
}

#[tokio::test]
async fn a_newer_connection_takes_an_older_one_s_place() {
    let mut bench = Bench::new();
    let gateway = bench.gateway();
    bench.say(Kind::Open, 1, b"").await;
    let mut old = accept(&gateway).await;
    bench.say(Kind::Open, 7, b"").await;
    let mut new = accept(&gateway).await;
    ended(&mut old).await;
    // What is still on its way for the old one does not reach the new one.
    bench.say(Kind::Data, 1, b"stale").await;
    bench.say(Kind::Close, 1, b"").await;
    bench.say(Kind::Data, 7, b"fresh").await;
    assert_eq!(read(&mut new, 5).await, b"fresh");
}

#[tokio::test]
async fn a_gateway_that_does_not_read_makes_the_guest_wait_and_nothing_is_kept_for_it() {
    let mut bench = Bench::new();
    let gateway = bench.gateway();
    bench.say(Kind::Open, 1, b"").await;
    let mut there = accept(&gateway).await;
    let piece = Header { kind: Kind::Data, connection: 1, length: 16_000 }.encode();
    let piece = [&piece[..], &[5; 16_000]].concat();
    let mut taken = 0;
    while taken < 64 << 20 {
        match timeout(TRIED, bench.port.writable()).await {
            Ok(ready) => ready.expect("a port"),
            Err(_) => break,
        }
        match bench.port.try_write(&piece[taken % piece.len()..]) {
            Ok(count) => taken += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
    // What two sockets of the kernel hold, and a frame.
    assert!(taken < 4 << 20, "{taken} bytes were taken");
    let whole = taken / piece.len();
    assert!(whole > 0);
    assert!(read(&mut there, whole * 16_000).await.iter().all(|byte| *byte == 5));
}

#[tokio::test]
async fn a_guest_that_does_not_read_gets_whole_frames_all_the_same() {
    let mut bench = Bench::new();
    let gateway = bench.gateway();
    bench.say(Kind::Open, 1, b"").await;
    let there = accept(&gateway).await;
    let mut taken = 0;
    while timeout(TRIED, there.writable()).await.is_ok() {
        taken += there.try_write(&[6; 16_000]).unwrap_or_default();
    }
    assert!((1..4 << 20).contains(&taken), "{taken} bytes were taken");
    // It wants another while a frame of the first is half-way: that comes to its end first.
    bench.say(Kind::Open, 2, b"").await;
    let mut next = None;
    let mut got = 0;
    while next.is_none() {
        tokio::select! {
            (kind, connection, data) = bench.hear() => {
                assert_eq!((kind, connection), (Kind::Data, 1));
                assert!(data.iter().all(|byte| *byte == 6));
                got += data.len();
            }
            connection = gateway.accept() => next = Some(connection.expect("a connection").0),
        }
    }
    assert!(got <= taken);
    let mut next = next.expect("a connection");
    next.write_all(b"second").await.expect("written");
    loop {
        match bench.hear().await {
            (Kind::Data, 1, _) => {}
            second => break assert_eq!(second, (Kind::Data, 2, b"second".to_vec())),
        }
    }
}

#[tokio::test]
async fn whoever_breaks_the_protocol_is_told_from_who_does_not() {
    let open = Header::of(Kind::Open, 3).encode();
    let and = |more: [u8; HEADER]| [open, more].concat();
    for (sent, said) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "begin no frame of the supervisor's line"),
        (vec![0; HEADER], "begin no frame"),
        (and(Header::of(Kind::Close, 4).encode()), "connection 4, which it has not opened"),
        (Header::of(Kind::Close, 1).encode().to_vec(), "connection 1, which it has not opened"),
        (and(open), "opened the supervisor's connection 3 again"),
        (and(Header::of(Kind::Open, 2).encode()), "opened the supervisor's connection 2 again"),
        (and([2, 0, 0xff, 0xff, 3, 0, 0, 0]), "begin no frame"),
    ] {
        let mut bench = Bench::new();
        let _gateway = bench.gateway();
        bench.port.write_all(&sent).await.expect("written");
        let broken = timeout(PATIENCE, bench.relay.broken()).await.expect("in time").to_string();
        assert!(broken.contains(said), "{sent:?}: {broken}");
    }
    // One that only ends has broken nothing.
    let mut bench = Bench::new();
    bench.say(Kind::Open, 1, b"").await;
    assert_eq!(bench.hear().await, (Kind::Close, 1, Vec::new()));
    drop(bench.port);
    assert!(timeout(TRIED, bench.relay.broken()).await.is_err());
}

#[tokio::test]
async fn a_socket_is_reached_however_long_its_path_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let deep = dir.path().join("d".repeat(120));
    std::fs::create_dir(&deep).expect("a directory");
    let held = OwnedFd::from(File::open(&deep).expect("a directory"));
    let near = format!("/proc/self/fd/{}/gateway.sock", held.as_raw_fd());
    let gateway = UnixListener::bind(near).expect("a socket");
    let far = deep.join("gateway.sock");
    let (dialled, _) = tokio::join!(dial(&far), accept(&gateway));
    dialled.expect("reached");
    assert!(dial(&deep.join("other.sock")).await.is_err());
}
