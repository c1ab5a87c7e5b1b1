//! From a request to the body that makes its container. Pure, but for a look at the host's files where a request asks
//! for some.

mod gpu;
mod mounts;
mod posture;

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, Mount, MountType, MountVolumeOptions};
use openshell_driver_api::{DriverContext, DriverError, SandboxRequest, environment, labels};
use openshell_driver_common::container::asked::Asked;
use openshell_driver_common::container::binds::Protected;
use openshell_driver_common::container::files::{TOKEN_DIRECTORY, TOKEN_PATH, WORKSPACE};
use openshell_driver_common::container::judge;
use openshell_driver_common::container::limits::{Floor, Limits};
use openshell_driver_common::container::mounts::{Judge, Mounts, NamedVolume, read as read_mounts};
use openshell_driver_common::container::names::Scope;
use openshell_driver_common::container::posture::is_host_name;
use openshell_driver_common::container::supervised::{self, Supervised};
use openshell_driver_common::container::values::Network;
use openshell_driver_common::faults::Faults;

use crate::config::Config;
use crate::facts::Facts;
use crate::files::Making;
use crate::image::Image;

/// The engine refuses less.
const FLOOR: Floor = Floor { driver: "docker", cpu: "10m", memory: "6Mi" };
/// Why sandboxes have no user namespace, and why they do not leave theirs.
const USER_NAMESPACES: [&str; 2] = [
    "the engine gives containers none; it takes one with `userns-remap`, or without root",
    "the engine gives one to every container, and leaving it is not offered",
];

/// A request that has been found possible, as far as that can be said before it is tried.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// The image's reference, the default filled in.
    pub(crate) image: String,
    /// What the sandbox is connected to.
    pub(crate) network: Network,
    /// Who the main process is; `None` leaves it to the image.
    pub(crate) user: Option<String>,
    /// The volumes that have to be there before the container, and stay after it.
    pub(crate) volumes: Vec<NamedVolume>,
    /// How its supervisor is started, where it has one.
    supervised: Option<Supervised>,
    body: ContainerCreateBody,
}

impl Plan {
    /// Whether what a request asks for depends on what the engine can do.
    pub(crate) fn depends_on_facts(request: &SandboxRequest) -> bool {
        let template = &request.spec.template;
        request.spec.gpu.is_some()
            || !template.driver_config.is_empty()
            || !template.platform_config.is_empty()
    }

    /// Checks a request and makes of it what will be asked of the engine. `facts` may be anything where the request
    /// does not [depend on them](Self::depends_on_facts).
    ///
    /// # Errors
    /// `InvalidArgument` with everything that is wrong with the request.
    pub(crate) fn new(
        request: &SandboxRequest,
        config: &Config,
        context: &DriverContext,
        facts: &Facts,
    ) -> Result<Self, DriverError> {
        let mut faults = Faults::default();
        let spec = &request.spec;
        let scope = Scope { gateway_id: context.gateway_id.clone() };
        let allowed = config.allowed();
        let image = allowed.words(request, &scope, &mut faults);
        let mut asked = Asked::read(&spec.template.driver_config, &mut faults);
        if config.read_only_root {
            asked.want_tmp();
        }
        let mut runtime = None;
        let its = |name: &str| oci_runtime(name, facts).map(|()| runtime = Some(name.to_owned()));
        allowed.platform(request, facts.user_namespaces, USER_NAMESPACES, its, &mut faults);
        let devices =
            faults.about("gpu", gpu::request(spec.gpu, &asked.gpu_device_ids, &config.gpu_cdi_kind, facts));
        let network = faults.about("driver_config.network", allowed.network(&asked)).unwrap_or(Network::None);
        let user = faults.about("driver_config.user", allowed.user(&asked)).flatten();
        let pids_limit = faults.about("driver_config.pids_limit", allowed.pids_limit(&asked));
        let storage = faults.about("driver_config.storage_size", storage(&asked, facts)).flatten();
        let protected = facts.socket.as_deref().map(|socket| protected(config, context, facts, socket));
        let judge = Judge {
            rules: &config.mounts,
            protected: protected.as_ref(),
            scope: &scope,
            workspace: &request.workspace,
            driver: "docker",
        };
        let Mounts { mounts, volumes } = read_mounts(&asked.mounts, asked.shm_size, judge, &mut faults);
        let limits = faults.take(Limits::read(&spec.template.resources, &FLOOR)).unwrap_or_default();
        let variables = faults.take(environment::of(request, context, TOKEN_PATH)).unwrap_or_default();
        faults.into_result()?;
        let supervised = Supervised::of(context, &request.id, &config.cap_add)?;

        let mut host = HostConfig {
            nano_cpus: limits.nano_cpus,
            memory: limits.memory,
            // As much as memory: none on top of it. Left out, the engine would allow as much swap again.
            memory_swap: limits.memory,
            memory_reservation: limits.memory_reservation,
            mounts: Some(
                own_mounts(request, config, &scope)
                    .into_iter()
                    .chain(mounts.into_iter().map(mounts::mount))
                    .collect(),
            ),
            shm_size: asked.shm_size,
            storage_opt: storage.map(|size| HashMap::from([("size".to_owned(), size.to_string())])),
            device_requests: devices.flatten().map(|request| vec![request]),
            runtime,
            ..posture::host_config(config, &network, &scope)
        };
        host.pids_limit = pids_limit.or(host.pids_limit);
        if let Some(supervised) = &supervised {
            posture::supervise(&mut host, supervised);
        }
        let own_command = spec.command.is_empty();
        let body = ContainerCreateBody {
            hostname: is_host_name(&request.name).then(|| request.name.clone()),
            user: user.clone(),
            env: Some(variables.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            // An entrypoint of our own replaces the image's, and with it the image's command: the argv is exact.
            entrypoint: (!own_command).then(|| spec.command.clone()),
            // An image's own command may be relative to its own directory.
            working_dir: (!own_command).then(|| WORKSPACE.to_owned()),
            tty: Some(spec.tty),
            // A shell that is run for want of a command would end at once with nothing to read from.
            open_stdin: Some(spec.tty || own_command),
            labels: Some(labels::of(request, &context.gateway_id).into_iter().collect()),
            // An image's health check is about the image's own command.
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".to_owned()]),
                ..HealthConfig::default()
            }),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        Ok(Self { image, network, user, volumes, supervised, body })
    }

