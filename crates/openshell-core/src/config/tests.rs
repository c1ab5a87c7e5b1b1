//! `gateway.toml` as it should be, and in every way that it should not.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::*;
use crate::shell::Remedy as _;
use crate::testing::Build;

/// Reads a text in a build with docker (whose fake knows `image` and `limits.pids`), kyma and external.
fn read(text: &str) -> Result<Config, Problems> {
    let build = Build::with(&["docker", "kyma", "external"]);
    Config::parse(Path::new("gateway.toml"), text, &build.catalog())
}

fn errors(text: &str) -> String {
    read(text).expect_err("a fault").render()
}

/// The messages alone.
fn messages(text: &str) -> Vec<String> {
    read(text).expect_err("a fault").0.into_iter().map(|problem| problem.message).collect()
}

#[test]
fn every_key_is_read() {
    let config = read(
        r#"
[openshell.gateway]
compute_drivers = ["docker"]
compute_driver_socket = "/run/d.sock"
bind_address = "::1"
port = 0x1000
listen_socket = "/run/g.sock"
gateway_id = "mine"
log_level = "debug"
log_format = "json"
provisioning_timeout = "10m"

[openshell.drivers.docker]
driver_socket = "/run/docker-driver.sock"
supervisor = "none"
connect_timeout = "250ms"
deadlines = { create = "1h", call = "5s", list = "90s" }
allowed_uids = [1, 4294967295]
allowed_gids = [0]
image = "busybox"
limits.pids = 10

[openshell.drivers.lxd]
driver_socket = "/run/lxd.sock"
"#,
    )
    .unwrap();
    let gateway = &config.gateway;
    assert_eq!(gateway.compute_drivers, ["docker"]);
    assert_eq!(gateway.compute_driver_socket, Some("/run/d.sock".into()));
    assert_eq!(gateway.bind_address.as_ref().unwrap().value, "::1".parse::<IpAddr>().unwrap());
    assert_eq!(gateway.port.as_ref().unwrap().value, 4096);
    assert_eq!(gateway.listen_socket, Some("/run/g.sock".into()));
    assert_eq!(gateway.gateway_id.as_ref().unwrap().as_str(), "mine");
    assert_eq!((gateway.log_level, gateway.log_format), (Some(LogLevel::Debug), Some(LogFormat::Json)));
    assert_eq!(gateway.provisioning_timeout, Some(Duration::from_secs(600)));

    let docker = config.driver("docker");
    assert_eq!(docker.driver_socket, Some("/run/docker-driver.sock".into()));
    assert_eq!(docker.supervisor, Some(Supervisor::None));
    assert_eq!(docker.connect_timeout, Duration::from_millis(250));
    let deadlines = docker.deadlines;
    assert_eq!((deadlines.create, deadlines.get), (Duration::from_secs(3600), Duration::from_secs(5)));
    assert_eq!(deadlines.list, Duration::from_secs(90), "one's own comes before `call`");
    assert_eq!(deadlines.stop, Deadlines::default().stop, "what is not said is the default");
    assert_eq!(deadlines.longest(), deadlines.create);
    assert_eq!((docker.allowed_uids, docker.allowed_gids), (vec![1, u32::MAX], vec![0]));
    let own: Vec<&String> = docker.own.keys().collect();
    assert_eq!(own, ["image", "limits"], "the gateway's keys are taken out");
    assert_eq!(docker.location.unwrap().line, 13);

    assert_eq!(config.driver("lxd").driver_socket, Some("/run/lxd.sock".into()));
    assert_eq!(config.driver("podman"), DriverTable::default());
}

#[test]
fn only_a_driver_that_is_a_program_has_a_path_of_one() {
    let table = |name: &str| format!("[openshell.drivers.{name}]\nprogram_path = \"/p\"\nelse = 1\n");
    let vm = read(&table("vm")).unwrap().driver("vm");
    assert_eq!(vm.program_path, Some("/p".into()));
    assert_eq!(vm.own.keys().collect::<Vec<_>>(), ["else"], "it is for the gateway alone");
    let said = messages(&table("docker").replace("else", "image")).join("\n");
    assert!(said.contains("`program_path` has no meaning for `docker`"), "{said}");
}

#[test]
fn nothing_is_enough() {
    for text in [
        "",
        "\n",
        "# only a comment",
        "[openshell]",
        "[openshell.gateway]\n[openshell.drivers.docker]",
        "\u{feff}",
    ] {
        let config = read(text).unwrap();
        assert_eq!(config.gateway, GatewaySection::default(), "{text:?}");
    }
}

