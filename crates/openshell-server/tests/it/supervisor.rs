//! Sandboxes that one can work in, end to end: the gateway of this build, the supervisor as it is shipped, a real engine.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use openshell_proto::openshell::v1::exec_sandbox_event::Payload;
use openshell_proto::openshell::v1::{
    CreateSandboxRequest, DeleteSandboxRequest, DeleteSandboxResponse, ExecSandboxEvent, ExecSandboxRequest,
    GetSandboxLogsRequest, GetSandboxLogsResponse, GetSandboxRequest, Sandbox, SandboxPhase, SandboxResponse,
    SandboxSpec, SandboxTemplate, StartSandboxRequest, StopSandboxRequest,
};
use prost::Message;

use crate::backend::{Backend, DOCKER, KUBERNETES, Leftovers, PODMAN};
use crate::client::{Channel, call_with, get};
use crate::elsewhere::Elsewhere;
use crate::harness::{Home, PATIENCE, Process, free_port, program, text};

/// The sandbox.
pub(crate) const NAME: &str = "work";
/// A main process that does nothing until it is told to end.
pub(crate) const WAITS: &str = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

/// The code and the message of a call that fails.
pub(crate) type Refused = (u32, String);

/// A gateway with one sandbox.
pub(crate) struct World {
    pub(crate) home: Home,
    pub(crate) backend: Backend,
    pub(crate) id: String,
    supervisor: PathBuf,
    pub(crate) gateway: Option<Process>,
    /// Where its metrics are.
    health: SocketAddr,
    /// What its configuration says of the driver, beside that it supervises.
    table: &'static str,
    /// What its sandboxes need that are not on this host.
    pub(crate) elsewhere: Option<Elsewhere>,
    _leftovers: Leftovers,
}

impl World {
    /// `None`, and a word about it, where the engine or the supervisor is away.
    pub(crate) fn new(backend: Backend, what: &str) -> Option<Self> {
        Self::configured(backend, what, "")
    }

    /// The same, with more lines about the driver in its configuration.
    pub(crate) fn configured(backend: Backend, what: &str, table: &'static str) -> Option<Self> {
        let supervisor = program("openshell-sandbox")?;
        if !backend.is_there() {
            return None;
        }
        let id = format!("sv-{}-{what}-{}", backend.name, std::process::id());
        let _leftovers = Leftovers(backend, id.clone());
        let elsewhere = match backend.name == KUBERNETES.name {
            true => Some(Elsewhere::on_cluster(&id)?),
            false => None,
        };
        let health = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (home, gateway) = (Home::new(), None);
        let mut world = Self { home, backend, id, supervisor, gateway, health, table, elsewhere, _leftovers };
        world.start_gateway();
        Some(world)
    }

    pub(crate) fn start_gateway(&mut self) {
        let (name, table, given) = (self.backend.name, self.table, self.backend.table(&self.home));
        let elsewhere = self.elsewhere.as_ref();
        let gateway = elsewhere.map(Elsewhere::gateway).unwrap_or_default();
        let driver = elsewhere.map(Elsewhere::driver).unwrap_or_default();
        let table =
            format!("{gateway}[openshell.drivers.{name}]\nsupervisor = \"builtin\"\n{driver}{table}{given}");
        let config = self.home.write("supervised.toml", table);
        let (config, health) = (config.to_string_lossy(), self.health.to_string());
        let args = ["--drivers", self.backend.name, "--gateway-id", &self.id, "--config", &config];
        let args = [&args[..], &["--health-address", &health]].concat();
        // Where it comes in an image, there is nothing on this host to be found.
        let path = [("OPENSHELL_SUPERVISOR_PATH", self.supervisor.as_path())];
        let environment = if elsewhere.is_some() { &path[..0] } else { &path[..] };
        self.gateway = Some(self.home.serve_with(&args, environment));
    }

    pub(crate) fn log(&self) -> String {
        self.gateway.as_ref().map(Process::log).unwrap_or_default()
    }

    pub(crate) fn channel(&self) -> Channel {
        Channel::Unix(self.home.socket())
    }