    /// The body for the engine, once the image is known by its id.
    pub(crate) fn body(&self, image: &Image, making: Making) -> ContainerCreateBody {
        let mut body = self.body.clone();
        let mounts = body.host_config.as_mut().and_then(|host| host.mounts.as_mut()).into_iter().flatten();
        let workspace = mounts.filter(|mount| mount.target.as_deref() == Some(WORKSPACE));
        for options in workspace.filter_map(|mount| mount.volume_options.as_mut()) {
            options.no_copy = (making == Making::Bare).then_some(true);
        }
        body.image = Some(image.id.clone());
        if let Some(supervised) = &self.supervised {
            let user = self.user.as_deref().unwrap_or(&image.user);
            let own_command = body.entrypoint.is_some();
            let mounts = body.host_config.get_or_insert_default().mounts.get_or_insert_default();
            let targets = mounts.iter().filter_map(|mount| mount.target.as_deref());
            let placed = supervised.beside(targets.chain(image.volumes.iter().map(String::as_str)));
            let binds = placed.binds();
            mounts.extend(binds.map(|(source, target)| mounts::read_only(source, target)));
            if let Some(endpoint) = placed.endpoint() {
                let variables = body.env.get_or_insert_default();
                let named = |variable: &str| variable.split('=').next() == Some(environment::ENDPOINT);
                variables.retain(|variable| !named(variable));
                variables.push(format!("{}={endpoint}", environment::ENDPOINT));
            }
            body.entrypoint = Some(placed.command_line(user, own_command, &image.command));
            body.user = Some(supervised::USER.to_owned());
            body.working_dir = Some(supervised::DIRECTORY.to_owned());
        } else if body.entrypoint.is_none() && image.command.words.is_empty() {
            body.cmd = Some(vec!["/bin/sh".to_owned()]);
            body.working_dir = Some(WORKSPACE.to_owned());
        }
        body
    }

    /// Whether its first process is a supervisor.
    pub(crate) fn is_supervised(&self) -> bool {
        self.supervised.is_some()
    }

    /// The body of a container that is never started: it has the sandbox's volumes and a root that can be written, which
    /// engines ask for before they put files anywhere. `None` where the sandbox's own container will do.
    pub(crate) fn files_body(&self, image: &Image, making: Making) -> Option<ContainerCreateBody> {
        let mut body = self.body(image, making);
        let host = body.host_config.as_mut().filter(|host| host.readonly_rootfs == Some(true))?;
        host.readonly_rootfs = Some(false);
        host.network_mode = Some("none".to_owned());
        host.device_requests = None;
        Some(body)
    }
}

/// What every sandbox has mounted: its workspace, and its token where the root cannot be written.
fn own_mounts(request: &SandboxRequest, config: &Config, scope: &Scope) -> Vec<Mount> {
    let volume = |name: String, target: &str| Mount {
        typ: Some(MountType::VOLUME),
        source: Some(name),
        target: Some(target.to_owned()),
        volume_options: Some(MountVolumeOptions {
            labels: Some(labels::of(request, &scope.gateway_id).into_iter().collect()),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    };
    let mut mounts = vec![volume(scope.volume(&request.id), WORKSPACE)];
    if config.read_only_root && !request.spec.token.is_empty() {
        mounts.push(volume(scope.token_volume(&request.id), TOKEN_DIRECTORY));
    }
    mounts
}

fn oci_runtime(name: &str, facts: &Facts) -> Result<(), String> {
    if !facts.runtimes.iter().any(|known| known == name) {
        let known: Vec<String> = facts.runtimes.iter().map(|known| format!("`{known}`")).collect();
        return Err(format!("the engine has no runtime `{name}`, only {}", known.join(", ")));
    }
    Ok(())
}

fn storage(asked: &Asked, facts: &Facts) -> Result<Option<i64>, String> {
    let Some(size) = asked.storage_size else { return Ok(None) };
    let storage = &facts.storage;
    if storage.has_quota() {
        return Ok(Some(size));
    }
    let on = if storage.backing.is_empty() { String::new() } else { format!(" on {}", storage.backing) };
    Err(format!(
        "the engine's storage, {}{on}, cannot hold a container to a size; it takes overlay2 on xfs with `pquota`, btrfs or zfs",
        storage.driver
    ))
}

/// What no mount may touch, beside what no engine's may.
fn protected(config: &Config, context: &DriverContext, facts: &Facts, socket: &Path) -> Protected {
    let more = [
        judge::from_environment("DOCKER_CERT_PATH"),
        config.docker_config_path.clone(),
        Some(socket.to_owned()),
        Some(facts.data_root.clone()),
        Some("/var/lib/docker".into()),
        Some("/var/lib/containerd".into()),
    ];
    judge::protected(context, more)
}

#[cfg(test)]
mod tests;
