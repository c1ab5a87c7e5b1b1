//! What of a request the operator and the service allow, question by question: pure.

use std::path::{Path, PathBuf};

use openshell_driver_api::{DriverContext, GpuRequest, SandboxRequest};
use openshell_driver_common::config::did_you_mean;
use openshell_driver_common::container::asked::Asked;
use openshell_driver_common::container::binds::Protected;
use openshell_driver_common::container::gpu;
use openshell_driver_common::container::limits::Limits;
use openshell_driver_common::container::values::Network;
use openshell_driver_common::faults::Faults;
use serde_json::Value;

use crate::config::{Config, Userns};
use crate::facts::Facts;

/// What is asked of any platform: what is true already, and what is refused.
pub(super) fn platform(
    request: &SandboxRequest,
    config: &Config,
    facts: &Facts,
    rootless: bool,
    faults: &mut Faults,
) {
    let mapped = match config.userns {
        Userns::Engine => rootless,
        Userns::Host => false,
        Userns::Auto { .. } | Userns::KeepId | Userns::NoMap => true,
    };
    for (key, value) in &request.spec.template.platform_config {
        let result = match (key.as_str(), value) {
            ("runtime_class_name", Value::String(name)) => oci_runtime(name, config, facts),
            ("user_namespaces", Value::Bool(wanted)) if *wanted == mapped => Ok(()),
            ("user_namespaces", Value::Bool(true)) => {
                Err("sandboxes are given none; it takes `userns = \"auto\"` in `[openshell.drivers.podman]`"
                    .to_owned())
            }
            ("user_namespaces", Value::Bool(false)) => {
                Err("every sandbox is given one, and leaving it is not offered".to_owned())
            }
            ("annotations", _) => {
                Err("an engine hands them to its runtime as settings; use labels".to_owned())
            }
            ("runtime_class_name" | "user_namespaces", _) => Err("it is of the wrong type".to_owned()),
            _ => Err(format!(
                "the podman driver reads no such key; {}",
                did_you_mean(key, &["runtime_class_name", "user_namespaces"])
            )),
        };
        faults.about(&format!("platform_config.{}", key.escape_debug()), result);
    }
}

/// A service runs all of its containers with one runtime and passes over what a request says about that.
fn oci_runtime(name: &str, config: &Config, facts: &Facts) -> Result<(), String> {
    let shown = name.escape_debug();
    if !config.runtimes.iter().any(|allowed| allowed == name) {
        return Err(format!("`{shown}` is not in `runtimes` of `[openshell.drivers.podman]`"));
    }
    if facts.runtime != name {
        return Err(format!(
            "the engine runs all containers with `{}`; for `{shown}` it takes a service that was started with \
             `podman --runtime {shown} system service`",
            facts.runtime
        ));
    }
    Ok(())
}

/// Whether the service has the configured mode of user namespaces.
pub(super) fn userns(config: &Config, rootless: bool) -> Result<(), String> {
    if config.userns.wants_rootless() && !rootless {
        let mode = config.userns.mode().map_or("", |(mode, _)| mode);
        return Err(format!("`{mode}` takes an engine that runs without root, and this one is root's"));
    }
    Ok(())
}

/// The full names of the GPUs.
pub(super) fn devices(
    gpu: Option<GpuRequest>,
    asked: &Asked,
    config: &Config,
    facts: &Facts,
) -> Result<Option<Vec<String>>, String> {
    gpu::names(gpu, &asked.gpu_device_ids, &config.gpu_cdi_kind, &facts.gpus)
}

