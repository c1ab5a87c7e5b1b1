//! Plans against the JSON that they have to come to.

use openshell_driver_api::{SandboxId, SandboxSpec, Secret as Token, Template};

use super::*;

fn config(text: &str) -> Config {
    Config::read(&text.parse().expect("TOML")).expect("a configuration")
}

fn context() -> DriverContext {
    DriverContext {
        name: "kubernetes".into(),
        gateway_id: "gw".into(),
        state_dir: "/nowhere".into(),
        telemetry: true,
        endpoint: String::new(),
        supervisor: None,
    }
}

fn request(set: impl FnOnce(&mut SandboxRequest)) -> SandboxRequest {
    let mut request = SandboxRequest {
        id: SandboxId::new("id-1").expect("an id"),
        name: "one".into(),
        namespace: String::new(),
        workspace: "default".into(),
        spec: SandboxSpec {
            template: Template { image: "busybox:1".into(), ..Template::default() },
            ..SandboxSpec::default()
        },
    };
    set(&mut request);
    request
}

fn plan(own: &str, set: impl FnOnce(&mut SandboxRequest)) -> Result<Plan, DriverError> {
    Plan::new(&request(set), &config(own), &context(), "mine")
}

fn good(own: &str, set: impl FnOnce(&mut SandboxRequest)) -> Plan {
    plan(own, set).expect("a plan")
}

fn json_of(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("JSON")
}

/// The name of every object, as `names` makes it.
fn name() -> String {
    Scope::new("gw").object(&SandboxId::new("id-1").expect("an id"))
}

fn labels() -> Value {
    json!({
        "openshell.ai/gateway-id": "gw",
        "openshell.ai/managed-by": "openshell",
        "openshell.ai/sandbox-id": "id-1",
        "openshell.ai/sandbox-name": "one",
        "openshell.ai/sandbox-workspace": "default",
    })
}

fn annotations() -> Value {
    json!({
        "openshell.ai/gateway-id": "gw",
        "openshell.ai/sandbox-id": "id-1",
        "openshell.ai/sandbox-name": "one",
        "openshell.ai/sandbox-workspace": "default",
    })
}

fn metadata() -> Value {
    json!({ "name": name(), "namespace": "mine", "labels": labels(), "annotations": annotations() })
}

#[test]
fn the_least_request() {
    let plan = good("", |_| {});
    let spec = json!({
        "automountServiceAccountToken": false,
        "containers": [{
            "name": "sandbox",
            "image": "busybox:1",
            "env": [
                { "name": "OPENSHELL_MAIN_PROCESS_SPEC", "value": r#"{"version":1,"command":[],"tty":false}"# },
                { "name": "OPENSHELL_SANDBOX", "value": "one" },
                { "name": "OPENSHELL_SANDBOX_ID", "value": "id-1" },
            ],
            "resources": {},
            "stdin": true,
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
                "privileged": false,
                "readOnlyRootFilesystem": false,
            },
            "volumeMounts": [{ "name": "workspace", "mountPath": "/sandbox" }],
        }],
        "enableServiceLinks": false,
        "hostname": "one",
        "restartPolicy": "Never",
        "securityContext": {
            "fsGroup": 1000,
            "fsGroupChangePolicy": "OnRootMismatch",
            "runAsGroup": 1000,
            "runAsNonRoot": true,
            "runAsUser": 1000,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "shareProcessNamespace": true,
        "terminationGracePeriodSeconds": 10,
        "volumes": [{ "name": "workspace", "persistentVolumeClaim": { "claimName": name() } }],
    });
    assert_eq!(json_of(&plan.pod.spec), spec);
    assert_eq!(json_of(&plan.pod.metadata), metadata());
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata(),
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "10Gi" } } },
    });
    assert_eq!(json_of(&plan.claim), claim);
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(),
        "spec": {
            "podSelector": { "matchLabels": {
                "openshell.ai/gateway-id": "gw",
                "openshell.ai/managed-by": "openshell",
                "openshell.ai/sandbox-id": "id-1",
            } },
            "policyTypes": ["Ingress"],
        },
    });
    assert_eq!(json_of(&plan.policy), policy);
    assert_eq!((plan.secret, plan.own_namespace, plan.namespace.as_str()), (None, None, "mine"));
}

