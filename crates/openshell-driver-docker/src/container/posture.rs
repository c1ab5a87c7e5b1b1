//! The one place where the posture is written down: what a container may do, field by field. Pure.

use bollard::models::{
    HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum,
};
use openshell_driver_common::container::names::Scope;
use openshell_driver_common::container::posture::ALL_CAPABILITIES;
use openshell_driver_common::container::supervised::Supervised;
use openshell_driver_common::container::values::Network;

use crate::config::Config;

/// What every sandbox is held to before anything of its own is added.
pub(super) fn host_config(config: &Config, network: &Network, scope: &Scope) -> HostConfig {
    HostConfig {
        cap_drop: Some(vec![ALL_CAPABILITIES.to_owned()]),
        cap_add: (!config.cap_add.is_empty()).then(|| config.cap_add.clone()),
        // No `seccomp=` and no `apparmor=` here: that is the engine's default profile of each. Neither are there paths
        // to unmask.
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        readonly_rootfs: Some(config.read_only_root),
        pids_limit: Some(config.pids_limit),
        ulimits: config.nofile_limit.map(|files| {
            let (soft, hard) = (Some(files), Some(files));
            vec![ResourcesUlimits { name: Some("nofile".to_owned()), soft, hard }]
        }),
        network_mode: Some(match network {
            Network::Own => scope.network(),
            Network::None => "none".to_owned(),
            Network::Named(name) => name.clone(),
        }),
        // Namespaces of its own, each said where an engine's configuration could say otherwise. Those of processes and
        // of the host's name are its own unless a request to the engine says `host`.
        ipc_mode: Some("private".to_owned()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        // The first process of a container ignores signals that it has no handler for, and nobody reaps its orphans.
        init: Some(true),
        // Who runs again after a restart is the gateway's to say.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        // What an agent prints must not fill the host's disk.
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(
                [("max-size", "10m"), ("max-file", "3")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            ),
        }),
        ..HostConfig::default()
    }
}

/// What a supervisor needs on top of that: a few capabilities, which whatever it starts does not have; and to be the first
/// process itself, since it reaps orphans and passes signals on.
pub(super) fn supervise(host: &mut HostConfig, supervised: &Supervised) {
    host.cap_add = Some(supervised.capabilities());
    host.init = Some(false);
}
