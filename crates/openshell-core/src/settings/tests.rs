//! Flag, variable, file, default, in this order; every fault in one run; nothing made on disk.

use std::fs;

use super::*;
use crate::selection::{DriverName, How};
use crate::testing::Build;

const HOME: [(&str, &str); 2] = [("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "/run/user/7")];

pub(super) fn load(args: &GatewayArgs, vars: &[(&str, &str)], file: &str) -> Result<Settings, Problems> {
    load_in(&Build::with(&["docker", "external"]), args, vars, file)
}

/// The same in a build of the caller's.
fn load_in(
    build: &Build,
    args: &GatewayArgs,
    vars: &[(&str, &str)],
    file: &str,
) -> Result<Settings, Problems> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("gateway.toml");
    fs::write(&path, file).expect("a file");
    let args = GatewayArgs { config: Some(path), ..args.clone() };
    let env = Environment::new(HOME.iter().chain(vars).copied(), 7);
    Settings::load(&args, &env, &build.catalog())
}

fn flags() -> GatewayArgs {
    GatewayArgs {
        drivers: Some(vec!["flag".into()]),
        compute_driver_socket: Some("/flag".into()),
        bind_address: Some("127.0.0.1".into()),
        port: Some("1".into()),
        listen_socket: Some("/flag.sock".into()),
        db_url: Some("sqlite:/flag.db".into()),
        gateway_id: Some("flag".into()),
        log_level: Some("error".into()),
        log_format: Some("text".into()),
        ..GatewayArgs::default()
    }
}

const VARIABLES: [(&str, &str); 9] = [
    (cli::ENV_DRIVERS, "variable, more"),
    (cli::ENV_DRIVER_SOCKET, "/variable"),
    (cli::ENV_BIND_ADDRESS, "127.0.0.2"),
    (cli::ENV_PORT, "2"),
    (cli::ENV_LISTEN_SOCKET, "/variable.sock"),
    (cli::ENV_DB_URL, "sqlite:/variable.db"),
    (cli::ENV_GATEWAY_ID, "variable"),
    (cli::ENV_LOG_LEVEL, "WARN"),
    (cli::ENV_LOG_FORMAT, "json"),
];

const FILE: &str = r#"
[openshell.gateway]
compute_drivers = ["file"]
compute_driver_socket = "/file"
bind_address = "127.0.0.3"
port = 3
listen_socket = "/file.sock"
gateway_id = "file"
log_level = "debug"
log_format = "json"
provisioning_timeout = "1m"
"#;

fn shown(settings: &Settings) -> String {
    let id = settings.gateway_id.as_ref().map_or("made", GatewayId::as_str);
    format!(
        "{} {} {} {id} {} {:?}",
        settings.front.tcp.as_ref().map_or("off".to_owned(), |tcp| tcp.address.to_string()),
        settings.listen_socket.display(),
        settings.database.display(),
        settings.log_level.as_str(),
        settings.log_format,
    )
}

#[test]
fn flag_then_variable_then_file_then_default() {
    let none = GatewayArgs::default();
    let all = load(&flags(), &VARIABLES, FILE).unwrap();
    assert_eq!(shown(&all), "127.0.0.1:1 /flag.sock /flag.db flag error Text");
    assert_eq!(
        shown(&load(&none, &VARIABLES, FILE).unwrap()),
        "127.0.0.2:2 /variable.sock /variable.db variable warn Json"
    );
    assert_eq!(
        shown(&load(&none, &[], FILE).unwrap()),
        "127.0.0.3:3 /file.sock /home/u/.local/state/openshell/gateway/gateway.db file debug Json"
    );
    let default = load(&none, &[], "").unwrap();
    assert_eq!(
        shown(&default),
        "127.0.0.1:17670 /run/user/7/openshell/gateway.sock /home/u/.local/state/openshell/gateway/gateway.db made info Text"
    );
    assert_eq!(default.provisioning_timeout, Duration::from_secs(300));
    assert!(default.sources.needs_detection());

    // What is said of drivers is kept apart by who says it: the selection needs to know.
    assert_eq!(all.sources.flag, Wish { drivers: vec!["flag".into()], socket: Some("/flag".into()) });
    assert_eq!(
        all.sources.variable,
        Wish { drivers: vec!["variable".into(), "more".into()], socket: Some("/variable".into()) }
    );
    assert_eq!(all.sources.file, Wish { drivers: vec!["file".into()], socket: Some("/file".into()) });
}

#[test]
fn the_variable_then_the_file_say_where_the_supervisor_is() {
    let none = GatewayArgs::default();
    let file = "[openshell.gateway]\nsupervisor_path = \"/file\"\n";
    let path = |vars: &[(&str, &str)], file: &str| load(&none, vars, file).unwrap().supervisor_path;
    assert_eq!(path(&[(cli::ENV_SUPERVISOR_PATH, "/variable")], file), Some("/variable".into()));
    assert_eq!(path(&[], file), Some("/file".into()));
    assert_eq!(path(&[], ""), None);
    let error = load(&none, &[(cli::ENV_SUPERVISOR_PATH, "sandbox")], "").unwrap_err().to_string();
    assert!(error.contains("`OPENSHELL_SUPERVISOR_PATH` is `sandbox`: expected an absolute path"), "{error}");
}

#[test]
fn faults_of_every_source_in_one_run() {
    let args = GatewayArgs {
        port: Some("x".into()),
        db_url: Some("postgres://u:hunter2@h".into()),
        ..Default::default()
    };
    let vars = [(cli::ENV_BIND_ADDRESS, "0.0.0"), (cli::ENV_LOG_LEVEL, "loud"), (cli::ENV_GATEWAY_ID, "-")];
    let text = load(&args, &vars, "nonsense = 1").unwrap_err().to_string();
    for part in [
        "unknown key `nonsense`",
        "`--port` is `x`: expected a port number",
        "`--db-url`: expected `sqlite:PATH`",
        "`OPENSHELL_BIND_ADDRESS` is `0.0.0`: expected an IP address",
        "`OPENSHELL_LOG_LEVEL` is `loud`",
        "`OPENSHELL_GATEWAY_ID` is `-`",
        "the configuration has 6 errors",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn the_file_is_found_by_flag_variable_and_default() {
    let catalog = Build::with(&[]).catalog();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, port: u16| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("[openshell.gateway]\nport = {port}")).unwrap();
        path
    };
    let by_flag = write("flag.toml", 1);
    let by_variable = write("variable.toml", 2);
    write("openshell/gateway.toml", 3);
    let base = ("XDG_CONFIG_HOME", dir.path().to_owned().into_os_string());
    let both = Environment::new([base.clone(), (cli::ENV_CONFIG, by_variable.into_os_string())], 7);
    let default = Environment::new([base], 7);
    let port = |flag: Option<&Path>, env: &Environment| {
        load_config(flag, env, &catalog).unwrap().gateway.port.map(|port| port.value)
    };
    assert_eq!(port(Some(&by_flag), &both), Some(1));
    assert_eq!(port(None, &both), Some(2));
    assert_eq!(port(None, &default), Some(3));
    assert_eq!(port(None, &Environment::default()), None);

    // The default one may be missing, one that is named may not.
    let missing = dir.path().join("missing");
    assert_eq!(port(None, &Environment::new([("XDG_CONFIG_HOME", missing.as_os_str())], 7)), None);
    assert!(load_config(Some(&missing), &default, &catalog).is_err());
    assert!(
        load_config(None, &Environment::new([(cli::ENV_CONFIG, missing.as_os_str())], 7), &catalog).is_err()
    );
}

#[test]
fn the_table_of_the_selected_driver_is_found() {
    let settings = load(
        &GatewayArgs::default(),
        &[],
        "[openshell.gateway]\ncompute_drivers = [\"external:/x\"]\n[openshell.drivers.external]\nconnect_timeout = \"2m\"",
    )
    .unwrap();
    let catalog = Build::with(&["external"]).catalog();
    let selection = settings.select(&catalog, &Probes::default()).unwrap();
    assert_eq!(selection.name, DriverName::ExternalAt("/x".into()));
    assert_eq!(selection.how, How::Socket { path: "/x".into() });
    assert_eq!(settings.driver(&selection).connect_timeout, Duration::from_secs(120));
}

#[test]
fn without_a_home_it_says_what_is_missing() {
    let catalog = Build::with(&[]).catalog();
    let text = Settings::load(&GatewayArgs::default(), &Environment::new([("A", "b")], 7), &catalog)
        .unwrap_err()
        .to_string();
    assert!(text.contains("hint: export XDG_STATE_HOME="), "{text}");
    assert!(text.contains("hint: openshell-gateway --listen-socket"), "{text}");
}

#[test]
fn a_faulty_file_is_not_blamed_for_what_it_may_have_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.toml");
    fs::write(&path, "[openshell.gateway]\nlisten_socket = \"/x.sock\"\nport = true").unwrap();
    let args = GatewayArgs { config: Some(path), ..GatewayArgs::default() };
    let env = Environment::new([("HOME", "/home/u")], 7);
    let problems = Settings::load(&args, &env, &Build::with(&[]).catalog()).unwrap_err();
    assert_eq!(problems.0.len(), 1, "{problems}");
}

