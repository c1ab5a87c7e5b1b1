//! What an attacker tries through the gateway's own listeners, with a real engine behind it: each is refused, by name,
//! nothing is made, and whoever has a right to be served is served meanwhile. Wrong tokens, foreign certificates and other
//! users' calls without a client are in `front.rs`.

use std::fs::Permissions;
use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use openshell_proto::openshell::v1::{CreateSandboxRequest, SandboxSpec, SandboxTemplate};
use openshell_proto::structs;
use prost::Message as _;
use serde_json::json;

use crate::backend::{DOCKER, Leftovers};
use crate::client::{Answer, Channel, call, call_with};
use crate::harness::{Home, PATIENCE, Process, program, text};

const CREATE: &str = "/openshell.v1.OpenShell/CreateSandbox";
const HEALTH: &str = "/openshell.v1.OpenShell/Health";
const LIST: &str = "/openshell.v1.OpenShell/ListSandboxes";

/// gRPC's status codes, as numbers.
const OK: Option<u32> = Some(0);
const INVALID_ARGUMENT: Option<u32> = Some(3);
const RESOURCE_EXHAUSTED: Option<u32> = Some(8);

/// A gateway on docker's engine, with the way to it by TCP.
struct Target {
    home: Home,
    gateway: Process,
    channel: Channel,
    bearer: String,
    id: String,
    _leftovers: Leftovers,
}

impl Target {
    /// `None` without an engine.
    fn start(id: &str, config: &str) -> Option<Self> {
        if !DOCKER.is_there() {
            return None;
        }
        let leftovers = Leftovers(DOCKER, id.to_owned());
        let home = Home::new();
        let config = home.write("gateway.toml", config);
        let config = config.to_str().expect("UTF-8");
        let gateway = home.serve(&["--drivers", "docker", "--gateway-id", id, "--config", config]);
        let (_, address) = home.endpoint(id);
        let channel = Channel::Tcp(address.parse().expect("an address"));
        let bearer = format!("Bearer {}", home.token());
        Some(Self { home, gateway, channel, bearer, id: id.to_owned(), _leftovers: leftovers })
    }

    /// A call of somebody who has the token.
    fn ask(&self, path: &str, message: &[u8]) -> Result<Answer, String> {
        call_with(&self.channel, path, &[("authorization", &self.bearer)], message)
    }

    /// A create that has to be refused.
    fn refused(&self, request: &CreateSandboxRequest) -> Answer {
        let answer = self.ask(CREATE, &request.encode_to_vec()).expect("an answer");
        assert_ne!(answer.grpc, OK, "{answer:?}");
        answer
    }

