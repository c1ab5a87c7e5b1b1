//! What people do in a sandbox all day, with the client they do it with: commands, files, ports, logs; and whoever is killed
//! in the middle of it, nothing of it is left in the sandbox or the gateway, and the next command runs.

mod files;

use std::io::{PipeWriter, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use openshell_proto::openshell::v1::SandboxPhase;
use rustix::net::{Shutdown as Both, SocketAddrAny, SocketAddrUnix, getpeername, getsockname, shutdown};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open};

use crate::backend::{Backend, DOCKER, KUBERNETES, PODMAN, VM};
use crate::harness::{PATIENCE, Process, program, text};
use crate::supervisor::{NAME, World};

/// Says what it hears, so that its log has something to follow.
const MAIN: &str = "trap 'exit 0' TERM; trap 'echo heard USR1' USR1; echo begun; while :; do sleep 0.1; done";
/// Workloads are nobody in particular, so that whatever root alone may do is not what makes it work.
const USER: &str = "user = \"1000:1000\"\n";
/// What `openshell` ends with when it is not the command's own end.
const LOST: Option<i32> = Some(255);
/// Where a program in the sandbox listens.
const PORT: &str = "7007";
/// Every command line that must not be left over has this in it.
const MARK: &str = PORT;

/// One sandbox, and the client.
struct Inside {
    world: World,
    client: PathBuf,
    /// Its id.
    sandbox: String,
    spawned: usize,
    /// What clients read that are not to come to its end.
    held: Vec<PipeWriter>,
}