    /// A number without labels out of the gateway's metrics.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = get(&Channel::Tcp(self.health), "/metrics", &[]).expect("metrics");
        let metrics = text(&metrics.body);
        let mut values = metrics.lines().filter_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        values.next().unwrap_or_else(|| panic!("`{name}` is not in:\n{metrics}"))
    }

    /// The sandbox's socket, as it is bound into the sandbox.
    pub(crate) fn door(&self, sandbox: &str) -> Channel {
        Channel::Unix(self.home.state("sandboxes").join(sandbox).join("gateway.sock"))
    }

    fn ask<M: Message + Default>(&self, method: &str, request: &impl Message) -> Result<Vec<M>, Refused> {
        ask(&self.channel(), method, &[], request)
    }

    /// Makes the sandbox, waits until it is ready, and gives its id.
    pub(crate) fn create(&self, command: &[&str]) -> String {
        let template = SandboxTemplate { image: (self.backend.image)(), ..SandboxTemplate::default() };
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let spec = SandboxSpec { template: Some(template), command, ..SandboxSpec::default() };
        let request = CreateSandboxRequest {
            spec: Some(spec),
            name: NAME.to_owned(),
            ..CreateSandboxRequest::default()
        };
        let made: Vec<SandboxResponse> = self.ask("CreateSandbox", &request).expect("create");
        let sandbox = made.into_iter().next().and_then(|made| made.sandbox).expect("a sandbox");
        let id = sandbox.metadata.expect("metadata").id;
        self.until(SandboxPhase::Ready);
        id
    }

    fn get(&self) -> Result<Sandbox, Refused> {
        let request = GetSandboxRequest { name: NAME.to_owned(), ..GetSandboxRequest::default() };
        let found: Vec<SandboxResponse> = self.ask("GetSandbox", &request)?;
        Ok(found.into_iter().next().and_then(|found| found.sandbox).expect("a sandbox"))
    }

    pub(crate) fn until(&self, phase: SandboxPhase) -> Sandbox {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let sandbox = self.get().expect("it is there");
            let status = sandbox.status.clone().unwrap_or_default();
            if status.phase() == phase {
                return sandbox;
            }
            assert!(Instant::now() < deadline, "not {phase:?}: {status:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the log has of the main process, once it has anything.
    fn logged(&self, sandbox: &str) -> Vec<String> {
        let request = GetSandboxLogsRequest {
            sandbox_id: sandbox.to_owned(),
            sources: vec!["main".to_owned()],
            ..GetSandboxLogsRequest::default()
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer: Vec<GetSandboxLogsResponse> = self.ask("GetSandboxLogs", &request).expect("a log");
            let lines = answer.into_iter().flat_map(|answer| answer.logs);
            let lines: Vec<String> = lines.map(|line| line.message).collect();
            if !lines.is_empty() {
                return lines;
            }
            assert!(Instant::now() < deadline, "nothing is logged\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a command in the sandbox: what it printed, what it complained of, and its code.
    fn exec(&self, sandbox: &str, command: &[&str]) -> Result<(String, String, Option<i32>), Refused> {
        let request = ExecSandboxRequest {
            sandbox_id: sandbox.to_owned(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            environment: HashMap::from([("GIVEN".to_owned(), "value".to_owned())]).into_iter().collect(),
            ..ExecSandboxRequest::default()
        };
        let (mut out, mut err, mut code) = (Vec::new(), Vec::new(), None);
        for event in self.ask::<ExecSandboxEvent>("ExecSandbox", &request)? {
            match event.payload {
                Some(Payload::Stdout(piece)) => out.extend(piece.data),
                Some(Payload::Stderr(piece)) => err.extend(piece.data),
                Some(Payload::Exit(exit)) => code = Some(exit.exit_code),
                None => {}
            }
        }
        Ok((text(&out), text(&err), code))
    }
}

/// A call of one message, and all that come back.
fn ask<M: Message + Default>(
    channel: &Channel,
    method: &str,
    metadata: &[(&str, &str)],
    request: &impl Message,
) -> Result<Vec<M>, Refused> {
    let path = format!("/openshell.v1.OpenShell/{method}");
    let answer = call_with(channel, &path, metadata, &request.encode_to_vec()).expect("an answer");
    if answer.grpc != Some(0) {
        return Err((answer.grpc.unwrap_or(u32::MAX), answer.message));
    }
    let (mut messages, mut rest) = (Vec::new(), &answer.body[..]);
    while let Some((head, body)) = rest.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        messages.push(M::decode(&body[..length]).expect("a message"));
        rest = &body[length..];
    }
    Ok(messages)
}

fn code_of<T: std::fmt::Debug>(answer: Result<T, Refused>) -> u32 {
    answer.expect_err("a refusal").0
}

#[test]
fn one_works_in_a_sandbox_until_nothing_of_it_is_left() {
    for backend in [DOCKER, PODMAN, KUBERNETES] {
        let Some(mut world) = World::new(backend, "life") else { continue };
        let id = world.create(&["sh", "-c", &format!("echo begun; {WAITS}")]);
        let first = world.until(SandboxPhase::Ready).status.expect("a status").main_process_instance_id;
        assert_eq!(world.exec(&id, &["echo", "hello"]), Ok(("hello\n".into(), String::new(), Some(0))));
        let script = "echo $GIVEN; pwd; echo wrong >&2; exit 42";
        let expected = ("value\n/sandbox\n".into(), "wrong\n".into(), Some(42));
        assert_eq!(world.exec(&id, &["sh", "-c", script]), Ok(expected));
        assert_eq!(world.exec(&id, &["sh", "-c", "kill -9 $$"]).expect("an end").2, Some(137));
        assert_eq!(world.exec(&id, &["no-such-program"]).expect("an end").2, Some(127));

        // The gateway goes away: the main process does not notice, and the next gateway finds it, and what it has logged.
        assert_eq!(world.logged(&id), ["begun"]);
        world.gateway.take().expect("a gateway").kill();
        world.start_gateway();
        let began = Instant::now();
        assert_eq!(world.exec(&id, &["echo", "again"]), Ok(("again\n".into(), String::new(), Some(0))));
        println!("{}: the first exec after a restart: {:?}", backend.name, began.elapsed());
        let now = world.until(SandboxPhase::Ready).status.expect("a status").main_process_instance_id;
        assert!(!first.is_empty() && now == first, "`{first}` became `{now}`");
        assert_eq!(world.logged(&id), ["begun"]);

        world.exec(&id, &["sh", "-c", "echo kept >/sandbox/file"]).expect("exec");
        let stop = StopSandboxRequest { name: NAME.to_owned(), ..StopSandboxRequest::default() };
        world.ask::<SandboxResponse>("StopSandbox", &stop).expect("stop");
        world.until(SandboxPhase::Stopped);
        assert!(world.exec(&id, &["true"]).is_err());
        let start = StartSandboxRequest { name: NAME.to_owned(), ..StartSandboxRequest::default() };
        world.ask::<SandboxResponse>("StartSandbox", &start).expect("start");
        world.until(SandboxPhase::Ready);
        assert_eq!(world.exec(&id, &["cat", "/sandbox/file"]).expect("exec").0, "kept\n");

        let delete = DeleteSandboxRequest { name: NAME.to_owned(), ..DeleteSandboxRequest::default() };
        world.ask::<DeleteSandboxResponse>("DeleteSandbox", &delete).expect("delete");
        let deadline = Instant::now() + PATIENCE;
        while world.get().is_ok() {
            assert!(Instant::now() < deadline, "it does not go\n{}", world.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(world.backend.resources(&world.home, &world.id), Vec::<String>::new());
        assert_eq!(entries(&world.home.state("sandboxes")), 0, "its door is gone");
        let log = world.log();
        assert!(!log.contains("osb1."), "a token is in the log:\n{log}");
    }
}

#[test]
fn what_lies_in_a_sandbox_opens_nothing() {
    for backend in [DOCKER, PODMAN] {
        let Some(world) = World::new(backend, "doors") else { continue };
        let id = world.create(&["sh", "-c", WAITS]);
        // Nothing of the supervisor's is to be had by an exec, but that root reads its token.
        let script = include_str!("../../../openshell-driver-common/tests/workload.sh");
        let (out, err, code) = world.exec(&id, &["sh", "-c", script]).expect("exec");
        assert_eq!(code, Some(7), "{out}{err}");
        assert!(out.contains("user 0 group 0 in /sandbox\n") && !out.contains("hole"), "{out}{err}");

        let token = world.exec(&id, &["cat", "/run/openshell/token"]).expect("exec").0;
        let bearer = format!("Bearer {}", token.trim());
        let gateway = format!("Bearer {}", world.home.token());
        let get = GetSandboxRequest { name: NAME.to_owned(), ..GetSandboxRequest::default() };
        let door = world.door(&id);
        for shown in [bearer.as_str(), &gateway, ""] {
            let metadata = [("authorization", shown)];
            for method in ["GetSandbox", "CreateSandbox", "ExecSandbox", "Health"] {
                assert_eq!(code_of(ask::<SandboxResponse>(&door, method, &metadata, &get)), 12, "{method}");
            }
        }
        // The boot token opens a session and is good for nothing else; nobody else's is good for anything.
        for method in ["RelayStream", "PushSandboxLogs", "ReportMainProcessExit"] {
            let refused = ask::<SandboxResponse>(&door, method, &[("authorization", &bearer)], &get);
            assert_eq!(code_of(refused), 16, "{method}");
        }
        for method in ["ConnectSupervisor", "RefreshSandboxToken", "RelayStream"] {
            let refused = ask::<SandboxResponse>(&door, method, &[("authorization", &gateway)], &get);
            assert_eq!(code_of(refused), 16, "{method}");
            // Not even its owner is a supervisor on the gateway's own socket.
            let refused =
                ask::<SandboxResponse>(&world.channel(), method, &[("authorization", &bearer)], &get);
            assert_eq!(code_of(refused), 7, "{method}");
        }
        // The supervisor is still there.
        assert_eq!(world.exec(&id, &["echo", "on"]).expect("exec").0, "on\n");
        assert!(!world.log().contains("osb1."), "a token is in the log");
    }
}

/// How much there is in a directory: nothing in one that is not there, where no sandbox has a door of its own.
fn entries(path: &Path) -> usize {
    std::fs::read_dir(path).map_or(0, Iterator::count)
}
