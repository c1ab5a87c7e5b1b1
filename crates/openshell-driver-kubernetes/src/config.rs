//! The table `[openshell.drivers.kubernetes]`: every key, its default, and every fault of a table at once.

mod scheduling;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;

use openshell_driver_api::{ConfigError, Resources, Table};
use openshell_driver_common::config::{Reader, absolute};

pub(crate) use self::scheduling::{TOLERATION_KEYS, Toleration};
pub(crate) use self::values::Template;

/// The settings of a driver; see `docs/kubernetes.md` for what each means to an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// How the API server is reached.
    pub(crate) connection: Connection,
    /// Where sandboxes are made.
    pub(crate) namespaces: Namespaces,
    /// What a sandbox is on the cluster.
    pub(crate) workload: Workload,
    /// What the workspace is kept on.
    pub(crate) storage: Storage,
    /// Whether a first container gives the workspace to the user; `None` asks the cluster whether that is needed.
    pub(crate) chown_workspace: Option<bool>,
    /// The image of a sandbox that names none; may be empty.
    pub(crate) default_image: String,
    /// When a node fetches an image, in the cluster's word; `None` leaves it to the cluster.
    pub(crate) image_pull_policy: Option<&'static str>,
    /// Secrets with credentials for registries, in the sandbox's namespace.
    pub(crate) image_pull_secrets: Vec<String>,
    /// Labels that a node must have.
    pub(crate) node_selector: BTreeMap<String, String>,
    /// Taints that sandboxes tolerate.
    pub(crate) tolerations: Vec<Toleration>,
    /// Keys of taints that a request may tolerate besides.
    pub(crate) tolerable_taints: Vec<String>,
    /// The runtime class of a sandbox that names none.
    pub(crate) runtime_class: Option<String>,
    /// Runtime classes that a request may name.
    pub(crate) runtime_classes: Vec<String>,
    /// The priority class of a sandbox that names none.
    pub(crate) priority_class: Option<String>,
    /// Priority classes that a request may name.
    pub(crate) priority_classes: Vec<String>,
    /// The account of the pods, whose token they are not given.
    pub(crate) service_account: Option<String>,
    /// What a request leaves open.
    pub(crate) resources: Resources,
    /// Resources of the cluster that are GPUs, the first for requests that name none.
    pub(crate) gpu_resources: Vec<String>,
    /// Prefixes of annotations that a request may set.
    pub(crate) annotations: Vec<String>,
    /// Claims that a request may have mounted.
    pub(crate) claims: Vec<String>,
    /// How many bytes all file systems in memory of one sandbox may hold together.
    pub(crate) tmpfs_max: i64,
    /// Who the main process is; `None` is [`USER`], and a request may name another that is not root.
    pub(crate) user: Option<i64>,
    /// Its group; `None` is that of the user's number.
    pub(crate) group: Option<i64>,
    /// The group that volumes are given to; `None` is that of the process.
    pub(crate) fs_group: Option<i64>,
    /// Whether every pod has a user namespace of its own.
    pub(crate) user_namespaces: bool,
    /// Capabilities given back after all were dropped, without `CAP_`.
    pub(crate) cap_add: Vec<String>,
    /// Whether the image's own files cannot be changed.
    pub(crate) read_only_root: bool,
    /// Whether other pods are kept from connecting to a sandbox.
    pub(crate) network_policy: bool,
    /// How many seconds a main process has between `SIGTERM` and `SIGKILL`.
    pub(crate) stop_timeout: i64,
    /// Where sandboxes get their supervisor from; `None`: they have none.
    pub(crate) supervisor: Option<SupervisorImage>,
}

/// An image that holds the supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SupervisorImage {
    /// Its reference.
    pub(crate) image: String,
    /// When a node fetches it, in the cluster's word; `None` leaves it to the cluster.
    pub(crate) pull_policy: Option<&'static str>,
}

/// How the API server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Connection {
    /// `KUBECONFIG`, else as a pod does, else the user's own file.
    #[default]
    Found,
    /// As a pod does: by its service account.
    InCluster,
    /// By a file, or by a context of the one that is found.
    Kubeconfig {
        /// The file; `None` is the one of the environment or the user's own.
        path: Option<PathBuf>,
        /// The context in it; `None` is its current one.
        context: Option<String>,
    },
}

