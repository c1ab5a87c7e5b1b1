//! Blocks of requests: what they come to, and what is refused by name.

use openshell_driver_api::{GpuRequest, SandboxId, SandboxSpec, Template};
use serde_json::json;

use super::*;

const ALLOWING: &str = "
    node_selector = { pool = 'sandboxes' }
    tolerable_taints = ['gpu']
    runtime_class = 'gvisor'
    runtime_classes = ['kata']
    priority_classes = ['low']
    gpu_resources = ['nvidia.com/gpu', 'amd.com/gpu']
    annotations = ['example.com/', 'example.org/one']
    claims = ['data']
    tmpfs_max = '128Mi'
";

fn read(own: &str, driver: Value, platform: Value, gpu: Option<GpuRequest>) -> Result<Asked, Vec<String>> {
    let config = Config::read(&own.parse().expect("TOML")).expect("a configuration");
    let object = |value: Value| value.as_object().expect("an object").clone();
    let template =
        Template { driver_config: object(driver), platform_config: object(platform), ..Template::default() };
    let request = SandboxRequest {
        id: SandboxId::new("id").expect("an id"),
        name: "one".into(),
        namespace: String::new(),
        workspace: "default".into(),
        spec: SandboxSpec { template, gpu, ..SandboxSpec::default() },
    };
    let mut faults = Faults::default();
    let asked = Asked::read(&request, &config, &mut faults);
    match faults.into_result() {
        Ok(()) => Ok(asked),
        Err(error) => Err(error.message().split("; ").map(str::to_owned).collect()),
    }
}

fn driver(own: &str, block: Value) -> Result<Asked, Vec<String>> {
    read(own, block, json!({}), None)
}

#[test]
fn everything_that_may_be_asked_for() {
    let block = json!({
        "node_selector": { "disk": "ssd", "pool": "sandboxes" },
        "tolerations": [{ "key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoExecute", "toleration_seconds": 60 }],
        "runtime_class": "kata",
        "priority_class": "low",
        "gpu_resource": "amd.com/gpu",
        "gpu_count": 2,
        "annotations": { "example.com/team": "blue" },
        "storage_size": "1Gi",
        "user": 2000,
        "group": 2001,
        "mounts": [
            { "type": "tmpfs", "target": "/scratch", "size": "32Mi" },
            { "type": "claim", "target": "/data", "source": "data" },
            { "type": "claim", "target": "/data2/", "source": "data", "read_only": false },
        ],
    });
    let platform = json!({ "annotations": { "example.org/one": "1" }, "user_namespaces": false });
    let asked = read(ALLOWING, block, platform, None).expect("all of it");
    let text = |text: &str| text.to_owned();
    let expected = Asked {
        node_selector: [(text("disk"), text("ssd")), (text("pool"), text("sandboxes"))].into(),
        tolerations: vec![Toleration {
            key: Some(text("gpu")),
            value: Some(text("yes")),
            effect: Some(text("NoExecute")),
            seconds: Some(60),
        }],
        runtime_class: Some(text("kata")),
        priority_class: Some(text("low")),
        gpu: Some((text("amd.com/gpu"), 2)),
        annotations: [("example.com/team", "blue"), ("example.org/one", "1")]
            .map(|(k, v)| (text(k), text(v)))
            .into(),
        mounts: vec![
            Mount { target: text("/scratch"), kind: Kind::Tmpfs { size: 32 << 20 } },
            Mount { target: text("/data"), kind: Kind::Claim { name: text("data"), read_only: true } },
            Mount { target: text("/data2"), kind: Kind::Claim { name: text("data"), read_only: false } },
        ],
        storage_size: Some(1 << 30),
        user: Some(2000),
        group: Some(2001),
    };
    assert_eq!(asked, expected);
}

