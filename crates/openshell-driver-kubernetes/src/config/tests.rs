//! Tables that are right, and every fault of those that are not.

use super::*;

fn read(text: &str) -> Result<Config, Vec<ConfigError>> {
    Config::read(&text.parse::<Table>().expect("TOML"))
}

fn good(text: &str) -> Config {
    read(text).expect("a good table")
}

#[test]
fn an_empty_table_is_the_default() {
    assert_eq!(read(""), Ok(Config::default()));
}

#[test]
fn every_key() {
    let text = r#"
        kubeconfig = "/etc/k/config"
        context = "lab"
        namespace = "agents"
        workload = "agent-sandbox"
        storage_class = "fast"
        storage_size = "1.5Gi"
        access_mode = "ReadWriteMany"
        chown_workspace = true
        default_image = "registry.example/a/b:1"
        image_pull_policy = "Always"
        image_pull_secrets = ["registry"]
        node_selector = { pool = "sandboxes", "example.com/x" = "" }
        tolerations = [{ key = "sandboxes", operator = "Exists", effect = "NoSchedule" }]
        tolerable_taints = ["nvidia.com/gpu"]
        runtime_class = "gvisor"
        runtime_classes = ["kata"]
        priority_class = "low"
        priority_classes = ["lower"]
        service_account = "sandbox"
        cpu_request = "100m"
        cpu_limit = "2"
        memory_request = "64Mi"
        memory_limit = "1Gi"
        gpu_resources = ["nvidia.com/gpu"]
        annotations = ["example.com/", "example.org/one"]
        claims = ["data"]
        tmpfs_max = "128Mi"
        user = 2000
        group = 2001
        fs_group = 2002
        user_namespaces = true
        cap_add = ["CAP_NET_RAW"]
        read_only_root = true
        network_policy = "none"
        stop_timeout = 3
        supervisor_image = "registry.example/openshell-sandbox:1"
        supervisor_image_pull_policy = "IfNotPresent"
    "#;
    let text_of = |text: &str| text.to_owned();
    let expected = Config {
        connection: Connection::Kubeconfig {
            path: Some("/etc/k/config".into()),
            context: Some("lab".into()),
        },
        namespaces: Namespaces::Shared(Some("agents".into())),
        workload: Workload::AgentSandbox,
        storage: Storage::Claim {
            class: Some("fast".into()),
            size: "1.5Gi".into(),
            access_mode: "ReadWriteMany",
        },
        chown_workspace: Some(true),
        default_image: "registry.example/a/b:1".into(),
        image_pull_policy: Some("Always"),
        image_pull_secrets: vec!["registry".into()],
        node_selector: [("pool", "sandboxes"), ("example.com/x", "")]
            .map(|(key, value)| (text_of(key), text_of(value)))
            .into(),
        tolerations: vec![Toleration {
            key: Some("sandboxes".into()),
            value: None,
            effect: Some("NoSchedule".into()),
            seconds: None,
        }],
        tolerable_taints: vec!["nvidia.com/gpu".into()],
        runtime_class: Some("gvisor".into()),
        runtime_classes: vec!["kata".into()],
        priority_class: Some("low".into()),
        priority_classes: vec!["lower".into()],
        service_account: Some("sandbox".into()),
        resources: Resources {
            cpu_request: "100m".into(),
            cpu_limit: "2".into(),
            memory_request: "64Mi".into(),
            memory_limit: "1Gi".into(),
        },
        gpu_resources: vec!["nvidia.com/gpu".into()],
        annotations: vec!["example.com/".into(), "example.org/one".into()],
        claims: vec!["data".into()],
        tmpfs_max: 128 << 20,
        user: Some(2000),
        group: Some(2001),
        fs_group: Some(2002),
        user_namespaces: true,
        cap_add: vec!["NET_RAW".into()],
        read_only_root: true,
        network_policy: false,
        stop_timeout: 3,
        supervisor: Some(SupervisorImage {
            image: "registry.example/openshell-sandbox:1".into(),
            pull_policy: Some("IfNotPresent"),
        }),
    };
    assert_eq!(good(text), expected);
    // What excludes one of them.
    assert_eq!(good("in_cluster = true").connection, Connection::InCluster);
    let each = good("namespace_template = 'os-{workspace}'");
    assert!(matches!(&each.namespaces, Namespaces::PerWorkspace(template) if template.name("a") == "os-a"));
    assert_eq!(good("ephemeral = true").storage, Storage::Ephemeral { size: None });
    let sized = good("ephemeral = true\nstorage_size = '1Gi'");
    assert_eq!(sized.storage, Storage::Ephemeral { size: Some("1Gi".into()) });
    let mut covered: Vec<&str> =
        text.lines().filter_map(|line| line.split_once(" = ")).map(|(key, _)| key.trim()).collect();
    covered.extend(["in_cluster", "namespace_template", "ephemeral"]);
    let missing: Vec<&&str> = KEYS.iter().filter(|key| !covered.contains(key)).collect();
    assert!(missing.is_empty(), "no test of {missing:?}");
}

