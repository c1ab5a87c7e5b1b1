//! Who is let in by which listener, as whom, and who is not.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::backend::docker_engine;
use crate::client::{Answer, Channel, call, get, watch_health};
use crate::harness::{GATEWAY, Home, PATIENCE, Process, free_port, text};

const HEALTH: &str = "/openshell.v1.OpenShell/Health";
const CREATE_WORKSPACE: &str = "/openshell.v1.OpenShell/CreateWorkspace";
const LIST: &str = "/openshell.v1.OpenShell/ListSandboxes";

/// What somebody else is to ask: the socket and the method, a line each.
const ASKED: &str = "OPENSHELL_TEST_ASKED";

/// gRPC's status codes, as numbers.
const OK: Option<u32> = Some(0);
const PERMISSION_DENIED: Option<u32> = Some(7);
const RESOURCE_EXHAUSTED: Option<u32> = Some(8);
const UNAUTHENTICATED: Option<u32> = Some(16);

/// A gateway on docker's engine, which nothing is made on; `None` without one.
fn serve(home: &Home, args: &[&str]) -> Option<Process> {
    docker_engine().then(|| home.serve(&[&["--drivers", "docker"], args].concat()))
}

/// Where its TCP listener is.
fn address(home: &Home) -> SocketAddr {
    let endpoint = home.registered().expect("a gateway").endpoint.expect("a TCP listener");
    let (_, address) = endpoint.split_once("://").expect("a URL");
    address.parse().expect("an address")
}

fn tcp(home: &Home) -> Channel {
    Channel::Tcp(address(home))
}

/// A call with a token.
fn with_token(channel: &Channel, path: &str, token: &str) -> Answer {
    call(channel, path, &[("authorization", &format!("Bearer {token}"))]).expect("an answer")
}

