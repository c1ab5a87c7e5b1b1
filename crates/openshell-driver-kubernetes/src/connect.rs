//! The way to the API server: by a kubeconfig, or as a pod by its service account.
//!
//! Files of a service account are read anew as they change, by the client: a token lives an hour, and a certificate
//! authority not for ever either. A proxy of the environment is not followed: clusters are reached directly.

use std::path::PathBuf;
use std::time::Duration;

use kube::Client;
use kube::config::{
    AuthInfo, Cluster as Server, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster,
    NamedContext,
};
use openshell_driver_api::{DriverError, ErrorKind, ProbeEnv};

use crate::config::{Config, Connection};
use crate::error;

/// The variable that every pod has: where the API server is.
pub(crate) const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";
/// The variable with the paths of kubeconfigs.
const KUBECONFIG: &str = "KUBECONFIG";
/// Where a pod finds its service account.
///
/// Source: "Accessing the Kubernetes API from a Pod" in the Kubernetes documentation.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How long a connection may take to come about. There is no bound on reading: a watch may have nothing to say.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the first question may take.
const HELLO: Duration = Duration::from_secs(10);
/// The name of everything in a kubeconfig that is made for a service account.
const IN_CLUSTER: &str = "in-cluster";

const OPERATION: &str = "connect to cluster";

/// A way to a cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: Client,
    /// The namespace of the connection: that of the context, or of the pod.
    pub(crate) namespace: String,
    /// The API server's address, for messages.
    pub(crate) server: String,
}

impl Cluster {
    /// Asks the API server for its version (`v1.33.1`): the least that any user may ask.
    ///
    /// # Errors
    /// `Unavailable` when it does not answer.
    pub(crate) async fn version(&self) -> Result<String, DriverError> {
        let asked = tokio::time::timeout(HELLO, self.client.apiserver_version()).await;
        let version = asked.unwrap_or_else(|_| Err(error::no_answer(HELLO)));
        version.map(|info| info.git_version).map_err(|problem| {
            let problem = error::cluster(OPERATION, problem);
            let message = format!("{} (`{}`)", problem.message(), self.server);
            let hint = problem
                .hint()
                .map_or_else(|| "see whether it answers: kubectl version".to_owned(), str::to_owned);
            DriverError::new(problem.kind(), OPERATION, message).with_hint(hint).with_source(problem)
        })
    }
}

/// The environment of this process.
pub(crate) fn environment() -> ProbeEnv {
    let vars = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    ProbeEnv { vars: vars.collect(), timeout: HELLO, ..ProbeEnv::default() }
}

/// Finds the cluster and makes a client for it. Files are read and a kubeconfig's credential program is run; the API
/// server is not asked yet.
///
/// # Errors
/// `FailedPrecondition` when no cluster is named, or when what names it cannot be read.
pub(crate) async fn connect(config: &Config, env: &ProbeEnv) -> Result<Cluster, DriverError> {
    let (connection, env) = (config.connection.clone(), env.clone());
    let runtime = tokio::runtime::Handle::current();
    // Reading files takes a disk's time, and a credential program its own.
    let made = tokio::task::spawn_blocking(move || {
        let _inside = runtime.enter();
        runtime.block_on(make(&connection, &env))
    });
    made.await.unwrap_or_else(|error| {
        Err(refused("the client was not made to its end".to_owned()).with_source(error))
    })
}

async fn make(connection: &Connection, env: &ProbeEnv) -> Result<Cluster, DriverError> {
    let found = match connection {
        Connection::InCluster => in_cluster(env)?,
        Connection::Kubeconfig { path, .. } => kubeconfig(path.as_ref(), env)?,
        Connection::Found if env.var(KUBECONFIG).is_none() && env.var(HOST).is_some() => in_cluster(env)?,
        Connection::Found => kubeconfig(None, env)?,
    };
    let context = match connection {
        Connection::Kubeconfig { context, .. } => context.clone(),
        Connection::InCluster | Connection::Found => None,
    };
    let Found { kubeconfig, origin, root_cert_file } = found;
    let proxies: Vec<Option<String>> = kubeconfig
        .clusters
        .iter()
        .map(|named| named.cluster.as_ref().and_then(|c| c.proxy_url.clone()))
        .collect();
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let unusable = |problem: String| refused(format!("{origin}: {problem}"));
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|problem| {
        unusable(error::kubeconfig(&problem)).with_hint("see what it names: kubectl config view")
    })?;
    if proxies.iter().flatten().any(|proxy| !proxy.is_empty() && config.proxy_url.is_some()) {
        return Err(unusable("`proxy-url` is not supported".to_owned()));
    }
    config.proxy_url = None;
    config.connect_timeout = Some(CONNECT);
    config.root_cert_file = root_cert_file;
    // A call that is carried out and not heard would be answered by a conflict with itself.
    config.default_retry = false;
    let (server, namespace) = (config.cluster_url.to_string(), config.default_namespace.clone());
    if config.accept_invalid_certs || config.cluster_url.scheme_str() == Some("http") {
        tracing::warn!(%server, "the API server's certificate is not checked: who is on the way is the cluster's master");
    }
    let client = Client::try_from(config).map_err(|problem| {
        unusable(match &problem {
            kube::Error::Auth(cause) => error::credential(cause),
            other => error::innermost(other),
        })
    })?;
    Ok(Cluster { client, namespace, server })
}