#[test]
fn what_an_operator_did_not_allow_is_refused_by_name() {
    for (own, block, said) in [
        ("", json!({ "nodeselector": {} }), "unknown key `nodeselector`"),
        ("", json!({ "privileged": true }), "unknown key `privileged`"),
        ("", json!({ "runtime_class": "kata" }), "`kata` is not in `runtime_classes`"),
        ("", json!({ "priority_class": "system-node-critical" }), "is not in `priority_classes`"),
        ("", json!({ "tolerations": [{ "operator": "Exists" }] }), "one of every taint"),
        (
            ALLOWING,
            json!({ "tolerations": [{ "key": "node-role.kubernetes.io/control-plane", "operator": "Exists" }] }),
            "is not in `tolerable_taints`",
        ),
        ("", json!({ "tolerations": [{ "kee": "a" }] }), "unknown key `kee`"),
        ("", json!({ "annotations": { "example.com/a": "b" } }), "is not in `annotations`"),
        (
            ALLOWING,
            json!({ "annotations": { "example.org/two": "b" } }),
            "`example.org/two` is not in `annotations`",
        ),
        (ALLOWING, json!({ "annotations": { "example.com.evil/a": "b" } }), "is not in `annotations`"),
        (ALLOWING, json!({ "annotations": { "openshell.ai/sandbox-id": "x" } }), "is not in `annotations`"),
        (ALLOWING, json!({ "annotations": { "example.com/a b": "b" } }), "is not the key of an annotation"),
        (ALLOWING, json!({ "annotations": { "example.com/a": 1 } }), "values are texts"),
        (ALLOWING, json!({ "node_selector": { "pool": "other" } }), "`pool` is set in"),
        (ALLOWING, json!({ "node_selector": { "a b": "other" } }), "is not a label of a node"),
        ("", json!({ "gpu_count": 1 }), "the driver is told of no resource that is a GPU"),
        (ALLOWING, json!({ "gpu_resource": "cpu" }), "`cpu` is not in `gpu_resources`"),
        (ALLOWING, json!({ "gpu_count": 0 }), "gpu_count: `0`"),
        ("", json!({ "user": 0 }), "user: `0`"),
        ("user = 5", json!({ "user": 6 }), "is `5`, for every sandbox"),
        ("", json!({ "mounts": [{ "type": "hostPath", "target": "/a" }] }), "mounts nothing of a node"),
        (
            "",
            json!({ "mounts": [{ "type": "bind", "target": "/a", "source": "/" }] }),
            "mounts nothing of a node",
        ),
        (
            "",
            json!({ "mounts": [{ "type": "claim", "target": "/a", "source": "data" }] }),
            "`data` is not in `claims`",
        ),
        ("", json!({ "mounts": [{ "type": "tmpfs", "target": "/a", "source": "x" }] }), "no such key"),
        (
            "",
            json!({ "mounts": [{ "type": "tmpfs", "target": "/a" }, { "type": "tmpfs", "target": "/a/" }] }),
            "another mount's already",
        ),
        (
            ALLOWING,
            json!({ "mounts": [{ "type": "tmpfs", "target": "/a", "size": "129Mi" }] }),
            "`tmpfs_max` allows 134217728",
        ),
        ("", json!({ "mounts": [{ "target": "/a" }] }), "say `tmpfs` or `claim`"),
        ("", json!({ "mounts": 1 }), "it is not a list"),
    ] {
        let faults = driver(own, block).expect_err(said);
        assert!(faults.iter().any(|fault| fault.contains(said)), "{said}: {faults:?}");
    }
}

#[test]
fn gpus_of_a_request() {
    let gpu =
        |count, block| read(ALLOWING, block, json!({}), Some(GpuRequest { count })).map(|asked| asked.gpu);
    let some = |name: &str, count| Ok(Some((name.to_owned(), count)));
    assert_eq!(gpu(None, json!({})), some("nvidia.com/gpu", 1));
    assert_eq!(gpu(Some(3), json!({})), some("nvidia.com/gpu", 3));
    assert_eq!(
        gpu(Some(2), json!({ "gpu_count": 2, "gpu_resource": "amd.com/gpu" })),
        some("amd.com/gpu", 2)
    );
    for (count, block, said) in [
        (Some(0), json!({}), "a count of 0"),
        (Some(129), json!({}), "more than 128"),
        (Some(1), json!({ "gpu_count": 2 }), "`gpu_count` is 2"),
    ] {
        let faults = gpu(count, block).expect_err(said);
        assert!(faults.iter().any(|fault| fault.contains(said)), "{said}: {faults:?}");
    }
    assert_eq!(driver(ALLOWING, json!({})).map(|asked| asked.gpu), Ok(None));
}

#[test]
fn what_is_asked_of_any_platform() {
    let platform = |block| read(ALLOWING, json!({}), block, None);
    assert_eq!(
        platform(json!({ "runtime_class_name": "kata" })).map(|a| a.runtime_class),
        Ok(Some("kata".into()))
    );
    assert_eq!(
        platform(json!({ "runtime_class_name": "gvisor" })).map(|a| a.runtime_class),
        Ok(Some("gvisor".into()))
    );
    for (block, said) in [
        (json!({ "runtime_class_name": "runc" }), "`runc` is not in `runtime_classes`"),
        (json!({ "user_namespaces": true }), "is not set"),
        (json!({ "user_namespaces": 1 }), "neither `true` nor `false`"),
        (json!({ "runtime_class": "kata" }), "did you mean `runtime_class_name`?"),
        (json!({ "annotations": { "a/b": "c" } }), "is not in `annotations`"),
    ] {
        let faults = platform(block).expect_err(said);
        assert!(faults.iter().any(|fault| fault.contains(said)), "{said}: {faults:?}");
    }
    let two =
        read(ALLOWING, json!({ "runtime_class": "kata" }), json!({ "runtime_class_name": "gvisor" }), None);
    assert!(
        two.expect_err("two")
            .iter()
            .any(|fault| fault.contains("`gvisor`, and `driver_config.runtime_class` is `kata`"))
    );
    let set = read("user_namespaces = true", json!({}), json!({ "user_namespaces": false }), None);
    assert!(set.expect_err("set").iter().any(|fault| fault.contains("set, for every sandbox")));
}

#[test]
fn too_many_annotations_and_mounts() {
    let long = "x".repeat(200_000);
    let faults = driver(ALLOWING, json!({ "annotations": { "example.com/a": long } })).expect_err("too much");
    assert!(faults.iter().any(|fault| fault.contains("an object may have 196608")), "{faults:?}");
    let mounts: Vec<Value> =
        (0..33).map(|n| json!({ "type": "tmpfs", "target": format!("/m{n}"), "size": 1 })).collect();
    let faults = driver("", json!({ "mounts": mounts })).expect_err("too many");
    assert!(faults.iter().any(|fault| fault.contains("more than 32")), "{faults:?}");
}