#[test]
fn line_ends_of_windows_are_line_ends() {
    let config = read("[openshell.gateway]\r\nport = 1\r\n").unwrap();
    assert_eq!(config.gateway.port.unwrap().value, 1);
    let text = errors("[openshell.gateway]\r\nprot = 1\r\n");
    assert!(text.contains("gateway.toml:2:1\n") && !text.contains('\r'), "{text:?}");
}

#[test]
fn every_fault_in_one_run_in_the_order_of_the_file() {
    let text = r#"
[openshell.gateway]
compute_driver = ["docker"]
port = 70000
bind_address = "0.0.0.0/0"
log_level = 3
db_url = "postgres://user:hunter2@db/x"

[openshell.drivers.docker]
image = 7
connect_timeout = "soon"
limits.pids = "many"
deadlines = { creat = "1s" }

[openshell.drivers.dokcer]
anything = 1

[openshell.drivers.external]
socket_path = "/x"
"#;
    assert_eq!(
        errors(text),
        r#"error: unknown key `compute_driver` in `[openshell.gateway]`
 --> gateway.toml:3:1
  |
3 | compute_driver = ["docker"]
  | ^^^^^^^^^^^^^^
hint: did you mean `compute_drivers`?

error: `port` has to be a port number, 0 to 65535, and this is `70000`
 --> gateway.toml:4:8
  |
4 | port = 70000
  |        ^^^^^

error: `bind_address` is `0.0.0.0/0`: expected an IP address, such as `127.0.0.1` or `::1`, and no port
 --> gateway.toml:5:16
  |
5 | bind_address = "0.0.0.0/0"
  |                ^^^^^^^^^^^

error: `log_level` has to be a text, and this is an integer
 --> gateway.toml:6:13
  |
6 | log_level = 3
  |             ^

error: `db_url` is never in the file
 --> gateway.toml:7:1
  |
7 | db_url …
  | ^^^^^^
hint: give it with `--db-url sqlite:PATH` or the variable `OPENSHELL_DB_URL`

error: `image` has to be a text
  --> gateway.toml:10:1
   |
10 | image = 7
   | ^^^^^

error: `connect_timeout` is `soon`: expected a duration with its unit, such as `250ms`, `30s` or `5m`
  --> gateway.toml:11:19
   |
11 | connect_timeout = "soon"
   |                   ^^^^^^

error: `pids` has to be a number
  --> gateway.toml:12:8
   |
12 | limits.pids = "many"
   |        ^^^^

error: unknown key `creat` in `[openshell.drivers.docker.deadlines]`
  --> gateway.toml:13:15
   |
13 | deadlines = { creat = "1s" }
   |               ^^^^^
hint: did you mean `create`?

error: no such driver: `dokcer`
  --> gateway.toml:15:20
   |
15 | [openshell.drivers.dokcer]
   |                    ^^^^^^
hint: did you mean `docker`?
hint: a driver that runs behind a socket needs `driver_socket = "/run/dokcer.sock"` in this table

error: unknown key `socket_path` in `[openshell.drivers.external]`
  --> gateway.toml:19:1
   |
19 | socket_path = "/x"
   | ^^^^^^^^^^^
hint: `external` runs as a program of its own: give this to that program's configuration

the configuration has 11 errors
"#
    );
}

#[test]
fn keys_in_the_wrong_place_are_told_where_to_go() {
    let text = errors(
        "port = 1\n[gateway]\n[openshell]\nlog_level = \"info\"\n[openshell.gateway]\nconnect_timeout = \"1s\"",
    );
    for hint in [
        "hint: `port` belongs into `[openshell.gateway]`",
        "hint: write `[openshell.gateway]`: everything is below `[openshell]`",
        "hint: `log_level` belongs into `[openshell.gateway]`",
        "hint: `connect_timeout` belongs into `[openshell.drivers.<name>]`",
    ] {
        assert!(text.contains(hint), "{hint}\n{text}");
    }
    let text = errors("db_url = \"postgres://u:hunter2@h\"");
    assert!(text.contains("--db-url") && !text.contains("hunter2"), "{text}");
}

