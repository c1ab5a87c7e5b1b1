//! From requests to specifications, without a service.

use openshell_driver_api::supervisor::SupervisorDelivery;
use openshell_driver_api::{ErrorKind, GpuRequest, SandboxId, SandboxSpec, Secret, Template};
use openshell_driver_common::container::gpu::Offer;
use openshell_driver_common::container::supervised::ImageCommand;
use serde_json::{Value, json};

use super::*;

fn context() -> DriverContext {
    DriverContext {
        name: "podman".into(),
        gateway_id: "gw".into(),
        state_dir: "/nowhere".into(),
        telemetry: false,
        endpoint: String::new(),
        supervisor: None,
    }
}

fn request(command: &[&str]) -> SandboxRequest {
    SandboxRequest {
        id: SandboxId::new("id-1").expect("an id"),
        name: "one".into(),
        namespace: String::new(),
        workspace: "default".into(),
        spec: SandboxSpec {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            template: Template { image: "busybox".into(), ..Template::default() },
            ..SandboxSpec::default()
        },
    }
}

fn image(has_command: bool) -> Image {
    let words = if has_command { vec!["/entry".to_owned()] } else { Vec::new() };
    let command = ImageCommand { words, directory: String::new() };
    let (user, volumes) = (String::new(), Vec::new());
    Image { id: "sha256:1".into(), user, command, volumes, platform: Default::default() }
}

const OWNER: Owner = Owner { uid: 1000, gid: 7 };

/// What the service is told, as JSON.
fn told(request: &SandboxRequest, config: &str, rootless: bool) -> Result<Value, String> {
    let config = Config::read(&config.parse().expect("TOML")).expect("a configuration");
    let facts = Facts { rootless, runtime: "runc".into(), ..Facts::default() };
    let plan = Plan::new(request, &config, &context(), &facts, rootless);
    let plan = plan.map_err(|error| {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.message().to_owned()
    })?;
    Ok(serde_json::to_value(plan.spec(&image(true), OWNER, "secret")).expect("JSON"))
}

#[test]
fn a_supervisor_changes_nothing_but_what_it_needs() {
    let delivery = SupervisorDelivery::Host { program: "/bin/sv".into(), sockets: "/state/sandboxes".into() };
    let supervised = DriverContext { supervisor: Some(delivery), ..context() };
    let mut image = image(true);
    image.user = "www".to_owned();
    for (mut request, expected) in [
        (request(&["sleep", "1"]), "run --user www --workdir /sandbox --"),
        (request(&[]), "run --user www --workdir / -- /entry"),
    ] {
        request.spec.token = Secret::new("s3cret");
        let spec = |context| {
            let plan = Plan::new(&request, &Config::default(), context, &Facts::default(), false);
            plan.expect("valid").spec(&image, OWNER, "secret")
        };
        let (mut with, mut without) = (spec(&supervised), spec(&context()));
        let words = with.entrypoint.take().expect("an entrypoint").join(" ");
        assert_eq!(words, format!("/run/openshell/supervisor {expected}"));
        assert_eq!(with.command.take(), Some(Vec::new()), "nothing of the image's comes after it");
        assert_eq!((with.user.take().as_deref(), with.work_dir.take().as_deref()), (Some("0:0"), Some("/")));
        assert_eq!(std::mem::take(&mut with.cap_add), ["KILL", "SETGID", "SETUID", "SETPCAP"]);
        assert_eq!(with.init.replace(true), Some(false));
        let [program, sockets] = &std::mem::take(&mut with.mounts)[..] else { panic!("two mounts") };
        assert_eq!((&*program.source, &*program.destination), ("/bin/sv", "/run/openshell/supervisor"));
        assert_eq!(
            (&*sockets.source, &*sockets.destination),
            ("/state/sandboxes/id-1", "/run/openshell/gateway")
        );
        for mount in [program, sockets] {
            assert_eq!(mount.options, ["bind", "ro", "nosuid", "nodev", "private"]);
        }
        // Root's alone, where it was the main process's user's.
        assert_eq!((with.secrets[0].uid, with.secrets[0].gid, with.secrets[0].mode), (0, 0, 0o400));
        (with.secrets[0].uid, with.secrets[0].gid) = (OWNER.uid, OWNER.gid);
        (without.entrypoint, without.command, without.user, without.work_dir) = (None, None, None, None);
        assert_eq!(with, without, "the rest is the same");
    }
}

