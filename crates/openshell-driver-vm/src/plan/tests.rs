//! Every rule of a request, with a request that breaks it.

use std::path::Path;

use openshell_driver_api::{GpuRequest, SandboxId, SandboxSpec, Secret, Template};
use serde_json::{Value, json};

use super::*;

const HOST: HostSize = HostSize { cpus: 4, memory: 8 << 30 };

fn context() -> DriverContext {
    DriverContext {
        name: "vm".into(),
        gateway_id: "gw".into(),
        state_dir: "/nowhere".into(),
        telemetry: true,
        endpoint: String::new(),
        supervisor: None,
    }
}

fn request() -> SandboxRequest {
    SandboxRequest {
        id: SandboxId::new("id-1").expect("an id"),
        name: "one".into(),
        namespace: String::new(),
        workspace: "default".into(),
        spec: SandboxSpec {
            template: Template { image: "r/a:1".into(), ..Template::default() },
            ..SandboxSpec::default()
        },
    }
}

fn plan_with(request: &SandboxRequest, config: &Config, cache: &Path) -> Result<Plan, String> {
    let images = Images::open(config, cache).expect("a cache");
    let judge = Judge { config, context: &context(), images: &images, host: HOST };
    judge.plan(request).map_err(|error| error.message().to_owned())
}

fn plan(set: impl FnOnce(&mut SandboxRequest), config: &Config) -> Result<Plan, String> {
    let cache = tempfile::tempdir().expect("a directory");
    let mut request = request();
    set(&mut request);
    plan_with(&request, config, cache.path())
}

fn image() -> Runs {
    Runs {
        entrypoint: vec!["/entry".into()],
        cmd: vec!["arg".into()],
        env: vec!["PATH=/bin".into(), "A=image".into(), "junk".into()],
        user: "web".into(),
        working_dir: "/srv".into(),
    }
}

#[test]
fn what_is_kept_of_a_request() {
    let plan = plan(
        |request| {
            request.spec.command = vec!["sleep".into(), "3 0".into()];
            request.spec.environment = [("A".into(), "mine".into())].into();
            request.spec.token = Secret::new("s3cret");
            request.spec.template.driver_config =
                json!({"disk_size": "64Mi", "network": "none"}).as_object().expect("an object").clone();
            request.spec.template.resources.cpu_limit = "2".into();
        },
        &Config { network: Network::User, ..Config::default() },
    )
    .expect("good");
    assert_eq!((plan.image(), plan.disk_size()), ("r/a:1", 64 << 20));
    let record = plan.keep("sha256:7", &image());
    assert_eq!((record.cpus, record.memory, record.network), (2, 512 << 20, false));
    assert_eq!(
        (record.digest.as_str(), record.labels["openshell.ai/gateway-id"].as_str()),
        ("sha256:7", "gw")
    );
    let run = &record.run;
    assert_eq!((run.argv.join("|").as_str(), run.working_dir.as_str()), ("sleep|3 0", "/sandbox"));
    assert_eq!((run.user.as_str(), run.hostname.as_str(), run.pids_limit), ("web", "one", 2048));
    let variable =
        |name: &str| run.environment.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    assert_eq!((variable("PATH"), variable("A"), variable("junk")), (Some("/bin"), Some("mine"), None));
    assert_eq!(variable("OPENSHELL_SANDBOX_ID"), Some("id-1"));
    assert_eq!(variable("OPENSHELL_SANDBOX_TOKEN_FILE"), Some(TOKEN_PATH));
    assert!(!serde_json::to_string(&record).expect("JSON").contains("s3cret"));
}

#[test]
fn without_a_command_the_image_s_own_runs_and_without_that_a_shell() {
    let own = plan(|_| (), &Config::default()).expect("good").keep("", &image());
    assert_eq!((own.run.argv.join("|").as_str(), own.run.working_dir.as_str()), ("/entry|arg", "/srv"));
    let shell = plan(|_| (), &Config::default()).expect("good").keep("", &Runs::default());
    assert_eq!((shell.run.argv.len(), shell.run.working_dir.as_str()), (0, "/sandbox"));
    assert!(shell.run.stdin && own.run.stdin, "a shell with nothing to read from would end");
    let asked = plan(|request| request.spec.command = vec!["cat".into()], &Config::default());
    assert!(!asked.expect("good").keep("", &image()).run.stdin);
    let operator = Config { user: Some("1000:1000".into()), ..Config::default() };
    assert_eq!(plan(|_| (), &operator).expect("good").keep("", &image()).run.user, "1000:1000");
}

