//! The one place where the posture is written down: what a container may do, field by field. Pure.

use openshell_driver_common::container::posture::ALL_CAPABILITIES;
use openshell_driver_common::container::supervised::Supervised;
use openshell_driver_common::container::values::Network;

use crate::config::Config;
use crate::engine::{Join, Log, Namespace, Rlimit, Spec};

/// How much of what an agent prints is kept.
const LOG_SIZE: i64 = 30 * 1000 * 1000;

/// What every sandbox is held to before anything of its own is added. `own` is the name of its own network.
pub(super) fn spec(config: &Config, network: &Network, rootless: bool, own: &str) -> Spec {
    let private = || Some(Namespace::mode("private"));
    let joined = match network {
        Network::Own if config.own_network.is_bridge(network, rootless) => Some(own),
        Network::Named(name) => Some(name.as_str()),
        Network::Own | Network::None => None,
    };
    let stack = matches!((network, joined), (Network::Own, None));
    let network_options = if stack { config.own_network.options() } else { Default::default() };
    Spec {
        cap_drop: vec![ALL_CAPABILITIES.to_owned()],
        cap_add: config.cap_add.clone(),
        // Nothing of seccomp, AppArmor or SELinux here: that is the service's default profile of each. Neither are there
        // paths to unmask, and nothing is privileged.
        no_new_privileges: true,
        read_only_filesystem: config.read_only_root,
        // A `/tmp` in memory is asked for by name; more than that nobody has asked for.
        read_write_tmpfs: config.read_only_root.then_some(false),
        rlimits: config
            .nofile_limit
            .and_then(|files| u64::try_from(files).ok())
            .map(|files| Rlimit { kind: "nofile".to_owned(), soft: files, hard: files })
            .into_iter()
            .collect(),
        // Namespaces of its own, each said where the service's configuration could say otherwise.
        pidns: private(),
        ipcns: private(),
        utsns: private(),
        cgroupns: private(),
        userns: config.userns.mode().map(|(mode, value)| Namespace { mode: mode.to_owned(), value }),
        netns: Some(match (network, joined) {
            (Network::None, _) => Namespace::mode("none"),
            (_, Some(_)) => Namespace::mode("bridge"),
            (_, None) => Namespace::mode(config.own_network.mode()),
        }),
        networks: joined.map(|name| (name.to_owned(), Join {})).into_iter().collect(),
        network_options,
        // The first process of a container ignores signals that it has no handler for, and nobody reaps its orphans.
        init: Some(true),
        systemd: Some("false".to_owned()),
        image_volume_mode: Some("anonymous".to_owned()),
        // Who runs again after a restart is the gateway's to say.
        restart_policy: Some("no".to_owned()),
        // The service's environment is none of the sandbox's.
        httpproxy: false,
        // What an agent prints must not fill the host's disk.
        log: Some(Log { driver: "k8s-file".to_owned(), size: LOG_SIZE }),
        ..Spec::default()
    }
}

/// What a supervisor needs on top of that: a few capabilities, which whatever it starts does not have; and to be the first
/// process itself, since it reaps orphans and passes signals on.
pub(super) fn supervise(spec: &mut Spec, supervised: &Supervised) {
    spec.cap_add = supervised.capabilities();
    spec.init = Some(false);
}
