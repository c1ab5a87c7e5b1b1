//! From requests to bodies, without an engine.

use openshell_driver_api::supervisor::SupervisorDelivery;
use openshell_driver_api::{ErrorKind, GpuRequest, SandboxId, SandboxSpec, Secret, Template};
use openshell_driver_common::container::mounts::MountRules;
use openshell_driver_common::container::supervised::ImageCommand;

use serde_json::{Value, json};

use super::*;

use crate::facts::Storage;

fn context() -> DriverContext {
    DriverContext {
        name: "docker".into(),
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

fn facts() -> Facts {
    Facts {
        version: "20.10.24".into(),
        runtimes: vec!["runc".into(), "runsc".into()],
        storage: Storage { driver: "overlay2".into(), backing: "extfs".into() },
        data_root: "/var/lib/docker".into(),
        socket: Some("/var/run/docker.sock".into()),
        ..Facts::default()
    }
}

fn image(has_command: bool) -> Image {
    let words = if has_command { vec!["/entry".to_owned()] } else { Vec::new() };
    let command = ImageCommand { words, directory: String::new() };
    let (user, volumes) = (String::new(), Vec::new());
    Image { id: "sha256:1".into(), user, command, volumes, platform: Default::default() }
}

fn plan(request: &SandboxRequest) -> Result<Plan, DriverError> {
    Plan::new(request, &Config::default(), &context(), &facts())
}

fn refusal(request: &SandboxRequest) -> String {
    let error = plan(request).expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    error.message().to_owned()
}

#[test]
fn the_posture() {
    let body = plan(&request(&["sleep", "1"])).expect("valid").body(&image(true), Making::Copied);
    let mut host = body.host_config.expect("a host config");
    let [workspace] = &host.mounts.take().expect("mounts")[..] else { panic!("the workspace alone") };
    assert_eq!(workspace.typ, Some(MountType::VOLUME));
    assert_eq!(workspace.source.as_deref(), Some("openshell-gw.id-1.workspace"));
    assert_eq!(workspace.target.as_deref(), Some("/sandbox"));
    // Whole, so that a field which nobody thought of is seen here.
    let said: Value = serde_json::to_value(&host).expect("JSON");
    let expected = json!({
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": false,
        "ReadonlyRootfs": false,
        "PidsLimit": 2048,
        "NetworkMode": "openshell-gw",
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "Init": true,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
    });
    assert_eq!(said, expected);
}

/// A context with a supervisor to deliver.
fn supervised() -> DriverContext {
    let delivery = SupervisorDelivery::Host { program: "/bin/sv".into(), sockets: "/state/sandboxes".into() };
    DriverContext { supervisor: Some(delivery), ..context() }
}

#[test]
fn a_supervisor_changes_nothing_but_what_it_needs() {
    let mut image = image(true);
    image.user = "www".to_owned();
    for (request, expected) in [
        (request(&["sleep", "1"]), "run --user www --workdir /sandbox --"),
        (request(&[]), "run --user www --workdir / -- /entry"),
    ] {
        let with = Plan::new(&request, &Config::default(), &supervised(), &facts()).expect("valid");
        let without = Plan::new(&request, &Config::default(), &context(), &facts()).expect("valid");
        assert!(with.is_supervised() && !without.is_supervised());
        let (mut with, without) = (with.body(&image, Making::Copied), without.body(&image, Making::Copied));
        let words = with.entrypoint.take().expect("an entrypoint").join(" ");
        assert_eq!(words, format!("/run/openshell/supervisor {expected}"));
        assert_eq!(
            (with.user.take().as_deref(), with.working_dir.take().as_deref()),
            (Some("0:0"), Some("/"))
        );
        let host = with.host_config.as_mut().expect("a host config");
        assert_eq!(host.cap_add.take().expect("capabilities"), ["KILL", "SETGID", "SETUID", "SETPCAP"]);
        assert_eq!(host.init.replace(true), Some(false));
        let mounts = host.mounts.as_mut().expect("mounts").split_off(1);
        for (mount, (source, target)) in mounts.iter().zip([
            ("/bin/sv", "/run/openshell/supervisor"),
            ("/state/sandboxes/id-1", "/run/openshell/gateway"),
        ]) {
            assert_eq!((mount.source.as_deref(), mount.target.as_deref()), (Some(source), Some(target)));
            assert_eq!((mount.typ, mount.read_only), (Some(MountType::BIND), Some(true)));
        }
        assert_eq!(mounts.len(), 2);
        let mut without = without;
        (without.entrypoint, without.user, without.working_dir) = (None, None, None);
        assert_eq!(with, without, "the rest is the same");
    }
}

/// Engines mount what has fewer directories above it first: whatever a link leads to, the supervisor is found.
#[test]
fn a_supervisor_is_mounted_deeper_than_what_the_request_and_the_image_want_mounted() {
    let mut image = image(true);
    image.volumes = vec!["/var/lib/db".to_owned(), "/a/b/c/d".to_owned()];
    let context = DriverContext { endpoint: "unix:///usual".into(), ..supervised() };
    let plan = Plan::new(&request(&["true"]), &Config::default(), &context, &facts()).expect("valid");
    let body = plan.body(&image, Making::Copied);
    let targets = |body: &ContainerCreateBody| -> Vec<String> {
        let mounts = body.host_config.as_ref().and_then(|host| host.mounts.clone()).expect("mounts");
        mounts.into_iter().filter_map(|mount| mount.target).collect()
    };
    assert_eq!(targets(&body)[1..], ["/run/openshell/_/_/supervisor", "/run/openshell/_/_/gateway"]);
    assert_eq!(body.entrypoint.expect("an entrypoint")[0], "/run/openshell/_/_/supervisor");
    let mut endpoints = body.env.expect("variables");
    endpoints.retain(|variable| variable.starts_with("OPENSHELL_ENDPOINT="));
    assert_eq!(endpoints, ["OPENSHELL_ENDPOINT=unix:///run/openshell/_/_/gateway/gateway.sock"]);

    let mut request = request(&["true"]);
    let block = json!({"mounts": [{"type": "tmpfs", "target": "/x/y/z"}]});
    request.spec.template.driver_config = block.as_object().expect("an object").clone();
    let plan = Plan::new(&request, &Config::default(), &context, &facts()).expect("valid");
    image.volumes.clear();
    assert_eq!(targets(&plan.body(&image, Making::Copied))[2], "/run/openshell/_/supervisor");
}

/// The host's part of the body for a block `docker` of `driver_config`, or what was wrong.
fn asked(block: Value, config: &str) -> Result<HostConfig, String> {
    let config = Config::read(&config.parse().expect("TOML")).expect("a configuration");
    let mut request = request(&["a"]);
    request.spec.template.driver_config = block.as_object().expect("an object").clone();
    let plan = Plan::new(&request, &config, &context(), &facts());
    let plan = plan.map_err(|error| error.message().to_owned())?;
    Ok(plan.body(&image(true), Making::Copied).host_config.expect("a host config"))
}

#[test]
fn a_bare_workspace_takes_nothing_of_the_image_and_everything_else_is_the_same() {
    let plan = plan(&request(&["a"])).expect("valid");
    let mut bare = plan.body(&image(true), Making::Bare);
    let mounts = bare.host_config.as_mut().and_then(|host| host.mounts.as_mut()).expect("mounts");
    let workspace = mounts.iter_mut().find(|mount| mount.target.as_deref() == Some(WORKSPACE));
    let options = workspace.and_then(|mount| mount.volume_options.as_mut()).expect("a volume's options");
    assert_eq!(options.no_copy.take(), Some(true));
    assert_eq!(bare, plan.body(&image(true), Making::Copied));
}

#[test]
fn a_request_lowers_and_never_raises() {
    let host = asked(json!({"pids_limit": 64, "shm_size": "8Mi", "network": "none"}), "").expect("good");
    assert_eq!((host.pids_limit, host.shm_size), (Some(64), Some(8 << 20)));
    assert_eq!(host.network_mode.as_deref(), Some("none"));
    for (block, config, said) in [
        (json!({"pids_limit": 4096}), "", "driver_config.pids_limit: `4096` is above `pids_limit`"),
        (json!({"pids_limit": 65}), "pids_limit = 64", "is above"),
        (json!({"network": "own"}), "network = 'none'", "driver_config.network: `own` is neither"),
        (json!({"network": "lab"}), "", "`lab` is neither"),
        (json!({"network": "host"}), "networks = ['lab']", "`host` is neither"),
        (json!({"network": "container:abc"}), "", "is neither"),
        (json!({"user": "root"}), "user = '1000'", "driver_config.user: `user`"),
        (
            json!({"storage_size": "1Gi"}),
            "",
            "driver_config.storage_size: the engine's storage, overlay2 on extfs, ",
        ),
        (json!({"shm_size": "2Gi"}), "", "`tmpfs_max` allows 1073741824"),
        (json!({"gpu_device_ids": ["0"]}), "", "gpu: engine 20.10.24 offers no CDI devices"),
    ] {
        let fault = asked(block, config).expect_err(said);
        assert!(fault.contains(said), "{said}: {fault}");
    }
    let lab = asked(json!({"network": "lab"}), "networks = ['lab']").expect("listed");
    assert_eq!(lab.network_mode.as_deref(), Some("lab"));
}

#[test]
fn mounts_that_are_always_there_for_the_asking() {
    let mounts = json!([
        {"type": "tmpfs", "target": "/tmp", "size": "16Mi", "mode": "1777"},
        {"type": "tmpfs", "target": "/sandbox/scratch/"},
    ]);
    let host = asked(json!({"mounts": mounts}), "").expect("good");
    let [_, tmp, scratch] = &host.mounts.expect("mounts")[..] else { panic!("three mounts") };
    let options = tmp.tmpfs_options.clone().expect("options");
    assert_eq!((options.size_bytes, options.mode), (Some(16 << 20), Some(0o1777)));
    assert_eq!(scratch.target.as_deref(), Some("/sandbox/scratch"));
    assert_eq!(scratch.tmpfs_options.as_ref().and_then(|options| options.size_bytes), Some(64 << 20));
    for (mounts, said) in [
        (
            json!([{"type": "tmpfs", "target": "/a", "size": "2Gi"}]),
            "file systems in memory of 2147483648 bytes",
        ),
        (
            json!([{"type": "tmpfs", "target": "/a"}, {"type": "tmpfs", "target": "//a/."}]),
            "another mount's already",
        ),
        (json!([{"type": "volume", "target": "/a", "source": "x"}]), "`allow_volumes`"),
        (json!([{"type": "bind", "target": "/a", "source": "/srv"}]), "`bind_mounts`"),
        (json!([{"type": "tmpfs", "target": "/run/openshell"}]), "belongs to the kernel or to the driver"),
    ] {
        let fault = asked(json!({"mounts": mounts}), "").expect_err(said);
        assert!(fault.contains(said), "{said}: {fault}");
    }
    let many: Vec<_> =
        (0..33).map(|n| json!({"type": "tmpfs", "target": format!("/{n}"), "size": 1})).collect();
    assert!(asked(json!({"mounts": many}), "").expect_err("too many").contains("more than 32"));
}

#[test]
fn volumes_are_the_gateway_s_and_the_workspace_s() {
    let volume = |source: &str| json!({"mounts": [{"type": "volume", "target": "/data", "source": source}]});
    let host = asked(volume("data"), "allow_volumes = true").expect("good");
    let mount = &host.mounts.expect("mounts")[1];
    assert_eq!(mount.source.as_deref(), Some("openshell-gw.default.data.volume"));
    assert_eq!(mount.read_only, Some(false));
    let options = mount.volume_options.clone().expect("options");
    assert_eq!(options.driver_config, None, "no driver and no options of one");
    assert!(!options.labels.expect("labels").contains_key(labels::SANDBOX_ID));
    for source in ["", "/", "/var/run", "../x", "a/b", "-a", ".", "a b", &"x".repeat(64)] {
        let fault = asked(volume(source), "allow_volumes = true").expect_err(source);
        assert!(fault.contains("is not the name of a volume"), "{source}: {fault}");
    }
}

#[test]
fn the_engine_s_socket_is_never_mounted() {
    for allowed in
        ["", "bind_mounts = ['/srv']", "bind_mounts = ['/srv', '/var']\nbind_mounts_writable = true"]
    {
        for source in [
            "/var/run/docker.sock",
            "/run/docker.sock",
            "//var//run/docker.sock",
            "//var/run/../run/docker.sock",
            "/var/./run/docker.sock",
            "/var/run",
            "/run",
            "/var",
            "/",
            "/proc/1/root/run/docker.sock",
            "/var/lib/docker",
            "docker.sock",
            "unix:///var/run/docker.sock",
        ] {
            for kind in ["bind", "volume"] {
                let mounts = json!([{"type": kind, "target": "/x", "source": source}]);
                assert!(
                    asked(json!({"mounts": mounts}), allowed).is_err(),
                    "{kind} of {source} with {allowed}"
                );
            }
        }
    }
    let block = json!({"mounts": [{"type": "volume", "target": "/x", "source": "x", "driver_opts": {"device": "/run"}}]});
    assert!(asked(block, "allow_volumes = true").expect_err("options").contains("unknown key `driver_opts`"));
    for block in [
        json!({"binds": ["/var/run/docker.sock:/x"]}),
        json!({"volumes": ["/run:/x"]}),
        json!({"privileged": true}),
    ] {
        assert!(asked(block, "").expect_err("unknown").contains("unknown key"));
    }
}

#[test]
fn no_bind_of_a_host_that_nobody_here_can_see() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut request = request(&["a"]);
    let source = dir.path().to_str().expect("UTF-8");
    let mounts = json!([{"type": "bind", "target": "/x", "source": source}]);
    request.spec.template.driver_config.insert("mounts".into(), mounts);
    let rules = MountRules { binds: vec![dir.path().into()], ..MountRules::default() };
    let config = Config { mounts: rules, ..Config::default() };
    assert!(Plan::new(&request, &config, &context(), &facts()).is_ok());
    let remote = Facts { socket: None, ..facts() };
    let error = Plan::new(&request, &config, &context(), &remote).expect_err("remote");
    assert!(error.message().contains("may be on another host"), "{error}");
}

#[test]
fn what_is_asked_of_any_platform() {
    let asked = |key: &str, value: Value, config: &str| {
        let config = Config::read(&config.parse().expect("TOML")).expect("a configuration");
        let mut request = request(&["a"]);
        request.spec.template.platform_config.insert(key.into(), value);
        let plan = Plan::new(&request, &config, &context(), &facts());
        plan.map(|plan| plan.body.host_config.and_then(|host| host.runtime))
            .map_err(|error| error.message().to_owned())
    };
    assert_eq!(asked("runtime_class_name", json!("runsc"), "runtimes = ['runsc']"), Ok(Some("runsc".into())));
    assert_eq!(asked("user_namespaces", json!(false), ""), Ok(None));
    for (key, value, config, said) in [
        ("runtime_class_name", json!("runsc"), "", "runtime_class_name: `runsc` is not in `runtimes`"),
        (
            "runtime_class_name",
            json!("kata"),
            "runtimes = ['kata']",
            "no runtime `kata`, only `runc`, `runsc`",
        ),
        ("runtime_class_name", json!(1), "", "of the wrong type"),
        ("user_namespaces", json!(true), "", "`userns-remap`"),
        ("annotations", json!({"a": "b"}), "", "annotations: an engine hands them to its runtime"),
        ("privileged", json!(true), "", "platform_config.privileged: the docker driver reads no such key"),
    ] {
        let fault = asked(key, value, config).expect_err(said);
        assert!(fault.contains(said), "{said}: {fault}");
    }
    let mut request = request(&["a"]);
    request.spec.template.agent_socket_path = "/run/agent.sock".into();
    assert!(refusal(&request).contains("agent_socket: "));
}

#[test]
fn the_command_is_exact_and_clears_the_image_s() {
    let body = plan(&request(&["sh", "-c", "a  b"])).expect("valid").body(&image(true), Making::Copied);
    assert_eq!(body.entrypoint, Some(vec!["sh".into(), "-c".into(), "a  b".into()]));
    assert_eq!(body.cmd, None);
    assert_eq!(body.working_dir.as_deref(), Some("/sandbox"));
    assert_eq!((body.open_stdin, body.tty), (Some(false), Some(false)));
    assert_eq!(body.image.as_deref(), Some("sha256:1"));
}

#[test]
fn no_command_is_the_image_s_own_or_a_shell() {
    let own = plan(&request(&[])).expect("valid").body(&image(true), Making::Copied);
    assert_eq!((own.entrypoint, own.cmd, own.working_dir), (None, None, None));
    let shell = plan(&request(&[])).expect("valid").body(&image(false), Making::Copied);
    assert_eq!((shell.cmd, shell.open_stdin), (Some(vec!["/bin/sh".to_owned()]), Some(true)));
}

#[test]
fn everything_that_cannot_be_honoured_is_refused_at_once() {
    let mut bad = request(&["", "a\0"]);
    bad.spec.gpu = Some(GpuRequest::default());
    bad.spec.template.image = "Bad Image".into();
    bad.spec.template.driver_config.insert("privileged".into(), true.into());
    bad.spec.template.platform_config.insert("runtime_class".into(), "x".into());
    bad.spec.template.resources.cpu_limit = "lots".into();
    bad.spec.environment.insert("OPENSHELL_ENDPOINT".into(), "http://evil".into());
    let text = refusal(&bad);
    for part in [
        "name is empty",
        "NUL",
        "gpu",
        "`Bad Image`",
        "`privileged`",
        "platform_config.runtime_class: ",
        "`lots`",
        "`OPENSHELL_ENDPOINT`",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn an_image_has_to_come_from_somewhere() {
    let mut bare = request(&["a"]);
    bare.spec.template.image.clear();
    assert!(refusal(&bare).contains("default_image"));
    let config = Config { default_image: "base:1".into(), ..Config::default() };
    assert_eq!(Plan::new(&bare, &config, &context(), &facts()).expect("valid").image, "base:1");
}

#[test]
fn the_token_is_nowhere_in_the_body() {
    let mut request = request(&["a"]);
    request.spec.token = Secret::new("s3cret");
    let plan = plan(&request).expect("valid");
    assert!(!format!("{plan:?}").contains("s3cret"));
    let env = plan.body(&image(true), Making::Copied).env.expect("env");
    assert!(env.contains(&"OPENSHELL_SANDBOX_TOKEN_FILE=/run/openshell/token".to_owned()));
    assert!(env.contains(&"OPENSHELL_TELEMETRY_ENABLED=false".to_owned()));
}