#[test]
fn a_full_request() {
    let own = "
        namespace_template = 'os-{workspace}'
        ephemeral = true
        storage_size = '2Gi'
        image_pull_policy = 'Never'
        image_pull_secrets = ['registry']
        node_selector = { pool = 'sandboxes' }
        tolerations = [{ key = 'sandboxes', operator = 'Exists' }]
        runtime_class = 'gvisor'
        priority_class = 'low'
        service_account = 'sandbox'
        gpu_resources = ['nvidia.com/gpu']
        annotations = ['example.com/']
        claims = ['data']
        memory_limit = '1Gi'
        user_namespaces = true
        cap_add = ['NET_RAW']
        read_only_root = true
        network_policy = 'none'
        stop_timeout = 3
    ";
    let plan = good(own, |request| {
        let spec = &mut request.spec;
        spec.command = vec!["/bin/sh".into(), "-c".into(), "echo $(HOME) $$".into()];
        spec.tty = true;
        spec.token = Token::new("t0ken");
        spec.environment = [("KEY".to_owned(), "s3cret".to_owned())].into();
        spec.gpu = Some(openshell_driver_api::GpuRequest { count: Some(2) });
        spec.template.resources.cpu_limit = "500m".into();
        spec.template.labels = [("team".to_owned(), "blue".to_owned())].into();
        spec.template.driver_config = json!({
            "user": 2000,
            "node_selector": { "disk": "ssd" },
            "annotations": { "example.com/a": "b" },
            "storage_size": "1Gi",
            "mounts": [
                { "type": "claim", "target": "/data", "source": "data" },
                { "type": "tmpfs", "target": "/scratch", "size": "1Mi" },
            ],
        })
        .as_object()
        .expect("an object")
        .clone();
    });
    let pod = json_of(&plan.pod);
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["command"], json!(["/bin/sh", "-c", "echo $$(HOME) $$$$"]));
    assert_eq!(
        (&container["workingDir"], &container["tty"], &container["stdin"]),
        (&json!("/sandbox"), &json!(true), &json!(true))
    );
    assert_eq!(container["imagePullPolicy"], "Never");
    assert_eq!(
        container["resources"],
        json!({ "limits": { "cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "2" } })
    );
    assert_eq!(
        container["env"][0],
        json!({ "name": "KEY", "valueFrom": { "secretKeyRef": { "name": name(), "key": "env.KEY" } } })
    );
    assert_eq!(
        container["env"][4],
        json!({ "name": "OPENSHELL_SANDBOX_TOKEN_FILE", "value": "/run/openshell/token" })
    );
    assert_eq!(container["securityContext"]["capabilities"], json!({ "add": ["NET_RAW"], "drop": ["ALL"] }));
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(
        container["volumeMounts"],
        json!([
            { "name": "workspace", "mountPath": "/sandbox" },
            { "name": "token", "mountPath": "/run/openshell", "readOnly": true },
            { "name": "tmp", "mountPath": "/tmp" },
            { "name": "mount-0", "mountPath": "/data", "readOnly": true },
            { "name": "mount-1", "mountPath": "/scratch" },
        ])
    );
    let spec = &pod["spec"];
    assert_eq!(
        spec["volumes"],
        json!([
            { "name": "workspace", "emptyDir": { "sizeLimit": "1073741824" } },
            { "name": "token", "secret": {
                "secretName": name(), "defaultMode": 0o400,
                "items": [{ "key": "token", "path": "token", "mode": 0o400 }],
            } },
            { "name": "tmp", "emptyDir": { "medium": "Memory", "sizeLimit": "67108864" } },
            { "name": "mount-0", "persistentVolumeClaim": { "claimName": "data", "readOnly": true } },
            { "name": "mount-1", "emptyDir": { "medium": "Memory", "sizeLimit": "1048576" } },
        ])
    );
    assert_eq!(spec["nodeSelector"], json!({ "pool": "sandboxes", "disk": "ssd" }));
    assert_eq!(spec["tolerations"], json!([{ "key": "sandboxes", "operator": "Exists" }]));
    assert_eq!((&spec["runtimeClassName"], &spec["priorityClassName"]), (&json!("gvisor"), &json!("low")));
    assert_eq!((&spec["serviceAccountName"], &spec["hostUsers"]), (&json!("sandbox"), &json!(false)));
    assert_eq!(spec["imagePullSecrets"], json!([{ "name": "registry" }]));
    assert_eq!(spec["terminationGracePeriodSeconds"], 3);
    let security = &spec["securityContext"];
    assert_eq!(
        (&security["runAsUser"], &security["runAsGroup"], &security["fsGroup"]),
        (&json!(2000), &json!(2000), &json!(2000))
    );
    assert_eq!(pod["metadata"]["labels"]["team"], "blue");
    assert_eq!(pod["metadata"]["annotations"]["example.com/a"], "b");
    assert_eq!(plan.namespace, "os-default");
    let own = plan.own_namespace.as_ref().expect("a namespace of its own");
    assert_eq!(own.metadata.name.as_deref(), Some("os-default"));
    assert_eq!((&plan.claim, &plan.policy), (&None, &None));
    let secret = plan.secret.as_ref().and_then(|secret| secret.data.as_ref()).expect("a secret");
    assert_eq!(secret["token"].0, b"t0ken");
    assert_eq!(secret["env.KEY"].0, b"s3cret");
    let shown = format!("{plan:?} {}", json_of(&plan.pod));
    assert!(!shown.contains("t0ken") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn root_is_an_explicit_choice() {
    let security = |own: &str| json_of(&good(own, |_| {}).pod)["spec"]["securityContext"].clone();
    let root = security("user = 0");
    assert_eq!((&root["runAsNonRoot"], &root["runAsUser"]), (&json!(false), &json!(0)));
    assert_eq!((&root["runAsGroup"], &root["fsGroup"]), (&json!(0), &json!(1000)));
    let other = security("user = 7\ngroup = 8\nfs_group = 9");
    assert_eq!((&other["runAsNonRoot"], &other["runAsUser"]), (&json!(true), &json!(7)));
    assert_eq!((&other["runAsGroup"], &other["fsGroup"]), (&json!(8), &json!(9)));
}

#[test]
fn a_workspace_that_no_node_gives_away() {
    let init = |own: &str| {
        json_of(&good(own, |r| r.spec.token = Token::new("t")).pod)["spec"]["initContainers"].clone()
    };
    let giver = json!([{
        "name": "workspace",
        "image": "busybox:1",
        "command": ["chown", "1000:7", "/sandbox"],
        "resources": { "limits": { "memory": "1Gi" } },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": { "add": ["CHOWN"], "drop": ["ALL"] },
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsGroup": 0,
            "runAsNonRoot": false,
            "runAsUser": 0,
        },
        "volumeMounts": [{ "name": "workspace", "mountPath": "/sandbox" }],
    }]);
    assert_eq!(init("chown_workspace = true\ngroup = 7\nmemory_limit = '1Gi'"), giver);
    for own in [
        "",
        "chown_workspace = false",
        "chown_workspace = true\nuser = 0",
        "chown_workspace = true\nephemeral = true",
    ] {
        assert_eq!(init(own), Value::Null, "{own}");
    }
}

#[test]
fn nothing_of_a_node_is_ever_given() {
    for own in ["", "user = 0\ncap_add = ['SYS_ADMIN']", "ephemeral = true", "workload = 'agent-sandbox'"] {
        let plan = good(own, |request| request.spec.token = Token::new("t"));
        for text in [json_of(&plan.pod).to_string(), plan.agent_spec().to_string()] {
            for word in [
                "hostPath",
                "hostNetwork",
                "hostPID",
                "hostIPC",
                "hostPort",
                "\"privileged\":true",
                "Unconfined",
            ] {
                assert!(!text.contains(word), "{own}: {word}: {text}");
            }
            assert!(text.contains("\"allowPrivilegeEscalation\":false"));
        }
    }
}

#[test]
fn the_agent_sandbox_s_own_form() {
    let plan = good("workload = 'agent-sandbox'\nstorage_class = 'fast'", |_| {});
    let spec = plan.agent_spec();
    assert_eq!(spec["podTemplate"]["metadata"], json!({ "labels": labels(), "annotations": annotations() }));
    let mut pod = json_of(&plan.pod.spec);
    // Its controller adds the volume of the claim that it makes.
    pod["volumes"] = json!([]);
    assert_eq!(spec["podTemplate"]["spec"], pod);
    let template = json!([{
        "metadata": { "name": "workspace", "labels": labels(), "annotations": annotations() },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "fast",
            "resources": { "requests": { "storage": "10Gi" } },
        },
    }]);
    assert_eq!(spec["volumeClaimTemplates"], template);
    let ephemeral = good("workload = 'agent-sandbox'\nephemeral = true", |_| {}).agent_spec();
    assert_eq!(ephemeral.get("volumeClaimTemplates"), None);
    assert_eq!(ephemeral["podTemplate"]["spec"]["volumes"], json!([{ "name": "workspace", "emptyDir": {} }]));
}

#[test]
fn a_shell_for_an_image_without_a_command() {
    let mut pod = good("", |_| {}).pod;
    give_shell(&mut pod);
    let container = &json_of(&pod)["spec"]["containers"][0];
    assert_eq!((&container["command"], &container["workingDir"]), (&json!(["/bin/sh"]), &json!("/sandbox")));
    let mut own = good("", |request| request.spec.command = vec!["sleep".into(), "1".into()]).pod;
    let before = own.clone();
    give_shell(&mut own);
    assert_eq!(own, before);
}

#[test]
fn what_a_cluster_cannot_honour_is_refused_by_name() {
    type Set = fn(&mut SandboxRequest);
    let cases: [(&str, Set, &str); 17] = [
        ("", |r| r.spec.template.image.clear(), "no image is named"),
        ("", |r| r.spec.template.image = "No Such".into(), "image: `No Such`"),
        ("", |r| r.spec.command = vec![String::new()], "command: the program's name is empty"),
        ("", |r| r.spec.command = vec!["a\0".into()], "command: a word holds a NUL"),
        ("", |r| r.spec.template.agent_socket_path = "/s".into(), "agent_socket"),
        ("", |r| r.namespace = "other".into(), "`other` is asked for, and this sandbox belongs into `mine`"),
        ("", |r| drop(r.spec.template.labels.insert("a b".into(), "c".into())), "labels: `a b`: `c`"),
        ("", |r| drop(r.spec.template.labels.insert("a".into(), "c d".into())), "labels: `a`: `c d`"),
        (
            "",
            |r| r.spec.gpu = Some(openshell_driver_api::GpuRequest { count: None }),
            "gpu: the driver is told of no",
        ),
        ("", |r| r.spec.template.resources.cpu_request = "much".into(), "cpu_request: `much`"),
        ("", |r| r.spec.template.resources.memory_limit = "1Mi".into(), "memory_limit: `1Mi`"),
        ("", |r| drop(r.spec.environment.insert("A B".into(), "c".into())), "no variable of the name `A B`"),
        ("", |r| drop(r.spec.environment.insert("OPENSHELL_X".into(), "c".into())), "which is reserved"),
        ("", |r| drop(r.spec.template.driver_config.insert("image".into(), json!(1))), "unknown key `image`"),
        ("", |r| drop(r.spec.template.platform_config.insert("x".into(), json!(1))), "platform_config.x"),
        (
            "storage_size = '1Gi'",
            |r| drop(r.spec.template.driver_config.insert("storage_size".into(), json!("2Gi"))),
            "is above `storage_size`",
        ),
        ("", |r| drop(r.spec.template.driver_config.insert("user".into(), json!(0))), "driver_config.user"),
    ];
    for (own, set, said) in cases {
        let error = plan(own, set).expect_err(said);
        assert_eq!(error.kind(), openshell_driver_api::ErrorKind::InvalidArgument);
        assert!(error.message().contains(said), "{said}: {}", error.message());
    }
    // All of it at once.
    let error = plan("", |r| {
        r.spec.template.image.clear();
        r.spec.command = vec![String::new()];
        r.namespace = "other".into();
    });
    assert_eq!(error.expect_err("three").message().split("; ").count(), 3);
}

#[test]
fn a_name_that_is_no_host_s_stays_out() {
    for name in ["One", "a_b", &"x".repeat(64)] {
        let plan = good("", |request| request.name = name.to_owned());
        assert_eq!(plan.pod.spec.expect("a spec").hostname, None, "{name}");
        assert_eq!(plan.metadata.annotations.expect("annotations")["openshell.ai/sandbox-name"], name);
    }
}