/// Where sandboxes are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Namespaces {
    /// All in one; `None` is the connection's own.
    Shared(Option<String>),
    /// Each workspace has one, which the driver makes.
    PerWorkspace(Template),
}

/// What a sandbox is on the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// A pod.
    Pod,
    /// A `Sandbox` of `agents.x-k8s.io`, whose controller makes the pod.
    AgentSandbox,
}

/// What the workspace is kept on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Storage {
    /// A volume that outlives the pod.
    Claim {
        /// The storage class; `None` is the cluster's default.
        class: Option<String>,
        /// A quantity.
        size: String,
        /// The cluster's word.
        access_mode: &'static str,
    },
    /// A directory that goes with the pod.
    Ephemeral {
        /// A quantity; `None` is as much as the node gives.
        size: Option<String>,
    },
}

/// How large a workspace is when nobody says.
const SIZE: &str = "10Gi";

impl Default for Config {
    fn default() -> Self {
        Self {
            connection: Connection::Found,
            namespaces: Namespaces::Shared(None),
            workload: Workload::Pod,
            storage: Storage::Claim { class: None, size: SIZE.to_owned(), access_mode: "ReadWriteOnce" },
            chown_workspace: None,
            default_image: String::new(),
            image_pull_policy: None,
            image_pull_secrets: Vec::new(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            tolerable_taints: Vec::new(),
            runtime_class: None,
            runtime_classes: Vec::new(),
            priority_class: None,
            priority_classes: Vec::new(),
            service_account: None,
            resources: Resources::default(),
            gpu_resources: Vec::new(),
            annotations: Vec::new(),
            claims: Vec::new(),
            tmpfs_max: 1 << 30,
            user: None,
            group: None,
            fs_group: None,
            user_namespaces: false,
            cap_add: Vec::new(),
            read_only_root: false,
            network_policy: true,
            stop_timeout: 10,
            supervisor: None,
        }
    }
}

const KEYS: &[&str] = &[
    "kubeconfig",
    "context",
    "in_cluster",
    "namespace",
    "namespace_template",
    "workload",
    "ephemeral",
    "storage_class",
    "storage_size",
    "access_mode",
    "chown_workspace",
    "default_image",
    "image_pull_policy",
    "image_pull_secrets",
    "node_selector",
    "tolerations",
    "tolerable_taints",
    "runtime_class",
    "runtime_classes",
    "priority_class",
    "priority_classes",
    "service_account",
    "cpu_request",
    "cpu_limit",
    "memory_request",
    "memory_limit",
    "gpu_resources",
    "annotations",
    "claims",
    "tmpfs_max",
    "user",
    "group",
    "fs_group",
    "user_namespaces",
    "cap_add",
    "read_only_root",
    "network_policy",
    "stop_timeout",
    "supervisor_image",
    "supervisor_image_pull_policy",
];

/// Who the main process is when nobody says.
pub(crate) const USER: i64 = 1000;
/// The largest id of a user or a group that every part of a cluster takes.
const MAX_ID: i64 = 2_147_483_647;

impl Config {
    /// Reads a table.
    ///
    /// # Errors
    /// Every fault of it, in the order of the keys above, unknown keys last.
    pub(crate) fn read(table: &Table) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader::new(table);
        let r = &mut reader;
        let default = Self::default();
        // Literals evaluate their fields as they are written: in the order of the keys.
        let config = Self {
            connection: connection(r),
            namespaces: namespaces(r),
            workload: r.text("workload", values::workload).unwrap_or(default.workload),
            storage: storage(r),
            chown_workspace: if r.has("chown_workspace") { Some(r.switch("chown_workspace")) } else { None },
            default_image: r.text("default_image", values::image).unwrap_or(default.default_image),
            image_pull_policy: r
                .text("image_pull_policy", |text| values::pull_policy("image_pull_policy", text)),
            image_pull_secrets: r
                .texts("image_pull_secrets", |text| values::object("image_pull_secrets", text)),
            node_selector: scheduling::node_selector(r, table),
            tolerations: scheduling::tolerations(r, table),
            tolerable_taints: r.texts("tolerable_taints", values::taint),
            runtime_class: r.text("runtime_class", |text| values::object("runtime_class", text)),
            runtime_classes: r.texts("runtime_classes", |text| values::object("runtime_classes", text)),
            priority_class: r.text("priority_class", |text| values::object("priority_class", text)),
            priority_classes: r.texts("priority_classes", |text| values::object("priority_classes", text)),
            service_account: r.text("service_account", |text| values::object("service_account", text)),
            resources: resources(r),
            gpu_resources: r.texts("gpu_resources", values::resource),
            annotations: r.texts("annotations", values::annotations),
            claims: r.texts("claims", |text| values::object("claims", text)),
            tmpfs_max: r.bytes("tmpfs_max").unwrap_or(default.tmpfs_max),
            user: r.integer("user", 0, MAX_ID),
            group: r.integer("group", 0, MAX_ID),
            fs_group: r.integer("fs_group", 1, MAX_ID),
            user_namespaces: r.switch("user_namespaces"),
            cap_add: r.texts("cap_add", values::capability),
            read_only_root: r.switch("read_only_root"),
            network_policy: r
                .text("network_policy", values::network_policy)
                .unwrap_or(default.network_policy),
            stop_timeout: r.integer("stop_timeout", 1, 3600).unwrap_or(default.stop_timeout),
            supervisor: supervisor(r),
        };
        let faults = reader.faults(KEYS);
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }
}