/// Makes certificates and gives their folder.
fn certificates(home: &Home, name: &str, clients: &[&str]) -> PathBuf {
    let dir = home.path(name);
    let mut args = vec!["generate-certs", "--dir", dir.to_str().expect("UTF-8"), "--host", "localhost"];
    for client in clients {
        args.extend(["--client", client]);
    }
    let output = home.gateway(&args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    dir
}

#[test]
fn two_gateways_stand_side_by_side_each_with_its_token() {
    let (one, other) = (Home::new(), Home::new());
    let Some(first) = serve(&one, &[]) else { return };
    let second = serve(&other, &[]).expect("it was there before");
    assert_ne!(address(&one), address(&other));
    for (home, gateway) in [(&one, &first), (&other, &second)] {
        let over_unix = call(&Channel::Unix(home.socket()), HEALTH, &[]).expect("an answer");
        assert_eq!(over_unix.grpc, OK, "{over_unix:?}\n{}", gateway.log());
        assert_eq!(with_token(&tcp(home), HEALTH, &home.token()).grpc, OK);
    }
    assert_eq!(with_token(&tcp(&one), HEALTH, &other.token()).grpc, UNAUTHENTICATED);
}

#[test]
fn the_token_is_made_once_and_private_and_nobody_comes_in_without() {
    let home = Home::new();
    let Some(gateway) = serve(&home, &[]) else { return };
    let token = home.token();
    let mode = std::fs::metadata(home.state("token")).expect("a token").permissions().mode();
    assert_eq!((mode & 0o777, token.len() >= 32), (0o600, true));
    let mut flipped = token.clone().into_bytes();
    flipped[0] ^= 1;
    let flipped = String::from_utf8(flipped).expect("still text");
    for wrong in [flipped.as_str(), &token[1..], &format!("{token}0"), "", "Bearer"] {
        let answer = with_token(&tcp(&home), HEALTH, wrong);
        assert_eq!(answer.grpc, UNAUTHENTICATED, "{answer:?}");
        assert!(!answer.message.contains(&token));
    }
    assert_eq!(call(&tcp(&home), HEALTH, &[]).expect("an answer").grpc, UNAUTHENTICATED);
    assert_eq!(
        call(&tcp(&home), HEALTH, &[("authorization", "Basic eA==")]).expect("an answer").grpc,
        UNAUTHENTICATED
    );
    let log = gateway.log();
    assert!(log.contains("WARN") && log.contains("Health"), "each refusal is logged:\n{log}");
    assert!(!log.contains(&token) && !log.contains(&flipped), "what was shown is not:\n{log}");
    assert!(gateway.terminate().success());
    let gateway = serve(&home, &[]).expect("it was there before");
    assert_eq!(home.token(), token, "{}", gateway.log());
}

#[test]
fn a_rotated_token_holds_from_the_next_call_on() {
    let home = Home::new();
    let Some(_gateway) = serve(&home, &[]) else { return };
    let old = home.token();
    assert_eq!(
        text(&home.gateway(&["token", "path"]).stdout).trim_end(),
        home.state("token").to_string_lossy()
    );
    let rotated = home.gateway(&["token", "rotate"]);
    assert!(rotated.status.success(), "{}", text(&rotated.stderr));
    let new = home.token();
    assert_ne!(old, new);
    assert!(!text(&rotated.stdout).contains(&new), "nobody asked to see it");
    assert_eq!(text(&home.gateway(&["token", "show"]).stdout), format!("{new}\n"));
    assert_eq!(with_token(&tcp(&home), HEALTH, &new).grpc, OK);
    assert_eq!(with_token(&tcp(&home), HEALTH, &old).grpc, UNAUTHENTICATED);
}

#[test]
fn a_client_shows_a_certificate_of_the_ca_or_gets_no_connection() {
    let home = Home::new();
    let certs = certificates(&home, "certs", &["ci", "stranger"]);
    let foreign = certificates(&home, "foreign", &["ci"]);
    let dir = certs.display();
    let config = home.write(
        "gateway.toml",
        format!(
            "[openshell.gateway.tls]\ncert_path = \"{dir}/tls.crt\"\nkey_path = \"{dir}/tls.key\"\n\
             client_ca_path = \"{dir}/ca.crt\"\nclient_role = \"none\"\n\
             [openshell.gateway.identities.ci]\nrole = \"use\"\ncertificate_name = \"ci\"\n"
        ),
    );
    let Some(gateway) = serve(&home, &["--config", config.to_str().expect("UTF-8")]) else { return };
    let registered = home.registered().expect("a gateway");
    assert!(registered.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("https://")));
    let channel = |ca: &PathBuf, client: Option<PathBuf>| Channel::Tls {
        address: address(&home),
        ca: ca.clone(),
        client,
    };
    let of = |dir: &PathBuf, name: &str| Some(dir.join("clients").join(name));

    let known = channel(&certs, of(&certs, "ci"));
    assert_eq!(call(&known, HEALTH, &[]).expect("an answer").grpc, OK, "{}", gateway.log());
    assert_eq!(call(&known, LIST, &[]).expect("an answer").grpc, OK);
    let denied = call(&known, CREATE_WORKSPACE, &[]).expect("an answer");
    assert_eq!(denied.grpc, PERMISSION_DENIED, "{denied:?}");
    let stranger = call(&channel(&certs, of(&certs, "stranger")), HEALTH, &[]).expect("an answer");
    assert!([UNAUTHENTICATED, PERMISSION_DENIED].contains(&stranger.grpc), "{stranger:?}");
    for (what, refused) in [
        ("no certificate", channel(&certs, None)),
        ("a certificate of another CA of the same names", channel(&certs, of(&foreign, "ci"))),
        ("plain text", tcp(&home)),
    ] {
        let answer = call(&refused, HEALTH, &[]);
        assert!(answer.is_err(), "{what}: {answer:?}");
    }
    let elsewhere = call(&channel(&foreign, of(&certs, "ci")), HEALTH, &[]);
    assert!(
        elsewhere.is_err_and(|error| error.contains("invalid peer certificate")),
        "the client refuses a foreign gateway"
    );
}

