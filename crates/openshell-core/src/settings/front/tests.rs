//! Who may come in: what every source says of it, and each combination that is refused.

use std::time::Duration;

use super::*;
use crate::config::{Problems, RateSettings, Role};
use crate::settings::tests::load;

const CERTIFICATE: &str = "[openshell.gateway.tls]\ncert_path = \"/t/tls.crt\"\nkey_path = \"/t/tls.key\"\n";

/// Every key of the three tables, and those of the gateway that belong to them.
const EVERY_KEY: &str = r#"
[openshell.gateway]
bind_address = "0.0.0.0"
token_path = "/t/token"
health_address = "127.0.0.1:9464"

[openshell.gateway.tls]
cert_path = "/t/tls.crt"
key_path = "/t/tls.key"
client_ca_path = "/t/ca.crt"
client_certificates = "optional"
client_role = "none"

[openshell.gateway.limits]
connections = 7
streams = 8
request_bytes = 9000
first_byte = "1s"
handshake = "2s"
idle = "3s"
requests_per_second = 10
burst = 20

[openshell.gateway.identities.ci]
role = "use"
token_path = "/t/ci"
certificate_name = "CI.example.org"
certificate_sha256 = "00:FF:00:FF:00:FF:00:FF:00:FF:00:FF:00:FF:00:FF:00:FF:00:FF:00:FF:00:FF:00:FF:00:FF:00:FF:00:FF"
uids = [1001, 1002]

[openshell.gateway.identities.dashboard]
role = "read"
uids = [1003]
requests_per_second = 5
"#;

fn front(args: &GatewayArgs, vars: &[(&str, &str)], file: &str) -> Result<FrontSettings, Problems> {
    load(args, vars, file).map(|settings| settings.front)
}

fn bound(address: &str) -> GatewayArgs {
    GatewayArgs { bind_address: Some(address.into()), ..GatewayArgs::default() }
}

/// The messages of the faults of a file.
fn messages(file: &str) -> Vec<String> {
    let problems = front(&GatewayArgs::default(), &[], file).expect_err("a fault");
    problems.0.into_iter().map(|problem| problem.message).collect()
}

#[test]
fn nothing_said_is_loopback_with_a_token() {
    let front = front(&GatewayArgs::default(), &[], "").unwrap();
    let tcp = front.tcp.as_ref().unwrap();
    assert_eq!((tcp.address.to_string().as_str(), tcp.tls.is_none()), ("127.0.0.1:17670", true));
    assert_eq!(front.token_path, std::path::Path::new("/home/u/.local/state/openshell/gateway/token"));
    assert_eq!((front.allow_unauthenticated, front.health_address), (false, None));
    assert_eq!(front.limits, LimitSettings::default());
    assert_eq!((front.identities.len(), front.to_string().as_str()), (0, "a token"));
}

#[test]
fn every_key_of_the_file_is_read() {
    let front = front(&GatewayArgs::default(), &[], EVERY_KEY).unwrap();
    assert_eq!(front.token_path, std::path::Path::new("/t/token"));
    assert_eq!(front.health_address, Some("127.0.0.1:9464".parse().unwrap()));
    assert_eq!(front.to_string(), "a client certificate or a token");
    let limits = LimitSettings {
        connections: 7,
        streams: 8,
        request_bytes: 9000,
        first_byte: Duration::from_secs(1),
        handshake: Duration::from_secs(2),
        idle: Duration::from_secs(3),
        rate: RateSettings { requests_per_second: 10, burst: 20 },
    };
    assert_eq!(front.limits, limits);
    let tls = front.tcp.clone().unwrap().tls.unwrap();
    let clients = tls.clients.unwrap();
    assert_eq!((clients.ca_path, clients.required, clients.role), ("/t/ca.crt".into(), false, None));
    assert_eq!((tls.cert_path, tls.key_path), ("/t/tls.crt".into(), "/t/tls.key".into()));

    let [ci, dashboard] = front.identities.as_slice() else { panic!("two: {:?}", front.identities) };
    assert_eq!((ci.name.as_str(), ci.role, ci.token_path.clone()), ("ci", Role::Use, Some("/t/ci".into())));
    assert_eq!(ci.certificate_name.as_deref(), Some("ci.example.org"));
    assert_eq!(ci.certificate_sha256.map(|bytes| bytes[..2].to_vec()), Some(vec![0, 0xff]));
    assert_eq!(ci.rate, limits.rate, "that of everybody");
    assert_eq!(dashboard.rate, RateSettings { requests_per_second: 5, burst: 0 }, "its own, whole");
    assert_eq!(front.uids(), [1001, 1002, 1003]);
}

