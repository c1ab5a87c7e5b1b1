//! A port that is a socket, and this process as the supervisor.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::getpid;

use super::*;

/// The driver's end of the port, and where the supervisor connects.
struct Bench {
    port: UnixStream,
    socket: std::path::PathBuf,
}

impl Bench {
    /// A door for a supervisor that has this number.
    fn new(name: &str, supervisor: Pid) -> Self {
        let socket = std::env::temp_dir().join(format!("door-{}-{name}.sock", std::process::id()));
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).expect("a socket");
        let (port, its) = UnixStream::pair().expect("a port");
        port.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        Door::new(listener, File::from(OwnedFd::from(its))).attend(supervisor).expect("threads");
        Self { port, socket }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).expect("let in");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        stream
    }

    fn say(&mut self, kind: Kind, connection: u32, data: &[u8]) {
        let length = u16::try_from(data.len()).expect("a length");
        let header = Header { kind, connection, length }.encode();
        self.port.write_all(&[&header[..], data].concat()).expect("taken");
    }

    fn hear(&mut self) -> (Kind, u32, Vec<u8>) {
        let mut header = [0; HEADER];
        self.port.read_exact(&mut header).expect("a header");
        let Header { kind, connection, length } = Header::decode(header).expect("a header");
        let mut data = vec![0; usize::from(length)];
        self.port.read_exact(&mut data).expect("its bytes");
        (kind, connection, data)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn read(stream: &mut UnixStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("bytes");
    bytes
}

fn ended(stream: &mut UnixStream) {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("an end");
    assert_eq!(rest, b"");
}

#[test]
fn a_connection_is_carried_both_ways_until_either_side_ends_it() {
    let mut bench = Bench::new("both", getpid());
    let mut here = bench.connect();
    here.write_all(b"question").expect("written");
    assert_eq!(bench.hear(), (Kind::Open, 1, Vec::new()));
    assert_eq!(bench.hear(), (Kind::Data, 1, b"question".to_vec()));
    bench.say(Kind::Data, 1, b"answer");
    assert_eq!(read(&mut here, 6), b"answer");
    drop(here);
    assert_eq!(bench.hear(), (Kind::Close, 1, Vec::new()));

    let mut here = bench.connect();
    assert_eq!(bench.hear(), (Kind::Open, 2, Vec::new()));
    // What comes late for the first reaches nobody.
    bench.say(Kind::Data, 1, b"stale");
    bench.say(Kind::Data, 2, b"last");
    bench.say(Kind::Close, 2, b"");
    assert_eq!(read(&mut here, 4), b"last");
    ended(&mut here);
    assert_eq!(bench.hear(), (Kind::Close, 2, Vec::new()));
}

#[test]
fn a_newer_connection_takes_the_place_of_one_that_does_not_read() {
    let mut bench = Bench::new("newer", getpid());
    let mut old = bench.connect();
    assert_eq!(bench.hear(), (Kind::Open, 1, Vec::new()));
    // More than its socket holds: whoever writes it waits, and has to be let go.
    let mut driver = bench.port.try_clone().expect("a descriptor");
    let frame =
        [&Header { kind: Kind::Data, connection: 1, length: 16_000 }.encode()[..], &[9; 16_000]].concat();
    let feeder = std::thread::spawn(move || (0..200).try_for_each(|_| driver.write_all(&frame)));
    assert_eq!(read(&mut old, 16_000), [9; 16_000]);
    let mut new = bench.connect();
    assert_eq!(bench.hear(), (Kind::Open, 2, Vec::new()));
    feeder.join().expect("a thread").expect("all was taken");
    bench.say(Kind::Data, 2, b"fresh");
    assert_eq!(read(&mut new, 5), b"fresh");
    new.write_all(b"up").expect("written");
    assert_eq!(bench.hear(), (Kind::Data, 2, b"up".to_vec()));
}

#[test]
fn nobody_but_the_supervisor_is_let_in() {
    // Whoever else this is: the first process of the host.
    let mut bench = Bench::new("nobody", Pid::INIT);
    for _ in 0..3 {
        ended(&mut bench.connect());
    }
    bench.port.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    let nothing = bench.port.read(&mut [0]).expect_err("nothing was said");
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
}