#[test]
fn streams_end_in_order_when_the_gateway_is_told_to_stop() {
    let home = Home::new();
    let certs = certificates(&home, "certs", &[]);
    let dir = certs.display();
    let file =
        format!("[openshell.gateway.tls]\ncert_path = \"{dir}/tls.crt\"\nkey_path = \"{dir}/tls.key\"\n");
    let config = home.write("gateway.toml", file);
    for tls in [false, true] {
        let args = if tls { vec!["--config", config.to_str().expect("UTF-8")] } else { vec![] };
        let Some(gateway) = serve(&home, &args) else { return };
        let address = address(&home);
        let channel = if tls {
            Channel::Tls { address, ca: certs.clone(), client: None }
        } else {
            Channel::Tcp(address)
        };
        let bearer = format!("Bearer {}", home.token());
        let (begun, begins) = std::sync::mpsc::channel();
        let watch = std::thread::spawn(move || watch_health(&channel, &[("authorization", &bearer)], &begun));
        begins.recv_timeout(PATIENCE).expect("a first message");
        let start = Instant::now();
        assert!(gateway.terminate().success());
        // Streams that do not end by themselves are waited for that long.
        assert!(start.elapsed() < Duration::from_secs(10), "it waited: {:?}", start.elapsed());
        let answer = watch.join().expect("a thread").expect("a whole answer, not a cut connection");
        assert!(answer.grpc.is_some(), "the stream has a status: {answer:?}");
    }
}

#[test]
fn everybody_is_let_in_where_that_was_asked_for_and_the_log_warns() {
    let home = Home::new();
    let Some(gateway) = serve(&home, &["--allow-unauthenticated"]) else { return };
    assert_eq!(call(&tcp(&home), HEALTH, &[]).expect("an answer").grpc, OK);
    let log = gateway.log();
    assert!(
        log.contains("WARN")
            && log.contains("`--allow-unauthenticated`: every process that reaches 127.0.0.1:0"),
        "{log}"
    );
    assert!(!home.state("token").exists(), "nobody is asked for one");
    assert_eq!(home.registered().expect("a gateway").token_path, None);
}

#[test]
fn beyond_loopback_is_refused_without_tls_and_without_authentication() {
    let home = Home::new();
    let output =
        home.gateway(&["--drivers", "docker", "--bind-address", "0.0.0.0", "--allow-unauthenticated"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        "\
error: `--bind-address` is `0.0.0.0`: beyond loopback the gateway listens only with TLS
hint: make certificates: openshell-gateway generate-certs --dir DIR --host NAME
hint: then give `cert_path` and `key_path` in `[openshell.gateway.tls]`

error: `--allow-unauthenticated` would let in whoever reaches `0.0.0.0`: without authentication the gateway listens on loopback alone
hint: leave it out; clients show the token: openshell-gateway token show

the configuration has 2 errors
"
    );
    assert!(!home.path("state").exists(), "something was made");
}

#[test]
fn a_port_that_is_taken_is_refused_before_anything_is_made() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let output = home.gateway(&["--drivers", "docker", "--port", &port]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&format!("127.0.0.1:{port}")) && error.contains("hint: "), "{error}");
    assert!(error.contains("--port 0"), "{error}");
    assert!(!home.path("state").exists(), "something was made");
}

#[test]
fn files_that_are_missing_or_open_to_others_are_refused_before_anything_is_made() {
    let home = Home::new();
    let certs = certificates(&home, "certs", &[]);
    let dir = certs.display();
    let token = home.write("open.token", "0123456789012345678901234567890123456789\n");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let tls = |cert: &str, key: &str| {
        format!("[openshell.gateway.tls]\ncert_path = \"{cert}\"\nkey_path = \"{key}\"\n")
    };
    let identity =
        |path: &str| format!("[openshell.gateway.identities.ci]\nrole = \"read\"\ntoken_path = \"{path}\"\n");
    for (file, said) in [
        (tls("/nowhere.crt", &format!("{dir}/tls.key")), "/nowhere.crt".to_owned()),
        (tls(&format!("{dir}/tls.crt"), &format!("{dir}/ca.key")), format!("{dir}/")),
        (identity("/nowhere.token"), "/nowhere.token".to_owned()),
        (identity(&token.display().to_string()), token.display().to_string()),
    ] {
        let config = home.write("gateway.toml", &file);
        for command in [vec![], vec!["check-config"]] {
            let args = [&command[..], &["--drivers", "docker", "--config", config.to_str().expect("UTF-8")]]
                .concat();
            let output = home.gateway(&args);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{file}: {error}");
            assert!(error.contains(&said) && !error.contains("0123456789"), "`{said}` is not in: {error}");
            assert!(!home.path("state").exists(), "something was made");
        }
    }
}