/// The service mounts what has fewer directories above it first: whatever a link leads to, the supervisor is found.
#[test]
fn a_supervisor_is_mounted_deeper_than_what_the_request_and_the_image_want_mounted() {
    let delivery = SupervisorDelivery::Host { program: "/bin/sv".into(), sockets: "/state/sandboxes".into() };
    let context = DriverContext { supervisor: Some(delivery), endpoint: "unix:///usual".into(), ..context() };
    let destinations =
        |spec: &Spec| spec.mounts.iter().map(|mount| mount.destination.clone()).collect::<Vec<_>>();
    let mut image = image(true);
    image.volumes = vec!["/var/lib/db".to_owned(), "/a/b/c/d".to_owned()];
    let mut with_token = request(&["true"]);
    with_token.spec.token = Secret::new("s3cret");
    let plan = Plan::new(&with_token, &Config::default(), &context, &Facts::default(), false);
    let spec = plan.expect("valid").spec(&image, OWNER, "secret");
    assert_eq!(spec.secrets[0].target, "/run/openshell/_/_/token");
    assert_eq!(spec.env["OPENSHELL_SANDBOX_TOKEN_FILE"], "/run/openshell/_/_/token");
    assert_eq!(destinations(&spec), ["/run/openshell/_/_/supervisor", "/run/openshell/_/_/gateway"]);
    assert_eq!(spec.entrypoint.expect("an entrypoint")[0], "/run/openshell/_/_/supervisor");
    assert_eq!(spec.env["OPENSHELL_ENDPOINT"], "unix:///run/openshell/_/_/gateway/gateway.sock");

    let mut request = request(&["true"]);
    let block = json!({"mounts": [{"type": "tmpfs", "target": "/x/y/z"}]});
    request.spec.template.driver_config = block.as_object().expect("an object").clone();
    let plan = Plan::new(&request, &Config::default(), &context, &Facts::default(), false).expect("valid");
    image.volumes.clear();
    let spec = plan.spec(&image, OWNER, "secret");
    assert_eq!(destinations(&spec)[1], "/run/openshell/_/supervisor");
    assert_eq!(spec.env["OPENSHELL_ENDPOINT"], "unix:///run/openshell/_/gateway/gateway.sock");
}