#[test]
fn the_reference_has_every_key() {
    let reference = include_str!("../../../../../docs/gateway.toml.md");
    for (key, _) in EVERY_KEY.lines().filter_map(|line| line.split_once(" = ")) {
        assert!(
            reference.contains(&format!("| `{key}`")) || reference.contains(&format!(", `{key}` |")),
            "{key}"
        );
    }
}

#[test]
fn defaults_of_a_client_ca() {
    let file = format!("{CERTIFICATE}client_ca_path = \"/t/ca.crt\"\n");
    let front = front(&GatewayArgs::default(), &[], &file).unwrap();
    let clients = front.tcp.clone().unwrap().tls.unwrap().clients.unwrap();
    assert_eq!((clients.required, clients.role), (true, Some(Role::Use)));
    assert_eq!(front.to_string(), "a client certificate");
}

#[test]
fn a_flag_comes_before_a_variable_and_that_before_the_file() {
    let file =
        "[openshell.gateway]\ntcp = true\nallow_unauthenticated = false\nhealth_address = \"127.0.0.1:3\"\n";
    let vars = [
        (cli::ENV_TCP, "off"),
        (cli::ENV_ALLOW_UNAUTHENTICATED, "yes"),
        (cli::ENV_HEALTH_ADDRESS, "127.0.0.1:2"),
    ];
    let flags = GatewayArgs {
        allow_unauthenticated: true,
        health_address: Some("127.0.0.1:1".into()),
        ..GatewayArgs::default()
    };
    let health = |front: &FrontSettings| front.health_address.map(|address| address.port());
    let by_file = front(&GatewayArgs::default(), &[], file).unwrap();
    assert_eq!(
        (by_file.tcp.is_some(), by_file.allow_unauthenticated, health(&by_file)),
        (true, false, Some(3))
    );
    let by_variable = front(&GatewayArgs::default(), &vars, file).unwrap();
    assert_eq!((by_variable.tcp.is_some(), health(&by_variable)), (false, Some(2)));
    let by_variable = front(&GatewayArgs::default(), &vars[1..], file).unwrap();
    assert!(by_variable.allow_unauthenticated);
    assert_eq!(by_variable.to_string(), "no authentication");
    assert_eq!(health(&front(&flags, &vars, file).unwrap()), Some(1));
    let off = "[openshell.gateway]\nallow_unauthenticated = true\n";
    assert!(
        !front(&GatewayArgs::default(), &[(cli::ENV_ALLOW_UNAUTHENTICATED, "0")], off)
            .unwrap()
            .allow_unauthenticated
    );
    let no_tcp = GatewayArgs { no_tcp: true, ..GatewayArgs::default() };
    assert!(front(&no_tcp, &[(cli::ENV_TCP, "true")], file).unwrap().tcp.is_none());
    let text =
        front(&no_tcp, &[(cli::ENV_TCP, "maybe"), (cli::ENV_ALLOW_UNAUTHENTICATED, "2")], "").unwrap_err();
    assert!(
        text.to_string().contains("`OPENSHELL_ALLOW_UNAUTHENTICATED` is `2`: expected `true` or `false`"),
        "{text}"
    );
}

#[test]
fn beyond_loopback_only_with_tls_and_authentication() {
    let expected = "\
error: `--bind-address` is `0.0.0.0`: beyond loopback the gateway listens only with TLS
hint: make certificates: openshell-gateway generate-certs --dir DIR --host NAME
hint: then give `cert_path` and `key_path` in `[openshell.gateway.tls]`

the configuration has an error";
    assert_eq!(front(&bound("0.0.0.0"), &[], "").unwrap_err().to_string(), expected);
    for address in ["::", "10.0.0.1", "fe80::1"] {
        assert!(front(&bound(address), &[], "").is_err(), "{address}");
        assert!(front(&bound(address), &[], CERTIFICATE).is_ok(), "{address}");
    }
    for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        assert!(front(&bound(address), &[], "").is_ok(), "{address}");
    }
    let shown =
        front(&GatewayArgs::default(), &[], "[openshell.gateway]\nbind_address = \"::\"\n").unwrap_err();
    assert!(shown.to_string().starts_with("error: `bind_address` is `::`: beyond loopback"), "{shown}");
    assert!(shown.to_string().contains("gateway.toml:2:16\n"), "{shown}");

    let everybody = GatewayArgs { allow_unauthenticated: true, ..bound("0.0.0.0") };
    let refused = front(&everybody, &[], CERTIFICATE).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "\
error: `--allow-unauthenticated` would let in whoever reaches `0.0.0.0`: without authentication the gateway listens on loopback alone
hint: leave it out; clients show the token: openshell-gateway token show

