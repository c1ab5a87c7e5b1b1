//! Every manifest that a plan can come to, judged by a real API server: a dry run of all its admission, which makes
//! nothing.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::core::{DynamicObject, NamespaceResourceScope, ObjectMeta};
use kube::{Client, Resource};
use openshell_driver_api::supervisor::SupervisorDelivery;
use openshell_driver_api::{
    DriverContext, GpuRequest, SandboxId, SandboxRequest, SandboxSpec, Secret as Token, Template,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Plan, give_shell};
use crate::config::Config;

/// Configurations that differ in what they make of a request; with the full one, classes and claims that need not exist
/// for a dry run are left out.
const CONFIGS: &[&str] = &[
    "",
    "ephemeral = true",
    "ephemeral = true\nstorage_size = '1Gi'",
    "storage_class = 'testbed'\nstorage_size = '1.5Gi'\naccess_mode = 'ReadWriteMany'",
    "chown_workspace = true\nuser = 1\ngroup = 0\nfs_group = 3",
    "user = 0\ncap_add = ['NET_RAW', 'SYS_PTRACE']",
    "read_only_root = true\nstop_timeout = 3600\nimage_pull_policy = 'Never'\nimage_pull_secrets = ['a', 'b']",
    "node_selector = { pool = 'x', 'example.com/y' = '' }\n\
     tolerations = [{ key = 'a', operator = 'Exists' }, { key = 'b', value = 'c', effect = 'NoExecute', toleration_seconds = 5 }, { operator = 'Exists' }]",
    "cpu_request = '100m'\ncpu_limit = '2'\nmemory_request = '64Mi'\nmemory_limit = '1Gi'",
    "namespace_template = 'judged-{workspace}'",
    "supervisor_image = 'openshell-test/supervisor:1'\nsupervisor_image_pull_policy = 'Never'",
    "supervisor_image = 'openshell-test/supervisor:1'\nchown_workspace = true\nuser = 0\nfs_group = 3\ncap_add = ['NET_RAW']\n\
     cpu_limit = '2'\nmemory_limit = '1Gi'\nread_only_root = true",
];

