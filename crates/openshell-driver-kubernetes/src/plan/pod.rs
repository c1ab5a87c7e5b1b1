//! The pod of a sandbox: one container, the exact argv, and what was asked of its place.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, LocalObjectReference, Pod, PodSpec, ResourceRequirements, Toleration,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use openshell_driver_api::SandboxRequest;
use openshell_driver_common::container::files::WORKSPACE;
use openshell_driver_common::container::supervised::DIRECTORY;

use super::posture::{self, Owner};
use super::secret::{self, literal};
use super::supervised::{self, Supervised};
use super::volumes::{Volumes, WORKSPACE_VOLUME};
use crate::asked::Asked;
use crate::config::{self, Config};
use crate::names::is_dns_label;

/// The name of the one container.
pub(crate) const MAIN: &str = "sandbox";
/// The name of the container that gives the workspace to the user.
const GIVER: &str = "workspace";
/// What is run where neither the request nor the image says.
const SHELL: &str = "/bin/sh";

/// What a pod is made of.
pub(super) struct Parts<'a> {
    pub(super) request: &'a SandboxRequest,
    pub(super) config: &'a Config,
    pub(super) asked: &'a Asked,
    pub(super) image: &'a str,
    pub(super) resources: ResourceRequirements,
    pub(super) variables: &'a BTreeMap<String, String>,
    pub(super) volumes: Volumes,
    pub(super) supervised: Option<Supervised<'a>>,
}

impl Parts<'_> {
    /// The pod; `name` is that of the sandbox's secret, too.
    pub(super) fn into_pod(self, name: &str, metadata: &ObjectMeta) -> Pod {
        let owner = Owner::of(self.config, self.asked);
        let steps = self.steps(owner);
        let Self { request, config, asked, image, resources, variables, volumes, supervised } = self;
        let (spec, own_command) = (&request.spec, request.spec.command.is_empty());
        let (command, directory, security) = match &supervised {
            // The supervisor reads what to run, and goes where that shall run.
            Some(supervised) => {
                let command = supervised::command(supervised, config, owner);
                (Some(command), Some(DIRECTORY), posture::supervisor(config))
            }
            // An image's own command may be relative to its own directory.
            None if own_command => (None, None, posture::container(config)),
            // A command of ours replaces the image's entrypoint, and with it the image's arguments: the argv is exact.
            None => (Some(spec.command.clone()), Some(WORKSPACE), posture::container(config)),
        };
        let container = Container {
            name: MAIN.to_owned(),
            image: Some(image.to_owned()),
            image_pull_policy: config.image_pull_policy.map(str::to_owned),
            command: command.map(|words| words.iter().map(|word| literal(word)).collect()),
            working_dir: directory.map(str::to_owned),
            env: Some(secret::variables(name, variables)),
            resources: Some(resources),
            volume_mounts: Some(volumes.mounts),
            security_context: Some(security),
            // A shell that is run for want of a command would end at once with nothing to read from.
            stdin: (spec.tty || own_command).then_some(true),
            tty: spec.tty.then_some(true),
            ..Container::default()
        };
        let mut metadata = metadata.clone();
        metadata.annotations.get_or_insert_default().extend(
            // Ours say whose it is; the request's were judged and are none of them.
            asked.annotations.iter().map(|(key, value)| (key.clone(), value.clone())),
        );
        let mut node_selector = config.node_selector.clone();
        node_selector.extend(asked.node_selector.iter().map(|(key, value)| (key.clone(), value.clone())));
        let tolerations: Vec<Toleration> =
            config.tolerations.iter().chain(&asked.tolerations).map(toleration).collect();
        let secrets = config.image_pull_secrets.iter();
        let secrets: Vec<LocalObjectReference> =
            secrets.map(|name| LocalObjectReference { name: name.clone() }).collect();
        let spec = PodSpec {
            init_containers: (!steps.is_empty()).then_some(steps),
            containers: vec![container],
            volumes: Some(volumes.volumes),
            hostname: is_dns_label(&request.name).then(|| request.name.clone()),
            node_selector: (!node_selector.is_empty()).then_some(node_selector),
            tolerations: (!tolerations.is_empty()).then_some(tolerations),
            runtime_class_name: asked.runtime_class.clone().or_else(|| config.runtime_class.clone()),
            priority_class_name: asked.priority_class.clone().or_else(|| config.priority_class.clone()),
            image_pull_secrets: (!secrets.is_empty()).then_some(secrets),
            ..posture::pod(config, owner, supervised.is_some())
        };
        Pod { metadata, spec: Some(spec), status: None }
    }

    /// What runs before the main process, in its order.
    fn steps(&self, owner: Owner) -> Vec<Container> {
        let giver = self.gives_workspace(owner).then(|| self.giver(owner));
        let token = !self.request.spec.token.is_empty();
        let installer =
            self.supervised.as_ref().map(|supervised| supervised.installer(token, self.step_resources()));
        giver.into_iter().chain(installer).collect()
    }

    /// A quota may want them of every container; of a pod the larger count, so it costs nothing.
    fn step_resources(&self) -> ResourceRequirements {
        ResourceRequirements {
            requests: cpu_and_memory(self.resources.requests.as_ref()),
            limits: cpu_and_memory(self.resources.limits.as_ref()),
            claims: None,
        }
    }

    /// Whether the workspace has to be given to the user: a volume of a kind that is given to no group by the node.
    fn gives_workspace(&self, owner: Owner) -> bool {
        self.config.chown_workspace == Some(true) && owner.user != 0 && !super::is_ephemeral(self.config)
    }

    /// The container that gives the workspace to the user, its top alone: below, all is the user's by its own doing.
    fn giver(&self, owner: Owner) -> Container {
        let Owner { user, group, .. } = owner;
        let workspace = self.volumes.mounts.iter().filter(|mount| mount.name == WORKSPACE_VOLUME);
        Container {
            name: GIVER.to_owned(),
            image: Some(self.image.to_owned()),
            image_pull_policy: self.config.image_pull_policy.map(str::to_owned),
            command: Some(["chown", &format!("{user}:{group}"), WORKSPACE].map(str::to_owned).to_vec()),
            resources: Some(self.step_resources()),
            volume_mounts: Some(workspace.cloned().collect()),
            security_context: Some(posture::giver()),
            ..Container::default()
        }
    }
}

/// Without what is a device: the container has no use for one.
fn cpu_and_memory(all: Option<&BTreeMap<String, Quantity>>) -> Option<BTreeMap<String, Quantity>> {
    let all = all?.iter().filter(|(name, _)| ["cpu", "memory"].contains(&name.as_str()));
    Some(all.map(|(name, amount)| (name.clone(), amount.clone())).collect())
}

fn toleration(set: &config::Toleration) -> Toleration {
    Toleration {
        key: set.key.clone(),
        operator: Some(if set.value.is_some() { "Equal" } else { "Exists" }.to_owned()),
        value: set.value.clone(),
        effect: set.effect.clone(),
        toleration_seconds: set.seconds,
    }
}

/// Whether a pod runs whatever its image says.
pub(crate) fn brings_no_command(pod: &Pod) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.into_iter().any(|container| container.name == MAIN && container.command.is_none())
}

/// Makes the shell the command of a pod whose image turned out to have none.
pub(crate) fn give_shell(pod: &mut Pod) {
    for container in pod.spec.iter_mut().flat_map(|spec| &mut spec.containers) {
        if container.name == MAIN && container.command.is_none() {
            container.command = Some(vec![SHELL.to_owned()]);
            container.working_dir = Some(WORKSPACE.to_owned());
        }
    }
}