#[test]
fn wrong_types() {
    let rows = [
        (
            "compute_drivers = \"docker\"",
            "`compute_drivers` has to be a list, such as [\"docker\"], and this is a string",
        ),
        ("compute_drivers = [1]", "`compute_drivers` has to be a list of names, and this is an integer"),
        ("compute_drivers = [\" \"]", "`compute_drivers` has to be a list of names, and this is `\" \"`"),
        ("port = \"1\"", "`port` has to be a port number, 0 to 65535, and this is a string"),
        ("port = -1", "`port` has to be a port number, 0 to 65535, and this is `-1`"),
        ("port = 1.5", "`port` has to be a port number, 0 to 65535, and this is a float"),
        (
            "port = 99999999999999999999",
            "`port` has to be a port number, 0 to 65535, and this is `99999999999999999999`",
        ),
        ("listen_socket = [\"/x\"]", "`listen_socket` has to be a text, and this is an array"),
        (
            "listen_socket = \"x\"",
            "`listen_socket` is `x`: expected an absolute path; `~` and variables are not expanded",
        ),
        ("compute_driver_socket = \"\"", "`compute_driver_socket` is ``: the path is empty"),
        (
            "log_level = \"loud\"",
            "`log_level` is `loud`: expected `error`, `warn`, `info`, `debug` or `trace`",
        ),
    ];
    for (line, expected) in rows {
        assert_eq!(messages(&format!("[openshell.gateway]\n{line}")), [expected], "{line}");
    }
    assert_eq!(messages("openshell = 1"), ["`openshell` has to be a table, and this is an integer"]);
    assert_eq!(messages("openshell.drivers = []"), ["`drivers` has to be a table, and this is an array"]);
    assert_eq!(
        messages("[openshell.drivers]\ndocker = \"yes\""),
        ["`docker` has to be a table, `[openshell.drivers.<name>]`"]
    );
    assert_eq!(
        messages("[[openshell.drivers.docker]]\nimage = \"x\""),
        ["`docker` has to be a table, `[openshell.drivers.<name>]`"]
    );
    assert_eq!(
        messages("[openshell.drivers.docker]\nallowed_uids = [-1]"),
        ["`allowed_uids` has to be a list of user ids, and this is `-1`"]
    );
}

#[test]
fn keys_are_refused_where_the_code_is_not_ours() {
    for (table, refused) in [
        ("kyma", true),
        ("external", true),
        ("lxd]\ndriver_socket = \"/x\"\n[openshell.drivers.lxd.more", true),
        // Known and left out of this build: nobody here can say.
        ("kubernetes", false),
        ("vm", false),
    ] {
        let result = read(&format!("[openshell.drivers.{table}]\nimage = \"x\""));
        assert_eq!(result.is_err(), refused, "{table}: {result:?}");
    }
    // Two keys for two sockets, whatever is compiled in.
    let both = "[openshell.drivers.kubernetes]\ndriver_socket = \"/x\"\nsocket_path = \"/y\"";
    assert_eq!(read(both).unwrap().driver("kubernetes").own.len(), 1);
}