#[test]
fn a_default_image_and_a_name_that_is_no_host_s() {
    let config = Config { default_image: "b:2".into(), ..Config::default() };
    let plan = plan(
        |request| {
            request.spec.template.image.clear();
            request.name = "x".repeat(64);
        },
        &config,
    );
    let plan = plan.expect("good");
    assert_eq!((plan.image(), plan.record().run.hostname.as_str()), ("b:2", ""));
}

#[test]
fn what_is_refused_and_how_it_is_said() {
    type Set = fn(&mut SandboxRequest);
    fn block(request: &mut SandboxRequest, block: Value) {
        request.spec.template.driver_config = block.as_object().expect("an object").clone();
    }
    let cases: [(Set, &str); 19] = [
        (|r| r.id = SandboxId::new("é".repeat(64)).expect("an id"), "the sandbox id is too long"),
        (|r| r.spec.template.image.clear(), "no image is named"),
        (|r| r.spec.template.image = "a b".into(), "image: `a b` holds ` `"),
        (|r| r.spec.template.image = "../../etc/passwd".into(), "is not an image reference"),
        (|r| r.spec.command = vec![String::new()], "command: the program's name is empty"),
        (|r| r.spec.command = vec!["a\0".into()], "command: a word holds a NUL"),
        (
            |r| r.spec.template.agent_socket_path = "/run/a".into(),
            "agent_socket: the vm driver puts no socket",
        ),
        (|r| r.spec.gpu = Some(GpuRequest::default()), "gpu: the vm driver has no GPU"),
        (
            |r| {
                r.spec.template.platform_config =
                    [("runtime_class_name".to_owned(), json!("kata"))].into_iter().collect()
            },
            "platform_config.runtime_class_name: the vm driver reads no such key",
        ),
        (
            |r| block(r, json!({"mounts": []})),
            "driver_config: unknown key `mounts`; the keys are `disk_size`, `network`",
        ),
        (|r| block(r, json!({"disksize": 1})), "did you mean `disk_size`?"),
        (|r| block(r, json!({"disk_size": "1Ki"})), "`1024` bytes are less than the least"),
        (|r| block(r, json!({"disk_size": "9Gi"})), "are above `disk_size` of `[openshell.drivers.vm]`"),
        (|r| block(r, json!({"network": "user"})), "nor one of `networks` of `[openshell.drivers.vm]`"),
        (
            |r| block(r, json!({"network": "host"})),
            "driver_config.network: `host` is neither `none` nor `user`",
        ),
        (|r| r.spec.environment = [("OPENSHELL_X".into(), "v".into())].into(), "`OPENSHELL_X`"),
        (|r| r.spec.template.resources.cpu_limit = "500m".into(), "a machine has whole CPUs"),
        (|r| r.spec.template.resources.memory_limit = "9Gi".into(), "more than the 8192Mi of the host"),
        (
            |r| r.spec.environment = (0..10).map(|n| (format!("A{n}"), "v".repeat(100_000))).collect(),
            "the command and the environment together are longer",
        ),
    ];
    for (set, part) in cases {
        let fault = plan(set, &Config::default()).expect_err(part);
        assert!(fault.contains(part), "{part}: {fault}");
    }
}

#[test]
fn every_fault_in_one_error() {
    let fault = plan(
        |request| {
            request.spec.gpu = Some(GpuRequest::default());
            request.spec.template.resources.cpu_limit = "1.5".into();
            request.spec.template.agent_socket_path = "/run/a".into();
        },
        &Config::default(),
    )
    .expect_err("three faults");
    assert_eq!(fault.split("; ").count(), 3, "{fault}");
}

#[test]
fn a_network_that_the_operator_lists_may_be_asked_for() {
    let ask = |request: &mut SandboxRequest| {
        request.spec.template.driver_config =
            json!({"network": "user"}).as_object().expect("an object").clone();
    };
    let listed = Config { networks: vec![Network::User], ..Config::default() };
    assert!(plan(ask, &listed).expect("good").record().network);
    assert!(!plan(|_| (), &listed).expect("good").record().network);
}