#[test]
fn a_gateway_registers_itself_for_as_long_as_it_listens() {
    let home = Home::new();
    let Some(gateway) = serve(&home, &["--gateway-id", &format!("reg-{}", std::process::id())]) else {
        return;
    };
    let found = home.registered().expect("a gateway");
    assert_eq!(found.gateway_id, format!("reg-{}", std::process::id()));
    assert_eq!((found.driver.as_str(), found.version.as_str()), ("docker", env!("CARGO_PKG_VERSION")));
    assert_eq!(found.token_path, Some(home.state("token")));
    assert!(found.endpoint.is_some_and(|endpoint| endpoint.starts_with("http://127.0.0.1:")));
    assert!(gateway.terminate().success());
    assert_eq!(home.registered(), None);

    let gateway = serve(&home, &["--no-tcp"]).expect("it was there before");
    let found = home.registered().expect("a gateway");
    assert_eq!((found.endpoint, found.token_path), (None, None), "{}", gateway.log());
}

#[test]
fn health_and_metrics_are_on_a_listener_of_their_own() {
    let home = Home::new();
    let free = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let Some(gateway) = serve(&home, &["--no-tcp", "--health-address", &free.to_string()]) else { return };
    let health = Channel::Tcp(free);
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer =
            get(&health, path, &[]).unwrap_or_else(|error| panic!("{path}: {error}\n{}", gateway.log()));
        assert_eq!(answer.http, 200, "{path}: {answer:?}");
    }
    let metrics = get(&health, "/metrics", &[]).expect("an answer");
    assert!(text(&metrics.body).contains("# TYPE "), "{metrics:?}");
    let call = call(&health, HEALTH, &[]).expect("an answer");
    assert_ne!(call.grpc, OK, "nothing else is there: {call:?}");
}

#[test]
fn the_json_log_has_a_request_id_that_the_answer_has() {
    let home = Home::new();
    let Some(gateway) = serve(&home, &["--log-format", "json", "--log-level", "debug"]) else { return };
    let answer = call(&tcp(&home), HEALTH, &[]).expect("an answer");
    assert_eq!(answer.grpc, UNAUTHENTICATED);
    let id = answer.headers.get("x-request-id").expect("a request id").to_str().expect("text").to_owned();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = gateway.log();
        let mut lines = log.lines().map(|line| -> Value {
            serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))
        });
        if lines.any(|line| line["level"] == "WARN" && line.to_string().contains(&id)) {
            break;
        }
        assert!(Instant::now() < deadline, "no refusal with {id}:\n{log}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_identity_asks_as_fast_as_it_may() {
    let home = Home::new();
    let token = home.write("ci.token", "0123456789012345678901234567890123456789\n");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    let config = home.write(
        "gateway.toml",
        format!(
            "[openshell.gateway.identities.ci]\nrole = \"read\"\ntoken_path = \"{}\"\nrequests_per_second = 1\nburst = 2\n",
            token.display()
        ),
    );
    let Some(gateway) = serve(&home, &["--config", config.to_str().expect("UTF-8")]) else { return };
    let answers: Vec<_> = (0..6)
        .map(|_| with_token(&tcp(&home), HEALTH, "0123456789012345678901234567890123456789").grpc)
        .collect();
    assert_eq!(answers[..2], [OK, OK], "{}", gateway.log());
    assert!(answers.contains(&RESOURCE_EXHAUSTED), "{answers:?}");
    assert_eq!(with_token(&tcp(&home), HEALTH, &home.token()).grpc, OK, "the others are not held up");
}