type Step = (&'static str, fn(&mut Inside));

/// What is done in the one sandbox, in this order; each leaves it as it was.
const STEPS: [Step; 7] = [
    ("commands", Inside::commands),
    ("files", Inside::files),
    ("ports", Inside::ports),
    ("logs", Inside::logs),
    ("cuts", Inside::cuts),
    ("supervisor", Inside::supervisor_is_killed),
    ("secrets", Inside::secrets),
];

fn work(backend: Backend, user: &'static str) {
    let Some(client) = program("openshell") else { return };
    let Some(world) = World::configured(backend, "inside", user) else { return };
    let sandbox = world.create(&["sh", "-c", MAIN]);
    let mut inside = Inside { world, client, sandbox, spawned: 0, held: Vec::new() };
    for (what, step) in STEPS {
        let began = Instant::now();
        step(&mut inside);
        inside.nothing_is_left(what);
        println!("{}: {what}: {:?}", backend.name, began.elapsed());
    }
}

#[test]
fn one_works_in_a_sandbox_and_nothing_is_left_of_it_on_docker() {
    work(DOCKER, USER);
}

#[test]
fn one_works_in_a_sandbox_and_nothing_is_left_of_it_on_podman() {
    work(PODMAN, USER);
}

#[test]
fn one_works_in_a_sandbox_and_nothing_is_left_of_it_on_kubernetes() {
    // Who they are when nobody says.
    work(KUBERNETES, "");
}

#[test]
fn one_works_in_a_sandbox_and_nothing_is_left_of_it_on_virtual_machines() {
    work(VM, USER);
}

impl Inside {
    fn command(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = self.world.home.command(&self.client);
        command.args(["sandbox", verb]).args(args);
        command
    }

    fn client(&self, verb: &str, args: &[&str]) -> Output {
        self.command(verb, args).output().expect("the client starts")
    }

    /// The client, which has to succeed.
    fn ok(&self, verb: &str, args: &[&str]) -> String {
        let output = self.client(verb, args);
        let log = self.world.log();
        assert!(output.status.success(), "{verb} {args:?}: {}\n{log}", text(&output.stderr));
        text(&output.stdout)
    }

    /// A command in the sandbox: its code and its output.
    fn exec(&self, options: &[&str], command: &[&str]) -> (Option<i32>, String) {
        let output = self.client("exec", &[&[NAME], options, &["--"], command].concat());
        (output.status.code(), text(&output.stdout))
    }

    /// The client in the background; its standard input stays open as long as it lives.
    fn spawn(&mut self, verb: &str, args: &[&str]) -> Process {
        let mut command = self.command(verb, args);
        command.stdin(Stdio::piped());
        self.spawned += 1;
        self.world.home.spawn(&format!("client-{}", self.spawned), command)
    }

    /// What runs in the sandbox, as its own `ps` shows it.
    fn processes(&self) -> String {
        let (code, listed) = self.exec(&["--no-stdin"], &["ps", "-o", "args"]);
        assert_eq!(code, Some(0), "{listed}\n{}", self.world.log());
        listed
    }

    /// Waits until no process and no channel is left but the main process's, and the supervisor is there.
    fn nothing_is_left(&self, what: &str) {
        self.until(what, || {
            let (listed, channels) = (self.processes(), self.world.metric("openshell_channels"));
            let sessions = self.world.metric("openshell_supervisors");
            let clean = !listed.contains(MARK) && (channels, sessions) == (0, 1);
            clean.then_some(()).ok_or_else(|| format!("{channels} channels, {sessions} sessions\n{listed}"))
        });
    }

    /// Looks until it is so.
    fn until<T>(&self, what: &str, look: impl Fn() -> Result<T, String>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match look() {
                Ok(found) => return found,
                Err(why) => assert!(Instant::now() < deadline, "{what}: {why}\n{}", self.world.log()),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn commands(&mut self) {
        for (options, command, code, out) in [
            (&[][..], &["true"][..], 0, ""),
            (&[], &["sh", "-c", "echo out; echo err >&2; exit 7"], 7, "out\n"),
            (&[], &["sh", "-c", "kill -9 $$"], 137, ""),
            (&[], &["no-such-program"], 127, ""),
            (&[], &["/etc/passwd"], 126, ""),
            (&["--timeout", "1"], &["sleep", "700701"], 124, ""),
            (
                &["--timeout", "1"],
                &["sh", "-c", "trap '' TERM HUP; sleep 700702 & wait; sleep 700703"],
                124,
                "",
            ),
            (
                &["--env", "A=b c", "--workdir", "/tmp"],
                &["sh", "-c", "echo $A; pwd; id -u"],
                0,
                "b c\n/tmp\n1000\n",
            ),
            (&["--no-stdin"], &["cat"], 0, ""),
            (&["--tty", "--no-stdin"], &["sh", "-c", "test -t 1 && echo tty"], 0, "tty\r\n"),
        ] {
            assert_eq!(self.exec(options, command), (Some(code), out.to_owned()), "{command:?}");
        }
        let nobody = self.client("exec", &["nobody", "--", "true"]);
        assert_eq!(nobody.status.code(), LOST, "{}", text(&nobody.stderr));
        assert_eq!(text(&self.client("exec", &[NAME, "--", "sh", "-c", "echo err >&2"]).stderr), "err\n");

        let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        for (command, expected) in [(&["cat"][..], &bytes[..]), (&["head", "-c", "10"], &bytes[..10])] {
            let mut words = self.command("exec", &[&[NAME, "--"], command].concat());
            let mut child = words.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the client");
            let (mut stdin, given) = (child.stdin.take().expect("a pipe"), bytes.clone());
            // What `head` does not want any more is nobody's fault.
            let feeder = std::thread::spawn(move || stdin.write_all(&given).unwrap_or_default());
            let output = child.wait_with_output().expect("an end");
            feeder.join().expect("a thread");
            assert!(output.status.success() && output.stdout == expected, "{command:?}");
        }
    }

    fn ports(&mut self) {
        let server = self.spawn("exec", &[NAME, "--", "nc", "-ll", "-p", PORT, "-e", "cat"]);
        let forward = self.spawn("forward", &[NAME, &format!("127.0.0.1:0:{PORT}")]);
        let address: SocketAddr = self.until("the first line", || {
            let said = forward.log();
            let address = said.split_once(' ').and_then(|(address, _)| address.parse().ok());
            address.ok_or(said)
        });
        let echoed = |bytes: &[u8]| -> std::io::Result<Vec<u8>> {
            let mut there = TcpStream::connect(address)?;
            there.set_read_timeout(Some(PATIENCE))?;
            let (mut back, given, mut got) = (there.try_clone()?, bytes.to_vec(), Vec::new());
            let feeder = std::thread::spawn(move || {
                there.write_all(&given).and_then(|()| there.shutdown(Shutdown::Write))
            });
            back.read_to_end(&mut got)?;
            let _ = feeder.join().expect("a thread");
            Ok(got)
        };
        // The program in the sandbox may not listen yet; whoever connects before is hung up on.
        self.until("the echo", || match echoed(b"there?") {
            Ok(got) if got == b"there?" => Ok(()),
            other => Err(format!("{other:?}")),
        });
        let bytes: Vec<u8> = (0..2_000_000_u32).map(|number| (number % 253) as u8).collect();
        assert!(echoed(&bytes).expect("an echo") == bytes, "other bytes come back");
        forward.kill();
        server.kill();
    }

    fn logs(&mut self) {
        self.until("the first line", || {
            let shown = self.ok("logs", &[NAME]);
            if shown.contains("begun\n") { Ok(()) } else { Err(shown) }
        });
        let follower = self.spawn("logs", &[NAME, "--follow", "--source", "main"]);
        self.until(
            "what there was",
            || {
                if follower.log() == "begun\n" { Ok(()) } else { Err(follower.log()) }
            },
        );
        self.ok("signal", &[NAME, "USR1"]);
        self.until("what comes", || {
            if follower.log() == "begun\nheard USR1\n" { Ok(()) } else { Err(follower.log()) }
        });
        assert_eq!(self.ok("logs", &[NAME, "--source", "main", "--tail", "1"]), "heard USR1\n");
        follower.kill();
    }

    /// Starts whatever may be under way, and waits until all of it is.
    fn busy(&mut self) -> Vec<Process> {
        let stubborn =
            "trap '' HUP TERM INT; setsid sleep 700704 & (sleep 700705 &) ; while :; do sleep 700706; done";
        let mut clients = vec![
            self.spawn("exec", &[NAME, "--", "sleep", "700707"]),
            self.spawn("exec", &[NAME, "--", "sh", "-c", stubborn]),
            self.spawn("exec", &[NAME, "--tty", "--", "sleep", "700708"]),
            // Speaks all the time, so that it is cut in the middle of a word.
            self.spawn("exec", &[NAME, "--", "sh", "-c", ": 700709; while :; do echo and on; done"]),
        ];
        clients.push(self.half_an_upload());
        self.until("everything runs", || {
            let (listed, channels) = (self.processes(), self.world.metric("openshell_channels"));
            let runs = (4..=9).all(|number| listed.contains(&format!("70070{number}")));
            if runs && channels >= clients.len() as u64 {
                Ok(())
            } else {
                Err(format!("{channels}\n{listed}"))
            }
        });
        clients
    }

    /// An archive that stops in the middle of a file, and has no end.
    fn half_an_upload(&mut self) -> Process {
        let tree = self.world.home.path("tree");
        let archive =
            Command::new("tar").arg("-C").arg(tree).args(["-cf", "-", "big"]).output().expect("tar");
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let mut command = self.command("upload", &[NAME, "-", "/sandbox"]);
        command.stdin(reader);
        self.spawned += 1;
        let client = self.world.home.spawn(&format!("client-{}", self.spawned), command);
        writer.write_all(&archive.stdout[..500_000]).expect("a client that reads");
        self.held.push(writer);
        client
    }

    /// Whoever goes in the middle of it.
    fn cuts(&mut self) {
        for (who, cut, clients_end) in [
            ("client", None, true),
            ("gateway", Some(Self::kill_gateway as fn(&mut Self)), false),
            ("connection", Some(Self::cut_connection), false),
        ] {
            let clients = self.busy();
            let began = Instant::now();
            if let Some(cut) = cut {
                cut(self);
            }
            for client in clients {
                if clients_end {
                    client.kill();
                } else {
                    let said = client.log();
                    let code = client.wait().code();
                    assert!(code.is_some_and(|code| code != 0), "{who}: {code:?}: {said}");
                }
            }
            let ended = began.elapsed();
            // Waits for a session by itself, for as long as a machine needs that is not busy with something else.
            self.until(who, || match self.exec(&["--no-stdin"], &["echo", "on"]) {
                (Some(0), said) if said == "on\n" => Ok(()),
                other => Err(format!("{other:?}")),
            });
            let next = began.elapsed();
            self.nothing_is_left(who);
            let clean = began.elapsed();
            println!("{who} is cut: clients ended {ended:?}, next command {next:?}, nothing left {clean:?}");
            self.until("half a file", || match self.exec(&[], &["ls", "-A", "/sandbox"]) {
                (Some(0), listed) if listed.is_empty() => Ok(()),
                other => Err(format!("{who}: {other:?}")),
            });
        }
    }

    fn kill_gateway(&mut self) {
        self.world.gateway.take().expect("a gateway").kill();
        if self.world.elsewhere.is_some() {
            self.world.start_gateway();
            return;
        }
        // As a gateway leaves it that is killed while it deletes a sandbox.
        let left = self.world.home.state("sandboxes").join("no-such-sandbox");
        std::fs::create_dir(&left)
            .and_then(|()| std::fs::write(left.join("gateway.sock"), ""))
            .expect("a directory");
        let machines = self.machines();
        self.world.start_gateway();
        self.until("the sweep", || if left.exists() { Err("it is there".to_owned()) } else { Ok(()) });
        // A machine ends with its gateway, and runs again with the next.
        self.until("another machine", || match self.machines() {
            others if machines.is_empty() || (!others.is_empty() && others != machines) => Ok(()),
            others => Err(format!("{machines:?}, then {others:?}")),
        });
        self.world.until(SandboxPhase::Ready);
    }

    /// The machine of the sandbox, where it is one.
    fn machines(&self) -> Vec<i32> {
        crate::harness::processes(&["qemu", &format!("openshell-{}.", self.world.id)])
    }

    /// Shuts down the supervisor's connection under both, at the gateway's end of it.
    fn cut_connection(&mut self) {
        let pid = self.world.gateway.as_ref().expect("a gateway").pid();
        let process = pidfd_open(pid, PidfdFlags::empty()).expect("a process");
        let mut cut = 0;
        let folder = format!("/proc/{}/fd", pid.as_raw_nonzero());
        for entry in std::fs::read_dir(folder).expect("descriptors").flatten() {
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok()).expect("a number");
            // One that has gone in between is not it.
            let Ok(fd) = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) else { continue };
            if getsockname(&fd).is_ok_and(|own| self.is_door(own)) && getpeername(&fd).is_ok() {
                shutdown(&fd, Both::Both).expect("a cut");
                cut += 1;
            }
        }
        assert!(cut > 0, "the supervisor has no connection");
    }

    /// Whether an address of the gateway's is for sandboxes.
    fn is_door(&self, own: SocketAddrAny) -> bool {
        if let Some(elsewhere) = &self.world.elsewhere {
            return SocketAddr::try_from(own).is_ok_and(|own| own == elsewhere.address);
        }
        let own = SocketAddrUnix::try_from(own).ok();
        let own = own.and_then(|name| name.path().map(|path| text(path.to_bytes())));
        own.is_some_and(|own| {
            own.ends_with("/gateway.sock") && own != self.world.home.socket().to_string_lossy()
        })
    }

    /// The first process of the sandbox, which takes everything with it; of a machine, the machine.
    fn supervisor_is_killed(&mut self) {
        let clients = self.busy();
        let variable = format!("OPENSHELL_SANDBOX_ID={}", self.sandbox);
        let mut found = crate::harness::processes_given(&variable).into_iter();
        let first = found.find(|pid| crate::harness::is_first(*pid));
        let first = first.or_else(|| self.machines().into_iter().min()).expect("a supervisor");
        crate::harness::signal(first, Signal::KILL);
        for client in clients {
            let said = client.log();
            assert!(client.wait().code().is_some_and(|code| code != 0), "{said}");
        }
        self.world.until(SandboxPhase::Error);
        assert_eq!(crate::harness::processes_given(&variable), [0; 0]);
        self.until("no channel", || match self.world.metric("openshell_channels") {
            0 => Ok(()),
            channels => Err(format!("{channels} channels")),
        });
        self.ok("start", &[NAME, "--wait=120"]);
    }

    /// What a workload that is not root gets at, and what is written down anywhere.
    fn secrets(&mut self) {
        let script = include_str!("../../../openshell-driver-common/tests/workload.sh");
        // No engine has put a filter for system calls before the kernel of a machine.
        let filter = if self.machines().is_empty() { "2" } else { "0" };
        let script = script.replace("Seccomp 2", &format!("Seccomp {filter}"));
        let (code, out) = self.exec(&[], &["sh", "-c", &script]);
        assert_eq!(code, Some(7), "{out}");
        assert!(out.contains("user 1000 group 1000") && !out.contains("hole"), "{out}");
        assert!(!out.contains("reads the token"), "{out}");
        self.ok("exec", &[NAME, "--", "rm", "/sandbox/mine"]);
        let everything = "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/[0-9]*/maps 2>/dev/null; true";
        let (_, readable) = self.exec(&[], &["sh", "-c", everything]);
        let mut seen = vec![("/proc", readable), ("the gateway's log", self.world.log())];
        seen.push(("the sandbox's log", self.ok("logs", &[NAME])));
        seen.extend((1..=self.spawned).map(|number| {
            let path = self.world.home.path(&format!("client-{number}.log"));
            ("a client", text(&std::fs::read(path).unwrap_or_default()))
        }));
        for (who, said) in seen {
            assert!(!said.contains("osb1."), "a token is in {who}");
        }
    }
}
