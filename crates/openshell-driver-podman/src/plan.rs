//! From a request to the specification of its container. Pure, but for a look at the host's files where a request asks for
//! some.

mod judge;
mod posture;
#[cfg(test)]
mod tests;

use openshell_driver_api::{DriverContext, DriverError, SandboxRequest, environment, labels};
use openshell_driver_common::container::asked::Asked;
use openshell_driver_common::container::files::{Owner, TOKEN_PATH, WORKSPACE};
use openshell_driver_common::container::limits::{Floor, Limits};
use openshell_driver_common::container::mounts::{
    Judge, Mounted, Mounts, NamedVolume, What, read as read_mounts,
};
use openshell_driver_common::container::names::Scope;
use openshell_driver_common::container::posture::is_host_name;
use openshell_driver_common::container::supervised::{self, Supervised};
use openshell_driver_common::container::values::Network;
use openshell_driver_common::faults::Faults;

use crate::config::{Config, Userns};
use crate::engine::{
    self, Cpu, Device, Health, Memory, Mount, Pids, Resources, SecretMount, Spec, VolumeSpec,
};
use crate::facts::Facts;
use crate::image::Image;

/// The kernel, or the runtime, refuses less.
const FLOOR: Floor = Floor { driver: "podman", cpu: "10m", memory: "6Mi" };
/// The microseconds of which a quota of CPU is a part: what engines use.
const PERIOD: u64 = 100_000;
/// Only the main process's user reads the token, or only its supervisor, and nobody writes it.
const TOKEN_MODE: u32 = 0o400;

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
    /// Whether there is a token to put into it.
    pub(crate) has_token: bool,
    /// Whether users inside are others on the host, one by one.
    mapped: bool,
    /// How its supervisor is started, where it has one.
    supervised: Option<Supervised>,
    spec: Spec,
}

impl Plan {
    /// Whether what a request asks for depends on what the service can do.
    pub(crate) fn depends_on_facts(request: &SandboxRequest) -> bool {
        let template = &request.spec.template;
        request.spec.gpu.is_some()
            || !template.driver_config.is_empty()
            || !template.platform_config.is_empty()
            || template.resources != openshell_driver_api::Resources::default()
    }

    /// Checks a request and makes of it what will be asked of the service. `facts` may be anything where the request
    /// does not [depend on them](Self::depends_on_facts).
    ///
    /// # Errors
    /// `InvalidArgument` with everything that is wrong with the request.
    pub(crate) fn new(
        request: &SandboxRequest,
        config: &Config,
        context: &DriverContext,
        facts: &Facts,
        rootless: bool,
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
        let (user_namespaces, runtime) =
            (judge::has_user_namespaces(config, rootless), |name: &str| judge::oci_runtime(name, facts));
        allowed.platform(request, user_namespaces, judge::USER_NAMESPACES, runtime, &mut faults);
        faults.about("userns", judge::userns(config, rootless));
        let devices = faults.about("gpu", judge::devices(spec.gpu, &asked, config, facts)).flatten();
        let network = faults.about("driver_config.network", allowed.network(&asked)).unwrap_or(Network::None);
        let user = faults.about("driver_config.user", allowed.user(&asked)).flatten();
        let pids = faults.about("driver_config.pids_limit", allowed.pids_limit(&asked));
        let storage = faults.about("driver_config.storage_size", judge::storage(&asked, facts)).flatten();
        let protected = judge::protected(config, context, facts);
        let rules = Judge {
            rules: &config.mounts,
            protected: Some(&protected),
            scope: &scope,
            workspace: &request.workspace,
            driver: "podman",
        };
        let Mounts { mounts, volumes } = read_mounts(&asked.mounts, asked.shm_size, rules, &mut faults);
        let limits = faults.take(Limits::read(&spec.template.resources, &FLOOR)).unwrap_or_default();
        judge::controllers(&limits, facts, &mut faults);
        let variables = faults.take(environment::of(request, context, TOKEN_PATH)).unwrap_or_default();
        faults.into_result()?;
        let supervised = Supervised::of(context, &request.id, &config.cap_add)?;

        let mapped = matches!(config.userns, Userns::Auto { .. } | Userns::KeepId | Userns::NoMap);
        let own_command = spec.command.is_empty();
        let mut made = Spec {
            name: scope.container(&request.id),
            // An entrypoint of our own replaces the image's, and with it the image's command: the argv is exact.
            entrypoint: (!own_command).then(|| spec.command.clone()),
            command: (!own_command).then(Vec::new),
            env: variables,
            labels: labels::of(request, &context.gateway_id).into_iter().collect(),
            hostname: is_host_name(&request.name).then(|| request.name.clone()),
            user: user.clone(),
            // An image's own command may be relative to its own directory.
            work_dir: (!own_command).then(|| WORKSPACE.to_owned()),
            terminal: spec.tty,
            // A shell that is run for want of a command would end at once with nothing to read from.
            stdin: spec.tty || own_command,
            stop_timeout: Some(config.stop_timeout),
            // An image's health check is about the image's own command.
            health: Some(Health { test: vec!["NONE".to_owned()] }),
            volumes: vec![volume(scope.volume(&request.id), WORKSPACE, mapped, false)],
            shm_size: asked.shm_size,
            storage_opts: storage.map(|size| ("size".to_owned(), size.to_string())).into_iter().collect(),
            devices: devices.into_iter().flatten().map(|path| Device { path }).collect(),
            resource_limits: Some(resources(&limits, pids.unwrap_or(config.pids_limit))),
            ..posture::spec(config, &network, rootless, &scope.own_network(&request.id))
        };
        for mounted in mounts {
            add(&mut made, mounted, mapped);
        }
        if let Some(supervised) = &supervised {
            posture::supervise(&mut made, supervised);
        }
        let has_token = !request.spec.token.is_empty();
        Ok(Self { image, network, user, volumes, has_token, mapped, supervised, spec: made })
    }

