//! What of a request the operator and the service allow, question by question: pure.

use openshell_driver_api::{DriverContext, GpuRequest};
use openshell_driver_common::container::asked::Asked;
use openshell_driver_common::container::binds::Protected;
use openshell_driver_common::container::gpu;
use openshell_driver_common::container::judge::{at_home, from_environment, protected as common, settings};
use openshell_driver_common::container::limits::Limits;
use openshell_driver_common::faults::Faults;

use crate::config::{Config, Userns};
use crate::facts::Facts;

/// Why sandboxes have no user namespace, and why they do not leave theirs.
pub(super) const USER_NAMESPACES: [&str; 2] = [
    "sandboxes are given none; it takes `userns = \"auto\"` in `[openshell.drivers.podman]`",
    "every sandbox is given one, and leaving it is not offered",
];

/// Whether sandboxes are given a user namespace.
pub(super) fn has_user_namespaces(config: &Config, rootless: bool) -> bool {
    match config.userns {
        Userns::Engine => rootless,
        Userns::Host => false,
        Userns::Auto { .. } | Userns::KeepId | Userns::NoMap => true,
    }
}

/// A service runs all of its containers with one runtime and passes over what a request says about that.
pub(super) fn oci_runtime(name: &str, facts: &Facts) -> Result<(), String> {
    let shown = name.escape_debug();
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

/// What no mount may touch, beside what no engine's may.
pub(super) fn protected(config: &Config, context: &DriverContext, facts: &Facts) -> Protected {
    let more = [
        settings().map(|settings| settings.join("containers")),
        from_environment("REGISTRY_AUTH_FILE"),
        at_home(".local/share/containers"),
        config.auth_file_path.clone(),
        config.socket_path.clone(),
        Some("/var/lib/containers".into()),
        Some("/etc/containers".into()),
    ];
    common(context, more.into_iter().chain(facts.kept.iter().cloned().map(Some)))
}