#[test]
fn a_name_that_cannot_be_one() {
    for name in ["My Driver", "Docker", "a:b", "\\u001b[2J", ""] {
        let shown = errors(&format!("[openshell.drivers.\"{name}\"]\ndriver_socket = \"/x\""));
        assert!(shown.contains("cannot be the name of a driver") && !shown.contains('\u{1b}'), "{shown}");
    }
    let shown = errors("[openshell.gateway]\n\"\\u001b[2J\" = 1");
    assert!(!shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn an_idle_table_is_a_warning() {
    let build = Build::with(&["docker", "external"]);
    let text = "[openshell.drivers.kubernetes]\nnamespace = \"x\"\n[openshell.drivers.podman]\ndriver_socket = \"/x\"\n[openshell.drivers.docker]\n";
    let config = Config::parse(Path::new("gateway.toml"), text, &build.catalog()).unwrap();
    let warnings = config.warnings(&build.catalog(), "docker");
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        warnings[0].render("warning"),
        "\
warning: the driver `kubernetes` is not in this build, and its table is not checked
 --> gateway.toml:1:20
  |
1 | [openshell.drivers.kubernetes]
  |                    ^^^^^^^^^^
"
    );
    assert!(config.warnings(&build.catalog(), "kubernetes").is_empty());
}

#[cfg(not(feature = "telemetry"))]
#[test]
fn a_file_for_a_build_with_telemetry_serves_one_without() {
    let build = Build::with(&[]);
    let text = "[openshell.gateway]\ntelemetry_endpoint = \"https://example.com\"";
    let config = Config::parse(Path::new("gateway.toml"), text, &build.catalog()).unwrap();
    let warnings = config.warnings(&build.catalog(), "docker");
    assert_eq!(warnings[0].message, "`telemetry_endpoint` is ignored: telemetry is not in this build");
}

#[cfg(feature = "telemetry")]
#[test]
fn the_endpoint_is_checked() {
    assert!(read("[openshell.gateway]\ntelemetry_endpoint = \"https://example.com\"").is_ok());
    let text = messages("[openshell.gateway]\ntelemetry_endpoint = \"example\"");
    assert!(text[0].starts_with("`telemetry_endpoint` is `example`: expected a URL"), "{text:?}");
    assert!(
        errors("[openshell.gateway]\ntelemetry_endpont = 1").contains("did you mean `telemetry_endpoint`?")
    );
}

#[test]
fn what_is_not_toml() {
    for text in [
        "\u{0}\u{1}\u{2}garbage",
        "{\"openshell\": {}}",
        "[openshell.gateway",
        "[openshell.gateway]\nport = ",
        "[openshell.gateway]\nlisten_socket = \"/run",
        "[openshell.gateway]\nport = 1\nport = 2",
        "[openshell.gateway]\n[openshell.gateway]",
        "[openshell.gateway]\nport = 01",
        "\"\"\"",
    ] {
        let shown = errors(text);
        assert!(
            shown.contains("error: not valid TOML: ") && shown.contains(" --> gateway.toml:"),
            "{text:?}: {shown}"
        );
    }
    // Several at once, each at its place.
    let shown = errors("[openshell.gateway]\nport = \nlog_level = @\n");
    assert!(shown.contains("gateway.toml:2:") && shown.contains("gateway.toml:3:"), "{shown}");
}

#[test]
fn a_truncated_file_never_panics() {
    let whole = "[openshell.gateway]\r\ngateway_id = \"ü\"\n[openshell.drivers.docker]\nlimits = { pids = [1, \"\"\"x\"\"\"] }\n";
    for end in (0..whole.len()).filter(|end| whole.is_char_boundary(*end)) {
        if let Err(problems) = read(&whole[..end]) {
            assert!(problems.0.iter().all(|problem| problem.location.is_some()), "{:?}", &whole[..end]);
        }
    }
}

/// What a file that is none leads to.
fn on_disk(make: impl Fn(&Path)) -> Result<Option<Config>, String> {
    let build = Build::with(&["docker"]);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("gateway.toml");
    make(&path);
    Config::read_if_present(&path, &build.catalog())
        .map_err(|error| error.render().replace(&dir.path().display().to_string(), ""))
}

#[test]
fn what_is_no_file() {
    assert_eq!(on_disk(|_| ()), Ok(None));
    let error = |make: &dyn Fn(&Path)| on_disk(make).expect_err("a fault");
    assert_eq!(
        error(&|path| fs::create_dir(path).expect("a directory")),
        "error: `/gateway.toml` is a directory, not a configuration file\n\
         hint: openshell-gateway --config /gateway.toml/gateway.toml\n\nthe configuration has an error\n"
    );
    assert_eq!(
        error(&|path| symlink("nowhere", path).expect("a link")),
        "error: `/gateway.toml` is a link to `nowhere`, which does not exist\n\
         hint: remove the link or make its target: ls -l /gateway.toml\n\nthe configuration has an error\n"
    );
    let text = error(&|path| symlink("gateway.toml", path).expect("a link"));
    assert!(text.starts_with("error: cannot read `/gateway.toml`: "), "a loop: {text}");
    let text = error(&|path| drop(std::os::unix::net::UnixListener::bind(path).expect("a socket")));
    assert!(text.contains("is not a regular file"), "{text}");
    let text = error(&|path| fs::write(path, vec![b'#'; (1 << 20) + 1]).expect("a file"));
    assert!(text.contains("too large"), "{text}");
    assert_eq!(
        error(&|path| fs::write(path, b"# ok\nport = \"\xff\"\n").expect("a file")),
        "error: byte 0xff is not UTF-8\n --> /gateway.toml:2:9\n  |\n2 | port = \"\u{fffd}\"\n  |         ^\n\
         hint: save the file as UTF-8; TOML knows no other encoding\n\nthe configuration has an error\n"
    );
}

#[test]
fn a_link_to_a_file_is_a_file() {
    let config = on_disk(|path| {
        fs::write(path.with_extension("real"), "[openshell.gateway]\nport = 9\n").expect("a file");
        symlink("gateway.real", path).expect("a link");
    });
    assert_eq!(config.unwrap().unwrap().gateway.port.unwrap().value, 9);
}

#[test]
fn a_named_file_has_to_be_there() {
    let build = Build::with(&[]);
    let error = Config::read(Path::new("/nowhere/gateway.toml"), &build.catalog()).unwrap_err();
    assert!(error.render().starts_with("error: there is no configuration file `/nowhere/gateway.toml`\n"));
}