the configuration has an error"
    );
    assert_eq!(front(&everybody, &[], "").unwrap_err().0.len(), 2, "neither TLS nor authentication");
    // A listener that is not there lets nobody in.
    assert!(front(&GatewayArgs { no_tcp: true, ..everybody }, &[], "").is_ok());
}

#[test]
fn everybody_and_somebody_are_a_contradiction() {
    let everybody = "[openshell.gateway]\nallow_unauthenticated = true\n";
    let identity = "[openshell.gateway.identities.ci]\nrole = \"read\"\nuids = [1001]\n";
    let clients = format!("{CERTIFICATE}client_ca_path = \"/t/ca.crt\"\n");
    assert_eq!(
        messages(&format!("{everybody}{identity}{clients}")),
        [
            "`allow_unauthenticated` makes everybody an administrator, and `[openshell.gateway.identities]` says who may do what",
            "`allow_unauthenticated` makes everybody an administrator, and `client_ca_path` asks for certificates",
        ]
    );
}

#[test]
fn tls_is_whole_or_a_fault() {
    let tls = |keys: &str| messages(&format!("[openshell.gateway.tls]\n{keys}\n"));
    assert_eq!(tls("cert_path = \"/c\""), ["`cert_path` is there, and `key_path` is not"]);
    assert_eq!(tls("key_path = \"/k\""), ["`key_path` is there, and `cert_path` is not"]);
    assert_eq!(
        tls("client_ca_path = \"/a\""),
        ["`[openshell.gateway.tls]` needs `cert_path` and `key_path`"]
    );
    assert_eq!(
        tls(
            "cert_path = \"/c\"\nkey_path = \"/k\"\nclient_certificates = \"optional\"\nclient_role = \"admin\""
        ),
        [
            "`client_certificates` means nothing without `client_ca_path`, which says whose certificates",
            "`client_role` means nothing without `client_ca_path`, which says whose certificates",
        ]
    );
    assert_eq!(
        tls(
            "cert_path = \"c\"\nkey_path = 1\nclient_certificates = \"no\"\nclient_role = \"root\"\nclient_ca_path = \"/a\""
        ),
        [
            "`cert_path` is `c`: expected an absolute path; `~` and variables are not expanded",
            "`key_path` has to be a text, and this is an integer",
            "`client_certificates` is `no`: expected `required` or `optional`",
            "`client_role` is `root`: expected `read`, `use`, `admin` or `none`",
        ]
    );
}

#[test]
fn limits_have_bounds() {
    let limits = |keys: &str| messages(&format!("[openshell.gateway.limits]\n{keys}\n"));
    assert_eq!(
        limits("connections = 0"),
        ["`connections` has to be a number, 1 to 1000000, and this is `0`"]
    );
    assert_eq!(
        limits("request_bytes = 1"),
        ["`request_bytes` has to be a number, 1024 to 268435456, and this is `1`"]
    );
    assert_eq!(limits("streams = \"1\""), ["`streams` has to be a number, 1 to 65536, and this is a string"]);
    assert_eq!(limits("burst = 5"), ["`burst` means nothing without `requests_per_second`"]);
    assert_eq!(limits("connection = 5"), ["unknown key `connection` in `[openshell.gateway.limits]`"]);
    assert!(front(&GatewayArgs::default(), &[], "[openshell.gateway.limits]\nburst = 0\n").is_ok());
}

#[test]
fn an_identity_is_somebody() {
    let identity =
        |name: &str, keys: &str| messages(&format!("[openshell.gateway.identities.{name}]\n{keys}\n"));
    let own = |name: &str| identity(name, "role = \"read\"\nuids = [1001]");
    for name in ["owner", "token", "anonymous", "certificate"] {
        assert_eq!(own(name), [format!("the identity `{name}` is the gateway's own")]);
    }
    for name in ["\"a b\"", "\"\"", "\"ü\""] {
        assert!(own(name)[0].ends_with("cannot be the name of an identity"), "{name}");
    }
    assert_eq!(identity("ci", "role = \"read\""), ["there is nothing to know the identity `ci` by"]);
    assert_eq!(
        identity("ci", "role = \"read\"\nuids = []"),
        ["there is nothing to know the identity `ci` by"]
    );
    assert_eq!(identity("ci", "uids = [1001]"), ["the identity `ci` has no `role`"]);
    assert_eq!(
        identity("ci", "role = \"root\"\ntoken_path = \"x\""),
        [
            "`role` is `root`: expected `read`, `use` or `admin`",
            "`token_path` is `x`: expected an absolute path; `~` and variables are not expanded",
        ]
    );
    assert_eq!(
        identity("ci", "role = \"use\"\ncertificate_name = \"ci\""),
        ["the identity `ci` is known by a certificate, and none is asked for"]
    );
    for uid in [0, 7] {
        assert_eq!(
            identity("ci", &format!("role = \"read\"\nuids = [{uid}]")),
            [format!(
                "the identity `ci` has the uid {uid}, which is the gateway's owner, whose role is `admin`"
            )]
        );
    }
    assert_eq!(
        identity("ci", "role = \"read\"\ntoken_path = \"/home/u/.local/state/openshell/gateway/token\""),
        ["the token of the identity `ci` is the gateway's own, whose role is `admin`"]
    );
    assert_eq!(
        messages("[openshell.gateway]\nidentities.ci = 1\n"),
        ["`ci` has to be a table, `[openshell.gateway.identities.<name>]`"]
    );
}