    /// The specification for the service, once the image is known by its id and the main process's user by its numbers.
    pub(crate) fn spec(&self, image: &Image, owner: Owner, secret: &str) -> Spec {
        let mut spec = self.spec.clone();
        spec.image = image.id.clone();
        let (mut reader, mut token) = (owner, TOKEN_PATH.to_owned());
        if let Some(supervised) = &self.supervised {
            let user = self.user.as_deref().unwrap_or(&image.user);
            let own_command = spec.entrypoint.is_some();
            let placed = {
                let mounts = spec.mounts.iter().map(|mount| mount.destination.as_str());
                let volumes = spec.volumes.iter().map(|volume| volume.destination.as_str());
                supervised.beside(mounts.chain(volumes).chain(image.volumes.iter().map(String::as_str)))
            };
            for (source, target) in placed.binds() {
                let what = What::Bind { source: source.to_owned(), read_only: true };
                add(&mut spec, Mounted { target, what }, self.mapped);
            }
            if let Some(endpoint) = placed.endpoint() {
                token = placed.token();
                spec.env.insert(environment::ENDPOINT.to_owned(), endpoint);
                if self.has_token {
                    spec.env.insert(environment::SANDBOX_TOKEN_FILE.to_owned(), token.clone());
                }
            }
            spec.entrypoint = Some(placed.command_line(user, own_command, &image.command));
            spec.command = Some(Vec::new());
            spec.user = Some(supervised::USER.to_owned());
            spec.work_dir = Some(supervised::DIRECTORY.to_owned());
            reader = Owner::default();
        } else if spec.entrypoint.is_none() && image.command.words.is_empty() {
            spec.command = Some(vec!["/bin/sh".to_owned()]);
            spec.work_dir = Some(WORKSPACE.to_owned());
        }
        if self.has_token {
            spec.secrets = vec![SecretMount {
                source: secret.to_owned(),
                target: token,
                uid: reader.uid,
                gid: reader.gid,
                mode: TOKEN_MODE,
            }];
        }
        spec
    }

    /// A volume that belongs to the main process's user. Without capabilities not even root writes into a directory of
    /// somebody else's, and an image's `/sandbox` may be anybody's.
    pub(crate) fn volume(&self, name: String, labels: engine::Words, owner: Owner) -> VolumeSpec {
        // Where users are mapped, their numbers on the host are known to the service alone, and the mount says so.
        let owned = format!("uid={},gid={}", owner.uid, owner.gid);
        let options = (!self.mapped).then(|| ("o".to_owned(), owned)).into_iter().collect();
        VolumeSpec { name, driver: "local".to_owned(), labels, options }
    }
}

/// A named volume at a place.
fn volume(name: String, target: &str, mapped: bool, read_only: bool) -> engine::NamedVolume {
    let mut options = vec!["nosuid".to_owned(), "nodev".to_owned()];
    options.push(if read_only { "ro" } else { "rw" }.to_owned());
    if mapped {
        options.push("U".to_owned());
    }
    engine::NamedVolume { name, destination: target.to_owned(), options }
}

/// Adds a mount that was found good, in the service's words.
fn add(spec: &mut Spec, mounted: Mounted, mapped: bool) {
    let target = mounted.target;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    let mount = match mounted.what {
        What::Tmpfs { size, mode } => {
            let mut options = words(&["rw", "nosuid", "nodev", "noexec", "notmpcopyup"]);
            options.push(format!("size={size}"));
            options.extend(mode.map(|mode| format!("mode={mode:o}")));
            Mount { kind: "tmpfs".to_owned(), source: "tmpfs".to_owned(), destination: target, options }
        }
        What::Volume { name, read_only, .. } => {
            spec.volumes.push(volume(name, &target, mapped, read_only));
            return;
        }
        // `bind` and not `rbind`: what is mounted below on the host was not looked at.
        What::Bind { source, read_only } => {
            let access = if read_only { "ro" } else { "rw" };
            let options = words(&["bind", access, "nosuid", "nodev", "private"]);
            Mount { kind: "bind".to_owned(), source, destination: target, options }
        }
    };
    spec.mounts.push(mount);
}

/// What the container's control group is held to.
fn resources(limits: &Limits, pids: i64) -> Resources {
    let quota = limits.nano_cpus.map(|nanos| nanos / (1_000_000_000 / i64::try_from(PERIOD).unwrap_or(1)));
    let has_memory = limits.memory.is_some() || limits.memory_reservation.is_some();
    Resources {
        cpu: quota.map(|quota| Cpu { quota, period: PERIOD }),
        memory: has_memory.then_some(Memory {
            limit: limits.memory,
            reservation: limits.memory_reservation,
            // As much as memory: none on top of it.
            swap: limits.memory,
        }),
        pids: Some(Pids { limit: pids }),
    }
}
