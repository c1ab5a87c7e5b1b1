//! From a request to the objects that it becomes on a cluster. Pure: nothing is asked of the cluster.
//!
//! ```text
//!   SandboxRequest ─▶ asked (what is its own) ─▶ Pod ─┬─ workload "pod": as it is, with a claim of its own
//!                                                     └─ workload "agent-sandbox": podTemplate, volumeClaimTemplates
//!                     token, variables ─▶ Secret      isolation ─▶ NetworkPolicy      workspace ─▶ Namespace
//!                     supervisor ─▶ a step before the main process, memory, the main process's first words
//! ```

pub(crate) mod namespace;
mod pod;
mod posture;
mod resources;
mod secret;
mod supervised;
mod volumes;

use std::fmt;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use openshell_driver_api::supervisor::CA;
use openshell_driver_api::{DriverContext, DriverError, SandboxRequest, environment};
use openshell_driver_common::container::files::TOKEN_PATH;
use openshell_driver_common::container::image as references;
use openshell_driver_common::faults::Faults;
use serde_json::{Value, json};

pub(crate) use self::pod::{MAIN, brings_no_command, give_shell};
use self::supervised::Supervised;
pub(crate) use self::volumes::WORKSPACE_VOLUME;
use self::volumes::{Given, Volumes};
use crate::asked::Asked;
use crate::config::{Config, Storage};
use crate::names::{Identity, Scope, is_label_value, is_qualified};

/// A request that has been found possible, as far as that can be said before it is tried.
#[derive(Clone, PartialEq)]
pub(crate) struct Plan {
    /// The name of every object below.
    pub(crate) name: String,
    /// Where they are made.
    pub(crate) namespace: String,
    /// Name, namespace, labels and annotations of an object of the sandbox.
    pub(crate) metadata: ObjectMeta,
    /// The image's reference, the default filled in.
    pub(crate) image: String,
    /// The namespace to make, where a workspace has one of its own.
    pub(crate) own_namespace: Option<Namespace>,
    /// The token and the variables that a request sets; `None` when there are none.
    pub(crate) secret: Option<Secret>,
    /// The workspace; `None` when it goes with the pod.
    pub(crate) claim: Option<PersistentVolumeClaim>,
    /// Who may connect to the sandbox: nobody.
    pub(crate) policy: Option<NetworkPolicy>,
    /// The sandbox's pod.
    pub(crate) pod: Pod,
}

/// The secret is left out: it holds what nobody may see.
impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, namespace, pod, .. } = self;
        f.debug_struct("Plan")
            .field("name", name)
            .field("namespace", namespace)
            .field("pod", pod)
            .finish_non_exhaustive()
    }
}