/// Less than the operator's network is always allowed, another one when it is listed.
pub(super) fn network(asked: &Asked, config: &Config) -> Result<Network, String> {
    match asked.network.as_deref() {
        None => Ok(config.network.clone()),
        Some("none") => Ok(Network::None),
        Some("own") if config.network == Network::Own => Ok(Network::Own),
        Some(name) if config.network == Network::Named(name.to_owned()) => Ok(config.network.clone()),
        Some(name) if config.networks.iter().any(|allowed| allowed == name) => {
            Ok(Network::Named(name.to_owned()))
        }
        Some(name) => Err(format!(
            "`{}` is neither `none`, nor the configured network, nor one of `networks` of `[openshell.drivers.podman]`",
            name.escape_debug()
        )),
    }
}

/// The operator's user is everybody's; where there is none, a request may name its own.
pub(super) fn user(asked: &Asked, config: &Config) -> Result<Option<String>, String> {
    match (&asked.user, &config.user) {
        (Some(wanted), Some(set)) if wanted != set => {
            Err(format!("`user` of `[openshell.drivers.podman]` is `{set}`, for every sandbox"))
        }
        (wanted, set) => Ok(set.clone().or_else(|| wanted.clone())),
    }
}

/// A request lowers the operator's limit and never raises it.
pub(super) fn pids_limit(asked: &Asked, config: &Config) -> Result<i64, String> {
    match asked.pids_limit {
        Some(limit) if limit > config.pids_limit => Err(format!(
            "`{limit}` is above `pids_limit` of `[openshell.drivers.podman]`, {}",
            config.pids_limit
        )),
        limit => Ok(limit.unwrap_or(config.pids_limit)),
    }
}

/// A bound on what a sandbox writes outside of its workspace.
pub(super) fn storage(asked: &Asked, facts: &Facts) -> Result<Option<i64>, String> {
    let Some(size) = asked.storage_size else { return Ok(None) };
    if facts.has_quota() {
        return Ok(Some(size));
    }
    let (driver, backing) = &facts.storage;
    let on = if backing.is_empty() { String::new() } else { format!(" on {backing}") };
    Err(format!(
        "the engine's storage, {driver}{on}, cannot hold a container to a size; it takes overlay on xfs with `pquota`, \
         btrfs or zfs"
    ))
}

/// Refuses limits to which a service without root cannot hold anything: it would ignore them.
pub(super) fn controllers(limits: &Limits, facts: &Facts, faults: &mut Faults) {
    let memory = limits.memory.or(limits.memory_reservation);
    for (what, wanted, controller) in
        [("cpu_limit", limits.nano_cpus, "cpu"), ("memory_limit", memory, "memory")]
    {
        if wanted.is_some() && !facts.limits(controller) {
            faults.add(format!(
                "{what}: the engine runs without root and was not given the `{controller}` controller; \
                 on a host with systemd: Delegate=cpu memory pids in the user's unit"
            ));
        }
    }
}

/// What no mount may touch: the gateway's state and settings, credentials of registries, gateways and engines, every
/// directory of sockets, and what the engine keeps.
pub(super) fn protected(config: &Config, context: &DriverContext, facts: &Facts) -> Protected {
    // A driver's directory is `drivers/<name>` in the gateway's.
    let state = context.state_dir.ancestors().nth(2).filter(|state| state.parent().is_some());
    let from =
        |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = |below: &str| Some(from("HOME")?.join(below));
    let settings = from("XDG_CONFIG_HOME").or_else(|| home(".config"));
    let below = |directory: &str| settings.as_ref().map(|settings| settings.join(directory));
    let paths = [
        state.map(Path::to_owned),
        Some(context.state_dir.clone()),
        from("XDG_RUNTIME_DIR"),
        below("openshell"),
        below("containers"),
        from("REGISTRY_AUTH_FILE"),
        from("DOCKER_CONFIG").or_else(|| home(".docker")),
        home(".local/share/containers"),
        config.auth_file_path.clone(),
        config.socket_path.clone(),
        Some("/var/lib/containers".into()),
        Some("/etc/containers".into()),
        Some("/run".into()),
        Some("/var/run".into()),
    ];
    Protected::new(paths.into_iter().flatten().chain(facts.kept.iter().cloned()))
}
