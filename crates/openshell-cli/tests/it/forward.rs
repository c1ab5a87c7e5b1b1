//! `forward`: connections through the program to a port that a sandbox would have.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Stdio};

use openshell_proto::openshell::v1::SandboxPhase;
use rustix::process::{Pid, Signal, kill_process};

use crate::exec::gateway;
use crate::fake::{Gateway, sandbox};
use crate::{Run, openshell, run};

/// A server that sends back what it got, backwards, once that has ended.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a connection");
            std::thread::spawn(move || {
                let mut got = Vec::new();
                // A client that breaks off is the test's subject.
                if socket.read_to_end(&mut got).is_ok() {
                    got.reverse();
                    let _ = socket.write_all(&got);
                }
            });
        }
    });
    port
}

struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(gateway: &Gateway, ports: &[String]) -> Self {
        let mut command = openshell(&gateway.socket());
        command.args(["sandbox", "forward", "a"]).args(ports).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, lines }
    }

    /// Where it listens: the next line that it prints.
    fn address(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line.split(' ').next().expect("an address").to_owned()
    }

    fn end(self, signal: Signal) -> Run {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
        Run::from(self.child.wait_with_output().expect("its end"))
    }
}

fn round(address: &str, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect(address)?;
    socket.write_all(bytes)?;
    // Half of it ends, and the other half goes on.
    socket.shutdown(Shutdown::Write)?;
    let mut got = Vec::new();
    socket.read_to_end(&mut got)?;
    got.reverse();
    Ok(got)
}

#[test]
fn ports_are_forwarded_each_way_until_it_is_told_to_end() {
    let gateway = gateway();
    let port = server();
    let mut running = Running::start(&gateway, &[format!("0:{port}"), format!("localhost:0:{port}")]);
    let (one, two) = (running.address(), running.address());
    assert_ne!(one, two);
    let large: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 253) as u8).collect();
    let others: Vec<_> = (0..8)
        .map(|number| {
            let (address, bytes) = (if number % 2 == 0 { one.clone() } else { two.clone() }, large.clone());
            std::thread::spawn(move || round(&address, &bytes).is_ok_and(|got| got == bytes))
        })
        .collect();
    assert_eq!(round(&one, b"small").expect("an answer"), b"small");
    for other in others {
        assert!(other.join().expect("no panic"));
    }
    let ran = running.end(Signal::INT);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

#[test]
fn a_gateway_that_breaks_ends_connections_and_nothing_else() {
    let mut gateway = gateway();
    let port = server();
    let mut running = Running::start(&gateway, &[format!("0:{port}")]);
    let address = running.address();
    let mut open = TcpStream::connect(&address).expect("a connection");
    open.write_all(b"never answered").expect("it takes it");
    assert_eq!(round(&address, b"before").expect("an answer"), b"before");
    gateway.kill();
    // Not an end like any other: something is missing.
    let error = open.read_to_end(&mut Vec::new()).expect_err("it breaks");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    gateway.revive();
    assert_eq!(round(&address, b"after").expect("an answer"), b"after");
    let ran = running.end(Signal::TERM);
    assert_eq!(ran.code, Some(0));
    assert!(ran.err.contains("warning: the connection from 127.0.0.1:"), "{}", ran.err);
}

#[test]
fn what_cannot_be_forwarded_is_said() {
    let gateway = gateway();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("its address");
    let said = run(&gateway.socket(), ["sandbox", "forward", "a", &format!("{}:80", taken.port())]).bad(1);
    assert!(said.contains(&format!("cannot listen at {taken}")) && said.contains("hint: "), "{said}");
    let said = run(&gateway.socket(), ["sandbox", "forward", "a", "x:80"]).bad(2);
    assert!(said.contains("`x` is no port"), "{said}");
    // A sandbox that is gone by then ends it.
    gateway.state().sandboxes.push(sandbox("gone", SandboxPhase::Ready, "", ""));
    let mut command = openshell(&gateway.socket());
    command.args(["sandbox", "forward", "gone", "0:80"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    let mut running = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    running.read_line(&mut line).expect("a line");
    let _ = round(line.split(' ').next().expect("an address"), b"");
    let ran = Run::from(child.wait_with_output().expect("its end"));
    assert_eq!(ran.code, Some(3), "{}", ran.err);
}