#[test]
fn another_user_of_this_host_is_refused_unless_an_identity_has_the_uid() {
    const SOMEBODY: u32 = 65_000;
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can be somebody else");
        return;
    }
    let home = Home::new();
    // Entered by everybody, listed and written by nobody.
    std::fs::set_permissions(home.path(""), std::fs::Permissions::from_mode(0o711)).expect("a mode");
    let ask = |path: &str| {
        let mut somebody = std::process::Command::new(std::env::current_exe().expect("this program"));
        somebody.args(["--exact", "front::somebody_else_asks", "--ignored", "--nocapture"]);
        somebody.env_clear().env(ASKED, format!("{}\n{path}", home.socket().display())).uid(SOMEBODY);
        let output = somebody.output().expect("it starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let Some(gateway) = serve(&home, &[]) else { return };
    let said = ask(HEALTH);
    assert!(said.contains("no answer: Permission denied"), "{said}");
    assert!(gateway.terminate().success());

    let config = home.write(
        "gateway.toml",
        format!("[openshell.gateway.identities.somebody]\nrole = \"read\"\nuids = [{SOMEBODY}]\n"),
    );
    let gateway = serve(&home, &["--config", config.to_str().expect("UTF-8")]).expect("it was there before");
    let said = ask(LIST);
    assert!(said.contains("answered with Some(0)"), "{said}\n{}", gateway.log());
    let said = ask(CREATE_WORKSPACE);
    assert!(said.contains("answered with Some(7)"), "{said}\n{}", gateway.log());
}

/// What the test above runs this program again for: one call on the Unix socket, as whoever it runs as.
#[test]
#[ignore = "run by the test of another user"]
fn somebody_else_asks() {
    let asked = std::env::var(ASKED).expect("a socket and a method");
    let (socket, path) = asked.split_once('\n').expect("two lines");
    match call(&Channel::Unix(socket.into()), path, &[]) {
        Ok(answer) => println!("answered with {:?}", answer.grpc),
        Err(error) => println!("no answer: {error}"),
    }
}

#[test]
fn check_config_says_who_gets_in() {
    let home = Home::new();
    let certs = certificates(&home, "certs", &[]);
    let dir = certs.display();
    let config = home.write(
        "gateway.toml",
        format!(
            "[openshell.gateway]\nbind_address = \"0.0.0.0\"\nport = 7777\nhealth_address = \"127.0.0.1:9464\"\n\
             [openshell.gateway.tls]\ncert_path = \"{dir}/tls.crt\"\nkey_path = \"{dir}/tls.key\"\n\
             client_ca_path = \"{dir}/ca.crt\"\nclient_certificates = \"optional\"\n\
             [openshell.gateway.identities.ci]\nrole = \"use\"\ncertificate_name = \"ci\"\nuids = [65000]\n\
             [openshell.drivers.docker]\nsupervisor = \"none\"\n"
        ),
    );
    let mut command = home.command(&*GATEWAY);
    command
        .args(["check-config", "--drivers", "docker", "--config"])
        .arg(config)
        .env_remove("OPENSHELL_SERVER_PORT");
    let output = command.output().expect("the gateway starts");
    let out = text(&output.stdout);
    let expected = format!(
        "\
the configuration is fine
driver: docker (the command line says so)
listens on: {} (this user, root, and the uids [65000])
listens on: https://0.0.0.0:7777 (a client certificate or a token; the gateway's own is in {})
listens on: http://127.0.0.1:9464 (health and metrics alone, no authentication)
identity: ci, use: a certificate for `ci`, the uids [65000]
database: {}
",
        home.socket().display(),
        home.state("token").display(),
        home.state("gateway.db").display(),
    );
    assert_eq!(out, expected, "{}", text(&output.stderr));
    assert!(!home.path("state").exists(), "something was made");
}