#[test]
fn clap_takes_names_with_commas() {
    use clap::Parser as _;
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        gateway: GatewayArgs,
    }
    let args = Cli::try_parse_from(["gateway", "--drivers", "a,b", "--port", "70000"]).unwrap().gateway;
    assert_eq!(args.drivers, Some(vec!["a".into(), "b".into()]));
    assert_eq!(args.port.as_deref(), Some("70000"), "checked with everything else, not by clap");
}

/// The reference names every flag, variable and key, and its examples are valid.
#[test]
fn the_reference_is_complete() {
    use clap::Args as _;
    let reference = include_str!("../../../../docs/gateway.toml.md");
    let command = GatewayArgs::augment_args(clap::Command::new("gateway"));
    for argument in command.get_arguments() {
        let flag = format!("`--{}", argument.get_long().unwrap());
        assert!(reference.contains(&flag), "{flag}");
        let help = argument.get_help().unwrap().to_string();
        let variable = help.split("[variable: ").nth(1).unwrap().split([']', '=']).next().unwrap();
        assert!(reference.contains(&format!("`{variable}`")), "{variable}");
    }
    for key in crate::config::GATEWAY_KEYS {
        assert!(reference.contains(&format!("| `{key}` |")), "{key}");
    }
    for line in FILE.lines().filter_map(|line| line.split_once(" = ")) {
        assert!(reference.contains(&format!("| `{}` |", line.0)), "{}", line.0);
    }
    let security = include_str!("../../../../docs/security.md");
    let toml =
        |page: &'static str| page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let examples: Vec<&str> = toml(reference).chain(toml(security)).collect();
    assert_eq!(examples.len(), 5);
    for example in examples {
        // Not the fake of docker, which knows keys of its own.
        load_in(&Build::with(&["external"]), &GatewayArgs::default(), &[], example).unwrap();
    }
}

#[test]
fn a_selection_that_fails_at_the_file_shows_its_line() {
    let file = "[openshell.gateway]\ncompute_drivers = [\"podman\"]\n";
    let place = |args: &GatewayArgs, file: &str| {
        let settings = load(args, &[], file).unwrap();
        let error = settings.select(&Build::with(&["docker"]).catalog(), &Probes::default()).unwrap_err();
        settings.place_of(&error).map(|at| (at.line, at.column))
    };
    assert_eq!(place(&GatewayArgs::default(), file), Some((2, 19)));
    let both = "[openshell.gateway]\ncompute_drivers = [\"docker\"]\ncompute_driver_socket = \"/x\"\n";
    assert_eq!(place(&GatewayArgs::default(), both), Some((3, 25)), "the socket is what needs another build");
    let flag = GatewayArgs { drivers: Some(vec!["nobody".into()]), ..GatewayArgs::default() };
    assert_eq!(place(&flag, file), None, "the flag decides");
}