    /// Neither a row nor a container is there, and the gateway is well.
    fn assert_untouched(&self) {
        let health = self.ask(HEALTH, &[]).expect("an answer");
        assert_eq!(health.grpc, OK, "{health:?}\n{}", self.gateway.log());
        let list = self.ask(LIST, &[]).expect("an answer");
        assert_eq!((list.grpc, &list.body[..]), (OK, &[0; 5][..]), "a row: {list:?}");
        let filter = format!("label=openshell.ai/gateway-id={}", self.id);
        let listed = self.home.command("docker").args(["ps", "-aq", "--filter", &filter]).output();
        let listed = listed.expect("docker runs");
        assert!(listed.status.success() && listed.stdout.is_empty(), "a container: {listed:?}");
        let log = self.gateway.log();
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// A create that is fine but for what a test does to it.
fn create() -> CreateSandboxRequest {
    let template = SandboxTemplate { image: (DOCKER.image)(), ..SandboxTemplate::default() };
    let spec = SandboxSpec {
        template: Some(template),
        command: vec!["sleep".to_owned(), "60".to_owned()],
        ..SandboxSpec::default()
    };
    CreateSandboxRequest { spec: Some(spec), ..CreateSandboxRequest::default() }
}

#[test]
fn a_request_of_64_mib_is_refused_before_it_is_read() {
    let Some(target) = Target::start("e2e-attack-large", "") else { return };
    let mut request = create();
    request.name = "x".repeat(64 << 20);
    let before = target.gateway.resident();
    let answer = target.ask(CREATE, &request.encode_to_vec());
    // The gateway answers at once and reads no further: which of the two is heard first is the network's affair.
    if let Ok(answer) = answer {
        assert_eq!(answer.grpc, RESOURCE_EXHAUSTED, "{answer:?}");
        assert!(answer.message.contains("4194304"), "the limit is named: {answer:?}");
    }
    let grown = target.gateway.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "it has taken {grown} bytes for a message that it refuses");
    target.assert_untouched();
}

#[test]
fn an_environment_of_10_mib_is_refused() {
    // Where the message itself may be that large, too.
    for (id, config) in [
        ("e2e-attack-env", ""),
        ("e2e-attack-env-large", "[openshell.gateway.limits]\nrequest_bytes = 33554432\n"),
    ] {
        let Some(target) = Target::start(id, config) else { return };
        let mut request = create();
        let spec = request.spec.as_mut().expect("a spec");
        spec.environment.insert("LARGE".to_owned(), "x".repeat(10 << 20));
        let answer = target.refused(&request);
        assert!([INVALID_ARGUMENT, RESOURCE_EXHAUSTED].contains(&answer.grpc), "{answer:?}");
        assert!(answer.message.len() < 1000, "the environment is sent back");
        target.assert_untouched();
    }
}

#[test]
fn names_and_labels_that_mean_something_elsewhere_are_refused() {
    let Some(target) = Target::start("e2e-attack-names", "") else { return };
    for name in
        ["../../etc/cron.d/x", "a/../b", "..", "a\nb", "a\u{0}b", "-v", "$(id)", "a b", &"a".repeat(5000)]
    {
        let answer = target.refused(&CreateSandboxRequest { name: name.to_owned(), ..create() });
        assert_eq!(answer.grpc, INVALID_ARGUMENT, "{name:?}: {answer:?}");
    }
    let hostile = [("team", "a\nopenshell.ai/gateway-id=other"), ("a\nb", "c"), ("../up", "c")];
    for (key, value) in hostile {
        let mut request = create();
        request.labels.insert(key.to_owned(), value.to_owned());
        let answer = target.refused(&request);
        assert_eq!(answer.grpc, INVALID_ARGUMENT, "{key:?}={value:?}: {answer:?}");
    }
    // These reach the container, where the gateway knows its own by them.
    for (key, value) in hostile.into_iter().chain([("openshell.ai/gateway-id", "other")]) {
        let mut request = create();
        let template = request.spec.as_mut().and_then(|spec| spec.template.as_mut()).expect("a template");
        template.labels.insert(key.to_owned(), value.to_owned());
        let answer = target.refused(&request);
        assert_eq!(answer.grpc, INVALID_ARGUMENT, "{key:?}={value:?}: {answer:?}");
    }
    target.assert_untouched();
    // What was sent cannot pass for lines of the log.
    let log = target.gateway.log();
    assert!(!log.lines().any(|line| line.starts_with("b") || line.starts_with("openshell.ai/")), "{log}");
}

#[test]
fn the_engines_socket_is_mounted_for_nobody() {
    // Also where binds are on: for a folder that the socket is not in.
    for (id, config) in [
        ("e2e-attack-socket", "".to_owned()),
        ("e2e-attack-socket-binds", "[openshell.drivers.docker]\nbind_mounts = [\"/srv\"]\n".to_owned()),
    ] {
        let Some(target) = Target::start(id, &config) else { return };
        let mounts = |source: &str| json!({"docker": {"mounts": [{"type": "bind", "source": source, "target": "/mnt/x"}]}});
        for asked in [
            mounts("/var/run/docker.sock"),
            mounts("/run/docker.sock"),
            mounts("/srv/../run/docker.sock"),
            mounts("/proc/self/root/run/docker.sock"),
            mounts("/run"),
            mounts("/"),
            json!({"docker": {"binds": ["/var/run/docker.sock:/s"]}}),
            json!({"docker": {"privileged": true}}),
            json!({"docker": {"host_config": {"Binds": ["/var/run/docker.sock:/s"]}}}),
        ] {
            let object = asked.as_object().expect("an object");
            let mut request = create();
            let template = request.spec.as_mut().and_then(|spec| spec.template.as_mut()).expect("a template");
            template.driver_config = Some(structs::from_json(object).expect("a struct"));
            let answer = target.refused(&request);
            assert!(!answer.message.is_empty() && answer.grpc != Some(13), "{asked}: {answer:?}");
        }
        target.assert_untouched();
    }
}

#[test]
fn thousands_of_idle_connections_keep_nobody_out() {
    const IDLE: usize = 3000;
    let config = "[openshell.gateway.limits]\nconnections = 256\n";
    let Some(target) = Target::start("e2e-attack-idle", config) else { return };
    let Channel::Tcp(address) = target.channel else { panic!("TCP was asked for") };
    let before = target.gateway.resident();
    let mut idle = Vec::new();
    for number in 0..IDLE {
        idle.push(TcpStream::connect(address).expect("a connection"));
        if number % 500 == 0 {
            assert_eq!(target.ask(HEALTH, &[]).expect("an answer").grpc, OK);
        }
    }
    target.assert_untouched();
    let unix = call(&Channel::Unix(target.home.socket()), HEALTH, &[]).expect("an answer");
    assert_eq!(unix.grpc, OK, "{unix:?}");
    assert!(target.gateway.descriptors() < 512, "{} descriptors are open", target.gateway.descriptors());
    let grown = target.gateway.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{IDLE} idle connections cost {grown} bytes");
    // The first one has made room.
    let first = &mut idle[0];
    first.set_read_timeout(Some(PATIENCE)).expect("a time");
    let end = first.read(&mut [0; 64]);
    assert!(
        end.as_ref().is_ok_and(|read| *read < 64)
            || end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
        "{end:?}"
    );
}

/// With the client as it is: whoever has an identity's uid is served within its role, and the others hear why not.
#[test]
fn the_client_of_another_user_is_served_as_its_identity_or_told_that_it_has_none() {
    let Some(client) = program("openshell") else { return };
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can be somebody else");
        return;
    }
    let config = "[openshell.gateway.identities.ada]\nrole = \"use\"\nuids = [65001]\n";
    let Some(target) = Target::start("e2e-attack-uid", config) else { return };
    // Entered by everybody, listed and written by nobody. The client is where others may run it.
    std::fs::set_permissions(target.home.path(""), Permissions::from_mode(0o711)).expect("a mode");
    let copy = target.home.path("openshell");
    std::fs::copy(client, &copy).expect("a copy");
    let run = |uid: u32, args: &[&str]| {
        let mut command = target.home.command(&copy);
        let output = command.args(args).uid(uid).gid(uid).output().expect("it starts");
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(run(65001, &["status"]), (Some(0), String::new()));
    let (code, said) = run(65001, &["workspace", "create", "mine"]);
    assert!(code == Some(10) && said.contains("the role `admin`"), "{code:?}: {said}");
    let (code, said) = run(65002, &["status"]);
    assert!(
        code == Some(10) && said.contains("hung up") && said.contains("uids = [65002]"),
        "{code:?}: {said}"
    );
    target.assert_untouched();
}