#[test]
fn the_whole_specification() {
    let mut request = request(&["sleep", "1"]);
    request.spec.token = Secret::new("s3cret");
    let mut told = told(&request, "", false).expect("valid");
    let env = told.as_object_mut().expect("an object").remove("env").expect("an environment");
    assert_eq!(env["OPENSHELL_SANDBOX_TOKEN_FILE"], "/run/openshell/token");
    assert_eq!(env["OPENSHELL_TELEMETRY_ENABLED"], "false");
    assert_eq!(env["OPENSHELL_MAIN_PROCESS_SPEC"], r#"{"version":1,"command":["sleep","1"],"tty":false}"#);
    // Whole, so that a field which nobody thought of is seen here.
    let expected = json!({
        "name": "openshell-gw.id-1",
        "image": "sha256:1",
        "entrypoint": ["sleep", "1"],
        "command": [],
        "labels": {
            "openshell.ai/managed-by": "openshell",
            "openshell.ai/gateway-id": "gw",
            "openshell.ai/sandbox-id": "id-1",
            "openshell.ai/sandbox-name": "one",
            "openshell.ai/sandbox-workspace": "default",
        },
        "hostname": "one",
        "work_dir": "/sandbox",
        "terminal": false,
        "stdin": false,
        "stop_timeout": 10,
        "restart_policy": "no",
        "systemd": "false",
        "init": true,
        "healthconfig": {"Test": ["NONE"]},
        "image_volume_mode": "anonymous",
        "volumes": [
            {"Name": "openshell-gw.id-1.workspace", "Dest": "/sandbox", "Options": ["nosuid", "nodev", "rw"]},
        ],
        "secrets": [
            {"Source": "secret", "Target": "/run/openshell/token", "UID": 1000, "GID": 7, "Mode": 0o400},
        ],
        "cap_drop": ["ALL"],
        "no_new_privileges": true,
        "read_only_filesystem": false,
        "pidns": {"nsmode": "private"},
        "ipcns": {"nsmode": "private"},
        "utsns": {"nsmode": "private"},
        "cgroupns": {"nsmode": "private"},
        "netns": {"nsmode": "bridge"},
        "Networks": {"openshell-gw.id-1": {}},
        "resource_limits": {"pids": {"limit": 2048}},
        "httpproxy": false,
        "log_configuration": {"driver": "k8s-file", "size": 30_000_000},
    });
    assert_eq!(told, expected);
    assert!(!told.to_string().contains("s3cret"));
}

#[test]
fn no_command_is_the_image_s_own_or_a_shell() {
    let plan =
        Plan::new(&request(&[]), &Config::default(), &context(), &Facts::default(), false).expect("valid");
    let own = plan.spec(&image(true), OWNER, "");
    assert_eq!((own.entrypoint, own.command, own.work_dir, own.stdin), (None, None, None, true));
    let shell = plan.spec(&image(false), OWNER, "");
    assert_eq!(
        (shell.command, shell.work_dir.as_deref()),
        (Some(vec!["/bin/sh".to_owned()]), Some("/sandbox"))
    );
    assert_eq!(shell.secrets, [], "there is no token");
}

#[test]
fn networks_with_root_and_without() {
    let network = |config: &str, rootless| {
        let told = told(&request(&["a"]), config, rootless).expect("valid");
        (told["netns"]["nsmode"].clone(), told["Networks"].clone())
    };
    assert_eq!(network("", true), (json!("private"), Value::Null), "no bridge without root");
    for rootless in [true, false] {
        let own = told(&request(&["a"]), "own_network = 'slirp4netns'", rootless).expect("valid");
        assert_eq!((&own["netns"]["nsmode"], &own["Networks"]), (&json!("slirp4netns"), &Value::Null));
        assert_eq!(own["network_options"], json!({"slirp4netns": ["allow_host_loopback=false"]}));
        let none = told(&request(&["a"]), "own_network = 'slirp4netns'\nnetwork = 'none'", rootless);
        assert_eq!(none.expect("valid")["network_options"], Value::Null);
    }
    for rootless in [true, false] {
        assert_eq!(network("network = 'none'", rootless), (json!("none"), Value::Null));
        assert_eq!(network("network = 'lab'", rootless), (json!("bridge"), json!({"lab": {}})));
    }
}

#[test]
fn user_namespaces() {
    let told = |config: &str, rootless| told(&request(&["a"]), config, rootless);
    assert_eq!(told("", false).expect("valid")["userns"], Value::Null);
    let auto = told("userns = 'auto:size=4096'", false).expect("valid");
    assert_eq!(auto["userns"], json!({"nsmode": "auto", "value": "size=4096"}));
    let options = auto["volumes"][0]["Options"].as_array().expect("options");
    assert!(options.contains(&json!("U")), "the service alone knows whose the volume is: {options:?}");
    assert_eq!(told("userns = 'keep-id'", true).expect("valid")["userns"]["nsmode"], "keep-id");
    for mode in ["keep-id", "nomap"] {
        let fault = told(&format!("userns = '{mode}'"), false).expect_err("root's");
        assert!(fault.contains("takes an engine that runs without root"), "{fault}");
    }
    let plan = |userns| {
        let config = Config { userns, ..Config::default() };
        Plan::new(&request(&["a"]), &config, &context(), &Facts::default(), false).expect("valid")
    };
    let owned = |userns| plan(userns).volume("v".into(), Default::default(), OWNER).options;
    assert_eq!(owned(Userns::Engine), [("o".to_owned(), "uid=1000,gid=7".to_owned())].into());
    assert_eq!(owned(Userns::Auto { size: None }), Default::default());
}

#[test]
fn limits_that_a_service_without_root_may_not_have() {
    let mut limited = request(&["a"]);
    limited.spec.template.resources.cpu_limit = "500m".into();
    limited.spec.template.resources.memory_limit = "64Mi".into();
    let with_root = told(&limited, "", false).expect("valid");
    assert_eq!(with_root["resource_limits"]["cpu"], json!({"quota": 50_000, "period": 100_000}));
    assert_eq!(with_root["resource_limits"]["memory"], json!({"limit": 64 << 20, "swap": 64 << 20}));
    let fault = told(&limited, "", true).expect_err("no controllers");
    assert!(
        fault.contains("cpu_limit: the engine runs without root") && fault.contains("`memory` controller"),
        "{fault}"
    );
}

#[test]
fn mounts_in_the_service_s_words() {
    let mut asked = request(&["a"]);
    let mounts = json!([
        {"type": "tmpfs", "target": "/tmp", "size": "16Mi", "mode": "1777"},
        {"type": "volume", "target": "/data", "source": "data", "read_only": true},
    ]);
    asked.spec.template.driver_config.insert("mounts".into(), mounts);
    let told = told(&asked, "allow_volumes = true", false).expect("valid");
    let options = json!(["rw", "nosuid", "nodev", "noexec", "notmpcopyup", "size=16777216", "mode=1777"]);
    assert_eq!(told["mounts"][0]["options"], options);
    assert_eq!(told["volumes"][1]["Name"], "openshell-gw.default.data.volume");
    assert_eq!(told["volumes"][1]["Options"], json!(["nosuid", "nodev", "ro"]));
}

#[test]
fn what_is_asked_of_any_platform() {
    let asked = |key: &str, value: Value, config: &str| {
        let mut request = request(&["a"]);
        request.spec.template.platform_config.insert(key.into(), value);
        told(&request, config, false)
    };
    assert!(asked("runtime_class_name", json!("runc"), "runtimes = ['runc']").is_ok());
    assert!(asked("user_namespaces", json!(false), "").is_ok());
    assert!(asked("user_namespaces", json!(true), "userns = 'auto'").is_ok());
    for (key, value, config, said) in [
        ("runtime_class_name", json!("crun"), "", "runtime_class_name: `crun` is not in `runtimes`"),
        (
            "runtime_class_name",
            json!("crun"),
            "runtimes = ['crun']",
            "the engine runs all containers with `runc`",
        ),
        ("runtime_class_name", json!(1), "", "of the wrong type"),
        ("user_namespaces", json!(true), "", "it takes `userns = \"auto\"`"),
        ("user_namespaces", json!(false), "userns = 'auto'", "every sandbox is given one"),
        ("annotations", json!({"a": "b"}), "", "annotations: an engine hands them to its runtime"),
        ("privileged", json!(true), "", "platform_config.privileged: the podman driver reads no such key"),
    ] {
        let fault = asked(key, value, config).expect_err(said);
        assert!(fault.contains(said), "{said}: {fault}");
    }
}

#[test]
fn everything_that_cannot_be_honoured_is_refused_at_once() {
    let mut bad = request(&["", "a\0"]);
    bad.spec.gpu = Some(GpuRequest::default());
    bad.spec.template.image = "Bad Image".into();
    bad.spec.template.agent_socket_path = "/run/agent.sock".into();
    bad.spec.template.driver_config =
        json!({"privileged": true, "pids_limit": 4096, "network": "host", "storage_size": "1Gi"})
            .as_object()
            .expect("an object")
            .clone();
    bad.spec.template.resources.cpu_limit = "lots".into();
    bad.spec.environment.insert("OPENSHELL_ENDPOINT".into(), "http://evil".into());
    let text = told(&bad, "", false).expect_err("a refusal");
    for part in [
        "name is empty",
        "NUL",
        "gpu: the engine's host has no CDI devices",
        "`Bad Image`",
        "agent_socket: ",
        "`privileged`",
        "`4096` is above",
        "`host` is neither",
        "the engine's storage, overlay on extfs, ",
        "`lots`",
        "`OPENSHELL_ENDPOINT`",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    bad.spec.template.image.clear();
    assert!(told(&bad, "", false).expect_err("a refusal").contains("`default_image`"));
}

#[test]
fn devices_by_their_full_names() {
    let mut asked = request(&["a"]);
    asked.spec.gpu = Some(GpuRequest { count: Some(1) });
    let gpus = Offer { none: None, devices: None };
    let facts = Facts { gpus, ..Facts::default() };
    let plan = Plan::new(&asked, &Config::default(), &context(), &facts, false).expect("valid");
    assert_eq!(plan.spec.devices, [Device { path: "nvidia.com/gpu=0".into() }]);
}