#[test]
fn a_token_in_the_file_is_refused_without_being_shown() {
    let file = "[openshell.gateway.identities.ci]\nrole = \"read\"\ntoken = \"hunter2\"\nuids = [1001]\n";
    let text = front(&GatewayArgs::default(), &[], file).unwrap_err().to_string();
    assert!(!text.contains("hunter2") && text.contains("hint: a token is never in the file"), "{text}");
}

#[test]
fn two_identities_are_two() {
    let certificate = "client_ca_path = \"/t/ca.crt\"\n";
    let print = "ab".repeat(32);
    let keys = format!(
        "role = \"read\"\ntoken_path = \"/t/x\"\ncertificate_name = \"x\"\ncertificate_sha256 = \"{print}\"\nuids = [1001]\n"
    );
    let file = format!(
        "{CERTIFICATE}{certificate}[openshell.gateway.identities.a]\n{keys}[openshell.gateway.identities.b]\n{keys}"
    );
    let shared = ["the token `/t/x`", "the certificate name `x`", "one `certificate_sha256`", "the uid 1001"];
    let expected: Vec<String> = shared
        .iter()
        .map(|what| format!("the identities `a` and `b` share {what}: it could be either"))
        .collect();
    assert_eq!(messages(&file), expected);
}

#[test]
fn what_is_open_or_idle_is_a_warning() {
    let warnings = |args: &GatewayArgs, file: &str| -> Vec<String> {
        load(args, &[], file).unwrap().warnings.into_iter().map(|problem| problem.message).collect()
    };
    assert!(warnings(&GatewayArgs::default(), CERTIFICATE).is_empty());
    let everybody = GatewayArgs { allow_unauthenticated: true, ..GatewayArgs::default() };
    assert_eq!(
        warnings(&everybody, ""),
        [
            "`--allow-unauthenticated`: every process that reaches 127.0.0.1:17670 may do everything on this gateway"
        ]
    );
    assert_eq!(
        warnings(&GatewayArgs::default(), "[openshell.gateway]\nhealth_address = \"0.0.0.0:9464\"\n"),
        [
            "`health_address` is `0.0.0.0:9464`: whoever reaches it reads health and metrics, without authentication"
        ]
    );
    let idle = GatewayArgs { no_tcp: true, port: Some("1".into()), ..everybody };
    assert_eq!(
        warnings(&idle, CERTIFICATE),
        [
            "the TCP listener is switched off: `--port`, `--allow-unauthenticated`, `[openshell.gateway.tls]` have no effect"
        ]
    );
    assert!(warnings(&GatewayArgs { no_tcp: true, ..GatewayArgs::default() }, "").is_empty());
}

#[test]
fn health_has_a_port_of_its_own() {
    let args = GatewayArgs { health_address: Some("127.0.0.1:17670".into()), ..GatewayArgs::default() };
    let text = front(&args, &[], "").unwrap_err().to_string();
    assert!(
        text.contains("`--health-address` is `127.0.0.1:17670`, and the gateway itself listens there"),
        "{text}"
    );
    assert!(front(&GatewayArgs { no_tcp: true, ..args }, &[], "").is_ok());
}

#[test]
fn a_file_that_cannot_be_read_is_not_blamed_for_tls() {
    let text =
        front(&bound("0.0.0.0"), &[], "nonsense = 1\n[openshell.gateway.tls]\n").unwrap_err().to_string();
    assert!(!text.contains("listens only with TLS"), "{text}");
}

#[test]
fn a_table_is_shown_where_it_begins() {
    let file = "[openshell.gateway.tls]\nclient_ca_path = \"/a\"\n";
    let text = front(&GatewayArgs::default(), &[], file).unwrap_err().to_string();
    assert!(
        text.contains("gateway.toml:1:1\n  |\n1 | [openshell.gateway.tls]\n  | ^^^^^^^^^^^^^^^^^^^^^^^\n"),
        "{text}"
    );
}