impl Plan {
    /// Checks a request and makes of it what will be asked of the cluster. `connected` is the namespace of the
    /// connection, for a configuration that names none.
    ///
    /// # Errors
    /// `InvalidArgument` with everything that is wrong with the request.
    pub(crate) fn new(
        request: &SandboxRequest,
        config: &Config,
        context: &DriverContext,
        connected: &str,
    ) -> Result<Self, DriverError> {
        let mut faults = Faults::default();
        let spec = &request.spec;
        let scope = Scope::new(&context.gateway_id);
        let namespace = namespace::name(config, connected, &request.workspace);
        if !request.namespace.is_empty() && request.namespace != namespace {
            let asked = request.namespace.escape_debug();
            faults.add(format!(
                "namespace: `{asked}` is asked for, and this sandbox belongs into `{namespace}`"
            ));
        }
        let image = if spec.template.image.is_empty() { &config.default_image } else { &spec.template.image };
        if image.is_empty() {
            faults.add(
                "no image is named: name one (`openshell sandbox create --image IMAGE`), or set `default_image` in \
                 `[openshell.drivers.kubernetes]`",
            );
        } else if let Err(problem) = references::check(image) {
            faults.add(format!("image: `{image}` {problem}"));
        }
        if spec.command.first().is_some_and(String::is_empty) {
            faults.add("command: the program's name is empty");
        }
        if spec.command.iter().any(|word| word.contains('\0')) {
            faults.add("command: a word holds a NUL");
        }
        if !spec.template.agent_socket_path.is_empty() {
            faults.add("agent_socket: the kubernetes driver puts no socket into a sandbox");
        }
        for (key, value) in &spec.template.labels {
            if !is_qualified(key) || !is_label_value(value) {
                let (key, value) = (key.escape_debug(), value.escape_debug());
                faults.add(format!("labels: `{key}`: `{value}` is not a label that a cluster takes"));
            }
        }
        let asked = Asked::read(request, config, &mut faults);
        let resources =
            faults.take(resources::read(&spec.template.resources, &asked, config)).unwrap_or_default();
        let supervised = Supervised::of(config, context, &asked);
        let token =
            supervised.as_ref().map_or(TOKEN_PATH.to_owned(), |supervised| supervised.file(TOKEN_PATH));
        let mut variables = faults.take(environment::of(request, context, &token)).unwrap_or_default();
        if let (Some(supervised), Some(ca)) = (&supervised, variables.get_mut(environment::CA_FILE)) {
            *ca = supervised.file(CA);
        }
        let storage = faults.about("driver_config.storage_size", volumes::storage(&asked, config));
        let ca = supervised.as_ref().map(|supervised| supervised.ca);
        let secret = faults.take(secret::data(&variables, &spec.token, ca)).unwrap_or_default();
        faults.into_result()?;

        let name = scope.object(&request.id);
        let mut metadata = scope.metadata(&Identity::of(request), &spec.template.labels);
        metadata.name = Some(name.clone());
        metadata.namespace = Some(namespace.clone());
        let storage = storage.unwrap_or_else(|| config.storage.clone());
        let claim = volumes::claim(&storage, &metadata);
        let home = supervised.as_ref().map(|supervised| supervised.home.as_str());
        let given = Given { token: !spec.token.is_empty(), supervised: home };
        let volumes = Volumes::new(&name, &storage, config, &asked, given);
        let (asked, variables) = (&asked, &variables);
        let pod = pod::Parts { request, config, asked, image, resources, variables, volumes, supervised };
        let pod = pod.into_pod(&name, &metadata);
        let policy = config.network_policy.then(|| NetworkPolicy {
            metadata: metadata.clone(),
            spec: Some(NetworkPolicySpec {
                pod_selector: Some(LabelSelector {
                    match_labels: Some(scope.labels_of(&request.id)),
                    match_expressions: None,
                }),
                // Ingress with no rule: nobody.
                policy_types: Some(vec!["Ingress".to_owned()]),
                ..NetworkPolicySpec::default()
            }),
        });
        Ok(Self {
            secret: secret::manifest(secret, &metadata),
            own_namespace: namespace::manifest(config, &scope, &request.workspace),
            image: image.clone(),
            name,
            namespace,
            metadata,
            claim,
            policy,
            pod,
        })
    }

    /// The pod and the claim as a `Sandbox` of `agents.x-k8s.io` has them in its `spec`, in every version alike. Its
    /// controller makes the claim, calls it `workspace-NAME`, and gives it to the pod as a volume of the template's name.
    pub(crate) fn agent_spec(&self) -> Value {
        let mut spec = self.pod.spec.clone().unwrap_or_default();
        let Some(claim) = &self.claim else {
            return json!({ "podTemplate": self.template(&spec) });
        };
        if let Some(volumes) = &mut spec.volumes {
            volumes.retain(|volume| volume.name != WORKSPACE_VOLUME);
        }
        let (labels, annotations) = (&claim.metadata.labels, &claim.metadata.annotations);
        json!({
            "podTemplate": self.template(&spec),
            "volumeClaimTemplates": [{
                "metadata": { "name": WORKSPACE_VOLUME, "labels": labels, "annotations": annotations },
                "spec": claim.spec,
            }],
        })
    }

    fn template(&self, spec: &k8s_openapi::api::core::v1::PodSpec) -> Value {
        let ObjectMeta { labels, annotations, .. } = &self.pod.metadata;
        json!({ "metadata": { "labels": labels, "annotations": annotations }, "spec": spec })
    }
}

/// Whether the workspace goes with the pod: then a stop loses it.
pub(crate) fn is_ephemeral(config: &Config) -> bool {
    matches!(config.storage, Storage::Ephemeral { .. })
}

#[cfg(test)]
mod judged;
#[cfg(test)]
mod tests;