/// Requests that differ in what they ask for.
fn requests() -> Vec<SandboxRequest> {
    let least = |id: &str| SandboxRequest {
        id: SandboxId::new(id).expect("an id"),
        name: "one".into(),
        namespace: String::new(),
        workspace: "default".into(),
        spec: SandboxSpec {
            template: Template { image: "openshell-test/busybox:1".into(), ..Template::default() },
            ..SandboxSpec::default()
        },
    };
    let mut full = least("0f8fad5b-d9cb-469f-a165-70867728950e");
    full.workspace = "w".repeat(50);
    full.spec.command = vec!["/bin/sh".into(), "-c".into(), "echo $(HOME) 'ä' \"\n\"".into(), String::new()];
    full.spec.tty = true;
    full.spec.token = Token::new("t0ken");
    full.spec.environment = [("A.b-c_D", "x"), ("EMPTY", ""), ("ODD", "$(A) \n ä")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    full.spec.template.labels =
        [("team".to_owned(), "blue".to_owned()), ("example.com/x".to_owned(), String::new())].into();
    full.spec.template.resources.cpu_limit = "1500m".into();
    full.spec.template.resources.memory_request = "1.5Mi".into();
    full.spec.template.driver_config = json!({
        "node_selector": { "disk": "ssd" },
        "storage_size": "500Mi",
        "mounts": [
            { "type": "tmpfs", "target": "/scratch", "size": "32Mi" },
            { "type": "tmpfs", "target": "/dev/shm" },
            { "type": "tmpfs", "target": "/sandbox/cache", "size": 1 },
        ],
    })
    .as_object()
    .expect("an object")
    .clone();
    // What no label could hold as it is.
    let mut odd =
        least("Ünusual id/with everything, and far more of it than sixty-three characters could ever hold");
    odd.name = "A Name".into();
    odd.workspace = "Team ä".into();
    vec![least("a"), full, odd]
}

/// With what needs more of a configuration than others have.
fn with_all() -> (Config, SandboxRequest) {
    let own = "gpu_resources = ['nvidia.com/gpu']\ntolerable_taints = ['gpu']\nannotations = ['example.com/']\nclaims = ['data']\nuser_namespaces = true";
    let mut request = requests().remove(0);
    request.spec.gpu = Some(GpuRequest { count: Some(2) });
    request.spec.template.driver_config = json!({
        "tolerations": [{ "key": "gpu", "operator": "Exists", "effect": "NoSchedule" }],
        "annotations": { "example.com/a": "b" },
        "user": 2000,
        "mounts": [{ "type": "claim", "target": "/data", "source": "data" }],
    })
    .as_object()
    .expect("an object")
    .clone();
    (Config::read(&own.parse().expect("TOML")).expect("a configuration"), request)
}

fn skip(why: &str) {
    let required = std::env::var("OPENSHELL_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|word| word.trim() == "kubernetes"), "kubernetes is required: {why}");
    println!("skipped: {why}");
}

async fn client() -> Option<Client> {
    if std::env::var_os("KUBECONFIG").is_none() {
        skip("`KUBECONFIG` is not set");
        return None;
    }
    let config = kube::Config::infer().await.expect("a kubeconfig");
    let client = Client::try_from(config).expect("a client");
    if let Err(error) = client.apiserver_version().await {
        skip(&format!("the cluster does not answer: {error}"));
        return None;
    }
    Some(client)
}

/// Has an object judged and gives what the server would have kept of it.
async fn judge<K>(client: &Client, namespace: &str, object: &K) -> K
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
    K::DynamicType: Default,
{
    let how = PostParams { dry_run: true, ..PostParams::default() };
    // Kept as it is written, but in the namespace that the test has.
    let mut object = object.clone();
    object.meta_mut().namespace = Some(namespace.to_owned());
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    api.create(&how, &object).await.unwrap_or_else(|error| panic!("{error}: {object:#?}"))
}

/// Every plan's objects; a pod is also compared with what was kept of it, since a server drops in silence what it does
/// not know.
#[tokio::test]
async fn every_manifest_is_one_that_the_api_server_takes() {
    let Some(client) = client().await else { return };
    let name = format!("judged-{}", std::process::id());
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
    let own = Namespace { metadata, ..Namespace::default() };
    namespaces.create(&PostParams::default(), &own).await.expect("a namespace");
    let context = DriverContext {
        name: "kubernetes".into(),
        gateway_id: "gate way".into(),
        state_dir: "/nowhere".into(),
        telemetry: false,
        endpoint: "https://gateway.example:17670".into(),
        supervisor: Some(SupervisorDelivery::Network {
            endpoint: "https://gateway.example:17671".into(),
            ca: "certificates".into(),
        }),
    };
    wait_for_account(&client, &name).await;
    let configs =
        CONFIGS.iter().map(|text| Config::read(&text.parse().expect("TOML")).expect("a configuration"));
    let mut cases: Vec<(Config, SandboxRequest)> = configs
        .flat_map(|config| requests().into_iter().map(move |request| (config.clone(), request)))
        .collect();
    cases.push(with_all());
    for (config, request) in cases {
        let plan = Plan::new(&request, &config, &context, &name).expect("a plan");
        let mut kept = judge(&client, &name, &plan.pod).await;
        compare(&plan.pod, &mut kept, config.user_namespaces);
        let mut shell = plan.pod.clone();
        give_shell(&mut shell);
        judge(&client, &name, &shell).await;
        if let Some(claim) = &plan.claim {
            judge(&client, &name, claim).await;
        }
        if let Some(secret) = &plan.secret {
            judge(&client, &name, secret).await;
        }
        if let Some(policy) = &plan.policy {
            judge(&client, &name, policy).await;
        }
        if let Some(own) = &plan.own_namespace {
            let how = PostParams { dry_run: true, ..PostParams::default() };
            namespaces.create(&how, own).await.expect("a namespace of its own");
        }
    }
    namespaces.delete(&name, &DeleteParams::default()).await.expect("the namespace goes");
}

/// A pod is not taken before the namespace's own account is there, where a cluster has such a rule.
async fn wait_for_account(client: &Client, namespace: &str) {
    let accounts: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        namespace,
        &kube::core::ApiResource::erase::<k8s_openapi::api::core::v1::ServiceAccount>(&()),
    );
    for _ in 0..200 {
        if !accounts.list(&ListParams::default()).await.expect("a list").items.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// All that was asked for is in what was kept; what the server added is its own.
fn compare(asked: &Pod, kept: &mut Pod, user_namespaces: bool) {
    let (mut asked, kept) = (json!(asked.spec), json!(kept.spec));
    if user_namespaces && kept.get("hostUsers").is_none() {
        println!("skipped: this cluster is from before user namespaces and drops them in silence");
        asked.as_object_mut().expect("a spec").remove("hostUsers");
    }
    assert!(holds(&kept, &asked), "asked for {asked:#}, and kept was {kept:#}");
}

/// Whether a value holds all of another one: lists may be longer, objects may have more keys.
fn holds(kept: &serde_json::Value, asked: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (kept, asked) {
        (Value::Object(kept), Value::Object(asked)) => asked
            .iter()
            .all(|(key, asked)| kept.get(key).map_or(is_nothing(asked), |kept| holds(kept, asked))),
        (Value::Array(kept), Value::Array(asked)) => {
            kept.len() >= asked.len() && kept.iter().zip(asked).all(|(kept, asked)| holds(kept, asked))
        }
        // A quantity is kept in its shortest form.
        (Value::String(kept), Value::String(asked)) => kept == asked || is_same_amount(kept, asked),
        _ => kept == asked,
    }
}

/// What a server leaves out: the zero of a type.
fn is_nothing(value: &serde_json::Value) -> bool {
    [json!({}), json!([]), json!(""), json!(false), json!(0)].contains(value)
}

fn is_same_amount(kept: &str, asked: &str) -> bool {
    let read = |text: &str| text.parse::<openshell_driver_api::quantity::Quantity>().ok();
    read(kept).is_some_and(|kept| Some(kept) == read(asked))
}