fn connection(reader: &mut Reader<'_>) -> Connection {
    let path = reader.text("kubeconfig", |text| absolute("kubeconfig", text));
    let context = reader.text("context", values::context);
    let in_cluster = reader.switch("in_cluster");
    for key in ["kubeconfig", "context"] {
        if in_cluster && reader.has(key) {
            reader.fault(
                "in_cluster",
                format!("`in_cluster` and `{key}` name two clusters"),
                Some("leave one of the two out".to_owned()),
            );
        }
    }
    match (path, context) {
        _ if in_cluster => Connection::InCluster,
        (None, None) => Connection::Found,
        (path, context) => Connection::Kubeconfig { path, context },
    }
}

fn namespaces(reader: &mut Reader<'_>) -> Namespaces {
    let shared = reader.text("namespace", values::namespace);
    let template = reader.text("namespace_template", Template::read);
    if reader.has("namespace") && reader.has("namespace_template") {
        reader.fault(
            "namespace_template",
            "`namespace` and `namespace_template` are given, and sandboxes can be in one place only"
                .to_owned(),
            Some("leave one of the two out".to_owned()),
        );
    }
    match template {
        Some(template) => Namespaces::PerWorkspace(template),
        None => Namespaces::Shared(shared),
    }
}

fn storage(reader: &mut Reader<'_>) -> Storage {
    let ephemeral = reader.switch("ephemeral");
    let class = reader.text("storage_class", |text| values::object("storage_class", text));
    let size = reader.text("storage_size", |text| values::size("storage_size", text));
    let access_mode = reader.text("access_mode", values::access_mode);
    if !ephemeral {
        let access_mode = access_mode.unwrap_or("ReadWriteOnce");
        return Storage::Claim { class, size: size.unwrap_or_else(|| SIZE.to_owned()), access_mode };
    }
    for key in ["storage_class", "access_mode"] {
        if reader.has(key) {
            reader.fault(
                key,
                format!("`{key}` is about a volume, and with `ephemeral = true` there is none"),
                Some("leave one of the two out".to_owned()),
            );
        }
    }
    Storage::Ephemeral { size }
}

fn supervisor(reader: &mut Reader<'_>) -> Option<SupervisorImage> {
    let (image, policy) = ("supervisor_image", "supervisor_image_pull_policy");
    let pull_policy = |text: &str| values::pull_policy(policy, text);
    let found = reader.text(image, values::image);
    let pull_policy = reader.text(policy, pull_policy);
    if reader.has(policy) && !reader.has(image) {
        let hint = format!("{image} = \"registry.example/openshell-sandbox:1\"");
        reader.fault(policy, format!("`{policy}` is about an image, and there is no `{image}`"), Some(hint));
    }
    found.map(|image| SupervisorImage { image, pull_policy })
}

fn resources(reader: &mut Reader<'_>) -> Resources {
    let mut read = |key: &str| reader.text(key, |text| values::quantity(key, text)).unwrap_or_default();
    let resources = Resources {
        cpu_request: read("cpu_request"),
        cpu_limit: read("cpu_limit"),
        memory_request: read("memory_request"),
        memory_limit: read("memory_limit"),
    };
    if let Err(error) = openshell_driver_api::quantity::ParsedResources::read(&resources) {
        reader.fault("cpu_request", error.message().to_owned(), None);
    }
    resources
}

#[cfg(test)]
mod tests;