/// A kubeconfig, and where it came from.
struct Found {
    kubeconfig: Kubeconfig,
    origin: String,
    /// The file of the certificate authority that is read anew.
    root_cert_file: Option<PathBuf>,
}

/// The service account of this pod, as a kubeconfig.
fn in_cluster(env: &ProbeEnv) -> Result<Found, DriverError> {
    let hint = "run the gateway as a pod with a service account (`automountServiceAccountToken: true`), or name a \
                file: kubeconfig = \"/path/to/config\" in [openshell.drivers.kubernetes]";
    let host = env
        .var(HOST)
        .ok_or_else(|| refused(format!("`{HOST}` is not set: this is no pod")).with_hint(hint))?;
    let port = env.var(PORT).unwrap_or("443");
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let file = |name: &str| env.path(ACCOUNT).join(name);
    let path = |name: &str| file(name).display().to_string();
    let read = |name: &str| {
        std::fs::read_to_string(file(name)).map_err(|problem| {
            refused(format!("`{}` cannot be read", path(name))).with_source(problem).with_hint(hint)
        })
    };
    // Each is read once, so that what is missing is named.
    for name in ["token", "ca.crt"] {
        read(name)?;
    }
    let name = || IN_CLUSTER.to_owned();
    let server = Server {
        server: Some(format!("https://{host}:{port}")),
        certificate_authority: Some(path("ca.crt")),
        ..Server::default()
    };
    let context = Context {
        cluster: name(),
        user: Some(name()),
        namespace: Some(read("namespace")?.trim().to_owned()),
        ..Context::default()
    };
    let account = AuthInfo { token_file: Some(path("token")), ..AuthInfo::default() };
    let kubeconfig = Kubeconfig {
        clusters: vec![NamedCluster { name: name(), cluster: Some(server), ..NamedCluster::default() }],
        auth_infos: vec![NamedAuthInfo {
            name: name(),
            auth_info: Some(account),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext { name: name(), context: Some(context), ..NamedContext::default() }],
        current_context: Some(name()),
        ..Kubeconfig::default()
    };
    let origin = format!("the service account at `{}`", env.path(ACCOUNT).display());
    Ok(Found { kubeconfig, origin, root_cert_file: Some(file("ca.crt")) })
}

/// The kubeconfig at a path, else those of the variable in its order, else the user's own.
fn kubeconfig(path: Option<&PathBuf>, env: &ProbeEnv) -> Result<Found, DriverError> {
    let paths: Vec<PathBuf> = match (path, env.var(KUBECONFIG), env.var("HOME")) {
        (Some(path), ..) => vec![path.clone()],
        (None, Some(list), _) => {
            std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect()
        }
        (None, None, Some(home)) => vec![env.path(home).join(".kube/config")],
        (None, None, None) => Vec::new(),
    };
    let hint = "name one: kubeconfig = \"/path/to/config\" in [openshell.drivers.kubernetes]";
    let shown: Vec<String> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
    let origin = format!("the kubeconfig {}", shown.join(", "));
    // As `kubectl` does: of several, those that are there.
    let there: Vec<&PathBuf> = paths.iter().filter(|path| path.exists()).collect();
    if there.is_empty() {
        let message = match shown.is_empty() {
            true => format!("no cluster is named: neither `{KUBECONFIG}`, `{HOST}` nor `HOME` is set"),
            false => format!("no cluster is named: there is no file {}", shown.join(", ")),
        };
        return Err(refused(message).with_hint(hint));
    }
    let mut merged = Kubeconfig::default();
    for path in there {
        let read = Kubeconfig::read_from(path).and_then(|one| merged.merge(one));
        merged = read.map_err(|problem| {
            refused(format!("{origin}: {}", error::kubeconfig(&problem))).with_hint(hint)
        })?;
    }
    Ok(Found { kubeconfig: merged, origin, root_cert_file: None })
}

fn refused(message: String) -> DriverError {
    DriverError::new(ErrorKind::FailedPrecondition, OPERATION, message)
}

#[cfg(test)]
mod tests;