#[test]
fn every_fault_in_one_run() {
    let faults = read(
        r#"
        kubeconfig = "config"
        context = ""
        namespace = "Agents"
        workload = "deployment"
        storage_class = "a b"
        storage_size = "0"
        access_mode = "ReadOnlyMany"
        chown_workspace = 1
        default_image = "No Such"
        image_pull_policy = "missing"
        image_pull_secrets = ["-a", 1]
        node_selector = { "a b" = "c", pool = 1 }
        tolerations = [{ operator = "Exists", value = "x" }, { kee = "a" }, 3]
        tolerable_taints = ["a b"]
        runtime_class = ""
        service_account = "A"
        cpu_limit = "much"
        memory_request = 5
        gpu_resources = ["gpu", "kubernetes.io/x"]
        annotations = ["openshell.ai/", "example.com"]
        user = -1
        fs_group = 0
        user_namespaces = "yes"
        cap_add = ["ALL"]
        network_policy = "allow"
        stop_timeout = 0
        supervisor_image = "No Such"
        supervisor_image_pull_policy = "newer"
        nmespace = ""
        privileged = true
        "#,
    )
    .expect_err("faults");
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    let expected = "kubeconfig context namespace workload storage_class storage_size access_mode chown_workspace default_image \
                    image_pull_policy image_pull_secrets image_pull_secrets node_selector node_selector tolerations \
                    tolerations tolerations tolerable_taints runtime_class service_account cpu_limit memory_request \
                    gpu_resources gpu_resources annotations annotations user fs_group user_namespaces cap_add \
                    network_policy stop_timeout supervisor_image supervisor_image_pull_policy nmespace privileged";
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
    let said = |key: &str| faults.iter().find(|fault| fault.key == key).expect(key);
    assert_eq!(said("nmespace").hint.as_deref(), Some("did you mean `namespace`?"));
    assert_eq!(said("image_pull_policy").hint.as_deref(), Some("image_pull_policy = \"IfNotPresent\""));
    let fetched = said("supervisor_image_pull_policy").hint.as_deref();
    assert_eq!(fetched, Some("supervisor_image_pull_policy = \"Always\""));
    assert_eq!(said("tolerations").message, "`tolerations[0]`: the operator `Exists` takes no value");
    assert_eq!(said("storage_size").message, "`0` is nothing");
}

#[test]
fn keys_that_exclude_each_other() {
    for (text, keys) in [
        ("in_cluster = true\nkubeconfig = '/a'", &["in_cluster"][..]),
        ("in_cluster = true\ncontext = 'a'", &["in_cluster"]),
        ("namespace = 'a'\nnamespace_template = '{workspace}'", &["namespace_template"]),
        ("ephemeral = true\nstorage_class = 'a'", &["storage_class"]),
        ("ephemeral = true\naccess_mode = 'ReadWriteOnce'", &["access_mode"]),
        ("cpu_request = '2'\ncpu_limit = '1'", &["cpu_request"]),
        ("supervisor_image_pull_policy = 'Never'", &["supervisor_image_pull_policy"]),
    ] {
        let faults = read(text).expect_err(text);
        assert_eq!(faults.iter().map(|fault| fault.key.as_str()).collect::<Vec<_>>(), keys, "{text}");
    }
}

#[test]
fn templates_of_namespaces() {
    for good in ["{workspace}", "os-{workspace}", "{workspace}-os", "a-{workspace}-b"] {
        assert!(read(&format!("namespace_template = '{good}'")).is_ok(), "{good}");
    }
    let long = format!("{}{{workspace}}", "x".repeat(31));
    for bad in [
        "",
        "os",
        "{workspace}{workspace}",
        "Os-{workspace}",
        "-{workspace}",
        "os.{workspace}",
        "{gateway}",
        &long,
    ] {
        assert!(read(&format!("namespace_template = '{bad}'")).is_err(), "{bad}");
    }
}
